"""One HTTP/1.1 request and its answer, over one connection that serves nothing else.

Knows framing and its bounds; where to connect and which answers to follow is :mod:`.fetch`'s.

References
----------
RFC 9112.
"""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from typing import Final

import h11

from ..errors import OutboundRequestError
from .network import READ_BYTES

_MAX_HEAD_BYTES: Final = 64 << 10
_MAX_INTERIM_ANSWERS: Final = 16
_SHOWN_CHARS: Final = 200

Headers = list[tuple[str, str]]


class Exchange:
    """A request under way. Used by one task at a time.

    Parameters
    ----------
    url
        What errors call it.
    """

    __slots__ = ("_http", "_reader", "_url", "_writer")

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, url: str) -> None:
        self._reader = reader
        self._writer = writer
        self._url = url
        self._http = h11.Connection(h11.CLIENT, max_incomplete_event_size=_MAX_HEAD_BYTES)

    def send(self, method: str, target: str, headers: Sequence[tuple[str, str]], body: bytes) -> None:
        """Hand the whole request to the transport, which keeps what the network does not take at once.

        So reading can begin: a server may answer, and stop reading, before it has all of the body.
        """
        request = h11.Request(method=method, target=target, headers=list(headers))
        self._writer.write(self._http.send(request) or b"")
        if body:
            self._writer.write(self._http.send(h11.Data(data=body)) or b"")
        self._http.send(h11.EndOfMessage())

    async def head(self) -> tuple[int, Headers]:
        """Wait for status and headers of the final answer.

        Raises
        ------
        OutboundRequestError
            The server closed the connection, or what it says is not HTTP.
        OSError
            The connection broke.
        """
        for _ in range(_MAX_INTERIM_ANSWERS):
            event = await self._next()
            if isinstance(event, h11.Response):
                return event.status_code, [
                    (name.decode("ascii"), value.decode("latin-1")) for name, value in event.headers
                ]
            if not isinstance(event, h11.InformationalResponse):
                raise OutboundRequestError(self._url, "the server closed the connection without an answer")
        raise OutboundRequestError(self._url, f"the server sent more than {_MAX_INTERIM_ANSWERS} interim answers")

    async def part(self) -> bytes:
        """Wait for the next part of the body; empty at its end. Raises as :meth:`head` does."""
        while True:
            event = await self._next()
            if not isinstance(event, h11.Data):
                return b""
            if event.data:
                return bytes(event.data)

    async def _next(self) -> h11.Event | type[h11.PAUSED]:
        while True:
            try:
                event = self._http.next_event()
            except h11.RemoteProtocolError as error:
                # The words are the library's, with bytes of the server's among them.
                reason = str(error)[:_SHOWN_CHARS]
                raise OutboundRequestError(self._url, f"the answer is not HTTP ({reason})") from None
            if not isinstance(event, type) or event is h11.PAUSED:
                return event
            self._http.receive_data(await self._reader.read(READ_BYTES))

    def abort(self) -> None:
        """Drop the connection; on its event loop's thread; idempotent."""
        self._writer.transport.abort()
