"""Exchange buffers that a caller feeds and drains itself, on the thread that drives the guest.

For calls without an event loop: input is taken from an iterator when the guest reads it, output handed on as it is
written. Nothing is kept, so that any amount can pass.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator

from ..abc import Bytes
from ..errors import MocError
from .exchange import ExchangeBuffer


class SourceBuffer(ExchangeBuffer):
    """Input from an iterator, which is asked when the guest reads and never before.

    Parameters
    ----------
    source
        Gives parts until it ends; may block, and what it raises ends the call.
    """

    __slots__ = ("_ended", "_part", "_source")

    def __init__(self, source: Iterator[bytes]) -> None:
        super().__init__(b"")
        self._source = source
        self._part = memoryview(b"")
        self._ended = False

    def peek(self) -> memoryview:
        """Give what is left of the present part; fetch the next one when there is nothing left."""
        while not self._part and not self._ended:
            part = next(self._source, None)
            if part is None:
                self._ended = True
            else:
                self._part = memoryview(part)
                self._size += len(part)
        return self._part

    def advance(self, count: int) -> None:
        """Consume `count` bytes."""
        self._part = self._part[count:]


class SinkBuffer(ExchangeBuffer):
    """Output that goes on as it is written.

    Parameters
    ----------
    take
        Gets each part; what it raises ends the call.
    """

    __slots__ = ("_take",)

    def __init__(
        self,
        take: Callable[[bytes], None],
        *,
        limit_bytes: int = 0,
        exceeded: Callable[[int], MocError] | None = None,
    ) -> None:
        super().__init__(None, limit_bytes=limit_bytes, exceeded=exceeded)
        self._take = take

    def write(self, part: Bytes) -> None:
        """Hand one part on; raises as :meth:`.ExchangeBuffer.write` does."""
        self._check(len(part))
        self._size += len(part)
        self._take(bytes(part))
