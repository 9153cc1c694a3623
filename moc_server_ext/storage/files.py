"""Durable files: written aside, synchronised, renamed into place, and the rename synchronised too.

Owns the order of these steps and what their failures are called. Which files there are is known elsewhere.
"""

from __future__ import annotations

import contextlib
import errno
import os
from collections.abc import Callable, Iterator
from pathlib import Path

from ..abc import Bytes
from ..errors import MocError, ReadOnlyStorageError, StorageError, StorageFullError

FILE_MODE = 0o600
DIRECTORY_MODE = 0o700

_NO_ROOM = frozenset({errno.ENOSPC, errno.EDQUOT})
_NOT_WRITABLE = frozenset({errno.EROFS, errno.EACCES, errno.EPERM})


def is_no_room(error: OSError) -> bool:
    """Tell whether the disk is full, or what this user may have of it."""
    return error.errno in _NO_ROOM


def failure(error: OSError, what: str, directory: Path) -> MocError:
    """Make the error of the platform for a failed write of `what` into the storage `directory`."""
    reason = os.strerror(error.errno) if error.errno else str(error)
    if is_no_room(error):
        return StorageFullError(what)
    if error.errno in _NOT_WRITABLE:
        return ReadOnlyStorageError(str(directory), reason)
    return StorageError(f"Storing {what} in {str(directory)!r} failed: {reason}.", what=what, reason=reason)


@contextlib.contextmanager
def failures(what: str, directory: Path) -> Iterator[None]:
    """Turn an OSError of the block into the platform's error (see :func:`failure`)."""
    try:
        yield
    except OSError as error:
        raise failure(error, what, directory) from error


class NewFile:
    """A file that is being written: created here, durable once :meth:`seal` has returned. One thread at a time.

    Whoever does not come to that calls :meth:`discard`.

    Parameters
    ----------
    make_room
        Asked when the disk is full, before that is an error: whether there may be room now.

    Raises
    ------
    OSError
        From every method that writes; FileExistsError when `path` is there already. What was written stays until
        :meth:`discard`.
    """

    __slots__ = ("_descriptor", "_make_room", "path")

    def __init__(self, path: Path, make_room: Callable[[], bool] = lambda: False) -> None:
        self.path = path
        self._make_room = make_room
        self._descriptor: int | None
        try:
            self._descriptor = self._create()
        except OSError as error:
            if not is_no_room(error) or not make_room():
                raise
            self._descriptor = self._create()

    def _create(self) -> int:
        return os.open(self.path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC, FILE_MODE)

    def write(self, part: Bytes) -> None:
        """Append all of `part`."""
        rest = memoryview(part)
        may_ask = True
        while rest:
            try:
                # One write may take less than it was given: Linux stops at 2 GiB, and a filling disk where it is full.
                rest = rest[os.write(self._open_descriptor(), rest) :]
            except OSError as error:
                # Once for each step forward: what was made room of may have been taken by somebody else.
                if not is_no_room(error) or not may_ask or not self._make_room():
                    raise
                may_ask = False
            else:
                may_ask = True

    def seal(self) -> None:
        """Synchronise and close it; the directory entry is not synchronised."""
        os.fsync(self._open_descriptor())
        self._close()

    def close(self) -> None:
        """Close it as it is: it need not outlive this process."""
        self._close()

    def discard(self) -> None:
        """Close and remove it; idempotent."""
        with contextlib.suppress(OSError):
            self._close()
        remove(self.path)

    def _open_descriptor(self) -> int:
        if self._descriptor is None:
            raise ValueError(f"{self.path} is closed.")
        return self._descriptor

    def _close(self) -> None:
        descriptor, self._descriptor = self._descriptor, None
        if descriptor is not None:
            os.close(descriptor)


def write_new(path: Path, content: bytes) -> None:
    """Create `path` with `content` and synchronise it; the directory entry is not synchronised.

    Raises
    ------
    OSError
        Nothing is left at `path`, unless it was there before (FileExistsError).
    """
    file = NewFile(path)
    try:
        file.write(content)
        file.seal()
    except BaseException:
        file.discard()
        raise


def sync_file(path: Path) -> None:
    """Make the content of a file durable that somebody else has written."""
    descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def sync_directory(path: Path) -> None:
    """Make the entries of a directory durable."""
    descriptor = os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def make_directory(path: Path) -> None:
    """Make `path` (0700) and what is missing above it; what is made is durable on return; idempotent.

    Raises
    ------
    OSError
        Whatever exists of `path` is durable.
    """
    if path.is_dir():
        return
    make_directory(path.parent)
    path.mkdir(mode=DIRECTORY_MODE)
    try:
        sync_directory(path.parent)
    except BaseException:
        # Found there the next time, it would be taken for durable.
        path.rmdir()
        raise


def replace_file(path: Path, content: bytes) -> None:
    """Write `content` to `path` (0600), atomically: others see the old content or the new; durable on return.

    Raises
    ------
    OSError
        `path` is as it was, unless the very last step (synchronising the directory) failed.
    """
    aside = path.with_name(f"{path.name}.new")
    # Left over by a process that ended in here; only the owner of the storage writes, so that nobody is using it.
    remove(aside)
    write_new(aside, content)
    try:
        os.rename(aside, path)
    except BaseException:
        remove(aside)
        raise
    sync_directory(path.parent)


def remove(path: Path) -> bool:
    """Remove a file, if it is there; tell whether it is gone."""
    try:
        path.unlink(missing_ok=True)
    except OSError:
        return False
    return True
