"""A directory as a backup target: each object a file, written aside, synchronised and moved into place.

Owns the files below the directory. A process that is killed leaves at most files in ``.new/``, which the next one
removes once nobody has written to them for an hour.
"""

from __future__ import annotations

import contextlib
import errno
import os
import secrets
import stat
import threading
import time
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Final

from ...abc import Bytes
from ...errors import BackupTargetError
from ..files import NewFile, make_directory, remove, sync_directory
from .keys import check_key

_PART_BYTES: Final = 1 << 20
_ASIDE: Final = ".new"
_LEFTOVER_SECONDS: Final = 3600.0
# What file systems without hard links answer.
_NO_LINKS: Final = frozenset({errno.EPERM, errno.ENOTSUP, errno.EOPNOTSUPP, errno.ENOSYS, errno.EMLINK})


class DirectoryTarget:
    """Objects as files (0600) below a directory (0700), which is made by the first one: :class:`~.target.Target`."""

    def __init__(self, path: Path) -> None:
        self.url = str(path)
        self.path = path
        self._lock = threading.Lock()
        self._is_tidy = False

    def put(self, key: str, content: Bytes | Iterable[Bytes]) -> None:
        """Store `content` under `key`, atomically, replacing what was there; durable on return."""
        with self._failures(f"store {key!r}"):
            file = self._written(content)
            try:
                path = self._prepared(key)
                os.rename(file, path)
            except BaseException:
                remove(file)
                raise
            sync_directory(path.parent)

    def put_new(self, key: str, content: Bytes) -> bool:
        """Store `content` under `key` if nothing is there, atomically; durable on return. Tell whether it was."""
        with self._failures(f"store {key!r}"):
            file = self._written(content)
            try:
                path = self._prepared(key)
                if not _moved_to_nothing(file, path, content):
                    return False
            finally:
                remove(file)
            sync_directory(path.parent)
            return True

    def get(self, key: str) -> bytes | None:
        """Read an object; None if there is none."""
        parts = self.read(key)
        return None if parts is None else b"".join(parts)

    def read(self, key: str) -> Iterator[bytes] | None:
        """Read an object in parts of bounded size; None if there is none."""
        with self._failures(f"read {key!r}"):
            try:
                # What is no plain file is not waited for, and leads nowhere.
                descriptor = os.open(self._file(key), os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
            except (FileNotFoundError, NotADirectoryError):
                return None
            mode = os.fstat(descriptor).st_mode
            if not stat.S_ISREG(mode):
                os.close(descriptor)
                if stat.S_ISDIR(mode):
                    return None
                raise OSError(errno.EINVAL, "it is no file")
        return self._parts(key, descriptor)

    def _parts(self, key: str, descriptor: int) -> Iterator[bytes]:
        with open(descriptor, "rb", buffering=0) as file, self._failures(f"read {key!r}"):
            while part := file.read(_PART_BYTES):
                yield part

    def append(self, key: str, content: Bytes) -> None:
        """Add `content` to the end of an object that is there; durable on return."""
        with self._failures(f"append to {key!r}"):
            descriptor = os.open(self._file(key), os.O_WRONLY | os.O_APPEND | os.O_NOFOLLOW | os.O_CLOEXEC)
            try:
                rest = memoryview(content)
                while rest:
                    rest = rest[os.write(descriptor, rest) :]
                os.fdatasync(descriptor)
            finally:
                os.close(descriptor)

    def read_from(self, key: str, start: int) -> bytes | None:
        """Read what an object holds from `start` on; None if there is no such object."""
        with self._failures(f"read {key!r}"):
            try:
                file = open(self._file(key), "rb", opener=_open_plainly)  # noqa: SIM115 - closed below
            except (FileNotFoundError, NotADirectoryError):
                return None
            with file:
                file.seek(start)
                return file.read()

    def size(self, key: str) -> int | None:
        """Tell the size of an object in bytes; None if there is none."""
        with self._failures(f"look up {key!r}"):
            try:
                found = self._file(key).lstat()
            except (FileNotFoundError, NotADirectoryError):
                return None
        return found.st_size if stat.S_ISREG(found.st_mode) else None

    def list(self, prefix: str = "") -> Iterator[tuple[str, int]]:
        """List key and size of all objects whose keys begin with `prefix`, in no order."""
        above, _, _ = prefix.rpartition("/")
        if above:
            check_key(above)
        with self._failures("be listed"):
            yield from self._below(self.path / above, f"{above}/" if above else "", prefix)

    def _below(self, directory: Path, key: str, prefix: str) -> Iterator[tuple[str, int]]:
        try:
            entries = os.scandir(directory)
        except (FileNotFoundError, NotADirectoryError):
            if not key and directory.exists():
                raise
            return
        with entries:
            for entry in entries:
                name = key + entry.name
                if entry.name.startswith(".") or not (name.startswith(prefix) or prefix.startswith(f"{name}/")):
                    continue
                if entry.is_dir(follow_symlinks=False):
                    yield from self._below(Path(entry.path), f"{name}/", prefix)
                elif entry.is_file(follow_symlinks=False):
                    try:
                        size = entry.stat(follow_symlinks=False).st_size
                    except FileNotFoundError:
                        # Removed meanwhile.
                        continue
                    yield name, size

    def delete(self, key: str) -> None:
        """Remove an object; idempotent, durable on return."""
        with self._failures(f"remove {key!r}"):
            path = self._file(key)
            try:
                path.unlink()
            except (FileNotFoundError, NotADirectoryError):
                return
            except (IsADirectoryError, PermissionError):
                if stat.S_ISDIR(path.lstat().st_mode):
                    return
                raise
            sync_directory(path.parent)

    def close(self) -> None:
        """Let go of connections: there are none."""

    def _file(self, key: str) -> Path:
        check_key(key)
        return self.path / key

    def _prepared(self, key: str) -> Path:
        path = self._file(key)
        self._make(path.parent)
        return path

    def _make(self, directory: Path) -> None:
        if directory.is_dir():
            return
        with self._lock:
            while not directory.is_dir():
                try:
                    make_directory(directory)
                except FileExistsError:
                    if not directory.parent.is_dir():
                        raise
                    # Another process made it just now, and has perhaps not come to synchronise it.
                    sync_directory(directory.parent)

    def _written(self, content: Bytes | Iterable[Bytes]) -> Path:
        aside = self.path / _ASIDE
        self._make(aside)
        self._tidy(aside)
        file = NewFile(aside / secrets.token_hex(8))
        try:
            for part in (content,) if isinstance(content, bytes | bytearray | memoryview) else content:
                file.write(part)
            file.seal()
        except BaseException:
            file.discard()
            raise
        return file.path

    def _tidy(self, aside: Path) -> None:
        with self._lock:
            if self._is_tidy:
                return
            self._is_tidy = True
        with os.scandir(aside) as entries:
            for entry in entries:
                # Another process may have moved its own meanwhile.
                with contextlib.suppress(FileNotFoundError):
                    if time.time() - entry.stat(follow_symlinks=False).st_mtime > _LEFTOVER_SECONDS:
                        remove(Path(entry.path))

    @contextlib.contextmanager
    def _failures(self, what: str) -> Iterator[None]:
        try:
            yield
        except (OSError, ValueError) as error:
            reason = (error.strerror if isinstance(error, OSError) else None) or str(error)
            raise BackupTargetError(self.url, reason, what=what) from error


def _open_plainly(path: str, flags: int) -> int:
    return os.open(path, flags | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)


def _moved_to_nothing(file: Path, path: Path, content: Bytes) -> bool:
    """Give what was written aside its name, unless that is taken."""
    try:
        os.link(file, path, follow_symlinks=False)
    except FileExistsError:
        return False
    except OSError as error:
        if error.errno not in _NO_LINKS:
            raise
        return _created(path, content)
    return True


def _created(path: Path, content: Bytes) -> bool:
    try:
        file = NewFile(path)
    except FileExistsError:
        return False
    try:
        file.write(content)
        file.seal()
    except BaseException:
        file.discard()
        raise
    return True
