"""Bodies in parts: how stored things come in and go out without ever being in memory as a whole.

A :class:`BodySink` hands what a client sends to a receiver of the storage, :func:`send_parts` hands stored bytes to a
client. Both work on the storage threads, a part at a time: neither holds a thread while it waits for a client, and
neither lets a client run ahead. What the bytes are is known to the operations.
"""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Awaitable, Callable, Generator
from dataclasses import replace
from functools import partial
from typing import Any

from tornado import web

from ..abc import Receiver
from ..errors import UnavailableError
from .messages import ApiRequest, ApiResponse
from .routes import Operation
from .workers import Workers

# Enough to make the way to a thread and back cheap; a request has at most two of these in memory.
PART_BYTES = 512 << 10


class BodySink:
    """The body of one request, on its way into a receiver while it comes. For the event loop's thread.

    A body of less than `PART_BYTES` is kept until :meth:`finish`, which then does everything in one go.

    Parameters
    ----------
    begin
        Makes the receiver, or refuses; called once, on a worker thread.
    """

    def __init__(self, begin: Callable[[], Receiver[Any]], workers: Workers) -> None:
        self._upload = _Upload(begin)
        self._workers = workers
        self._parts: list[bytes] = []
        self._size = 0
        self._writing: asyncio.Future[None] | None = None
        self._failure: Exception | None = None
        self._ended = False

    @property
    def busy(self) -> bool:
        """Whether it is the disk that the request waits for, and not the client."""
        return self._writing is not None and not self._writing.done()

    def feed(self, chunk: bytes) -> Awaitable[None] | None:
        """Take what came; what is given back, if anything, is awaited before more may come.

        Raises nothing: after a failure the rest is dropped, and :meth:`finish` tells. (A client that still sends
        would lose an answer that came before, with the connection.)
        """
        if self._ended or self._failure is not None:
            return None
        self._parts.append(chunk)
        self._size += len(chunk)
        return None if self._size < PART_BYTES else self._hand_over()

    async def finish(self, operation: Operation, request: ApiRequest) -> ApiResponse:
        """Give the rest of the body to the receiver, and that to `operation`, which commits.

        Raises
        ------
        MocError
            Refused or failed, now or with an earlier part. Nothing is stored.
        """
        await self._wait()
        if self._failure is not None:
            raise self._failure
        rest = self._take()
        response = await self._workers.run(
            partial(self._upload.finish, operation, request, rest),
            admitted=self._writing is not None,
        )
        self._ended = True
        return response

    def discard(self) -> None:
        """Leave nothing of a body that was not finished; idempotent."""
        if self._ended:
            return
        self._ended = True
        self._parts.clear()
        self._workers.begin(self._upload.discard)

    async def _hand_over(self) -> None:
        part = self._take()
        # The one before: so that a part is written while the next one comes.
        await self._wait()
        if self._failure is None and not self._ended:
            first = self._writing is None
            work = self._workers.run(partial(self._upload.write, part), admitted=not first)
            self._writing = asyncio.ensure_future(work)
            # When the client goes away nobody waits for it, and how it ended is nobody's affair.
            self._writing.add_done_callback(lambda done: done.cancelled() or done.exception())

    async def _wait(self) -> None:
        if self._writing is None:
            return
        try:
            await self._writing
        except Exception as error:  # whatever it is, it is told when the body has ended
            self._failure = self._failure or error

    def _take(self) -> bytes:
        part = b"".join(self._parts)
        self._parts.clear()
        self._size = 0
        return part


class _Upload:
    """What the worker threads do for one sink, one after the other."""

    def __init__(self, begin: Callable[[], Receiver[Any]]) -> None:
        self._begin = begin
        # A client can go away, and everything be discarded, while another thread writes.
        self._lock = threading.Lock()
        self._receiver: Receiver[Any] | None = None
        self._discarded = False

    def write(self, part: bytes) -> None:
        with self._lock:
            self._open().write(part)

    def finish(self, operation: Operation, request: ApiRequest, rest: bytes) -> ApiResponse:
        with self._lock, self._open() as receiver:
            receiver.write(rest)
            return operation(replace(request, received=receiver))

    def discard(self) -> None:
        with self._lock:
            self._discarded = True
            if self._receiver is not None:
                self._receiver.close()

    def _open(self) -> Receiver[Any]:
        if self._discarded:
            raise UnavailableError("The client went away.")
        if self._receiver is None:
            self._receiver = self._begin()
        return self._receiver


async def send_parts(
    handler: web.RequestHandler, parts: Generator[bytes, None, None], workers: Workers, *, silent_seconds: float
) -> None:
    """Write the body of an answer in parts, each read when the client has taken the one before.

    Raises
    ------
    TimeoutError
        The client took nothing for `silent_seconds`.
    Exception
        What reading raises. What was written until then is under way.
    """
    download = _Download(parts)
    try:
        while part := await workers.run(download.read, admitted=True):
            handler.write(part)
            async with asyncio.timeout(silent_seconds):
                await handler.flush()
    finally:
        workers.begin(download.close)


class _Download:
    """What the worker threads do for one answer."""

    def __init__(self, parts: Generator[bytes, None, None]) -> None:
        self._parts = parts
        # A client can go away while a thread reads, and only then the parts may be closed.
        self._lock = threading.Lock()

    def read(self) -> bytes:
        with self._lock:
            return next(self._parts, b"")

    def close(self) -> None:
        with self._lock:
            self._parts.close()


class SilenceWatch:
    """Calls `on_silence` once nothing has come for `seconds`. For the event loop's thread."""

    def __init__(self, seconds: float, on_silence: Callable[[], None], *, is_busy: Callable[[], bool]) -> None:
        self._seconds = seconds
        self._on_silence = on_silence
        self._is_busy = is_busy
        self._loop = asyncio.get_running_loop()
        self._last = self._loop.time()
        self._timer = self._loop.call_later(seconds, self._look)

    def heard(self) -> None:
        """Something came."""
        self._last = self._loop.time()

    def stop(self) -> None:
        """Watch no longer; idempotent."""
        self._timer.cancel()

    def _look(self) -> None:
        if self._is_busy():
            self.heard()
        # One timer that looks again, for a timer for each part of a large body would cost more than the part.
        left = self._last + self._seconds - self._loop.time()
        if left > 0:
            self._timer = self._loop.call_later(left, self._look)
        else:
            self._on_silence()
