"""What a check may do about what it found: remove files that nobody knows, and things that are damaged."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator

from ..catalog import Catalog
from ..keyvalue import StoredKeyValues
from ..names import NameTable
from ..objects import Objects
from ..read_only import REASON
from ..table import ContentTable
from ..versions import Versions
from ..writes import Writer
from ..zarr_layout import BLOBS, end_of_directory
from .quick import is_known_to_writer
from .stored_things import Thing


class Repairs:
    """Repairs of one storage directory. Thread-safe."""

    def __init__(
        self,
        catalog: Catalog,
        objects: Objects,
        writer: Writer,
        entries: ContentTable[str],
        key_values: StoredKeyValues,
        parts: ContentTable[str],
        names: NameTable,
        versions: Versions,
    ) -> None:
        self._catalog = catalog
        self._objects = objects
        self._writer = writer
        self._entries = entries
        self._key_values = key_values
        self._parts = parts
        self._names = names
        self._versions = versions

    def remove_stray(self, object_id: str) -> bool:
        """Remove an object file unless the catalog refers to it now; tell whether it is gone.

        A storage that is read-only for its damage lets itself be repaired.
        """
        # As the one writer: nobody is between the publishing of a file and the commit that refers to it.
        with self._lifted(), self._catalog.writing():
            if is_known_to_writer(self._catalog, object_id):
                return False
            self._objects.remove(object_id)
        return self._objects.size(object_id) is None

    def remove_damaged(self, thing: Thing) -> None:
        """Remove a thing as a whole, with the names that point to it; durable on return.

        Raises
        ------
        StorageFullError, ReadOnlyStorageError, StorageError
            It is as it was.
        """
        what = f"the removal of {thing.what}"
        with self._lifted(), self._writer.group() as group:
            if isinstance(thing.key, bytes):
                self._key_values.delete(thing.key, group=group)
            elif thing.table == "parts":
                self._parts.delete(group, thing.key, what=what, missing=None)
            else:
                first = f"{thing.key}/"
                self._entries.delete_below(group, first, end_of_directory(first), what=what)
                group.when_settled(self._versions.forget_all)
                blob_id = thing.key.removeprefix(f"{BLOBS}/")
                for record in self._names.list():
                    if record.blob_id == blob_id:
                        self._names.delete(record.name, group=group)

    def remove_name(self, name: str) -> None:
        """Remove a name whose blob is not there; durable on return. Raises as :meth:`remove_damaged` does."""
        with self._lifted():
            self._names.delete(name)

    @contextlib.contextmanager
    def _lifted(self) -> Iterator[None]:
        """Write in the block although the storage is read-only for its damage; ReadOnlyStorageError for its disk."""
        reason = self._writer.read_only_reason
        if reason == REASON:
            self._writer.check_writable()
        self._writer.read_only_reason = ""
        try:
            yield
        finally:
            self._writer.read_only_reason = reason
