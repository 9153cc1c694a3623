"""The gateway: the API on a port of its own, over TLS, for those who show the token. It knows no cookies.

It is independent of Jupyter: an embedded owner of a storage can serve it as well as the server extension.
"""

from __future__ import annotations

import errno
import functools
import hmac
import re
import socket
import time
from collections.abc import Sequence
from pathlib import Path

from tornado import httputil, netutil

from ..errors import AddressInUseError, InvalidInputError, MocError, NotFoundError, UnauthorizedError
from ..storage.credentials import is_token
from .connections import HANDSHAKE_SECONDS, IDLE_SECONDS, BoundedServer, Connections, usual_connections
from .dispatch import Dispatcher
from .handler import Api, ApiMixin
from .messages import Door
from .plain import PlainHandler
from .routes import API_PATH
from .tls import Certificate, server_context

_AUTHORIZATION = re.compile(r"(?:bearer|token)[ \t]+([!-~]+)[ \t]*", re.IGNORECASE | re.ASCII)
_MAX_HEADER_BYTES = 256 << 10
# With tornado's 128, a burst of connections makes everybody's next one wait a second for the kernel to ask again.
_BACKLOG = 1024


class GatewayHandler(ApiMixin, PlainHandler):  # type: ignore[misc]  # the mixin's own base is tornado's
    """A request that must carry ``Authorization: Bearer TOKEN`` (or ``token TOKEN``)."""

    door = Door.GATEWAY

    def initialize(self, api: Api, token: str, accepted: Sequence[str], connections: Connections) -> None:  # type: ignore[override]
        """Take what the route was registered with."""
        super().initialize(api)
        self._token = token
        self._accepted = accepted
        self._connections = connections
        self._stream = self.request.connection.stream  # type: ignore[union-attr]

    def on_finish(self) -> None:
        """Note that the connection is idle again."""
        super().on_finish()
        self._connections.rest(self._stream)

    def clear(self) -> None:
        """Begin the response: with the time that it is made at, and without telling which server this is."""
        super().clear()
        self._headers["Date"] = _date(int(time.time()))

    async def authenticate(self) -> str:
        """Compare the token, in a time that does not depend on where it differs; the connection is in use from then."""
        match = _AUTHORIZATION.fullmatch(self.request.headers.get("Authorization", ""))
        if match is None or not self._is_let_in(match[1]):
            raise UnauthorizedError()
        # Not before: who shows no token must not keep those out who do.
        self._connections.ask(self._stream)
        return "token"

    def _is_let_in(self, shown: str) -> bool:
        is_own = hmac.compare_digest(shown.encode(), self._token.encode())
        return is_own | (bool(self._accepted) and is_token(shown, self._accepted))

    def api_path(self) -> str:
        """Give what follows the API's root in the path."""
        # The raw path: tornado would decode an encoded slash, which belongs to a name.
        root, api, rest = self.request.path.partition("/" + API_PATH)
        if root or not api:
            raise NotFoundError("The API has no such address.")
        return rest


@functools.lru_cache(maxsize=1)
def _date(second: int) -> str:
    return httputil.format_timestamp(second)


class Gateway:
    """Serves the API over TLS on one port.

    Parameters
    ----------
    host, port
        Where to listen; port 0 takes any free one.
    option
        What a person would change if the port is taken.
    max_connections, handshake_seconds, idle_seconds
        See :class:`.Connections` and :class:`.BoundedServer`; 0 connections are as many as open files allow.

    Raises
    ------
    AddressInUseError
        Another process listens there. Nothing was opened.
    """

    def __init__(
        self,
        api: Api,
        *,
        token: str,
        accepted: Sequence[str] = (),
        certificate: Certificate,
        host: str,
        port: int,
        option: str = "--port",
        max_connections: int = 0,
        handshake_seconds: float = HANDSHAKE_SECONDS,
        idle_seconds: float = IDLE_SECONDS,
    ) -> None:
        self._sockets = bind(host, port, option=option)
        self.port: int = self._sockets[0].getsockname()[1]
        self.url = f"https://{_url_host(host)}:{self.port}"
        self.ca_file: Path = certificate.cert_file
        connections = Connections(max_connections or usual_connections(), idle_seconds)
        make = functools.partial(
            GatewayHandler, api=api, token=token, accepted=tuple(accepted), connections=connections
        )
        self._server = BoundedServer(
            Dispatcher(make),
            connections=connections,
            handshake_seconds=handshake_seconds,
            ssl_options=server_context(certificate),
            max_header_size=_MAX_HEADER_BYTES,
        )

    def start(self) -> None:
        """Begin to accept; called on the running event loop."""
        self._server.add_sockets(self._sockets)

    async def stop(self) -> None:
        """Stop accepting and end all connections."""
        self._server.stop()
        await self._server.close_all_connections()
        for each in self._sockets:
            each.close()


def bind(host: str, port: int, *, option: str) -> list[socket.socket]:
    """Open listening sockets.

    Raises
    ------
    AddressInUseError
        Another process listens there.
    InvalidInputError
        The address is none of this machine, or may not be listened on.
    """
    try:
        return netutil.bind_sockets(port, host, backlog=_BACKLOG)
    except OSError as error:
        raise _bind_error(error, host, port, option) from None


def _bind_error(error: OSError, host: str, port: int, option: str) -> MocError:
    if error.errno == errno.EADDRINUSE:
        return AddressInUseError(host, port, option=option)
    if error.errno == errno.EACCES:
        return InvalidInputError(f"Port {port} on {host} is not for this user. Choose one above 1023 with {option}.")
    return InvalidInputError(
        f"Cannot listen on {host}: {error.strerror or error}. Choose an address of this machine with --host."
    )


def _url_host(host: str) -> str:
    if host in ("", "0.0.0.0", "::", "127.0.0.1", "::1", "localhost"):  # noqa: S104 - compared, not bound
        return "localhost"
    return f"[{host}]" if ":" in host else host


def certificate_hosts(host: str) -> list[str]:
    """Give the extra names that a gateway on `host` is reached by."""
    return [] if _url_host(host) == "localhost" else [host]
