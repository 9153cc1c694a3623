"""Who may open a storage directory: the check of what it is, and the lock that one process holds.

The lock is ``flock`` on ``LOCK``: the kernel releases it when its holder ends, however it ends. It says nothing about
machines that share a directory over a network: that is not supported.
"""

from __future__ import annotations

import contextlib
import fcntl
import json
import os
import secrets
import time
from pathlib import Path
from typing import Any, Final

from ..errors import CorruptStorageError, LockedStorageError, NotAStorageError, StorageFormatError
from .endpoint import read_endpoint
from .files import FILE_MODE, failure, failures, replace_file
from .filesystems import lock_failure

FORMAT: Final = 2
FORMAT_FILE: Final = "FORMAT.json"
LOCK_FILE: Final = "LOCK"

# What may be in a directory that is about to become a storage: a first opening that was cut short leaves the first
# three, a freshly made file system has the last.
_HARMLESS: Final = frozenset({LOCK_FILE, f"{FORMAT_FILE}.new", "lost+found"})


def check_directory(path: Path) -> None:
    """Refuse a directory that is no storage, or that of a newer moc, without touching anything in it.

    Raises
    ------
    NotAStorageError, StorageFormatError, CorruptStorageError
        It holds something else; its format is newer; its ``FORMAT.json`` cannot be understood.
    """
    if read_format(path) is None:
        found = sorted(each.name for each in path.iterdir() if each.name not in _HARMLESS)
        if found:
            raise NotAStorageError(str(path), found=found)


def read_format(path: Path) -> dict[str, Any] | None:
    """Read and check ``FORMAT.json``; None when the directory has none yet."""
    try:
        text = (path / FORMAT_FILE).read_bytes()
    except FileNotFoundError:
        return None
    try:
        body = json.loads(text)
        found = body["format"]
    except (ValueError, TypeError, KeyError, RecursionError) as error:
        raise CorruptStorageError(f"{str(path / FORMAT_FILE)!r}", "it is no format description of moc") from error
    if not isinstance(found, int) or isinstance(found, bool) or not 1 <= found <= FORMAT:
        raise StorageFormatError(str(path), found=found, expected=FORMAT)
    if not isinstance(body.get("instance_id"), str) or not body["instance_id"]:
        raise CorruptStorageError(f"{str(path / FORMAT_FILE)!r}", "it has no instance id")
    return dict(body)


def write_format(path: Path) -> dict[str, Any]:
    """Make the directory a storage, with an instance id of its own; for the holder of the lock."""
    body = {"format": FORMAT, "instance_id": secrets.token_hex(16), "created_at": time.time()}
    with failures(FORMAT_FILE, path):
        replace_file(path / FORMAT_FILE, json.dumps(body, indent=2).encode() + b"\n")
    return body


def note_format(path: Path, body: dict[str, Any]) -> None:
    """Say in ``FORMAT.json`` that the directory has this format now; for the holder of the lock, after the upgrade."""
    with failures(FORMAT_FILE, path):
        replace_file(path / FORMAT_FILE, json.dumps({**body, "format": FORMAT}, indent=2).encode() + b"\n")


class OwnerLock:
    """The lock on a storage directory, held from the making of the object to :meth:`release`.

    Not to be carried across ``fork``: the child would keep the directory locked.

    Attributes
    ----------
    successor
        Process that the directory is handed over to: named in the lock file on release, so that clients wait for it.

    Raises
    ------
    LockedStorageError
        Another process (or another `OwnerLock` of this one) holds it; process and address are named if it tells them.
    ReadOnlyStorageError, StorageFullError, UnsuitableFileSystemError
        The lock file cannot be made; its file system has no locks.
    """

    def __init__(self, path: Path) -> None:
        self.successor: int | None = None
        self._held = False
        with failures("the lock", path):
            self._descriptor: int | None = os.open(
                path / LOCK_FILE, os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW | os.O_CLOEXEC, FILE_MODE
            )
        try:
            fcntl.flock(self._descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            pid = _read_pid(self._descriptor)
            self.release()
            owner = read_endpoint(path)
            raise LockedStorageError(
                str(path),
                pid=owner.pid if owner else pid,
                url=(owner.url or owner.jupyter_url) if owner else None,
            ) from None
        except OSError as error:
            self.release()
            raise lock_failure(error, path) or failure(error, "the lock", path) from error
        except BaseException:
            self.release()
            raise
        self._held = True
        _write_pid(self._descriptor, os.getpid())

    def release(self) -> None:
        """Let another process own the directory; idempotent."""
        descriptor, self._descriptor = self._descriptor, None
        if descriptor is None:
            return
        if self._held:
            _write_pid(descriptor, self.successor)
        os.close(descriptor)


def owner_pid(path: Path) -> int | None:
    """Tell which process says that it owns the storage directory `path`, or is about to; None if none does.

    Only what the lock file says: one that was killed still stands there.
    """
    try:
        descriptor = os.open(path / LOCK_FILE, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
    except OSError:
        return None
    try:
        return _read_pid(descriptor)
    except OSError:
        return None
    finally:
        os.close(descriptor)


def _write_pid(descriptor: int, pid: int | None) -> None:
    # Only so that others can say who it is, and know whom to wait for; on a full disk they cannot.
    with contextlib.suppress(OSError):
        os.ftruncate(descriptor, 0)
        if pid is not None:
            os.pwrite(descriptor, b"%d\n" % pid, 0)


def _read_pid(descriptor: int) -> int | None:
    """Read which process holds the lock; None where it did not say."""
    text = os.pread(descriptor, 32, 0).strip()
    return int(text) if text.isdigit() and len(text) <= 10 else None
