"""One response that is written in parts, no faster than its client reads, while its request may still be coming."""

from __future__ import annotations

import asyncio
import contextlib
from typing import TYPE_CHECKING, Any, Final

from tornado.http1connection import HTTP1Connection
from tornado.iostream import IOStream, StreamClosedError

from ..abc import Bytes
from ..errors import MocError
from ..model import CallResult
from .messages import ApiResponse
from .peer import reset_on_close

if TYPE_CHECKING:
    from .handler import ApiMixin

PIECE_BYTES: Final = 256 << 10
"""How much is handed to the connection at once."""

# One who takes nothing of a piece for so long, once the call is over, gets no more.
_STALLED_SECONDS = 60.0
# How long the rest of an upload is read, into nothing, once everything is said: a connection that is closed under a
# client which still sends is reset, and the client may lose the answer.
_LINGER_SECONDS = 2.0


class Reply:
    """Writes one response. Belongs to the event loop's thread, and its methods to one task.

    Attributes
    ----------
    upload_over
        Is done when no more of the request is to be waited for.
    """

    def __init__(self, handler: ApiMixin) -> None:
        self._handler = handler
        self._connection: HTTP1Connection = handler.request.connection  # type: ignore[assignment]
        self.upload_over: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._begun = self._ended = self._has_length = False

    @property
    def stream(self) -> IOStream:
        """The connection below."""
        return self._connection.stream

    @property
    def begun(self) -> bool:
        """Whether the client may know already that it succeeded."""
        return self._begun

    @property
    def ended(self) -> bool:
        """Whether there is nothing more to say."""
        return self._ended

    def has_come(self, body_bytes: int) -> bool:
        """Tell whether a body of this size is here already, and only remains to be read."""
        return self.stream._read_buffer_size >= body_bytes

    def begin(self, response: ApiResponse) -> None:
        """Set the status and the headers, which leave with the first part."""
        self._handler.set_head(response)

    async def send(self, part: Bytes, call: asyncio.Future[CallResult] | None = None) -> None:
        """Write one part, and wait until the connection has taken it.

        Parameters
        ----------
        call
            What the parts come from: if it fails while the client does not read, there is no more to wait for.

        Raises
        ------
        ConnectionError
            The client is gone, or does not read.
        Exception
            What `call` failed with.
        """
        # An empty part as well: with it the head leaves.
        for start in range(0, max(1, len(part)), PIECE_BYTES):
            if self.stream is None or self.stream.closed():
                raise ConnectionError("The client is gone.")
            self._begun = True
            self._handler.write(bytes(part[start : start + PIECE_BYTES]))
            await self._flushed(self._handler.flush(), call)

    @staticmethod
    async def _flushed(flushed: asyncio.Future[None], call: asyncio.Future[CallResult] | None) -> None:
        if not flushed.done() and call is not None:
            both: set[asyncio.Future[Any]] = {flushed, call}
            await asyncio.wait(both, return_when=asyncio.FIRST_COMPLETED)
            if call.done() and not flushed.done() and (call.cancelled() or call.exception() is not None):
                call.result()
        if not flushed.done():
            await asyncio.wait({flushed}, timeout=_STALLED_SECONDS)
            if not flushed.done():
                raise ConnectionError("The client does not read.")
        try:
            flushed.result()
        except StreamClosedError:
            raise ConnectionError("The client is gone.") from None

    async def give(self, response: ApiResponse) -> None:
        """Write a whole response and end it."""
        if self.upload_over.done() and len(response.body) <= PIECE_BYTES:
            self._begun = self._ended = True
            self._handler.respond(response)
            return
        self.begin(response)
        self._has_length = True
        self._handler.set_header("Content-Length", str(len(response.body)))
        await self.send(response.body)
        await self.end()

    async def refuse(self, error: MocError) -> None:
        """Write the response to an error and end it."""
        await self.give(self._handler.error_response(error))

    def explain(self, error: BaseException) -> MocError:
        """Give what people are told of an error; one that nobody foresaw is logged."""
        return self._handler.explain(error)

    def leave(self) -> None:
        """Close the connection to a client that is gone, and end what the request began."""
        self._handler.leave()

    async def end(self) -> None:
        """End the response; the rest of the request is read first, within bounds."""
        self._ended = True
        if not self.upload_over.done():
            await asyncio.wait({self.upload_over}, timeout=_LINGER_SECONDS)
        if self.stream is not None and not self.stream.closed():
            self._handler.finish()

    def drop(self) -> None:
        """Close the connection, so that the client sees that the response is not complete."""
        self._ended = True
        stream = self.stream
        if stream is None or stream.closed():
            return
        if not self._is_chunked:
            reset_on_close(stream)
        self._connection.close()

    def probe(self) -> None:
        """Send the client something that means nothing: if it is gone, its side answers with a reset."""
        if self._handler.request.version != "HTTP/1.1" or self.stream is None or self.stream.closed():
            return
        with contextlib.suppress(StreamClosedError):
            if not self._begun:
                self.stream.write(b"HTTP/1.1 100 Continue\r\n\r\n")
            elif self._is_chunked and not self._ended:
                # The next chunk's size, which may begin with zeros (RFC 9112, section 7.1).
                self.stream.write(b"0")

    @property
    def _is_chunked(self) -> bool:
        return self._begun and not self._has_length and self._handler.request.version == "HTTP/1.1"
