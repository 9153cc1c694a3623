"""The client at the other end of a connection: whether it is still there while its call runs.

A client that has ended its sending (FIN) may still read, as ``nc -N`` and many scripts do, or may be gone; only what is
sent to it tells, for a client that is gone answers it with a reset. Tornado closes a connection at its FIN. A
:class:`Peer` instead keeps it open, sends something that means nothing, and waits for the reset.
"""

from __future__ import annotations

import asyncio
import select
import socket
from collections.abc import Callable

from tornado.iostream import IOStream

_GONE = select.EPOLLERR | select.EPOLLHUP
# One that reads on may go later: it is asked again after 1, 2, 4 … seconds.
_PROBES = 8


class Peer:
    """Watches one connection during one streamed call. Belongs to the event loop's thread.

    Parameters
    ----------
    probe
        Sends a byte or more that the client ignores; called when it has ended its sending, and a few times later.
    gone
        Called once when the client cannot be there any more.

    Attributes
    ----------
    is_whole
        Whether all of the request has come: only then a client may end its sending. Set by who knows.
    """

    def __init__(self, stream: IOStream, probe: Callable[[], None], gone: Callable[[], None]) -> None:
        self.is_whole = False
        self._stream = stream
        self._probe = probe
        self._gone = gone
        self._epoll: select.epoll | None = None
        self._loop: asyncio.AbstractEventLoop | None = None
        self._again: asyncio.TimerHandle | None = None
        self._read = stream.read_from_fd
        self._at_end = False
        # An instance's attribute in front of the method: tornado has no other way to hear of a FIN and go on.
        stream.read_from_fd = self._read_or_hold  # type: ignore[method-assign]
        self._is_released = False

    def watch(self) -> None:
        """Look for the client's end while nobody reads from the connection; idempotent."""
        if self._epoll is not None or self._is_released or self._stream.closed():
            return
        # asyncio listens for readability alone, which unread bytes in front of the FIN would keep true all the time.
        self._epoll = select.epoll()
        self._epoll.register(self._stream.fileno(), select.EPOLLRDHUP)
        self._loop = asyncio.get_running_loop()
        self._loop.add_reader(self._epoll.fileno(), self._on_event)

    def release(self) -> None:
        """Watch no longer, and let tornado read as it would; idempotent."""
        if self._epoll is not None and self._loop is not None:
            self._loop.remove_reader(self._epoll.fileno())
            self._epoll.close()
            self._epoll = None
        if self._again is not None:
            self._again.cancel()
        if not self._is_released:
            self._is_released = True
            del self._stream.read_from_fd

    def _on_event(self) -> None:
        if self._epoll is None:
            return
        if self._stream.closed():
            self.release()
            return
        for number, events in self._epoll.poll(0):
            if events & _GONE:
                self.release()
                self._gone()
            else:
                # Errors are reported whatever one asks for; the FIN would be reported for ever.
                self._epoll.modify(number, 0)
                self._ask(0)

    def _ask(self, count: int) -> None:
        self._probe()
        if count < _PROBES and self._loop is not None:
            self._again = self._loop.call_later(2**count, self._ask, count + 1)

    def _read_or_hold(self, buf: bytearray | memoryview) -> int | None:
        """Read for tornado: where it only listens for the end of the connection, that is kept from it."""
        stream = self._stream
        if stream.reading():
            return self._read(buf)
        if self._at_end:
            return None
        count = 0 if _is_at_end(stream.socket) else self._read(buf)
        if count is None:
            return None
        if count == 0:
            if stream._read_buffer_size == 0:
                if not self.is_whole:
                    return 0  # The rest will never come.
                # With an empty line in its buffer tornado does not read on before it looks for the next request, in
                # front of which such a line means nothing (RFC 9112, section 2.2). Only then it meets the end.
                buf[0] = ord("\n")
                count = 1
                self._at_end = True
            else:
                count = None
        # With something in its buffer tornado no longer listens.
        self.watch()
        return count


def reset_on_close(stream: IOStream) -> None:
    """Let the connection end with a reset, where an ordinary end would look like that of a complete response."""
    if stream.socket is not None:
        stream.socket.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\1\0\0\0\0\0\0\0")


def _is_at_end(plain: socket.socket) -> bool:
    """Tell whether the FIN is the next thing to read.

    TLS must not see it: an end without a close_notify would make it refuse to write.
    """
    pending = getattr(plain, "pending", None)
    if pending is not None and pending():
        return False
    try:
        return socket.socket.recv(plain, 1, socket.MSG_PEEK | socket.MSG_DONTWAIT) == b""
    except OSError:
        return False
