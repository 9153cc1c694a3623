"""One HTTP/1.1 connection on which a request and its answer pass at the same time, in parts.

That is what a call needs whose output begins before its input has ended, and what httpx, which serves all other
requests, cannot do: it reads nothing before it has sent everything. The protocol's grammar is h11's; here is the
waiting for both directions at once on the one thread that calls. Where connections come from is :mod:`.connections`'s.
"""

from __future__ import annotations

import contextlib
import select
import socket
import ssl
from collections import deque
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

from ..errors import InvalidInputError

if TYPE_CHECKING:
    from .feed import Feed

_READ_BYTES: Final = 256 << 10
# Python sees a Ctrl-C that came just before the connection was waited for only when the waiting ends.
_LOOK_MILLISECONDS: Final = 500


class BrokenConnectionError(Exception):
    """The connection ended before the answer did."""


@dataclass(frozen=True, slots=True)
class Answer:
    """Status and headers of an answer; names of headers are in lower case."""

    status: int
    headers: Mapping[str, str]


class Connection:
    """A connection, for one request at a time. One thread uses it; any may :meth:`abort` it."""

    def __init__(self, stream: socket.socket) -> None:
        import h11

        self._stream = stream
        self._protocol = h11.Connection(h11.CLIENT)
        self._poll = select.poll()
        self._out: deque[memoryview] = deque()
        self._feed: Feed | None = None
        self._watched = 0
        self._ended = False
        stream.setblocking(False)

    # -- one request ----------------------------------------------------------------------------------------------

    def begin(
        self, method: str, target: str, headers: list[tuple[str, str]], body: bytes | list[memoryview] | Feed
    ) -> Answer:
        """Send a request, as far as it goes until the head of the answer is there.

        Of a body that is all there, the parts are sent as they are, without joining them first.

        BrokenConnectionError, or what the feed's source raises, leaves a connection that is of no further use.
        """
        import h11

        if isinstance(body, bytes):
            body = [memoryview(body)]
        length = sum(map(len, body)) if isinstance(body, list) else None
        size = ("Transfer-Encoding", "chunked") if length is None else ("Content-Length", str(length))
        try:
            head = self._protocol.send(h11.Request(method=method, target=target, headers=[*headers, size]))
        except h11.LocalProtocolError as error:
            raise InvalidInputError(f"The request cannot be written as HTTP: {error}.") from None
        if isinstance(body, list):
            rest: list[bytes] = []
            for part in body:
                # Any bytes-like object will do, as h11's documentation has it.
                data = h11.Data(data=part)  # type: ignore[arg-type]
                rest += self._protocol.send_with_data_passthrough(data) or []
            rest += self._protocol.send_with_data_passthrough(h11.EndOfMessage()) or []
            # One segment, and one record of TLS, for a small request.
            is_small = length is not None and length < _READ_BYTES
            whole = [b"".join([head or b"", *rest])] if is_small else [head or b"", *rest]
            self._out.extend(memoryview(each) for each in whole if each)
        else:
            self._out.append(memoryview(head or b""))
            self._feed = body
            self._poll.register(body.fileno(), select.POLLIN)
        while True:
            event = self._next_event()
            if isinstance(event, h11.Response):
                # As Latin-1, which any byte is: a server may send what is no text at all.
                headers_of = {name.decode(): value.decode("latin-1") for name, value in event.headers}
                return Answer(event.status_code, headers_of)

    def part(self) -> bytes:
        """Give the next part of the answer's body, and send meanwhile; empty at its end. Fails as `begin` does."""
        import h11

        while True:
            event = self._next_event()
            if isinstance(event, h11.Data):
                if event.data:
                    return bytes(event.data)
            elif isinstance(event, h11.EndOfMessage):
                return b""

    def next_request(self) -> bool:
        """Make ready for another request; False when the connection cannot serve one."""
        import h11

        self._drop_feed()
        if self._protocol.our_state is not h11.DONE or self._protocol.their_state is not h11.DONE:
            return False
        self._protocol.start_next_cycle()
        return True

    def is_quiet(self) -> bool:
        """Tell whether nothing came on the idle connection: what comes there is its end."""
        incoming = select.poll()
        incoming.register(self._stream, select.POLLIN)
        return not incoming.poll(0)

    def abort(self) -> None:
        """End the connection from any thread: whoever waits on it gets BrokenConnectionError."""
        # The method of the plain socket, which leaves the TLS object to the thread that uses it.
        with contextlib.suppress(OSError):
            socket.socket.shutdown(self._stream, socket.SHUT_RDWR)

    def close(self) -> None:
        """Close it; idempotent."""
        self._drop_feed()
        self._stream.close()

    # -- both directions at once ----------------------------------------------------------------------------------

    def _next_event(self) -> Any:
        import h11

        while True:
            try:
                event = self._protocol.next_event()
            except h11.RemoteProtocolError as error:
                raise BrokenConnectionError("it was closed" if self._ended else str(error)) from error
            if event is not h11.NEED_DATA:
                return event
            part = self._receive()
            self._ended = not part
            self._protocol.receive_data(part)

    def _receive(self) -> bytes:
        """Wait for what comes, and send meanwhile what there is to send."""
        while True:
            blocked = self._send()
            parts, size = [], 0
            try:
                while size < _READ_BYTES:
                    part = self._stream.recv(_READ_BYTES)
                    parts.append(part)
                    size += len(part)
                    if not part:
                        break
            except (BlockingIOError, ssl.SSLWantReadError):
                pass
            except ssl.SSLWantWriteError:
                blocked = True
            except OSError as error:
                if not parts:
                    raise BrokenConnectionError(error.strerror or str(error)) from error
            if parts:
                return b"".join(parts)
            wanted = select.POLLIN | (select.POLLOUT if blocked else 0)
            if wanted != self._watched:
                self._poll.register(self._stream, wanted)
                self._watched = wanted
            self._poll.poll(_LOOK_MILLISECONDS)

    def _send(self) -> bool:
        """Send as much as goes without waiting; True when more would go once there is room."""
        while self._out or self._take():
            try:
                sent = self._stream.send(self._out[0])
            except (BlockingIOError, ssl.SSLWantWriteError):
                return True
            except ssl.SSLWantReadError:
                return False
            except OSError:
                # Perhaps refused before the body was read: the answer says so, if there is one.
                self._out.clear()
                self._drop_feed()
                return False
            if sent == len(self._out[0]):
                self._out.popleft()
            else:
                self._out[0] = self._out[0][sent:]
        return False

    def _take(self) -> bool:
        import h11

        if self._feed is None:
            return False
        part = self._feed.take()
        if part is None:
            return False
        if part:
            data = self._protocol.send_with_data_passthrough(h11.Data(data=part))
        else:
            data = self._protocol.send_with_data_passthrough(h11.EndOfMessage())
            self._drop_feed()
        self._out.extend(memoryview(each) for each in data or [] if each)
        return bool(self._out)

    def _drop_feed(self) -> None:
        if self._feed is not None:
            self._poll.unregister(self._feed.fileno())
            self._feed = None
