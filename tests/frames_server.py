"""A server that speaks frames over real sockets, one scripted answer a request, and remembers what it was sent."""

from __future__ import annotations

import contextlib
import json
import socket
import ssl
import threading
from collections.abc import Callable
from dataclasses import dataclass, field

from moc_server_ext.frames import CONTENT_TYPE, Frame, encode
from moc_server_ext.model import CallResult


@dataclass
class Asked:
    """One request, whose body is read as the script wants it."""

    line: str
    headers: dict[str, str]
    stream: socket.socket
    rest: bytearray = field(default_factory=bytearray)

    def read_body(self) -> bytes:
        """Read the body to its end."""
        body = b""
        while part := self.read_part():
            body += part
        return body

    def read_part(self) -> bytes:
        """Read one chunk, or the whole body where its length was announced; empty at the end."""
        if "content-length" in self.headers:
            size = int(self.headers.pop("content-length"))
            self.headers["content-length-was"] = str(size)
            return self._take(size)
        if "content-length-was" in self.headers:
            return b""
        size = int(self._line(), 16)
        part = self._take(size)
        self._take(2)
        return part

    def send(self, content: bytes) -> None:
        """Send bytes as they are."""
        self.stream.sendall(content)

    def head(self, status: str = "200 OK", content_type: str = CONTENT_TYPE, **headers: str) -> None:
        """Begin a chunked answer."""
        lines = [f"{name.replace('_', '-')}: {value}" for name, value in headers.items()]
        head = [f"HTTP/1.1 {status}", f"Content-Type: {content_type}", "Transfer-Encoding: chunked", *lines]
        self.send("\r\n".join([*head, "", ""]).encode())

    def part(self, content: bytes) -> None:
        """Send one chunk of the answer; an empty one is its end."""
        self.send(b"%x\r\n%b\r\n" % (len(content), content))

    def frame(self, kind: Frame, payload: bytes) -> None:
        """Send one frame as a chunk."""
        self.part(encode(kind, payload))

    def begin(self) -> None:
        """Send the head and the first frame."""
        self.head()
        self.frame(Frame.BEGIN, b'{"call_id": "c1"}')

    def end(self, **fields: object) -> None:
        """Send the result and end the answer."""
        body = CallResult("c1", None, 0, b"").to_json() | fields
        del body["output"], body["stderr"]
        self.frame(Frame.RESULT, json.dumps(body).encode())
        self.part(b"")

    def refuse(self, status: str, error: dict[str, object], **headers: str) -> None:
        """Answer with an error."""
        self.head(status, "application/json", **headers)
        self.part(json.dumps({"error": error}).encode())
        self.part(b"")

    def is_gone(self) -> bool:
        """Wait until the other side has closed the connection."""
        with contextlib.suppress(ConnectionError):
            while self.stream.recv(65536):
                pass
        return True

    def _take(self, size: int) -> bytes:
        while len(self.rest) < size:
            part = self.stream.recv(65536)
            if not part:
                raise ConnectionError
            self.rest += part
        taken = bytes(self.rest[:size])
        del self.rest[:size]
        return taken

    def _line(self) -> bytes:
        while b"\r\n" not in self.rest:
            self.rest += self._more()
        line, _, rest = bytes(self.rest).partition(b"\r\n")
        self.rest[:] = rest
        return line

    def _more(self) -> bytes:
        part = self.stream.recv(65536)
        if not part:
            raise ConnectionError
        return part


Script = Callable[[Asked], None]


class FramesServer:
    """Listens on a free port and answers the requests, one after the other, with `scripts`; the last one stays."""

    def __init__(self, *scripts: Script, tls: ssl.SSLContext | None = None) -> None:
        self.tls = tls
        self.scripts = list(scripts)
        self.asked: list[Asked] = []
        self.connections = 0
        self.broken: list[BaseException] = []
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.port = self._listener.getsockname()[1]
        self.url = f"http{'s' if tls else ''}://127.0.0.1:{self.port}"
        self._streams: list[socket.socket] = []
        threading.Thread(target=self._accept, daemon=True).start()

    def close(self) -> None:
        """End it and all of its connections."""
        with contextlib.suppress(OSError):
            self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()
        self.hang_up()

    def hang_up(self) -> None:
        """End all connections."""
        # Their threads close them: the number of one that is closed here may be that of the next one when its thread
        # reads again.
        for each in self._streams:
            with contextlib.suppress(OSError):
                each.shutdown(socket.SHUT_RDWR)
        self._streams.clear()

    def _accept(self) -> None:
        with contextlib.suppress(OSError):
            while True:
                stream, _ = self._listener.accept()
                self.connections += 1
                self._streams.append(stream)
                threading.Thread(target=self._serve, args=(stream,), daemon=True).start()

    def _serve(self, stream: socket.socket) -> None:
        with contextlib.suppress(OSError):
            if self.tls is not None:
                stream = self.tls.wrap_socket(stream, server_side=True)
                self._streams.append(stream)
            with stream:
                self._answer(stream)

    def _answer(self, stream: socket.socket) -> None:
        rest = bytearray()
        while True:
            while b"\r\n\r\n" not in rest:
                part = stream.recv(65536)
                if not part:
                    return
                rest += part
            head, _, body = bytes(rest).partition(b"\r\n\r\n")
            line, *fields = head.decode().split("\r\n")
            headers = {name.lower(): value.strip() for name, _, value in (each.partition(":") for each in fields)}
            asked = Asked(line, headers, stream, bytearray(body))
            self.asked.append(asked)
            script = self.scripts.pop(0) if len(self.scripts) > 1 else self.scripts[0]
            script(asked)
            rest = asked.rest
