"""Opening a storage that this process cannot write: a read-only disk, or somebody else's directory.

Nothing in it is touched, so that several processes may read it at once. A catalog that was not closed has a log, which
SQLite reads only where it can write: both are copied aside first.
"""

from __future__ import annotations

import contextlib
import fcntl
import os
import secrets
import shutil
import tempfile
from contextlib import ExitStack
from pathlib import Path
from typing import Final

from ..errors import LockedStorageError
from .catalog import Catalog
from .credentials import TOKEN_FILE
from .files import failures
from .ownership import LOCK_FILE

REASON: Final = "its directory is read-only for this process"


def is_read_only(path: Path) -> bool:
    """Tell whether this process can read a directory and not write it."""
    access = {"effective_ids": True} if os.access in os.supports_effective_ids else {}
    return os.access(path, os.R_OK | os.X_OK, **access) and not os.access(path, os.W_OK, **access)


class ReaderLock:
    """Keeps whoever could write away while this process reads; several may hold it.

    Raises
    ------
    LockedStorageError
        A process owns the directory.
    """

    def __init__(self, path: Path) -> None:
        self.successor: int | None = None
        self._descriptor: int | None = None
        with failures("the lock", path), contextlib.suppress(FileNotFoundError):
            self._descriptor = os.open(path / LOCK_FILE, os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC)
        if self._descriptor is None:
            return
        try:
            fcntl.flock(self._descriptor, fcntl.LOCK_SH | fcntl.LOCK_NB)
        except BlockingIOError:
            self.release()
            raise LockedStorageError(str(path)) from None

    def release(self) -> None:
        """Let go; idempotent."""
        descriptor, self._descriptor = self._descriptor, None
        if descriptor is not None:
            os.close(descriptor)


def open_catalog(path: Path, closing: ExitStack) -> Catalog:
    """Open the catalog file `path` for reading; what that takes aside goes when `closing` is closed.

    Raises
    ------
    CorruptStorageError, StorageFormatError, StorageFullError, StorageError
        It cannot be read as it is. Nothing is left open.
    """
    log = path.with_name(f"{path.name}-wal")
    if not log.exists() or not log.stat().st_size:
        return Catalog(path, may_be_new=False, immutable=True)
    with failures("a copy of the catalog, whose log is to be read", path.parent):
        aside = Path(closing.enter_context(tempfile.TemporaryDirectory(prefix="moc-catalog-")))
        for each in (path, log):
            shutil.copyfile(each, aside / each.name)
    return Catalog(aside / path.name, may_be_new=False)


def read_token(path: Path) -> str:
    """Give the storage's token, or, where it cannot be read, one that only this process knows."""
    try:
        return (path / TOKEN_FILE).read_text().strip() or secrets.token_urlsafe(32)
    except OSError:
        return secrets.token_urlsafe(32)
