"""Object files: immutable bytes too large for the catalog, in ``objects/ab/<id>``, written by way of ``tmp/``.

Owns how they come to be durable and how they are read. Which object belongs to what, and when one may go, the catalog
knows. An object is first *staged* (written and synchronised in ``tmp/``, which may take long and holds no lock), then
*published* (renamed, its directory synchronised) by the one writer, just before the catalog refers to it.
"""

from __future__ import annotations

import contextlib
import os
import re
import secrets
import weakref
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from .files import NewFile, make_directory, remove, sync_directory

_OBJECT_ID = re.compile(r"[0-9a-f]{64}|[0-9a-f]{32}")


def random_object_id() -> str:
    """Make an id for bytes that are replaced; those of a blob are named by their SHA-256."""
    return secrets.token_hex(16)


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

    def close(self) -> None:
        """Let go of it; idempotent. It must not be read afterwards."""
        self._close()


class Objects:
    """The object files of one storage directory.

    Thread-safe, but for :meth:`publish`, which is the one writer's. Methods that write raise OSError, which the caller
    names (it knows for what the object is).
    """

    def __init__(self, directory: Path, staging: Path) -> None:
        self._directory = directory
        self._staging = staging

    def prepare(self) -> None:
        """Make the directories and empty the staging one; for the owner, before anything else."""
        make_directory(self._directory)
        make_directory(self._staging)
        for path in self._staging.iterdir():
            remove(path)
        # An owner that died may have made directories and not come to synchronise them.
        sync_directory(self._directory.parent)
        sync_directory(self._directory)

    def path(self, object_id: str) -> Path:
        """Tell where an object lies."""
        return self._directory / object_id[:2] / object_id

    def stage(self, object_id: str, content: bytes) -> StagedObject:
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
        return NewFile(self._staging / secrets.token_hex(8))

    def publish(self, staged: Iterable[StagedObject]) -> None:
        """Move staged objects to where they are read from; durable on return.

        Raises
        ------
        OSError
            Some may have been moved; the caller removes what nothing refers to.
        """
        changed: set[Path] = set()
        for each in staged:
            target = self.path(each.object_id)
            make_directory(target.parent)
            os.rename(each.path, target)
            changed.add(target.parent)
        for directory in changed:
            sync_directory(directory)

    def discard(self, staged: StagedObject) -> None:
        """Remove what was staged and not published; idempotent."""
        remove(staged.path)

    def remove(self, object_id: str) -> None:
        """Remove an object that nothing refers to any more. One that stays behind costs room and nothing else."""
        remove(self.path(object_id))

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

    def sweep(self, referenced: set[str]) -> int:
        """Remove the objects outside of `referenced`, which an owner that died may have left; give their number."""
        removed = 0
        for directory in self._directory.iterdir():
            with contextlib.suppress(NotADirectoryError), os.scandir(directory) as entries:
                for entry in entries:
                    if _OBJECT_ID.fullmatch(entry.name) and entry.name not in referenced:
                        remove(Path(entry.path))
                        removed += 1
        return removed
