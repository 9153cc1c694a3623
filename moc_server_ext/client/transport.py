"""The ways to one server: a pool of connections for requests, another for calls. Finds it again after a restart.

Turns failures into the platform's errors: a refused request into the class that the server named, a broken connection
into :class:`.ServerUnreachableError`.
"""

from __future__ import annotations

import secrets
import ssl
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from ..errors import HandedOverError, InvalidInputError, MocError, ServerUnreachableError, UnauthorizedError, from_json
from .connections import CONNECT_SECONDS, Connections, untrusted_reason
from .parts import PART_BYTES, OnceParts

if TYPE_CHECKING:
    import httpx

API_PATH = "/moc/api/v1/"
_ANSWER_SECONDS = 60.0
_SAFE_TO_REPEAT = frozenset({"GET", "HEAD", "PUT", "DELETE"})


@dataclass(frozen=True, slots=True)
class Address:
    """Where a server is and how to be let in.

    Parameters
    ----------
    url
        Base address, without the API's path.
    ca_file
        Certificate to trust instead of the system's; None trusts the system's.
    """

    url: str
    token: str | None
    ca_file: str | None = None

    def __repr__(self) -> str:
        return f"Address({self.url!r})"  # The token stays out of tracebacks and logs.


class Transport:
    """Sends requests. Thread-safe.

    Parameters
    ----------
    rediscover
        Asked for the address of the present server when the known one does not answer, or no longer takes the token;
        None when there is nothing to ask.
    """

    def __init__(self, address: Address, *, rediscover: Callable[[], Address | None] | None = None) -> None:
        self._address = address
        self._rediscover = rediscover
        self._lock = threading.Lock()
        self._http: httpx.Client | None = None
        self._calls: Connections | None = None
        self._retired: list[httpx.Client] = []
        self._closed = False
        # Those who share a token share the server fairly when it can tell them apart.
        self._headers = {"User-Agent": "moc", "Moc-Client": secrets.token_hex(8)}

    @property
    def address(self) -> Address:
        """Where requests go now."""
        return self._address

    def request(
        self,
        method: str,
        path: str,
        *,
        query: Sequence[tuple[str, str]] = (),
        headers: Mapping[str, str] | None = None,
        body: bytes | OnceParts | None = None,
        answer_seconds: float | None = _ANSWER_SECONDS,
        expected: Sequence[int] = (),
        whole: bool = True,
        repeat: bool = True,
    ) -> httpx.Response:
        """Send one request and wait for the whole answer.

        After a restart of the server the request is sent again, once: if it cannot have been begun, or if doing it
        twice is the same as once.

        Parameters
        ----------
        path
            Behind the API's root, percent-encoded.
        answer_seconds
            How long the server may be silent; None is for ever.
        expected
            Status codes above 400 that are given back instead of raised.
        whole
            Whether to wait for the whole answer; else :meth:`parts` reads it, or the caller closes it.
        repeat
            Whether doing it twice is the same as once, for a method that says so.

        Raises
        ------
        ServerUnreachableError
            No answer, or none of a moc server.
        MocError
            The error that the server answered with, of its class.
        """
        reread = False
        while True:
            http, address = self._pool()
            try:
                return self._send(http, address, method, path, query, headers, body, answer_seconds, expected, whole)
            except ServerUnreachableError as error:
                if not reread and address.ca_file is not None and _is_untrusted(error) and not _is_spent(body):
                    # The server may have made a new certificate, into the same file.
                    reread = True
                    self._open_again(http)
                    continue
                repeatable = (repeat and method in _SAFE_TO_REPEAT) or isinstance(error.__cause__, _connect_errors())
                if not repeatable or _is_spent(body) or not self.find_again(address):
                    raise
            except (UnauthorizedError, HandedOverError):
                # Nothing was done: either may be sent again, whatever it is.
                if _is_spent(body) or not self.find_again(address):
                    raise

    def parts(self, path: str, *, headers: Mapping[str, str], expected: Sequence[int] = ()) -> Iterator[bytes]:
        """Send a GET with the first step of the iteration, and give its answer in parts; `expected` ones have none.

        Raises
        ------
        ServerUnreachableError
            The connection broke before the end of the answer.
        MocError
            The error that the server answered with.
        """
        import httpx

        response = self.request("GET", path, headers=headers, expected=expected, whole=False)
        try:
            if response.status_code not in expected:
                yield from response.iter_bytes(PART_BYTES)
        except httpx.TransportError as error:
            raise ServerUnreachableError(self._address.url, _reason(error)) from error
        finally:
            response.close()

    def hurried(self, seconds: float) -> Transport:
        """Give these connections with less patience: what has no answer after about `seconds` is unreachable."""
        return _HurriedTransport(self, time.monotonic() + seconds)

    def close(self) -> None:
        """Close the connections; idempotent."""
        with self._lock:
            self._closed = True
            pools = [*self._retired, *([] if self._http is None else [self._http])]
            self._http, self._retired = None, []
            calls, self._calls = self._calls, None
        for each in pools:
            each.close()
        if calls is not None:
            calls.close()

    def call_connections(self) -> tuple[Connections, Address]:
        """Give the connections for calls, which pass in both directions at once, and the server that they lead to."""
        with self._lock:
            self._check_open()
            if self._calls is None:
                address = self._address
                self._calls = Connections(
                    address.url, lambda: _tls_context(address), proxied=not _is_local(address.url)
                )
            return self._calls, self._address

    def forget_call_connections(self) -> None:
        """Make new connections for the calls that follow, with the certificate as its file has it then."""
        with self._lock:
            calls, self._calls = self._calls, None
        if calls is not None:
            calls.close()

    def headers(self, address: Address) -> dict[str, str]:
        """Give the headers of every request to `address`.

        Raises
        ------
        InvalidInputError
            The token cannot be one.
        """
        if not address.token:
            return self._headers
        if not address.token.isascii() or not address.token.isprintable() or " " in address.token:
            raise InvalidInputError("The token has characters that no token has; check --token and MOC_TOKEN.")
        return {**self._headers, "Authorization": f"Bearer {address.token}"}

    def find_again(self, failed: Address) -> bool:
        """Turn to the present server; False when that is the one that failed."""
        with self._lock:
            if self._address != failed:
                return True  # Another thread has found it meanwhile.
            found = self._rediscover() if self._rediscover is not None else None
            if found is None or found == failed:
                return False
            # Not closed before the end: other threads may be in the middle of an answer.
            if self._http is not None:
                self._retired.append(self._http)
            if self._calls is not None:
                self._calls.close()  # Those in use are closed when they are given back.
            self._address, self._http, self._calls = found, None, None
            return True

    def _pool(self) -> tuple[httpx.Client, Address]:
        with self._lock:
            self._check_open()
            if self._http is None:
                self._http = _open(self._address, self.headers(self._address))
            return self._http, self._address

    def _check_open(self) -> None:
        if self._closed:
            raise InvalidInputError("This client is closed. Make a new one with connect().")

    def _open_again(self, failed: httpx.Client) -> None:
        """Read the certificate file anew for the next request."""
        with self._lock:
            if self._http is failed:
                self._retired.append(failed)
                self._http = None

    def _timeout(self, answer_seconds: float | None) -> httpx.Timeout:
        import httpx

        return httpx.Timeout(CONNECT_SECONDS, read=answer_seconds, write=_ANSWER_SECONDS, pool=None)

    def _send(
        self,
        http: httpx.Client,
        address: Address,
        method: str,
        path: str,
        query: Sequence[tuple[str, str]],
        headers: Mapping[str, str] | None,
        body: bytes | OnceParts | None,
        answer_seconds: float | None,
        expected: Sequence[int],
        whole: bool,
    ) -> httpx.Response:
        import httpx

        sent = dict(headers or {})
        if isinstance(body, OnceParts) and body.size is not None:
            # Announced, so that a server that takes no body of this size says so before it is sent.
            sent["Content-Length"] = str(body.size)
        try:
            request = http.build_request(
                method,
                address.url.rstrip("/") + API_PATH + path,
                params=list(query) or None,
                headers=sent,
                content=body,  # type: ignore[arg-type]  # memoryviews too: h11 sends them
                timeout=self._timeout(answer_seconds),
            )
            response = http.send(request, stream=True)
            if whole or response.status_code >= 400:
                try:
                    response.read()
                finally:
                    response.close()
        except (httpx.InvalidURL, httpx.UnsupportedProtocol) as error:
            reason = str(error).rstrip(".")
            raise InvalidInputError(f"{address.url!r} is no address of a server: {reason}.", url=address.url) from error
        except httpx.TransportError as error:
            raise ServerUnreachableError(address.url, _reason(error)) from error
        if response.status_code >= 400 and response.status_code not in expected:
            raise error_of(response.status_code, response.headers, response.content, address.url)
        if 300 <= response.status_code < 400 and response.status_code != 304:
            raise ServerUnreachableError(address.url, "it redirects elsewhere, which the API never does")
        return response


class _HurriedTransport(Transport):
    """Another's connections, until a deadline."""

    def __init__(self, patient: Transport, deadline: float) -> None:
        super().__init__(patient.address)
        self._patient = patient
        self._deadline = deadline

    def close(self) -> None:
        """Leave the connections to whose they are."""

    def call_connections(self) -> tuple[Connections, Address]:
        """Give those of the other; a call is bounded by its own limits, not by the deadline."""
        return self._patient.call_connections()

    def forget_call_connections(self) -> None:
        """Forget those of the other."""
        self._patient.forget_call_connections()

    def _pool(self) -> tuple[httpx.Client, Address]:
        return self._patient._pool()

    def _open_again(self, failed: httpx.Client) -> None:
        self._patient._open_again(failed)

    def find_again(self, failed: Address) -> bool:
        return time.monotonic() < self._deadline and self._patient.find_again(failed)

    def _timeout(self, answer_seconds: float | None) -> httpx.Timeout:
        import httpx

        # Never 0, which would refuse even what is already there.
        return httpx.Timeout(max(self._deadline - time.monotonic(), 0.01))


def _open(address: Address, headers: Mapping[str, str]) -> httpx.Client:
    import httpx

    # Loading the system's certificates takes 20 ms and is not needed for plain HTTP.
    verify = False if address.url.startswith("http:") else _tls_context(address)
    # No proxy for what is on this machine.
    return httpx.Client(headers=headers, verify=verify, trust_env=not _is_local(address.url), follow_redirects=False)


def _tls_context(address: Address) -> ssl.SSLContext:
    """Give what the server's certificate is checked with.

    Raises
    ------
    ServerUnreachableError
        The certificate file cannot be read.
    """
    if address.ca_file is None:
        import httpx

        return httpx.create_ssl_context(trust_env=not _is_local(address.url))
    try:
        return ssl.create_default_context(cafile=address.ca_file)
    except (OSError, ssl.SSLError) as error:
        reason = "it holds no certificate" if isinstance(error, ssl.SSLError) else error.strerror
        raise ServerUnreachableError(
            address.url, f"its certificate file {address.ca_file!r} cannot be read ({reason}); check --ca-file"
        ) from error


def _is_local(url: str) -> bool:
    from urllib.parse import urlsplit

    try:
        return urlsplit(url).hostname in ("localhost", "127.0.0.1", "::1")
    except ValueError:
        return False


def _is_spent(body: bytes | OnceParts | None) -> bool:
    return isinstance(body, OnceParts) and body.begun


def _connect_errors() -> tuple[type[Exception], ...]:
    import httpx

    return (httpx.ConnectError, httpx.ConnectTimeout)


def _is_untrusted(error: ServerUnreachableError) -> bool:
    return "CERTIFICATE_VERIFY_FAILED" in str(error.__cause__)


def _reason(error: Exception) -> str:
    text = str(error) or type(error).__name__
    if "CERTIFICATE_VERIFY_FAILED" in text:
        return untrusted_reason(text)
    import httpx

    if isinstance(error, httpx.ConnectError):
        return "the connection was refused" if "refused" in text else text
    if isinstance(error, httpx.TimeoutException):
        return "it did not answer in time"
    return f"the connection broke ({text})"


def error_of(status: int, headers: Mapping[str, str], content: bytes, url: str) -> MocError:
    """Rebuild the error that the server answered with."""
    body: Any = None
    text = headers.get("moc-error") or content
    try:
        import json

        body = json.loads(text)
    except (ValueError, RecursionError):
        body = None
    error = body.get("error") if isinstance(body, dict) else None
    if isinstance(error, dict) and isinstance(error.get("code"), str):
        return from_json(error)
    if status in (401, 403):
        return UnauthorizedError()
    return ServerUnreachableError(url, f"it answered with HTTP status {status}, not as a moc server does")
