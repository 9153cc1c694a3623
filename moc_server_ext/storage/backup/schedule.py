"""Backups by themselves: a thread that makes one each time it is due, as long as the server lives."""

from __future__ import annotations

import datetime
import logging
import threading
from typing import Final

from ...abc import LocalBackups
from ...errors import MocError

_LOG: Final = logging.getLogger("moc_server_ext.backups")
# One that failed is not waited for as long as the next one that is due.
_RETRY_SECONDS: Final = 300.0


class BackupSchedule:
    """Makes a backup every so often; the first one when the last one, also of an earlier process, is that old.

    Parameters
    ----------
    keep
        How many are kept; None keeps all.
    """

    def __init__(self, backups: LocalBackups, every_seconds: float, keep: int | None) -> None:
        self._backups = backups
        self._every_seconds = every_seconds
        self._keep = keep
        self._stopped = threading.Event()
        self._thread = threading.Thread(target=self._run, name="moc_backup_schedule", daemon=True)

    def start(self) -> None:
        """Begin."""
        self._thread.start()

    def stop(self) -> None:
        """End; one that is being made ends unfinished, and the next one goes on with what it has copied."""
        self._stopped.set()
        if self._thread.is_alive():
            self._thread.join()

    def _run(self) -> None:
        wait = self._first_wait()
        while not self._stopped.wait(wait):
            wait = self._every_seconds if self._make_one() else min(_RETRY_SECONDS, self._every_seconds)

    def _first_wait(self) -> float:
        last = self._backups.last() or {}
        try:
            made = datetime.datetime.fromisoformat(str(last.get("at", "")))
            age = (datetime.datetime.now(datetime.UTC) - made).total_seconds()
        except (ValueError, TypeError):
            return 0.0
        # A clock that jumped makes it due: one too many harms nobody.
        return self._every_seconds - age if 0 <= age < self._every_seconds else 0.0

    def _make_one(self) -> bool:
        work = self._backups.create(keep=self._keep)
        try:
            for _ in work:
                if self._stopped.is_set():
                    return False
        except MocError as error:
            _LOG.error("moc: the backup failed: %s", error.message)
            return False
        finally:
            work.close()
        return True
