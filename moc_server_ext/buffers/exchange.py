"""Exchange buffers in memory: headers, a status code and bytes in parts; one writer, one reader.

A part is consumed only after the reader has taken it (:meth:`ExchangeBuffer.peek`, then
:meth:`ExchangeBuffer.advance`), so that a failed copy loses nothing.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

from ..abc import Bytes
from ..errors import ExchangeBufferError, MocError
from ..model import CallInput

_EMPTY = memoryview(b"")
# A part costs the host more than its bytes. After so many, small ones are joined, up to a size that is cheap to grow.
_PARTS_KEPT_APART = 1024
_JOINED_BYTES = 256 << 10


def input_buffers(inputs: Sequence[CallInput]) -> Sequence[ExchangeBuffer]:
    """Make the buffers of inputs, complete and with their headers; most calls have no more than the first."""
    if not inputs:
        return ()
    buffers = tuple(ExchangeBuffer(each.content) for each in inputs)
    for buffer, each in zip(buffers, inputs, strict=True):
        buffer.headers.update(each.headers)
    return buffers


class ExchangeBuffer:
    """Bytes on their way from one writer to one reader.

    Not thread-safe: writer and reader take turns.

    Parameters
    ----------
    content
        What is in it from the start; it is then closed for writing. None leaves it open.
    limit_bytes
        How many bytes may be written in all.
    exceeded
        Makes the error for a write beyond the limit, from the size that was asked for.
    """

    __slots__ = (
        "_closed",
        "_consumed",
        "_exceeded",
        "_headers",
        "_index",
        "_limit",
        "_offset",
        "_parts",
        "_size",
        "_tail",
        "status_code",
    )

    status_code: int | None

    def __init__(
        self, content: Bytes | None = None, *, limit_bytes: int = 0, exceeded: Callable[[int], MocError] | None = None
    ) -> None:
        self._parts: list[Bytes] = [content] if content else []
        self._size = len(content) if content else 0
        self._closed = content is not None
        self._limit = limit_bytes
        self._exceeded = exceeded
        self._headers: dict[str, str] | None = None
        self._tail: bytearray | None = None
        self._index = 0
        self._offset = 0
        self._consumed = 0
        self.status_code: int | None = None

    @property
    def headers(self) -> dict[str, str]:
        """Header names in lower case and their values."""
        if self._headers is None:
            self._headers = {}
        return self._headers

    @property
    def size(self) -> int:
        """Bytes written so far, whether read or not."""
        return self._size

    @property
    def ready(self) -> bool:
        """Whether :meth:`peek` gives what there is: in memory always."""
        return True

    @property
    def full(self) -> bool:
        """Whether the writer should wait before the next part: in memory never."""
        return False

    @property
    def at_hand(self) -> int:
        """Unread bytes that can be read at once."""
        return self._size - self._consumed

    @property
    def whole(self) -> bool:
        """Whether all that is still to be read is :attr:`at_hand`: in memory always."""
        return True

    def take_in(self, limit_bytes: int) -> None:
        """Fetch what is still to come until the buffer is :attr:`whole` or `limit_bytes` are at hand; may block."""

    async def readable(self) -> None:
        """Wait until the buffer is :attr:`ready`."""

    async def writable(self) -> None:
        """Wait until the buffer is no longer :attr:`full`."""

    def write(self, part: Bytes) -> None:
        """Append one part. The buffer keeps `part` itself, so the caller must not change it afterwards.

        The reader gets the parts as they were written; only after the first thousand, small ones may come joined.

        Raises
        ------
        ExchangeBufferError
            The buffer is closed. Nothing was written.
        MocError
            The error of `exceeded`, beyond the limit. Nothing was written.
        """
        length = len(part)
        size = self._size + length
        if self._closed or size > self._limit:
            self.check(length)
        if length:
            self._size = size
            if len(self._parts) < _PARTS_KEPT_APART:
                self._parts.append(part)
            else:
                self._join(part)

    def check(self, length: int) -> None:
        """Refuse to write `length` bytes more where that cannot be."""
        if self._closed:
            raise ExchangeBufferError("The exchange buffer is closed: its writer has ended it.")
        size = self._size + length
        if size > self._limit and self._exceeded is not None:
            raise self._exceeded(size)

    def _join(self, part: Bytes) -> None:
        # A part that is being read must not move under its reader.
        is_read = self._index == len(self._parts) - 1
        if self._tail is None or is_read or len(self._tail) + len(part) > _JOINED_BYTES:
            self._tail = bytearray(part)
            self._parts.append(self._tail)
        else:
            self._tail += part

    def close(self) -> None:
        """End the writing; idempotent."""
        self._closed = True

    def peek(self) -> memoryview:
        """Give what is left of the next unread part, without consuming it; empty at the end."""
        if self._index == len(self._parts):
            return _EMPTY
        return memoryview(self._parts[self._index])[self._offset :]

    def advance(self, count: int) -> None:
        """Consume `count` bytes of the part that :meth:`peek` gave."""
        self._offset += count
        self._consumed += count
        if self._index < len(self._parts) and self._offset >= len(self._parts[self._index]):
            self._index += 1
            self._offset = 0

    def getvalue(self) -> bytes:
        """Give all bytes written, whether read or not."""
        if len(self._parts) == 1 and isinstance(self._parts[0], bytes):
            return self._parts[0]
        return b"".join(self._parts)
