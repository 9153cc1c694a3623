"""The gateway's connections: how many there may be, and how long one may take to become one.

What is said on them is not this module's business. A connection that says nothing costs little, and is the first to go
when there are too many.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable
from typing import Any, Final

from tornado import httpserver
from tornado.iostream import IOStream, SSLIOStream

from ..resources import open_files

HANDSHAKE_SECONDS: Final = 10.0

# Each call may wait for as long as it likes, so that there are as many connections as guests.
_MOST_CONNECTIONS: Final = 10_000
_FEWEST_CONNECTIONS: Final = 64
_FILES_FOR_OTHERS: Final = 512


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
    """

    def __init__(self, limit: int) -> None:
        self._limit = limit
        # Both in order of time.
        self._silent: dict[IOStream, None] = {}
        self._idle: dict[IOStream, None] = {}
        self._busy: set[IOStream] = set()

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
        self._silent[stream] = None
        return True

    def ask(self, stream: IOStream) -> None:
        """Note that a request has begun, of somebody who may ask."""
        self.remove(stream)
        self._busy.add(stream)

    def rest(self, stream: IOStream) -> None:
        """Note that the request was answered."""
        if stream in self._busy:
            self._busy.discard(stream)
            self._idle[stream] = None

    def close(self) -> None:
        """Close all of them."""
        for each in (*self._silent, *self._idle, *self._busy):
            each.close()

    def remove(self, stream: IOStream) -> None:
        """Forget a connection; idempotent."""
        self._silent.pop(stream, None)
        self._idle.pop(stream, None)
        self._busy.discard(stream)


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
        self._bounded = connections
        self._handshake_seconds = handshake_seconds
        self._handshakes: set[asyncio.Task[Any] | None] = set()

    def handle_stream(  # type: ignore[override]  # TCPServer takes a coroutine, of which HTTPServer makes no use
        self, stream: IOStream, address: tuple[Any, ...]
    ) -> Awaitable[None] | None:
        """Serve a new connection."""
        if not self._bounded.add(stream):
            stream.close()
            return None
        return self._serve(stream, address)

    async def _serve(self, stream: IOStream, address: tuple[Any, ...]) -> None:
        if isinstance(stream, SSLIOStream) and not await self._agree(stream):
            stream.close()
            self._bounded.remove(stream)
            return
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
