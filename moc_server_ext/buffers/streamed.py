"""Exchange buffers that a caller feeds and drains itself, on the thread that drives the guest.

For calls without an event loop: input is taken from an iterator when the guest reads it, output handed on as it is
written. Nothing is kept, so that any amount can pass.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterator
from dataclasses import replace
from types import TracebackType
from typing import Final

from ..abc import Bytes, CallStreams
from ..errors import MocError
from .exchange import ExchangeBuffer

_EMPTY: Final = memoryview(b"")


class RaisedByStreams:
    """What a caller's streams raise comes out of the call as it is, rather than as a fault of the guest's.

    Use it in a ``with`` around the call.

    Attributes
    ----------
    streams
        The caller's streams, watched.
    """

    def __init__(self, streams: CallStreams) -> None:
        self._raised: BaseException | None = None
        self.streams = replace(
            streams,
            source=None if streams.source is None else self._watched_source(streams.source),
            output=self._watched(streams.output),
            stderr=self._watched(streams.stderr),
        )

    def __enter__(self) -> CallStreams:
        return self.streams

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        if self._raised is not None and isinstance(error, Exception):
            raise self._raised from None

    def _watched(self, take: Callable[[bytes], None] | None) -> Callable[[bytes], None] | None:
        if take is None:
            return None

        def taking(part: bytes) -> None:
            try:
                take(part)
            except BaseException as error:
                self._raised = error
                raise

        return taking

    def _watched_source(self, source: Iterator[bytes]) -> Iterator[bytes]:
        try:
            yield from source
        except BaseException as error:
            self._raised = error
            raise


class SourceBuffer(ExchangeBuffer):
    """Input from an iterator, which is asked when the guest reads and never before.

    Parameters
    ----------
    source
        Gives parts until it ends; may block, and what it raises ends the call.
    """

    __slots__ = ("_ended", "_fetched", "_source")

    def __init__(self, source: Iterator[bytes]) -> None:
        super().__init__(b"")
        self._source = source
        self._fetched: deque[memoryview] = deque()
        self._ended = False

    @property
    def whole(self) -> bool:
        """Whether the iterator has ended."""
        return self._ended

    def take_in(self, limit_bytes: int) -> None:
        """Fetch parts until the iterator ends or `limit_bytes` are at hand."""
        while not self._ended and self.at_hand < limit_bytes:
            self._fetch()

    def peek(self) -> memoryview:
        """Give what is left of the present part; fetch the next one when there is nothing left."""
        while not self._fetched and not self._ended:
            self._fetch()
        return self._fetched[0] if self._fetched else _EMPTY

    def advance(self, count: int) -> None:
        """Consume `count` bytes of the part that :meth:`peek` gave."""
        if not self._fetched:
            return
        self._consumed += count
        rest = self._fetched[0][count:]
        if rest:
            self._fetched[0] = rest
        else:
            self._fetched.popleft()

    def _fetch(self) -> None:
        part = next(self._source, None)
        if part is None:
            self._ended = True
        elif part:
            self._fetched.append(memoryview(part))
            self._size += len(part)


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
        self.check(len(part))
        self._size += len(part)
        self._take(bytes(part))
