"""A web server whose answers a test writes byte by byte, and a network whose names it chooses."""

from __future__ import annotations

import asyncio
import contextlib
import socket
import ssl
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from ipaddress import ip_address

from moc_server_ext.egress.network import Network
from moc_server_ext.model.hosts import Address

Handler = Callable[[socket.socket, bytes], None]


def answer(body: bytes = b"", status: str = "200 OK", **headers: str) -> bytes:
    """Write an HTTP answer."""
    lines = [f"HTTP/1.1 {status}", f"content-length: {len(body)}"]
    lines += [f"{name.replace('_', '-')}: {value}" for name, value in headers.items()]
    return "\r\n".join([*lines, "", ""]).encode() + body


def redirect(location: str, status: str = "302 Found") -> bytes:
    """Write an answer that leads elsewhere."""
    return answer(b"moved", status, location=location)


class Web:
    """A listening server. Each path has the bytes that it answers with, or a function that talks to the client."""

    def __init__(self, tls: ssl.SSLContext | None = None) -> None:
        self.answers: dict[str, bytes | Handler] = {}
        self.requests: list[bytes] = []
        self.server_names: list[str | None] = []
        self.connections = 0
        self.gone = threading.Event()
        self._tls = tls
        if tls is not None:
            tls.sni_callback = lambda _socket, name, _context: self.server_names.append(name)
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.port: int = self._listener.getsockname()[1]
        self._open: list[socket.socket] = []
        self._threads = [threading.Thread(target=self._accept)]
        self._threads[0].start()

    def url(self, path: str = "/", host: str = "127.0.0.1", scheme: str = "http") -> str:
        return f"{scheme}://{host}:{self.port}{path}"

    @property
    def host(self) -> str:
        """What allows this server by address."""
        return f"127.0.0.1:{self.port}"

    @property
    def lines(self) -> list[str]:
        """The request lines so far."""
        return [each.split(b"\r\n")[0].decode() for each in self.requests]

    def close(self) -> None:
        with contextlib.suppress(OSError):
            self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()
        self._threads[0].join()
        for each in self._open:
            with contextlib.suppress(OSError):
                each.shutdown(socket.SHUT_RDWR)
        for thread in self._threads:
            thread.join(timeout=60)
            assert not thread.is_alive()

    def _accept(self) -> None:
        while True:
            try:
                connection, _ = self._listener.accept()
            except OSError:
                return
            self.connections += 1
            self._open.append(connection)
            thread = threading.Thread(target=self._serve, args=(connection,))
            self._threads.append(thread)
            thread.start()

    def _serve(self, connection: socket.socket) -> None:
        with connection, contextlib.suppress(OSError):
            if self._tls is not None:
                connection = self._tls.wrap_socket(connection, server_side=True)
            with connection:
                request = _read_request(connection)
                if not request:
                    return
                self.requests.append(request)
                path = request.split(b" ")[1].decode()
                scripted = self.answers.get(path, answer(b"no such path", "404 Not Found"))
                if callable(scripted):
                    scripted(connection, request)
                else:
                    connection.sendall(scripted)
                # Until the client has gone: closing before it has read everything would reset the connection.
                connection.shutdown(socket.SHUT_WR)
                while connection.recv(1 << 16):
                    pass
        self.gone.set()


def _read_request(connection: socket.socket) -> bytes:
    request = b""
    while b"\r\n\r\n" not in request:
        part = connection.recv(1 << 16)
        if not part:
            return b""
        request += part
    head, _, body = request.partition(b"\r\n\r\n")
    length = next((int(each[15:]) for each in head.lower().split(b"\r\n") if each.startswith(b"content-length:")), 0)
    while len(body) < length:
        body += connection.recv(1 << 16)
    return head + b"\r\n\r\n" + body


@contextmanager
def web_server(tls: ssl.SSLContext | None = None) -> Iterator[Web]:
    server = Web(tls)
    try:
        yield server
    finally:
        server.close()


class ScriptedNetwork(Network):
    """Names that have the addresses of the test, one list after the other; public addresses that are a local port."""

    def __init__(self, names: dict[str, list[list[str]]] | None = None, servers: dict[str, int] | None = None) -> None:
        super().__init__()
        self.names = names or {}
        self.servers = servers or {}
        self.resolved: list[str] = []
        self.connected: list[str] = []
        self.authorities: ssl.SSLContext | None = None

    async def resolve(self, host: str, port: int) -> list[Address]:
        self.resolved.append(host)
        if host not in self.names:
            raise socket.gaierror(socket.EAI_NONAME, "Name or service not known")
        answers = self.names[host]
        return [ip_address(each) for each in (answers.pop(0) if len(answers) > 1 else answers[0])]

    async def connect(
        self, address: Address, port: int, server_name: str | None
    ) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
        self.connected.append(str(address))
        if str(address) in self.servers:
            address, port = ip_address("127.0.0.1"), self.servers[str(address)]
        elif not address.is_loopback:
            raise ConnectionRefusedError(111, "Connection refused")
        return await super().connect(address, port, server_name)

    async def tls(self) -> ssl.SSLContext:
        return self.authorities or await super().tls()
