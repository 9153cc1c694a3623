"""Read access to the whole storage by Zarr key: what a Zarr store, an export or an HTTP mirror stands on.

The keys of ``kv/`` are made up here from the key-value table; all others are entries of the catalog.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

from .content import StoredContent, read_content
from .keyvalue import KEY_BYTES_MAX
from .objects import Objects
from .table import ContentTable
from .zarr_layout import CHUNK, KEY_VALUES, METADATA, array_document, bytes_of_node, chunk_key, metadata_key

_PAGE: Final = 1000
_KEY_CHARACTERS_MAX: Final = 3 * KEY_BYTES_MAX + 64


class ZarrView:
    """The storage as a Zarr v3 hierarchy, read-only. Thread-safe; every method blocks."""

    def __init__(self, entries: ContentTable[str], key_values: ContentTable[bytes], objects: Objects) -> None:
        self._entries = entries
        self._key_values = key_values
        self._objects = objects

    def list_prefix(self, prefix: str = "") -> Iterator[str]:
        """List the keys that begin with `prefix`, in no order.

        Read page by page: keys that come or go while it runs may or may not be among them.
        """
        if not prefix.isascii():
            # No key has such a character: names are percent-encoded.
            return
        yield from self._entry_keys(prefix)
        group = f"{KEY_VALUES}/"
        if prefix.startswith(group) or group.startswith(prefix):
            for key in self._key_value_keys(prefix):
                if key.startswith(prefix):
                    yield key

    def list_dir(self, prefix: str = "") -> set[str]:
        """List the names directly below `prefix`, which ends with ``/`` unless it is empty."""
        return {key[len(prefix) :].partition("/")[0] for key in self.list_prefix(prefix)}

    def size(self, key: str) -> int | None:
        """Tell the size of the value of a key in bytes; None if there is no such key."""
        stored = self._find(key)
        return None if stored is None else stored.size

    def read(self, key: str, start: int = 0, stop: int | None = None) -> bytes | None:
        """Read bytes ``[start, stop)`` of the value of a key, cut off at the end; None if there is no such key.

        Raises
        ------
        CorruptStorageError, InvalidInputError
            The bytes are damaged; the range is negative.
        """

        def lookup() -> StoredContent:
            stored = self._find(key)
            if stored is None:
                raise _AbsentKeyError
            return stored

        try:
            return read_content(lookup, self._objects, start, stop, lambda: f"Zarr key {key!r}")
        except _AbsentKeyError:
            return None

    def _find(self, key: str) -> StoredContent | None:
        if len(key) > _KEY_CHARACTERS_MAX or not key.isascii():
            return None
        stored = self._entries.find(key)
        if stored is not None:
            return stored
        group, _, rest = key.partition("/")
        node, _, last = rest.partition("/")
        name = bytes_of_node(node) if group == KEY_VALUES and last in (METADATA, CHUNK) else None
        if name is None:
            return None
        value = self._key_values.find(name)
        if value is None or (last == CHUNK and value.size == 0):
            return None
        return value if last == CHUNK else StoredContent.of(array_document(value.size, {}), str)

    def _entry_keys(self, prefix: str) -> Iterator[str]:
        last = prefix[:-1] + chr(ord(prefix[-1]) + 1) if prefix else None
        page = self._entries.keys(prefix, last, _PAGE)
        while page:
            yield from page
            page = self._entries.keys(page[-1], last, _PAGE, after=True)

    def _key_value_keys(self, prefix: str) -> Iterator[str]:
        page = self._key_values.keys(b"", None, _PAGE)
        while page:
            for name in page:
                yield metadata_key(KEY_VALUES, name)
                if self._key_values.size(name):
                    yield chunk_key(KEY_VALUES, name)
            page = self._key_values.keys(page[-1], None, _PAGE, after=True)


class _AbsentKeyError(Exception):
    """No such key: for Zarr that is no error."""
