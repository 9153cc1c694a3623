"""Object files: immutable bytes too large for the catalog, in ``objects/ab/<id>``, written by way of ``tmp/``.

Owns how they come to be durable and how they are read. Which object belongs to what, and when one may go, the catalog
knows. An object is first *staged* (written and synchronised in ``tmp/``, which may take long and holds no lock), then
*published* (placed by a rename, its directory synchronised) by the one writer, just before the catalog refers to it.
"""

from __future__ import annotations

import contextlib
import os
import re
import secrets
import threading
import weakref
from collections import OrderedDict
from collections.abc import Callable, Container, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from ..abc import Bytes
from .files import NewFile, make_directory, remove, sync_directory
from .leases import Leases
from .pins import Pins

_OPEN_FILES_MAX: Final = 64
_OBJECT_ID = re.compile(r"[0-9a-f]{64}|[0-9a-f]{32}")


def is_object_id(text: str) -> bool:
    """Tell whether `text` can name an object, so that it leads to a file among the objects and to no other."""
    return _OBJECT_ID.fullmatch(text) is not None


def random_object_id() -> str:
    """Make an id for bytes that are replaced; those of a blob are named by their SHA-256."""
    return secrets.token_hex(16)


def neighbouring_object_ids() -> Callable[[], str]:
    """Give what makes ids for the chunks of one array: they lie in one directory, which is synchronised once."""
    directory = secrets.token_hex(1)
    return lambda: directory + secrets.token_hex(15)


@dataclass(frozen=True, slots=True)
class StagedObject:
    """An object that is durable, but not yet where it is read from."""

    object_id: str
    path: Path


class ObjectFile:
    """One object, held open: it can be read after it was replaced or removed. Thread-safe."""

    def __init__(self, path: Path) -> None:
        self._descriptor = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC)
        # Also for a reader that is dropped in the middle, such as one whose client is gone.
        self._close = weakref.finalize(self, os.close, self._descriptor)

    def read(self, start: int, stop: int) -> bytes:
        """Read bytes ``[start, stop)``; fewer where the file ends earlier."""
        # Linux reads 2 GiB less a page at once.
        first = os.pread(self._descriptor, stop - start, start)
        if len(first) == stop - start:
            return first
        parts = [first]
        position = start + len(first)
        while parts[-1] and position < stop:
            parts.append(os.pread(self._descriptor, stop - position, position))
            position += len(parts[-1])
        return b"".join(parts)

    def state(self) -> tuple[int, ...]:
        """Give what differs when somebody has touched the file: an object is never changed by moc."""
        found = os.fstat(self._descriptor)
        return found.st_ino, found.st_size, found.st_mtime_ns, found.st_ctime_ns

    def read_into(self, target: memoryview, start: int) -> int:
        """Read the bytes from `start` on into memory; give their number, fewer where the file ends earlier."""
        position = 0
        while position < len(target):
            count = os.preadv(self._descriptor, [target[position:]], start + position)
            if not count:
                break
            position += count
        return position

    def read_now(self, start: int, stop: int) -> bytes:
        """Read bytes ``[start, stop)`` if the system has them in memory; BlockingIOError if not, or if nobody knows."""
        content = bytearray(stop - start)
        try:
            found = os.preadv(self._descriptor, [content], start, os.RWF_NOWAIT)
        except OSError as error:
            # Not every file system can tell.
            raise BlockingIOError from error
        if found != len(content):
            raise BlockingIOError
        return bytes(content)

    def close(self) -> None:
        """Let go of it; idempotent. It must not be read afterwards."""
        self._close()


class Objects:
    """The object files of one storage directory.

    Thread-safe, but for :meth:`place`, which is the one writer's. Methods that write raise OSError, which the caller
    names (it knows for what the object is).

    Attributes
    ----------
    pins, leases
        Who keeps which objects.
    make_room
        Asked when the disk is full while a file is written, by threads that are not the writer (see :class:`.NewFile`).
    """

    def __init__(self, directory: Path, staging: Path, foreign: Path) -> None:
        self._directory = directory
        self._staging = staging
        self._foreign = foreign
        self._open_files: OrderedDict[str, ObjectFile] = OrderedDict()
        # Reentrant: a reader that is dropped while the lock is held lets go of objects in the same thread.
        self._open_files_lock = threading.RLock()
        self.pins = Pins()
        self.leases = Leases()
        self.make_room: Callable[[], bool] = lambda: False

    def prepare(self) -> None:
        """Make the directories and empty the staging one; for the owner, before anything else."""
        for directory in (self._directory, self._staging, self._foreign):
            make_directory(directory)
        for path in (*self._staging.iterdir(), *self._foreign.iterdir()):
            remove(path)
        # An owner that died may have made directories and not come to synchronise them.
        sync_directory(self._directory.parent)
        sync_directory(self._directory)

    def temporary_path(self, name: str) -> Path:
        """Give where a file lies on its way to the objects; left there, it is removed at the next opening."""
        return self._staging / name

    def path(self, object_id: str) -> Path:
        """Tell where an object lies."""
        return self._directory / object_id[:2] / object_id

    def stage(self, object_id: str, content: Bytes) -> StagedObject:
        """Write `content` aside and synchronise it; nothing is left on failure."""
        file = self.begin()
        try:
            file.write(content)
            file.seal()
        except BaseException:
            file.discard()
            raise
        return StagedObject(object_id, file.path)

    def begin(self) -> NewFile:
        """Create a file aside, for content that comes in parts; once sealed, it is a :class:`StagedObject`."""
        return NewFile(self._staging / secrets.token_hex(8), self.make_room)

    def place(self, staged: StagedObject, prepared: Container[Path]) -> Path:
        """Move a staged object to where it is read from, and give the directory that is to be synchronised then.

        Parameters
        ----------
        prepared
            Directories that this method has given, and that are there therefore.

        Raises
        ------
        OSError
            It was not moved.
        """
        target = self.path(staged.object_id)
        if target.parent not in prepared:
            make_directory(target.parent)
        os.rename(staged.path, target)
        return target.parent

    def discard(self, staged: StagedObject) -> None:
        """Remove what was staged and not published; idempotent."""
        remove(staged.path)

    def remove(self, object_id: str) -> bool:
        """Remove an object that nothing refers to any more, as the one writer; tell whether it is gone."""
        with self._open_files_lock:
            self._open_files.pop(object_id, None)
        return remove(self.path(object_id))

    def size(self, object_id: str) -> int | None:
        """Tell the size of an object; None if it is not there."""
        try:
            return self.path(object_id).stat().st_size
        except FileNotFoundError:
            return None

    def open(self, object_id: str) -> ObjectFile:
        """Open an object for reading.

        Raises
        ------
        FileNotFoundError
            The object is not there: it was replaced since it was looked up, or it is lost.
        """
        return ObjectFile(self.path(object_id))

    def open_shared(self, object_id: str) -> ObjectFile:
        """Give an object that perhaps is open already, because others read it as well: not to be closed.

        Raises
        ------
        FileNotFoundError
            As :meth:`open` does.
        """
        with self._open_files_lock:
            file = self._open_files.get(object_id)
            if file is not None:
                self._open_files.move_to_end(object_id)
                return file
        file = self.open(object_id)
        with self._open_files_lock:
            self._open_files[object_id] = file
            # It is closed by the last who uses it.
            evicted = self._open_files.popitem(last=False) if len(self._open_files) > _OPEN_FILES_MAX else None
        del evicted
        return file

    def read_now(self, object_id: str, start: int, stop: int) -> bytes:
        """Read bytes ``[start, stop)`` of an object that is open and in memory; BlockingIOError if it is not both."""
        # Without the lock, which others may hold: to look for one file is one step of the interpreter.
        file = self._open_files.get(object_id)
        if file is None:
            raise BlockingIOError
        return file.read_now(start, stop)

    def close(self) -> None:
        """Let go of the files that are held open."""
        with self._open_files_lock:
            self._open_files.clear()

    def list(self) -> dict[str, int]:
        """List the object files that are there, with their sizes."""
        found = {}
        for entry in self._entries():
            with contextlib.suppress(FileNotFoundError):
                found[entry.name] = entry.stat(follow_symlinks=False).st_size
        return found

    def sweep(self, referenced: set[str]) -> int:
        """Remove the objects outside of `referenced`, which an owner that died may have left; give their number."""
        strays = self.list_ids() - referenced
        for object_id in strays:
            remove(self.path(object_id))
        return len(strays)

    def list_ids(self) -> set[str]:
        """List the object files that there are, by their names."""
        found: set[str] = set()
        for directory in self._directory.iterdir():
            with contextlib.suppress(NotADirectoryError), os.scandir(directory) as entries:
                found.update(
                    each.name for each in entries if is_object_id(each.name) and each.name.startswith(directory.name)
                )
        return found

    def _entries(self) -> Iterator[os.DirEntry[str]]:
        for directory in self._directory.iterdir():
            with contextlib.suppress(NotADirectoryError), os.scandir(directory) as entries:
                yield from (entry for entry in entries if is_object_id(entry.name))
