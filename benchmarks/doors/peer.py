"""What the gateway is compared with: bare servers over the same TLS, each in a process of its own.

``python -m benchmarks.doors.peer echo|page|ceiling CERT KEY`` prints its port and serves until it is killed. ``echo``
and ``page`` are Tornado with three handlers and nothing else: one gives the body back at its end, one part by part, one
gives 4 KB from memory. ``ceiling`` answers every request with the same bytes as soon as its head is there: what the
load generator can do at most.
"""

from __future__ import annotations

import asyncio
import sys
from pathlib import Path

from tornado import httpserver, netutil, web

from moc_server_ext.http.tls import Certificate, server_context

_MAX_BODY_BYTES = 4 << 30
_PAGE = bytes(range(256)) * 16


class EchoHandler(web.RequestHandler):
    """Gives the body back."""

    def post(self) -> None:
        """Answer."""
        self.write(self.request.body)


@web.stream_request_body
class StreamingEchoHandler(web.RequestHandler):
    """Gives each part of the body back as it comes."""

    def prepare(self) -> None:
        """Allow large bodies."""
        self.request.connection.set_max_body_size(_MAX_BODY_BYTES)  # type: ignore[union-attr]

    async def data_received(self, chunk: bytes) -> None:
        """Pass a part on, and wait until it has left."""
        self.write(chunk)
        await self.flush()

    def post(self) -> None:
        """End the answer."""


class PageHandler(web.RequestHandler):
    """Gives 4 KB that it has in memory."""

    def get(self) -> None:
        """Answer."""
        self.write(_PAGE)


class Ceiling(asyncio.Protocol):
    """Answers without reading more than where a request ends."""

    def __init__(self, body_bytes: int = 600) -> None:
        self._left = self._body_bytes = body_bytes
        self._answer = b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n" % body_bytes + b"x" * body_bytes

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Keep the transport."""
        self._transport = transport

    def data_received(self, data: bytes) -> None:
        """Answer; the generator sends head and body at once."""
        self._transport.write(self._answer)  # type: ignore[attr-defined]


async def _serve(kind: str, certificate: Certificate) -> None:
    context = server_context(certificate)
    if kind == "ceiling":
        server = await asyncio.get_running_loop().create_server(Ceiling, "127.0.0.1", 0, ssl=context)
        port = server.sockets[0].getsockname()[1]
    else:
        sockets = netutil.bind_sockets(0, "127.0.0.1")
        application = web.Application(
            [("/echo", EchoHandler), ("/stream", StreamingEchoHandler), ("/page", PageHandler)],
            log_function=lambda handler: None,
        )
        httpserver.HTTPServer(application, ssl_options=context).add_sockets(sockets)
        port = sockets[0].getsockname()[1]
    print(port, flush=True)
    await asyncio.Event().wait()


if __name__ == "__main__":
    asyncio.run(_serve(sys.argv[1], Certificate(Path(sys.argv[2]), Path(sys.argv[3]))))
