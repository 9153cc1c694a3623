"""The gateway's connections: how many there may be, how long one may take to become one, and how long one may idle.

What is said on them is not this module's business. A connection that says nothing costs little, and is the first to go
when there are too many.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable
from typing import Any, Final, Self

from tornado import httpserver
from tornado.iostream import IOStream, SSLIOStream

from ..resources import open_files

HANDSHAKE_SECONDS: Final = 10.0
IDLE_SECONDS: Final = 300.0

# Each call may wait for as long as it likes, so that there are as many connections as guests.
_MOST_CONNECTIONS: Final = 10_000
_FEWEST_CONNECTIONS: Final = 64
_FILES_FOR_OTHERS: Final = 512
# A connection may idle for so much longer than it should, as a share of that.
_SWEEP_SHARE: Final = 0.1
# TLS gives no more at once; tornado would clear 64 KiB for each read.
_RECORD_BYTES: Final = 16 << 10


def usual_connections() -> int:
    """Give how many connections there may be where nobody says: what the limit of open files allows, at most 10,000."""
    return max(_FEWEST_CONNECTIONS, min(_MOST_CONNECTIONS, open_files() - _FILES_FOR_OTHERS))


class Connections:
    """The open connections, of which at most `limit` are kept. Belongs to the event loop's thread.

    Parameters
    ----------
    limit
        One more closes the oldest of those on which nobody ever showed a token, else the one that has been idle the
        longest; if all are in use, the new one.
    idle_seconds
        How long one is kept that does not come to the end of a request's head.
    """

    def __init__(self, limit: int, idle_seconds: float = IDLE_SECONDS) -> None:
        self._limit = limit
        self._idle_seconds = idle_seconds
        # Both with the time since when they are so, and in its order.
        self._silent: dict[IOStream, float] = {}
        self._idle: dict[IOStream, float] = {}
        self._busy: set[IOStream] = set()
        self._sweeping: asyncio.TimerHandle | None = None

    def __len__(self) -> int:
        return len(self._silent) + len(self._idle) + len(self._busy)

    def add(self, stream: IOStream) -> bool:
        """Take a new connection; tell whether there was room, or room was made."""
        if len(self) >= self._limit:
            oldest = next(iter(self._silent or self._idle), None)
            if oldest is None:
                return False
            self.remove(oldest)
            oldest.close()
        self._silent[stream] = time.monotonic()
        if self._sweeping is None:
            self._sweep_later()
        return True

    def ask(self, stream: IOStream) -> None:
        """Note that a request has begun, of somebody who may ask."""
        self.remove(stream)
        self._busy.add(stream)

    def rest(self, stream: IOStream) -> None:
        """Note that the request was answered."""
        if stream in self._busy:
            self._busy.discard(stream)
            self._idle[stream] = time.monotonic()

    def close(self) -> None:
        """Close all of them."""
        if self._sweeping is not None:
            self._sweeping.cancel()
        for each in (*self._silent, *self._idle, *self._busy):
            each.close()

    def remove(self, stream: IOStream) -> None:
        """Forget a connection; idempotent."""
        self._silent.pop(stream, None)
        self._idle.pop(stream, None)
        self._busy.discard(stream)

    def _sweep_later(self) -> None:
        # One timer for all, where tornado would make and cancel one for each request.
        self._sweeping = asyncio.get_running_loop().call_later(self._idle_seconds * _SWEEP_SHARE, self._sweep)

    def _sweep(self) -> None:
        since = time.monotonic() - self._idle_seconds
        for waiting in (self._silent, self._idle):
            # What is left of an answer may still be on its way to a client that takes its time.
            for each in [stream for stream, begun in waiting.items() if begun < since and not stream.writing()]:
                self.remove(each)
                each.close()
        self._sweeping = None
        if len(self):
            self._sweep_later()


class LastingStream(SSLIOStream):
    """A connection that the event loop goes on listening to while its request is answered.

    Most are answered at once, and tornado would take each out of the loop for that time and put it back. Where more
    comes before the answer, it is taken out then: what is not read stays the client's.
    """

    _wakes_reader = False

    @classmethod
    def taking(cls, stream: SSLIOStream) -> Self:
        """Make one of a connection that tornado has just accepted, in its place."""
        plain = stream.socket
        stream.io_loop.remove_handler(plain)
        return cls(plain, max_buffer_size=stream.max_buffer_size, read_chunk_size=_RECORD_BYTES)

    def reading(self) -> bool:
        """Tell whether somebody reads, or did when the present event came."""
        return self._wakes_reader or super().reading()

    def _handle_events(self, fd: Any, events: int) -> None:
        self._wakes_reader = super().reading()
        try:
            super()._handle_events(fd, events)
        finally:
            self._wakes_reader = False


class BoundedServer(httpserver.HTTPServer):
    """An HTTP server that sheds connections which say nothing.

    Parameters
    ----------
    connections
        Those of this server.
    handshake_seconds
        How long a client may take to agree on encryption.
    """

    def initialize(  # type: ignore[override]
        self,
        *arguments: Any,
        connections: Connections,
        handshake_seconds: float = HANDSHAKE_SECONDS,
        **options: Any,
    ) -> None:
        """Take the options of tornado's server as well."""
        super().initialize(*arguments, **options)
        self.conn_params.header_timeout = None
        self._bounded = connections
        self._handshake_seconds = handshake_seconds
        self._handshakes: set[asyncio.Task[Any] | None] = set()

    def handle_stream(  # type: ignore[override]  # TCPServer takes a coroutine, of which HTTPServer makes no use
        self, stream: IOStream, address: tuple[Any, ...]
    ) -> Awaitable[None] | None:
        """Serve a new connection."""
        if isinstance(stream, SSLIOStream):
            stream = LastingStream.taking(stream)
        if not self._bounded.add(stream):
            stream.close()
            return None
        return self._serve(stream, address)

    async def _serve(self, stream: IOStream, address: tuple[Any, ...]) -> None:
        if isinstance(stream, SSLIOStream) and not await self._agree(stream):
            stream.close()
            self._bounded.remove(stream)
            return
        _send_at_once(stream)
        super().handle_stream(stream, address)

    async def _agree(self, stream: SSLIOStream) -> bool:
        task = asyncio.current_task()
        self._handshakes.add(task)
        try:
            await asyncio.wait_for(stream.wait_for_handshake(), self._handshake_seconds)
        except OSError:  # Of TLS, of the connection, or the time is over: all of them are.
            return False
        finally:
            self._handshakes.discard(task)
        return not stream.closed()

    async def close_all_connections(self) -> None:
        """End all connections, those that are not yet agreed on included."""
        await super().close_all_connections()
        self._bounded.close()
        await asyncio.gather(*filter(None, self._handshakes), return_exceptions=True)

    def on_close(self, server_conn: Any) -> None:
        """Forget a connection that has ended."""
        self._bounded.remove(server_conn.stream)
        super().on_close(server_conn)


def _send_at_once(stream: IOStream) -> None:
    """Let no part of an answer wait for the client's word that the one before has come.

    For the whole life of the connection: tornado would ask the system for it at each answer's end, and then take it
    back.
    """
    stream.set_nodelay(True)
    # An instance's attribute in front of the method.
    stream.set_nodelay = _ignore  # type: ignore[method-assign]


def _ignore(value: bool) -> None:
    pass
