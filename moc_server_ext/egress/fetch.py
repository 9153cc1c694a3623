"""One outbound request of a guest: where it may go, redirects, bounds, and its answer in parts.

A host is looked up once. Every address that it has must be allowed, and the connection goes to one of the addresses
that were checked, so a name that changes its answer in between gains nothing. There are no cookies, no proxies and no
credentials but those given; a redirect is a new request that is checked anew.

References
----------
RFC 9110, sections 15.4 (redirection) and 11.6 (credentials).
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import ssl
import time
from collections.abc import Coroutine, Mapping
from typing import Any, Final, TypeVar

from ..errors import LimitExceededError, OutboundRequestError
from ..model.hosts import Address
from .exchange import Exchange, Headers
from .network import Network
from .rules import AllowedHosts
from .urls import Url, parse_url

T = TypeVar("T")

MAX_REDIRECTS: Final = 5
_CONNECT_SECONDS: Final = 10.0
_MAX_ADDRESSES_TRIED: Final = 8
_REDIRECTS: Final = frozenset({301, 302, 303, 307, 308})
_OWN_HEADERS: Final = frozenset(
    {
        "accept-encoding",
        "connection",
        "content-length",
        "expect",
        "host",
        "te",
        "trailer",
        "transfer-encoding",
        "upgrade",
    }
)
_CREDENTIALS: Final = frozenset({"authorization", "cookie", "proxy-authorization"})


class Fetch:
    """A request, its redirects, and the answer in the end.

    :meth:`start`, then :meth:`read` until it gives nothing; :meth:`close` at any time. Used by one task at a time, on
    one event loop.

    Parameters
    ----------
    url
        Checked at once, before anything is looked up.
    headers
        Beside those that belong to the connection, which are ours. Credentials among them stay with the origin of
        `url`.
    function
        Whose request it is; errors name it.
    limit_bytes
        How long the answer's body may be.

    Raises
    ------
    InvalidUrlError, HostNotAllowedError
        The request may not be made.
    """

    __slots__ = ("_allowed", "_body", "_exchange", "_function", "_headers", "_left", "_limit", "_loop", "_method",
                 "_network", "url")  # fmt: skip

    def __init__(
        self,
        url: str | Url,
        *,
        method: str = "GET",
        body: bytes = b"",
        headers: Mapping[str, str] | None = None,
        function: str,
        allowed: AllowedHosts,
        limit_bytes: int,
        network: Network,
    ) -> None:
        self.url: Url = parse_url(url) if isinstance(url, str) else url
        allowed.require(self.url)
        self._method = method
        self._body = body
        self._headers = {name.lower(): value for name, value in (headers or {}).items()}
        if not _OWN_HEADERS.isdisjoint(self._headers):
            raise ValueError("these headers belong to the connection")
        self._function = function
        self._allowed = allowed
        self._limit = self._left = limit_bytes
        self._network = network
        self._exchange: Exchange | None = None
        self._loop: asyncio.AbstractEventLoop | None = None

    @property
    def started(self) -> bool:
        """Whether :meth:`start` was called."""
        return self._loop is not None

    async def start(self, deadline: float) -> tuple[int, dict[str, str]]:
        """Send the request, follow redirects, and give status and headers of the answer.

        Parameters
        ----------
        deadline
            ``time.monotonic()`` at which to give up.

        Returns
        -------
        tuple of int and dict
            Header names are in lower case; values of a repeated one are joined by commas.

        Raises
        ------
        InvalidUrlError, HostNotAllowedError
            A redirect, or an address that the name has, may not be gone to.
        OutboundRequestError
            There is no usable answer.
        LimitExceededError
            The answer announces a longer body than is allowed.
        """
        self._loop = asyncio.get_running_loop()
        for _ in range(MAX_REDIRECTS + 1):
            status, headers = await self._bounded(self._ask(), deadline)
            location = next((value for name, value in headers if name == "location"), None)
            if status not in _REDIRECTS or location is None:
                self._check_announced(headers)
                return status, _joined(headers)
            self.close()
            self._redirect(status, location)
        raise OutboundRequestError(str(self.url), f"there were more than {MAX_REDIRECTS} redirects")

    async def read(self, deadline: float) -> bytes:
        """Wait for the next part of the answer's body, as it came; empty at the end.

        Nothing is decoded: a compressed body is asked not to be, and otherwise is given as it is.

        Raises
        ------
        OutboundRequestError
            The body broke off.
        LimitExceededError
            It is longer than is allowed.
        """
        if self._exchange is None:
            return b""
        part = await self._bounded(self._exchange.part(), deadline)
        self._left -= len(part)
        if self._left < 0:
            self.close()
            raise LimitExceededError(self._function, "response_bytes", self._limit)
        if not part:
            self.close()
        return part

    def close(self) -> None:
        """Drop the connection; from any thread; idempotent."""
        exchange, self._exchange = self._exchange, None
        if exchange is not None and self._loop is not None:
            # A loop that is closed has closed its connections.
            with contextlib.suppress(RuntimeError):
                self._loop.call_soon_threadsafe(exchange.abort)

    # -- inside -------------------------------------------------------------------------------------------------------

    async def _bounded(self, work: Coroutine[Any, Any, T], deadline: float) -> T:
        """Wait for a step until `deadline`; a step that fails drops the connection."""
        limit = asyncio.timeout(max(0.0, deadline - time.monotonic()))
        try:
            async with limit:
                return await work
        except OSError as error:
            self.close()
            reason = "it took longer than the call may" if limit.expired() else _reason(error)
            raise OutboundRequestError(str(self.url), reason) from None
        except BaseException:
            self.close()
            raise

    async def _ask(self) -> tuple[int, Headers]:
        """Make one request and wait for the head of its answer."""
        url = self.url
        self._exchange = await self._connect(url, await self._addresses(url))
        headers = [("host", url.authority), ("accept", "*/*"), ("accept-encoding", "identity"), ("user-agent", "moc"),
                   ("connection", "close")]  # fmt: skip
        headers = [each for each in headers if each[0] not in self._headers] + list(self._headers.items())
        if self._body or self._method not in ("GET", "HEAD"):
            headers.append(("content-length", str(len(self._body))))
        self._exchange.send(self._method, url.target, headers, self._body)
        return await self._exchange.head()

    async def _addresses(self, url: Url) -> list[Address]:
        """Give the addresses of a URL's host, all of them checked."""
        if url.address is not None:
            return [url.address]
        try:
            addresses = await self._network.resolve(url.host, url.port)
        except OSError as error:
            raise OutboundRequestError(str(url), f"the name does not resolve ({_reason(error)})") from None
        for each in addresses:
            self._allowed.require_address(url, each)
        return addresses[:_MAX_ADDRESSES_TRIED]

    async def _connect(self, url: Url, addresses: list[Address]) -> Exchange:
        """Connect to the first address that takes it."""
        server_name = url.host if url.scheme == "https" else None
        reason = "the name has no address"
        for address in addresses:
            try:
                async with asyncio.timeout(_CONNECT_SECONDS):
                    reader, writer = await self._network.connect(address, url.port, server_name)
                return Exchange(reader, writer, str(url))
            except ssl.SSLCertVerificationError as error:
                raise OutboundRequestError(
                    str(url), f"its certificate is not trusted ({error.verify_message})"
                ) from None
            except OSError as error:
                # TimeoutError too, of ours or of the system.
                reason = f"no connection to it ({_reason(error)})"
        raise OutboundRequestError(str(url), reason)

    def _redirect(self, status: int, location: str) -> None:
        """Become the request that a redirect asks for, if it may be made."""
        # Servers write other letters than ASCII as UTF-8, which headers are not.
        target = self.url.joined(location.encode("latin-1").decode(errors="replace"))
        if self.url.scheme == "https" and target.scheme == "http":
            raise OutboundRequestError(str(self.url), "it redirects from https to http, which nobody protects")
        self._allowed.require(target)
        if target.origin != self.url.origin:
            self._headers = {name: value for name, value in self._headers.items() if name not in _CREDENTIALS}
        if (status == 303 and self._method != "HEAD") or (status in (301, 302) and self._method == "POST"):
            self._method, self._body = "GET", b""
            self._headers.pop("content-type", None)
        self.url = target

    def _check_announced(self, headers: Headers) -> None:
        announced = next((int(value) for name, value in headers if name == "content-length"), 0)
        if announced > self._limit and self._method != "HEAD":
            self.close()
            raise LimitExceededError(self._function, "response_bytes", self._limit, found=announced)


def _joined(headers: Headers) -> dict[str, str]:
    joined: dict[str, str] = {}
    for name, value in headers:
        joined[name] = f"{joined[name]}, {value}" if name in joined else value
    return joined


def _reason(error: OSError) -> str:
    """Say in a few words what the system says."""
    if isinstance(error, ssl.SSLError):
        return f"TLS: {error.reason or error}".replace("_", " ").lower()
    # The event loop puts words of its own into strerror.
    told = os.strerror(error.errno) if error.errno and error.errno > 0 else error.strerror
    return told or ("it took too long" if isinstance(error, TimeoutError) else "it broke")
