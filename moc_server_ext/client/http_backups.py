"""The noun ``backups`` over HTTP: what a server does; targets that are named are read from here."""

from __future__ import annotations

import contextlib
import secrets
from collections.abc import Callable, Generator, Iterator, Mapping, Sequence
from typing import Any

from ..model import BackupProgress, BackupRecord, BackupReport
from ..storage.files import failures, remove, write_new
from .lines import progress_lines
from .local_files import SharedDirectory
from .noun import Noun, listed
from .transport import Transport

# Inside of the class, `list` is a method.
_Query = list[tuple[str, str]]


class HttpBackups(Noun):
    """See :class:`~..abc.Backups`.

    Parameters
    ----------
    status
        Asks the server what runs.
    """

    def __init__(self, transport: Transport, status: Callable[[], Mapping[str, Any]]) -> None:
        super().__init__(transport)
        self._status = status

    def create(
        self,
        target: str | None = None,
        *,
        keep: int | None = None,
        include_tls_key: bool = False,
        adopt: bool = False,
    ) -> Generator[BackupProgress, None, BackupRecord]:
        """Have everything backed up, in steps; ending the generator ends it on the server."""
        from ..storage.targets.opening import target_directory

        query = []
        if target is not None:
            # The server's working directory is another one.
            directory = target_directory(target)
            query.append(("target", target if directory is None else str(directory)))
        if keep is not None:
            query.append(("keep", str(keep)))
        query += [(name, "true") for name, given in (("include_tls_key", include_tls_key), ("adopt", adopt)) if given]
        with self._proof(needed=bool(query)) as proof:
            return (
                yield from progress_lines(
                    self._transport, "backups", [*query, *proof], BackupProgress.from_json, BackupRecord.from_json
                )
            )

    def list(self, target: str | None = None) -> Sequence[BackupRecord]:
        """List the backups of a target, newest first."""
        if target is None:
            records: Sequence[BackupRecord] = self._get("backups", listed("backups", BackupRecord.from_json))
            return records
        from ..storage.backup.layout import read_backups
        from ..storage.targets.opening import open_target

        return read_backups(open_target(target))

    def verify(
        self, target: str | None = None, backup_id: str | None = None
    ) -> Generator[BackupProgress, None, BackupReport]:
        """Have a backup read back, in steps."""
        if target is None:
            query = [] if backup_id is None else [("backup", backup_id)]
            return progress_lines(
                self._transport, "backups/verify", query, BackupProgress.from_json, BackupReport.from_json
            )
        from ..storage.backup.steps import in_steps
        from ..storage.backup.verifying import verify_backup
        from ..storage.targets.opening import open_target

        opened = open_target(target)
        return in_steps(lambda progress: verify_backup(opened, backup_id, progress=progress))

    def take_over(self) -> None:
        """Let the schedules of a restored instance start."""
        self._transport.request("POST", "take-over")

    @contextlib.contextmanager
    def _proof(self, *, needed: bool) -> Iterator[_Query]:
        """Put a file where only the server's own user can put one; the server decides what it needs it for."""
        shared = SharedDirectory.find(self._status()) if needed else None
        if shared is None:
            yield []
            return
        file = shared.path / "staging" / secrets.token_hex(16)
        with failures("the proof of who asks", shared.path):
            write_new(file, b"")
        try:
            yield [("proof", file.name)]
        finally:
            remove(file)
