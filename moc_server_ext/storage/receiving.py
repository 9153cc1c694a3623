"""Content that comes in parts: kept in memory while the catalog will hold it, else written aside as it comes.

Owns what lies between the first part and the commit, of which nothing is left unless that comes. How it is committed is
in :mod:`.writes`; what it becomes, the nouns know.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from pathlib import Path
from types import TracebackType
from typing import Generic, Protocol, Self, TypeVar

import google_crc32c

from ..abc import Bytes
from ..errors import StorageError
from .content import INLINE_BYTES_MAX, StoredContent
from .files import NewFile, failures
from .objects import Objects, StagedObject

Record = TypeVar("Record")


class Sealable(Protocol):
    """Content that lies aside, or will once it is sealed; ``len()`` is the number of its bytes."""

    def __len__(self) -> int: ...

    def seal(self, object_id: Callable[[], str]) -> tuple[StoredContent, StagedObject | None]:
        """Make it durable aside; whoever called this owns the staged object, if there is one. Raises OSError."""
        ...


class Incoming(Protocol):
    """What takes content in parts, and leaves nothing of it when it is discarded or cannot go on."""

    def write(self, part: Bytes) -> None:
        """Take the next part."""
        ...

    def discard(self) -> None:
        """Forget what came and was not stored; idempotent."""
        ...


Content = TypeVar("Content", bound=Incoming)


class Received:
    """Bytes that came so far. One thread at a time; ``len()`` is their number."""

    def __init__(self, objects: Objects, directory: Path, what: str) -> None:
        self._objects = objects
        self._directory = directory
        self._what = what
        self._size = 0
        self._checksum = 0
        # What is not in the file yet: all of it while it is small, and what came in parts too small for a write each.
        self._pending = bytearray()
        self._file: NewFile | None = None

    def __len__(self) -> int:
        return self._size

    def write(self, part: Bytes) -> None:
        """Take the next part.

        Raises
        ------
        StorageFullError, ReadOnlyStorageError, StorageError
            Nothing is left of what came.
        """
        part = bytes(part)
        try:
            with failures(self._what, self._directory):
                self._take(part)
        except BaseException:
            self.discard()
            raise
        self._checksum = google_crc32c.extend(self._checksum, part)
        self._size += len(part)

    def seal(self, object_id: Callable[[], str]) -> tuple[StoredContent, StagedObject | None]:
        """Make what came durable aside; whoever called this owns the staged object, if there is one.

        Raises
        ------
        OSError
            Nothing is left of what came.
        """
        if self._file is None:
            return StoredContent(self._size, self._checksum, None, bytes(self._pending)), None
        try:
            self._flush(self._file)
            self._file.seal()
        except BaseException:
            self.discard()
            raise
        staged = StagedObject(object_id(), self._file.path)
        self._file = None
        return StoredContent(self._size, self._checksum, staged.object_id, None), staged

    def discard(self) -> None:
        """Forget what came, unless it was sealed; idempotent."""
        file, self._file = self._file, None
        self._pending = bytearray()
        if file is not None:
            file.discard()

    def _take(self, part: bytes) -> None:
        if len(self._pending) + len(part) <= INLINE_BYTES_MAX:
            self._pending += part
            return
        if self._file is None:
            self._file = self._objects.begin()
        self._flush(self._file)
        if len(part) <= INLINE_BYTES_MAX:
            self._pending += part
        else:
            self._file.write(part)

    def _flush(self, file: NewFile) -> None:
        file.write(self._pending)
        self._pending = bytearray()


class StoredReceiver(Generic[Record]):
    """A thing that is being received: :class:`moc_server_ext.abc.Receiver`. One thread at a time.

    Parameters
    ----------
    store
        Commits what came and gives its record.
    observe
        Told each part, before it is written.
    """

    def __init__(
        self,
        received: Content,
        store: Callable[[Content], Record],
        observe: Callable[[Bytes], object] | None = None,
    ) -> None:
        self._received: Incoming = received
        self._store: Callable[[], Record] = partial(store, received)
        self._observe = observe
        self._ended = False

    def write(self, part: Bytes) -> None:
        """Take the next part; what fails ends the receiving."""
        self._check_open()
        if self._observe is not None:
            self._observe(part)
        try:
            self._received.write(part)
        except BaseException:
            self._ended = True
            raise

    def commit(self) -> Record:
        """Store what came; durable on return."""
        self._check_open()
        self._ended = True
        try:
            return self._store()
        finally:
            self._received.discard()

    def close(self) -> None:
        """End it; without a commit nothing is left of what came. Idempotent."""
        self._ended = True
        self._received.discard()

    def _check_open(self) -> None:
        if self._ended:
            raise StorageError("This receiver has ended; begin another.")

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.close()
