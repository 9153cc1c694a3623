"""The handle of an open log, over any platform's buffers: in process and over HTTP it is the same one."""

from __future__ import annotations

from collections.abc import Iterable
from types import TracebackType
from typing import Protocol, Self

from ..abc import Bytes
from ..model import BufferRecord, LogRecord


class LogBuffers(Protocol):
    """What a handle asks of the buffers."""

    def log(self, name: str) -> LogRecord:
        """Look an open log up."""
        ...

    def append_log(
        self, name: str, part: Bytes | Iterable[Bytes], *, log_id: str | None = None, offset: int | None = None
    ) -> int:
        """Append one part."""
        ...

    def seal_log(self, name: str, *, log_id: str | None = None) -> BufferRecord:
        """Make it the buffer."""
        ...

    def abandon_log(self, name: str, *, log_id: str | None = None) -> None:
        """Forget it."""
        ...


class OpenLog:
    """A log that is appended to; a context manager that seals it at the end of the block.

    A block that raises leaves the log open, with all that was appended: ``resume_log`` goes on with it. Thread-safe.

    Attributes
    ----------
    name
        The buffer's.
    log_id
        Tells this log from others of the same name: what was sealed or abandoned is never appended to by mistake.
    """

    def __init__(self, buffers: LogBuffers, record: LogRecord) -> None:
        self._buffers = buffers
        self.name = record.name
        self.log_id = record.log_id
        self._ended = False

    @property
    def record(self) -> LogRecord:
        """Size, number of parts and so on, as they are now; LogNotFoundError once it has ended."""
        return self._buffers.log(self.name)

    def append(self, part: Bytes | Iterable[Bytes], *, offset: int | None = None) -> int:
        """Append one part, all of it or nothing; durable on return.

        Parameters
        ----------
        part
            Bytes, or the pieces that make them up, which are never in memory all together.
        offset
            Where it is to begin: whoever does not know whether an append came through sends it again with the offset.

        Returns
        -------
        int
            How many bytes the log has now.

        Raises
        ------
        LogNotFoundError
            The log was sealed or abandoned.
        ConflictError
            The log does not end at `offset` (``details["size"]`` tells where it does), or it is being sealed.
        StorageFullError, ReadOnlyStorageError, StorageError
            Nothing of the part was appended.
        """
        return self._buffers.append_log(self.name, part, log_id=self.log_id, offset=offset)

    def seal(self) -> BufferRecord:
        """Make the buffer of it, in place of one that has its name, at once; durable on return.

        Raises
        ------
        LogNotFoundError
            It was sealed or abandoned before.
        ConflictError
            It is being sealed, or it is an array whose last row is not whole.
        CorruptStorageError
            A part is damaged.
        StorageFullError, ReadOnlyStorageError, StorageError
            As for all of them: the log stays open, and the buffer is as it was before.
        """
        record = self._buffers.seal_log(self.name, log_id=self.log_id)
        self._ended = True
        return record

    def abandon(self) -> None:
        """Remove it with all that was appended; durable on return.

        Raises
        ------
        LogNotFoundError
            It was sealed or abandoned before.
        """
        self._buffers.abandon_log(self.name, log_id=self.log_id)
        self._ended = True

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        if kind is None and not self._ended:
            self.seal()

    def __repr__(self) -> str:
        return f"<open log of buffer {self.name!r}>"
