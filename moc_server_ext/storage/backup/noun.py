"""The noun ``backups`` of one storage: which target is its own, what was backed up last, and what went wrong."""

from __future__ import annotations

import contextlib
import datetime
import os
import re
import stat
import threading
import time
from collections.abc import Generator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from ...errors import ConflictError, InvalidInputError, MocError, ReadOnlyStorageError, StorageFullError
from ...model.backups import BackupProgress, BackupRecord, BackupReport
from ..files import remove
from ..targets.opening import open_target
from .copying import Progress
from .creating import create_backup
from .layout import read_backups
from .steps import in_steps
from .verifying import verify_backup

if TYPE_CHECKING:
    from ..storage import Storage

LAST_BACKUP: Final = "last_backup"
_PROOF: Final = re.compile(r"[0-9a-f]{32}", re.ASCII)


class StoredBackups:
    """Backups of one storage: :class:`moc_server_ext.abc.Backups`. Thread-safe.

    Parameters
    ----------
    target
        Where backups go when nothing else is said; None makes people say it.
    """

    def __init__(self, storage: Storage, target: str | None = None) -> None:
        self._storage = storage
        self._target = target
        self._lock = threading.Lock()
        self.failures = 0
        self._failure: dict[str, Any] | None = None

    def create(
        self,
        target: str | None = None,
        *,
        keep: int | None = None,
        include_tls_key: bool = False,
        adopt: bool = False,
    ) -> Generator[BackupProgress, None, BackupRecord]:
        """Back everything up, in steps; see :meth:`moc_server_ext.abc.Backups.create`."""
        named = self._named(target)
        if keep is not None and keep < 1:
            raise InvalidInputError(f"At least one backup is kept; found keep = {keep}.")

        def work(progress: Progress) -> BackupRecord:
            return create_backup(
                self._storage,
                open_target(named),
                keep=keep,
                include_tls_key=include_tls_key,
                adopt=adopt,
                progress=progress,
            )

        if not self._lock.acquire(blocking=False):
            raise ConflictError("A backup of this storage is being made. Wait for its end.")
        try:
            begun = time.monotonic()
            try:
                record = yield from in_steps(work)
            except MocError as error:
                self.failures += 1
                self._failure = {"at": _now(), "target": named, "error": error.message}
                raise
            self._failure = None
            self._note(record, named, time.monotonic() - begun)
            return record
        finally:
            self._lock.release()

    def list(self, target: str | None = None) -> Sequence[BackupRecord]:
        """List the backups of a target, newest first."""
        return read_backups(open_target(self._named(target)))

    def verify(
        self, target: str | None = None, backup_id: str | None = None
    ) -> Generator[BackupProgress, None, BackupReport]:
        """Read a backup back, all of it, in steps."""
        named = self._named(target)
        return in_steps(lambda progress: verify_backup(open_target(named), backup_id, progress=progress))

    def status(self) -> dict[str, Any]:
        """Tell where backups go, which was the last one, and what was wrong with the one that failed since."""
        return {
            "target": self._target,
            "last": self.last(),
            "failures": self.failures,
            "failure": self._failure,
        }

    def take_over(self) -> None:
        """Let the schedules of a restored instance start; idempotent."""
        self._storage.take_over()

    def own_target(self) -> str | None:
        """Tell which target is configured."""
        return self._target

    def last(self) -> dict[str, Any] | None:
        """Tell which backup was the last one; None if there is none."""
        told: dict[str, Any] | None = self._storage.facts.get(LAST_BACKUP)
        return told

    def is_proven(self, name: str) -> bool:
        """Tell whether a file `name` lies in the staging directory, where only this user can put it; it is removed."""
        if not _PROOF.fullmatch(name):
            return False
        path = Path(self._storage.path, "staging", name)
        try:
            found = path.lstat()
        except OSError:
            return False
        if not stat.S_ISREG(found.st_mode) or found.st_uid != os.geteuid():
            return False
        remove(path)
        return True

    def _named(self, target: str | None) -> str:
        if not (target or self._target):
            raise InvalidInputError(
                "No backup target is named, and none is configured. Name a directory or s3://BUCKET/PREFIX, or set "
                "MocExtension.backup_target for the server."
            )
        return target or self._target or ""

    def _note(self, record: BackupRecord, target: str, seconds: float) -> None:
        told = {
            "id": record.id,
            "at": record.created_at,
            "target": target,
            "seconds": round(seconds, 3),
            "copied_bytes": record.copied_bytes,
        }
        # The backup is there, whether it can be noted or not.
        with contextlib.suppress(StorageFullError, ReadOnlyStorageError):
            self._storage.facts.set(LAST_BACKUP, told)


def _now() -> str:
    return datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds")
