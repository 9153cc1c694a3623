"""Repeating what a log says in a storage: record by record, or in one leap to what a base is.

Owns how objects come from the target into the storage. When to do it is the follower's, or that of a restore.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Protocol

from ..targets.target import Target
from .base import difference, fetch_catalog, fetch_object
from .log import Base, LogGapError, LogReader
from .records import Record, ShippedObject
from .source import StorageSource


class Copy(Protocol):
    """What replication needs of the storage that is the copy."""

    def sequence(self) -> int:
        """Tell the last commit that it has."""

    def apply(self, changes: bytes, objects: Mapping[str, Path], sequence: int, *, leaps: bool = False) -> None:
        """Repeat a commit."""

    def refuse_writes(self, reason: str) -> None:
        """Refuse every write of its own; empty allows them again."""

    def become_primary(self) -> None:
        """Accept writes of its own again."""

    def replication_source(self) -> StorageSource:
        """Give what replication knows of it."""


class Replay:
    """Brings commits from a target into a storage. One thread at a time."""

    def __init__(self, storage: Copy, target: Target) -> None:
        self._storage = storage
        self._source = storage.replication_source()
        self._target = target

    def repeat(self, record: Record) -> None:
        """Repeat one commit; idempotent. Raises as :meth:`.Following.apply` and the target do, with nothing changed."""
        missing = [each for each in record.objects if not self._source.has_object(each.object_id)]
        self._storage.apply(record.changes, self._fetch(missing), record.sequence)

    def leap(self, base: Base) -> None:
        """Become what the base is, whatever the storage was before, in one commit."""
        catalog = self._source.temporary_path()
        try:
            fetch_catalog(self._target, base, catalog)
            changes, objects = difference(catalog, self._source.catalog_path)
            missing = [each for each in objects if not self._source.has_object(each.object_id)]
            self._storage.apply(changes, self._fetch(missing), base.sequence, leaps=True)
        finally:
            catalog.unlink(missing_ok=True)

    def _fetch(self, objects: Iterable[ShippedObject]) -> dict[str, Path]:
        fetched: dict[str, Path] = {}
        try:
            for each in objects:
                path = self._source.temporary_path()
                fetch_object(self._target, each, path)
                fetched[each.object_id] = path
        except BaseException:
            for path in fetched.values():
                path.unlink(missing_ok=True)
            raise
        return fetched


def replay_log(storage: Copy, target: Target) -> int:
    """Repeat, in a storage that was restored from a backup, what the log has after it; give the commits' number.

    A backup that belongs to no log, or whose log was cut since, is left as it is: it is whole as it is.

    Raises
    ------
    BackupTargetError, CorruptStorageError, StorageError
        What was repeated so far stays, each commit wholly.
    """
    epoch = storage.replication_source().epoch()
    if not epoch:
        return 0
    replay, first = Replay(storage, target), storage.sequence()
    reader = LogReader(target, epoch, first)
    try:
        while records := reader.read(thorough=True):
            for record in records:
                replay.repeat(record)
    except LogGapError:
        # An earlier backup than the log's base: what came between is in the later ones.
        pass
    return storage.sequence() - first
