"""A load generator for HTTP/1.1 over TLS: closed loops, open loops and bursts on connections that stay open.

One thread, one epoll, sockets that do not block, and a reader that looks for the status and the length alone: on a
machine with two processors a generator that is slower than the server would measure itself. Its own ceiling, against
a server that answers with the same bytes each time, is in the report (:func:`.calls.run`).
"""

from __future__ import annotations

import re
import select
import socket
import ssl
import time
from collections import deque
from dataclasses import dataclass, field
from pathlib import Path
from types import TracebackType
from typing import Self
from urllib.parse import urlsplit

_LENGTH = re.compile(rb"\r\ncontent-length: *(\d+)", re.IGNORECASE)
_CHUNKED = re.compile(rb"\r\ntransfer-encoding: *chunked", re.IGNORECASE)
_RETRY_AFTER = re.compile(rb"\r\nretry-after: *\d", re.IGNORECASE)
_CLOSE = re.compile(rb"\r\nconnection: *close", re.IGNORECASE)
_READ_BYTES = 65536
_CONNECT_SECONDS = 10.0
_PATIENCE_SECONDS = 60.0


@dataclass(frozen=True, slots=True)
class Target:
    """A server: where it listens, which certificate it has, which token it wants."""

    url: str
    ca_file: Path
    token: str = ""

    def context(self) -> ssl.SSLContext:
        """Make a client's TLS configuration, which trusts this server alone."""
        return ssl.create_default_context(cafile=self.ca_file)

    def connect(self, context: ssl.SSLContext) -> ssl.SSLSocket:
        """Open one connection, handshake included."""
        address = urlsplit(self.url)
        plain = socket.create_connection((address.hostname or "", address.port or 443), timeout=_CONNECT_SECONDS)
        plain.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        return context.wrap_socket(plain, server_hostname=address.hostname)

    def request(self, method: str, path: str, body: bytes = b"", **headers: str) -> bytes:
        """Write a request; keyword ``moc_client="a"`` becomes the header ``moc-client: a``."""
        lines = [f"{method} {path} HTTP/1.1", f"Host: {urlsplit(self.url).netloc}", f"Content-Length: {len(body)}"]
        if self.token:
            lines.append(f"Authorization: Bearer {self.token}")
        lines += [f"{name.replace('_', '-')}: {value}" for name, value in headers.items()]
        return "\r\n".join([*lines, "", ""]).encode() + body


@dataclass(slots=True)
class Sample:
    """What a stretch of load gave.

    Attributes
    ----------
    latencies
        Seconds, of the requests answered with 200 or 206: from when they were due to the last byte of the answer.
    late
        Seconds by which requests left after they were due, although a connection was idle: the generator's own delay.
    refused
        Answered with 429 or 503, and a Retry-After.
    wrong
        Any other answer; the first one's head is kept in `example`.
    lost
        Without an answer: the connection ended, or the wait for it did.
    """

    latencies: list[float] = field(default_factory=list)
    late: list[float] = field(default_factory=list)
    refused: int = 0
    wrong: int = 0
    lost: int = 0
    example: bytes = b""
    seconds: float = 0.0

    @property
    def answered(self) -> int:
        """How many were answered with 200 or 206."""
        return len(self.latencies)

    @property
    def rate(self) -> float:
        """Answers a second."""
        return len(self.latencies) / self.seconds

    def quantile_ms(self, share: float) -> float:
        """Give a quantile of the latencies in milliseconds."""
        return 1000 * quantile(self.latencies, share)

    def check(self) -> Self:
        """Raise if not every request was answered with 200 or 206."""
        if self.refused or self.wrong or self.lost or not self.latencies:
            raise RuntimeError(
                f"{self.answered} answered, {self.refused} refused, {self.lost} lost, {self.wrong} wrong: "
                f"{self.example.decode(errors='replace')}"
            )
        return self


def quantile(values: list[float], share: float) -> float:
    """Give the value below which `share` of the values lie."""
    return sorted(values)[min(len(values) - 1, int(share * len(values)))]


class _Connection:
    """One connection and the answer that comes in on it."""

    __slots__ = ("due", "end", "received", "socket")

    def __init__(self, target: Target, context: ssl.SSLContext) -> None:
        self.socket = target.connect(context)
        self.socket.setblocking(False)
        self.received = b""
        self.end = 0
        self.due = 0.0

    def send(self, request: bytes, due: float) -> None:
        self.received, self.end, self.due = b"", 0, due
        # A request is far smaller than a socket's buffer, which is empty: it is taken as a whole.
        self.socket.send(request)

    def is_complete(self) -> bool:
        """Read what is there; True when the answer is whole. Raises OSError when it will never be."""
        while True:
            try:
                part = self.socket.recv(_READ_BYTES)
            except ssl.SSLWantReadError:
                return False
            if not part:
                raise ConnectionResetError("the server closed the connection")
            self.received = self.received + part if self.received else part
            if self._found_end():
                return True

    def _found_end(self) -> bool:
        received = self.received
        if not self.end:
            head = received.find(b"\r\n\r\n")
            if head < 0:
                return False
            length = _LENGTH.search(received, 0, head)
            if length is not None:
                self.end = head + 4 + int(length[1])
            elif _CHUNKED.search(received, 0, head):
                self.end = -1
            else:
                self.end = head + 4
        return received.endswith(b"\r\n0\r\n\r\n") if self.end < 0 else len(received) >= self.end


class Generator:
    """Connections to one server and the loads that they can carry, one at a time; a context manager."""

    def __init__(self, target: Target, connections: int) -> None:
        self._target = target
        self._context = target.context()
        self._epoll = select.epoll()
        self._by_descriptor: dict[int, _Connection] = {}
        self._idle: list[_Connection] = []
        for _ in range(connections):
            self._open()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        for each in self._by_descriptor.values():
            each.socket.close()
        self._epoll.close()

    def closed(self, request: bytes, seconds: float) -> Sample:
        """Send on each connection as soon as the answer before has come, for `seconds`."""
        sample = Sample()
        begin = time.perf_counter()
        end = begin + seconds
        for connection in self._idle:
            connection.send(request, time.perf_counter())
        self._idle.clear()
        while len(self._idle) < len(self._by_descriptor):
            ready = self._ready(sample, _PATIENCE_SECONDS)
            if not ready and time.perf_counter() > end + _PATIENCE_SECONDS:
                self._give_up(sample, 0)
            for connection in ready:
                now = time.perf_counter()
                if now < end:
                    connection.send(request, now)
                else:
                    self._idle.append(connection)
        sample.seconds = time.perf_counter() - begin
        return sample

    def open(
        self, request: bytes, rate: float, seconds: float, *, patience_seconds: float = _PATIENCE_SECONDS
    ) -> Sample:
        """Send `rate` requests a second, whether or not those before were answered.

        A request for which no connection is idle waits in here, and its latency counts from when it was due.
        """
        sample = Sample()
        begin = time.perf_counter()
        count, sent = int(rate * seconds), 0
        waiting: deque[float] = deque()
        deadline = begin + seconds + patience_seconds
        while sent < count or waiting or len(self._idle) < len(self._by_descriptor):
            now = time.perf_counter()
            if now > deadline:
                self._give_up(sample, len(waiting) + count - sent)
                break
            while sent < count and begin + sent / rate <= now:
                due = begin + sent / rate
                if self._idle:
                    sample.late.append(now - due)
                waiting.append(due)
                sent += 1
            while waiting and self._idle:
                self._idle.pop().send(request, waiting.popleft())
            until = begin + sent / rate if sent < count else deadline
            # epoll rounds up to milliseconds, which would send late.
            select.select([self._epoll], [], [], max(0.0, until - time.perf_counter()))
            self._idle += self._ready(sample, 0)
        sample.seconds = time.perf_counter() - begin
        return sample

    def burst(self, request: bytes, *, patience_seconds: float = _PATIENCE_SECONDS) -> Sample:
        """Send once on every connection, at once, and wait for all answers."""
        sample = Sample()
        begin = time.perf_counter()
        for connection in self._idle:
            connection.send(request, begin)
        self._idle.clear()
        while len(self._idle) < len(self._by_descriptor):
            left = begin + patience_seconds - time.perf_counter()
            if left <= 0:
                self._give_up(sample, 0)
                break
            self._idle += self._ready(sample, left)
        sample.seconds = time.perf_counter() - begin
        return sample

    def _open(self) -> _Connection:
        connection = _Connection(self._target, self._context)
        descriptor = connection.socket.fileno()
        self._by_descriptor[descriptor] = connection
        self._epoll.register(descriptor, select.EPOLLIN)
        self._idle.append(connection)
        return connection

    def _replace(self, connection: _Connection) -> None:
        descriptor = connection.socket.fileno()
        self._epoll.unregister(descriptor)
        del self._by_descriptor[descriptor]
        connection.socket.close()
        self._open()

    def _give_up(self, sample: Sample, unsent: int) -> None:
        sample.lost += unsent
        idle = set(map(id, self._idle))
        for connection in [each for each in self._by_descriptor.values() if id(each) not in idle]:
            sample.lost += 1
            self._replace(connection)

    def _ready(self, sample: Sample, timeout: float) -> list[_Connection]:
        """Wait for answers and note them; gives the connections that are idle again."""
        done = []
        for descriptor, _ in self._epoll.poll(timeout):
            connection = self._by_descriptor[descriptor]
            try:
                if not connection.is_complete():
                    continue
            except OSError as error:
                sample.lost += 1
                sample.example = sample.example or repr(error).encode()
                self._replace(connection)
                continue
            received = connection.received
            status = received[9:12]
            if status in (b"200", b"206"):
                sample.latencies.append(time.perf_counter() - connection.due)
            elif status in (b"429", b"503") and _RETRY_AFTER.search(received):
                sample.refused += 1
            else:
                sample.wrong += 1
                sample.example = sample.example or received[:1000]
            if _CLOSE.search(received, 0, received.find(b"\r\n\r\n")):
                self._replace(connection)
                continue
            done.append(connection)
        return done
