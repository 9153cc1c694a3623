"""The connections to one server: made (directly or through a proxy, with TLS), kept while they are idle, used again.

What is said on one is :mod:`.connection`'s.
"""

from __future__ import annotations

import socket
import ssl
import threading
from collections.abc import Callable
from typing import Final
from urllib.parse import SplitResult, urlsplit

from ..errors import InvalidInputError
from .connection import Connection

CONNECT_SECONDS: Final = 5.0
_MOST_IDLE: Final = 8
# A machine that went away without a word is noticed after about a minute, however long the guest is silent.
_KEEPALIVE: Final = (("TCP_KEEPIDLE", 30), ("TCP_KEEPINTVL", 10), ("TCP_KEEPCNT", 3))


class NotConnectedError(Exception):
    """No connection came about: nothing was sent.

    Parameters
    ----------
    is_untrusted
        Because of the server's certificate.
    """

    def __init__(self, reason: str, *, is_untrusted: bool = False) -> None:
        super().__init__(reason)
        self.is_untrusted = is_untrusted


class Connections:
    """The connections to one server: idle ones are used again. Thread-safe.

    Parameters
    ----------
    context
        Gives the TLS context; asked once, when the first connection is made.
    proxied
        Whether the environment's proxy stands between.
    """

    def __init__(self, url: str, context: Callable[[], ssl.SSLContext], *, proxied: bool) -> None:
        self._target = _split(url)
        self.prefix = self._target.path.rstrip("/")
        self._make_context = context
        self._context: ssl.SSLContext | None = None
        self._proxied = proxied
        self._lock = threading.Lock()
        self._idle: list[Connection] = []
        self._closed = False

    @property
    def host(self) -> str:
        """What stands in the header ``Host``."""
        return self._target.netloc.rpartition("@")[2]

    def take(self) -> Connection:
        """Give a connection for one request, then to be given back or closed; it is connected when it is new.

        NotConnectedError says that the server cannot be reached, or why its certificate is not trusted.
        """
        while True:
            with self._lock:
                if not self._idle:
                    break
                connection = self._idle.pop()
            if connection.is_quiet():
                return connection
            connection.close()
        return Connection(self._dial())

    def give(self, connection: Connection) -> None:
        """Take a connection back whose answer was read to its end."""
        if connection.next_request():
            with self._lock:
                if not self._closed and len(self._idle) < _MOST_IDLE:
                    self._idle.append(connection)
                    return
        connection.close()

    def close(self) -> None:
        """Close the idle connections, and the others when they are given back; idempotent."""
        with self._lock:
            self._closed = True
            idle, self._idle = self._idle, []
        for each in idle:
            each.close()

    def _dial(self) -> socket.socket:
        secure = self._target.scheme == "https"
        host, port = self._target.hostname or "", self._target.port or (443 if secure else 80)
        try:
            stream = self._tunnel(host, port) or socket.create_connection((host, port), CONNECT_SECONDS)
        except (OSError, UnicodeError) as error:
            raise NotConnectedError(_reason(error)) from error
        try:
            stream.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            stream.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
            for name, value in _KEEPALIVE:
                if hasattr(socket, name):
                    stream.setsockopt(socket.IPPROTO_TCP, getattr(socket, name), value)
            if not secure:
                return stream
            with self._lock:
                if self._context is None:
                    self._context = self._make_context()
            return self._context.wrap_socket(stream, server_hostname=host)
        except OSError as error:
            stream.close()
            untrusted = isinstance(error, ssl.SSLCertVerificationError)
            raise NotConnectedError(_reason(error), is_untrusted=untrusted) from error
        except BaseException:
            stream.close()
            raise

    def _tunnel(self, host: str, port: int) -> socket.socket | None:
        """Reach the server through the environment's proxy; None when there is none for it."""
        if not self._proxied:
            return None
        import http.client
        from urllib.request import getproxies, proxy_bypass

        proxies = getproxies()
        named = proxies.get(self._target.scheme) or proxies.get("all")
        if not named or proxy_bypass(host):
            return None
        proxy = urlsplit(named if "//" in named else f"//{named}")
        through = http.client.HTTPConnection(proxy.hostname or "", proxy.port or 80, timeout=CONNECT_SECONDS)
        through.set_tunnel(host, port, _proxy_authorization(proxy))
        try:
            through.connect()
        except http.client.HTTPException as error:
            raise OSError(f"the proxy refused it ({error})") from error
        # Away from the answer of the proxy, which would keep it open.
        return socket.socket(fileno=through.sock.detach())


def untrusted_reason(text: str) -> str:
    """Say what to do about a certificate that TLS refuses with these words."""
    return f"its certificate is not trusted ({text}); give the server's certificate as ca_file"


def _split(url: str) -> SplitResult:
    try:
        parts = urlsplit(url)
        known = parts.scheme in ("http", "https") and bool(parts.hostname) and parts.port != 0
    except ValueError:
        known = False
    if not known:
        raise InvalidInputError(
            f"{url!r} is no address of a server: expected http://HOST:PORT or https://HOST:PORT.", url=url
        )
    return parts


def _proxy_authorization(proxy: SplitResult) -> dict[str, str]:
    import base64
    from urllib.parse import unquote

    if not proxy.username:
        return {}
    login = f"{unquote(proxy.username)}:{unquote(proxy.password or '')}"
    return {"Proxy-Authorization": f"Basic {base64.b64encode(login.encode()).decode()}"}


def _reason(error: Exception) -> str:
    text = str(error) or type(error).__name__
    if "CERTIFICATE_VERIFY_FAILED" in text:
        return untrusted_reason(text)
    if isinstance(error, ConnectionRefusedError):
        return "the connection was refused"
    if isinstance(error, TimeoutError):
        return "it did not answer in time"
    return (error.strerror if isinstance(error, OSError) else None) or text
