"""Channels: live exchange buffers, whose writer and reader run at the same time and make each other wait.

Bounded by bytes: the writer waits while the channel is full, so that any amount can pass through a little memory.
Writing and reading themselves never block: whoever may wait asks :attr:`Channel.full` or :attr:`Channel.ready` first.
"""

from __future__ import annotations

import asyncio
import contextlib
import threading
from collections import deque
from collections.abc import Callable
from functools import partial
from typing import Final

from ..abc import Bytes
from ..errors import MocError
from .exchange import ExchangeBuffer

CAPACITY_BYTES: Final = 256 << 10
_EMPTY: Final = memoryview(b"")


class Channel(ExchangeBuffer):
    """Bytes on their way from a writer to a reader that run at the same time. Thread-safe; one writer, one reader.

    What was read is gone: :meth:`getvalue` gives nothing.

    Parameters
    ----------
    capacity_bytes
        Unread bytes from which on the channel is full. One part may go beyond it.
    """

    __slots__ = ("_capacity", "_error", "_held", "_lock", "_queue", "_readers", "_writers")

    def __init__(self, capacity_bytes: int = CAPACITY_BYTES) -> None:
        super().__init__()
        self._capacity = capacity_bytes
        self._lock = threading.Lock()
        self._queue: deque[Bytes] = deque()
        self._held = 0
        self._error: MocError | None = None
        self._readers: list[Callable[[], object]] = []
        self._writers: list[Callable[[], object]] = []

    def bound(self, limit_bytes: int, exceeded: Callable[[int], MocError]) -> None:
        """Set the limit, before anything is written."""
        self._limit = limit_bytes
        self._exceeded = exceeded

    @property
    def ready(self) -> bool:
        """Whether there is something to read, or will never be."""
        return bool(self._queue) or self._closed or self._error is not None

    @property
    def full(self) -> bool:
        """Whether the writer should wait before the next part."""
        return self._held >= self._capacity and self._error is None

    @property
    def at_hand(self) -> int:
        """Unread bytes that can be read at once."""
        return self._held

    @property
    def whole(self) -> bool:
        """Whether the writer has ended, so that nothing more will come."""
        return self._closed or self._error is not None

    def take_in(self, limit_bytes: int) -> None:
        """Let the writer go on without a reader until `limit_bytes` are unread; :meth:`taken_in` waits for that."""
        with self._lock:
            self._capacity = max(self._capacity, limit_bytes)
            wake = [] if self.full else self._take_waiters(self._writers)
        for each in wake:
            each()

    @property
    def ended(self) -> bool:
        """Whether the writer has ended and all is read."""
        return self._closed and not self._queue

    def write(self, part: Bytes) -> None:
        """Append one part, also beyond the capacity. The channel keeps `part` itself.

        Raises
        ------
        ExchangeBufferError
            The channel is closed. Nothing was written.
        MocError
            The error of `exceeded`, beyond the limit; that of :meth:`fail`. Nothing was written.
        """
        with self._lock:
            if self._error is not None:
                raise self._error
            self.check(len(part))
            if not part:
                return
            self._size += len(part)
            self._held += len(part)
            self._queue.append(part)
            wake = self._take_waiters(self._readers)
        for each in wake:
            each()

    def close(self) -> None:
        """End the writing; idempotent."""
        with self._lock:
            self._closed = True
            wake = self._take_waiters(self._readers)
        for each in wake:
            each()

    def fail(self, error: MocError) -> None:
        """End both sides: what is unread is dropped, and each later read or write raises `error`. Idempotent."""
        with self._lock:
            if self._error is None and not self.ended:
                self._error = error
            self._queue.clear()
            self._held = 0
            wake = [*self._take_waiters(self._readers), *self._take_waiters(self._writers)]
        for each in wake:
            each()

    def peek(self) -> memoryview:
        """Give what is left of the next unread part, without consuming it; empty at the end, or when not ready.

        Raises
        ------
        MocError
            That of :meth:`fail`.
        """
        with self._lock:
            if self._error is not None:
                raise self._error
            return memoryview(self._queue[0])[self._offset :] if self._queue else _EMPTY

    def advance(self, count: int) -> None:
        """Consume `count` bytes of the part that :meth:`peek` gave."""
        with self._lock:
            if not self._queue:
                return
            self._offset += count
            self._held -= count
            if self._offset >= len(self._queue[0]):
                self._queue.popleft()
                self._offset = 0
            wake = [] if self.full else self._take_waiters(self._writers)
        for each in wake:
            each()

    def take(self) -> bytes:
        """Consume and give what is left of the next unread part; empty at the end, or when not ready."""
        part = bytes(self.peek())
        self.advance(len(part))
        return part

    def getvalue(self) -> bytes:
        """Give nothing: parts are gone once they are read."""
        return b""

    async def readable(self) -> None:
        """Wait until the channel is :attr:`ready`."""
        await self._until(self._readers, lambda: self.ready)

    async def writable(self) -> None:
        """Wait until the channel is no longer :attr:`full`."""
        await self._until(self._writers, lambda: not self.full)

    async def taken_in(self) -> None:
        """Wait until the channel is :attr:`whole`, or :attr:`full`."""
        await self._until(self._readers, lambda: self.whole or self.full)

    async def _until(self, waiters: list[Callable[[], object]], true: Callable[[], bool]) -> None:
        loop = asyncio.get_running_loop()
        while True:
            with self._lock:
                if true():
                    return
                future = loop.create_future()
                wake = partial(_wake, loop, threading.get_ident(), future)
                waiters.append(wake)
            try:
                await future
            finally:
                with self._lock, contextlib.suppress(ValueError):
                    waiters.remove(wake)

    @staticmethod
    def _take_waiters(waiters: list[Callable[[], object]]) -> list[Callable[[], object]]:
        taken = waiters.copy()
        waiters.clear()
        return taken


def _wake(loop: asyncio.AbstractEventLoop, thread: int, future: asyncio.Future[None]) -> None:
    if threading.get_ident() == thread:
        _set(future)  # Nobody has to be woken.
        return
    # The loop of one who waits no longer may be closed.
    with contextlib.suppress(RuntimeError):
        loop.call_soon_threadsafe(_set, future)


def _set(future: asyncio.Future[None]) -> None:
    if not future.done():
        future.set_result(None)
