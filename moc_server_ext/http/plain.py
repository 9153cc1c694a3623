"""A request and its response over tornado's connections, and no more: the gateway's base in place of tornado's own.

Tornado's ``RequestHandler`` and ``HTTPServerRequest`` bring cookies, templates, forms and a place in an application.
The gateway has none of these, and making them for each request takes longer than a short call. The names here are
tornado's, so that :class:`.handler.ApiMixin` works on both.
"""

from __future__ import annotations

import asyncio
import re
from http import HTTPStatus
from typing import Any, Final, cast

from tornado import httputil
from tornado.http1connection import HTTP1Connection

HEADER_VALUE: Final = re.compile(r"[\t -~\x80-\xff]*")
"""What may be the value of a header in a response."""

# RFC 3986, as far as tornado looks at it too; several of them arrive joined by a comma.
_HOST: Final = re.compile(r"(?:[\[\]:A-Za-z0-9\-._~!$&'()*+;=]|%[0-9A-Fa-f]{2})*")
_REASONS: Final = {each.value: each.phrase for each in HTTPStatus}
_WITHOUT_BODY: Final = frozenset({204, 304})


class PlainRequest(httputil.HTTPServerRequest):
    """The head of one request, with nothing of it read that nobody asks for.

    One that names no host, or none that can be one (RFC 9112, section 3.2), is tornado's error: it answers 400.
    """

    # Not `super`: it would parse the query, and copy what it found.
    def __init__(
        self, line: httputil.RequestStartLine, headers: httputil.HTTPHeaders, connection: httputil.HTTPConnection
    ) -> None:
        self.method, self.uri, self.version = line
        self.path, _, self.query = line.path.partition("?")
        self.headers = headers
        self.connection = connection
        host = headers.get("Host")
        if host is None:
            if self.version != "HTTP/1.0":
                raise httputil.HTTPInputError("Missing Host header")
        elif not _HOST.fullmatch(host):
            raise httputil.HTTPInputError(f"Invalid Host header: {host!r}")


class PlainHandler:
    """One request, and the response to it, which is written whole or in parts.

    Parameters
    ----------
    options
        For :meth:`initialize`.
    """

    def __init__(self, request: PlainRequest, **options: Any) -> None:
        self.request = request
        self._connection = cast(HTTP1Connection, request.connection)
        self._headers: dict[str, str] = {}
        self._headers_written = self._finished = False
        self.clear()
        self._connection.set_close_callback(self.on_connection_close)
        self.initialize(**options)

    def initialize(self, **options: Any) -> None:
        """Take the options."""

    def on_finish(self) -> None:
        """Is called when the response is written."""

    def on_connection_close(self) -> None:
        """Is called when the client is gone before that."""

    def clear(self) -> None:
        """Begin the response anew, with what every one has."""
        self._headers = {}
        self._write_buffer: list[bytes] = []
        self._status = 200

    def set_status(self, status: int, reason: str | None = None) -> None:
        """Set the status; nobody reads the reason."""
        self._status = status

    def set_header(self, name: str, value: str) -> None:
        """Set a header; names are written as they are here, always the same."""
        if not HEADER_VALUE.fullmatch(value):
            raise ValueError(f"{value!r} cannot be the value of the header {name}")
        self._headers[name] = value

    def clear_header(self, name: str) -> None:
        """Take a header back, if it is set."""
        self._headers.pop(name, None)

    def write(self, chunk: bytes) -> None:
        """Add to the body; :meth:`flush` or :meth:`finish` sends it."""
        if self._finished:
            raise RuntimeError("the response has ended")
        self._write_buffer.append(chunk)

    def flush(self) -> asyncio.Future[None]:
        """Send what was written, behind the head if that has not left; done when the connection has taken it."""
        chunk = b"" if self.request.method == "HEAD" else b"".join(self._write_buffer)
        self._write_buffer = []
        if self._headers_written:
            return self._connection.write(chunk)
        self._headers_written = True
        line = httputil.ResponseStartLine("", self._status, _reason(self._status))
        return self._connection.write_headers(line, httputil.HTTPHeaders(self._headers), chunk)

    def finish(self, chunk: bytes | None = None) -> None:
        """Send what is left, and end the response."""
        if chunk is not None:
            self.write(chunk)
        # It holds this handler, and whoever keeps the connection open would keep both.
        self._connection.set_close_callback(None)
        if self._headers_written:
            if self._write_buffer:
                self.flush()
        elif self._is_ordinary():
            self._headers_written = True
            self._connection.write(self._whole())
        else:
            if self._status not in _WITHOUT_BODY and "Content-Length" not in self._headers:
                self._headers["Content-Length"] = str(sum(map(len, self._write_buffer)))
            self.flush()
        self._connection.finish()
        self._finished = True
        self.on_finish()

    def _is_ordinary(self) -> bool:
        """Tell whether the head follows from the headers alone: nothing to say of the connection, and a body."""
        request = self.request
        return (
            request.version == "HTTP/1.1"
            and request.method != "HEAD"
            and self._status not in _WITHOUT_BODY
            and request.headers.get("Connection", "").lower() != "close"
            and "Content-Length" not in self._headers
        )

    def _whole(self) -> bytes:
        """Write head and body in one go; tornado's connections take that, too, and look at each header for long."""
        body = b"".join(self._write_buffer)
        self._write_buffer = []
        lines = "".join([f"{name}: {value}\r\n" for name, value in self._headers.items()])
        status = self._status
        head = f"HTTP/1.1 {status} {_reason(status)}\r\n{lines}Content-Length: {len(body)}\r\n\r\n"
        return head.encode("latin-1") + body


def _reason(status: int) -> str:
    return _REASONS.get(status, "Unknown")
