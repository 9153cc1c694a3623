"""A storage that is the copy of another: repeats its commits, one by one, in their order.

Owns that a commit is repeated wholly or not at all, once, and only where it belongs. How commits come here is the
caller's; what they say is in :mod:`.shipping`.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import apsw

from ..errors import CorruptStorageError
from .catalog import Catalog
from .names import NameTable
from .objects import Objects, StagedObject, is_object_id
from .shipping import Change, read_sequence, referred_to, write_sequence
from .versions import Versions
from .writes import Writer

_COPY = "the copy of the storage"


class Following:
    """Takes the commits of another storage. Thread-safe; commits come in their order."""

    def __init__(
        self, catalog: Catalog, objects: Objects, writer: Writer, names: NameTable, versions: Versions
    ) -> None:
        self._catalog = catalog
        self._objects = objects
        self._writer = writer
        self._names = names
        self._versions = versions

    def sequence(self) -> int:
        """Tell the number of the last commit that was shipped or applied; 0 where there was none."""
        return read_sequence(self._catalog.rows)

    def apply(self, changes: bytes, objects: Mapping[str, Path], sequence: int, *, leaps: bool = False) -> None:
        """Repeat a commit; durable and visible on return. Idempotent: one that is here already changes nothing.

        Also while others may not write.

        Parameters
        ----------
        changes
            What the other's shipper was told.
        objects
            The object files that came with it, by id: synchronised, and on the file system of this storage. They are
            taken over, and gone on return.
        sequence
            The commit's number.
        leaps
            Whether the changes lead from what is here to that commit directly, from wherever this copy was.

        Raises
        ------
        CorruptStorageError
            It does not belong here: a commit before it is missing, the two storages have diverged, or an object file is
            missing. Nothing was changed.
        StorageFullError, ReadOnlyStorageError, StorageError
            Nothing was changed.
        """
        staged = [StagedObject(object_id, path) for object_id, path in objects.items() if is_object_id(object_id)]
        try:
            if len(staged) < len(objects):
                raise CorruptStorageError(_COPY, f"commit {sequence} came with files that are no objects")
            if leaps or sequence > self.sequence():
                self._apply(Change(changes), staged, sequence, leaps=leaps)
        finally:
            for each in staged:
                self._objects.discard(each)

    def _apply(self, change: Change, staged: list[StagedObject], sequence: int, *, leaps: bool) -> None:
        coming = {each.object_id for each in staged}
        missing = sorted(each for each in change.gained - coming if self._objects.size(each) is None)
        if missing:
            raise CorruptStorageError(_COPY, f"commit {sequence} refers to the object {missing[0]}, which is missing")
        with self._writer.unrestricted_group() as group:
            for each in staged:
                group.adopt(each, is_referenced=self._is_referenced)
            group.then(
                f"commit {sequence} of the other storage",
                lambda connection: self._repeat(connection, change, sequence, leaps=leaps),
            )
            if change.names:
                group.when_settled(self._names.refresh_all)
            if change.entries:
                group.when_settled(self._versions.forget_all)

    def _repeat(self, connection: apsw.Connection, change: Change, sequence: int, *, leaps: bool) -> None:
        present = read_sequence(self._catalog.writer_rows)
        if not leaps and sequence != present + 1:
            raise CorruptStorageError(_COPY, f"commit {sequence} cannot follow commit {present}")
        change.apply(connection)
        write_sequence(connection, sequence)

    def _is_referenced(self, object_id: str) -> bool:
        return any(referred_to(self._catalog.writer_rows, (object_id,)))
