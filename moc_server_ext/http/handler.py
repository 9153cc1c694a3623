"""From HTTP to operations and back, once for both ports; who may pass is the business of the two bases.

:class:`ApiMixin` reads a request (bounded), hands it to its operation on a worker thread and writes the answer; calls
of functions are handed to :mod:`.streaming` before their body has come. An error leaves as
``{"error": {"code", "message", "details"}}``, whatever it was.
"""

from __future__ import annotations

import asyncio
import functools
import logging
import re
import secrets
from collections.abc import Awaitable, Callable, Generator
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any, cast

from tornado import httputil, web

from ..errors import (
    AccessDeniedError,
    BodyTooLargeError,
    InternalError,
    InvalidInputError,
    MethodNotAllowedError,
    MocError,
    NotFoundError,
    OverloadedError,
    RangeNotSatisfiableError,
    UnavailableError,
)
from ..model import CallRequest
from .answers import choose_answer
from .bodies import BodySink, SilenceWatch, send_parts
from .messages import JSON_CONTENT_TYPE, ApiRequest, ApiResponse, Door, ServedPlatform, parse_query, to_json_bytes
from .metrics import Metrics
from .multipart import FormInputs, form_boundary
from .openapi.document import Documents
from .plain import HEADER_VALUE
from .reply import Reply
from .routes import Operation, find_operation
from .streaming import StreamedCall
from .workers import Workers

if TYPE_CHECKING:
    # A mixin in front of tornado's handler; at run time the two bases bring it.
    _Handler = web.RequestHandler
else:
    _Handler = object

_LOG = logging.getLogger("moc_server_ext.http")
_DRAIN_UNKNOWN_BYTES = 1 << 20
_DRAIN_KNOWN_BYTES = 64 << 20
_ERROR_HEADER_MAX = 8 << 10
_CLIENT_NAME = re.compile(r"[!-~]{1,64}", re.ASCII)


@dataclass(frozen=True, slots=True)
class Api:
    """What handlers need, built once by the composition root.

    Parameters
    ----------
    max_body_bytes
        Largest body that a request may have.
    documents
        The API's own descriptions.
    metrics
        What the server measures of itself.
    hand_over
        Closes the storage for another process, whose id it is given; None for an owner that keeps it.
    silent_seconds
        How long a client may send nothing of a body that is not a call's input, and take nothing of one that goes to
        it in parts.
    """

    platform: ServedPlatform
    workers: Workers
    max_body_bytes: int
    documents: Documents = field(default_factory=Documents)
    metrics: Metrics = field(default_factory=Metrics)
    hand_over: Callable[[int | None], None] | None = None
    silent_seconds: float = 300.0


class ApiMixin(_Handler):
    """One request of the API.

    A refused request whose body is small is read to its end first, into nothing: closing the connection under a client
    that still sends would make it lose the answer.
    """

    api: Api
    door: Door
    _ignored_parameters: frozenset[str] = frozenset()

    def initialize(self, api: Api) -> None:
        """Take what the route was registered with."""
        self.api = api
        self._parts: list[bytes] = []
        self._size = 0
        self._refusal: MocError | None = None
        self._call: StreamedCall | None = None
        self._sink: BodySink | None = None
        self._watch: SilenceWatch | None = None
        self._work: asyncio.Future[Any] | None = None
        self._is_gone = False

    async def authenticate(self) -> str:
        """Give the caller's name for the platform, or raise what refuses the request; each base has its own."""
        raise NotImplementedError

    def api_path(self) -> str:
        """Give what follows the API's root in the path, still encoded; NotFoundError if the path is not below it."""
        raise NotImplementedError

    # -- the request --------------------------------------------------------------------------------------------------

    async def prepare(self) -> None:
        """Authenticate before a byte of the body is kept, and open what will take it."""
        await self._admit()
        # A call's own timeout ends the wait for its input, once it has begun.
        begins_late = self._call is None or self._call.awaits_all
        if begins_late and (self._announced_length() or "Transfer-Encoding" in self.request.headers):
            self._watch = SilenceWatch(self.api.silent_seconds, self._hang_up, is_busy=self._is_storing)

    async def _admit(self) -> None:
        try:
            caller = await self.authenticate()
        except (MocError, web.HTTPError) as error:
            refusal = self._as_moc_error(error.status_code if isinstance(error, web.HTTPError) else 0, error)
            self._refuse(refusal, _DRAIN_UNKNOWN_BYTES)
            return
        try:
            self._caller = caller + self._client_name()
            if self._announced_length() > self.api.max_body_bytes:
                raise BodyTooLargeError(self.api.max_body_bytes)
            self._open()
        except MocError as error:
            self._refuse(error, _DRAIN_KNOWN_BYTES)
        else:
            # A body of unknown length is answered a little before tornado would cut it off without a word.
            self._allow_body(self.api.max_body_bytes + 2 * _DRAIN_KNOWN_BYTES)

    def _open(self) -> None:
        """Find the operation, and what takes the body while it comes."""
        if self.request.headers.get("Content-Encoding", "identity").lower() != "identity":
            raise InvalidInputError(
                "The body comes with a Content-Encoding, which this API does not take: send it as it is."
            )
        path, method = self.api_path(), self.request.method or ""
        segments = tuple(path.split("/"))
        self._route, self._operation = find_operation(method, segments)
        self._api_request = self._read_head(path, segments)
        if self._route.streamed:
            self._open_call(cast(CallRequest, self._operation(self._api_request)))
        elif method in self._route.receives:
            begin = self._route.receives[method]
            self._sink = BodySink(functools.partial(begin, self._api_request), self.api.workers)

    def _is_storing(self) -> bool:
        return self._sink is not None and self._sink.busy

    def _open_call(self, request: CallRequest) -> None:
        is_chunked = "Transfer-Encoding" in self.request.headers
        boundary = form_boundary(self._api_request.headers)
        self._call = StreamedCall(
            self.api.platform,
            request,
            choose_answer(self._api_request.headers, self.api.workers, self.api.max_body_bytes),
            Reply(self),
            announced_bytes=None if is_chunked else self._announced_length(),
            max_body_bytes=self.api.max_body_bytes,
            form=None if boundary is None else FormInputs(boundary),
        )

    def _read_head(self, path: str, segments: tuple[str, ...]) -> ApiRequest:
        query = parse_query(self.request.query) if self.request.query else ()
        if self._ignored_parameters:
            query = tuple(pair for pair in query if pair[0] not in self._ignored_parameters)
        return ApiRequest(
            platform=self.api.platform,
            method=self.request.method or "",
            root=self.request.path.removesuffix(path),
            segments=segments,
            describe=functools.partial(self.api.documents.body, self.door),
            measure=self.api.metrics.text,
            query=query,
            headers=self.request.headers,
            caller=self._caller,
            hand_over=self.api.hand_over,
            max_body_bytes=self.api.max_body_bytes,
        )

    def _client_name(self) -> str:
        """Give what sets the clients that share a token apart, by what they say themselves."""
        name = self.request.headers.get("Moc-Client")
        if name is None:
            return ""
        if not _CLIENT_NAME.fullmatch(name):
            raise InvalidInputError("The header Moc-Client is not 1 to 64 visible ASCII characters.")
        return f"/{name}"

    def _refuse(self, error: MocError, drain_bytes: int) -> None:
        if self._announced_length() > drain_bytes:
            raise error
        self._refusal = error
        self._allow_body(drain_bytes)

    def _announced_length(self) -> int:
        text = self.request.headers.get("Content-Length", "")
        return int(text) if text.isascii() and text.isdigit() and len(text) < 20 else 0

    def _allow_body(self, limit: int) -> None:
        # tornado's own limit is one of the whole server, and smaller; beyond this one it closes the connection.
        set_limit = getattr(self.request.connection, "set_max_body_size", None)
        if set_limit is not None:
            set_limit(limit)

    def data_received(self, chunk: bytes) -> Awaitable[None] | None:
        """Keep one part of the body or hand it on, or drop it if the request is refused."""
        if self._watch is not None:
            self._watch.heard()
        if self._call is not None and self._refusal is None:
            return self._call.take(chunk)
        self._size += len(chunk)
        if self._refusal is not None:
            if self._size > self.api.max_body_bytes + _DRAIN_KNOWN_BYTES:
                self.answer_error(self._refusal)
            return None
        if self._size > self.api.max_body_bytes:
            self._parts.clear()
            self._refusal = BodyTooLargeError(self.api.max_body_bytes)
            self._let_go()
            return None
        if self._sink is not None:
            return self._sink.feed(chunk)
        self._parts.append(chunk)
        return None

    def _let_go(self) -> None:
        """Leave nothing of a body that was received and not stored."""
        if self._sink is not None:
            self._sink.discard()

    async def answer(self) -> None:
        """Answer the request, whose body is complete."""
        if self._watch is not None:
            self._watch.stop()
        if self._refusal is not None:
            raise self._refusal
        if self._call is not None:
            await self._call.finish()
            # The two know each other: rings like this one are what the collector of garbage takes its time for.
            self._call = None
        else:
            await self._run_operation()
        if self._is_gone and not self._finished:
            # For the log alone: nobody reads it, and it is no fault of the server's.
            self.set_status(499, "Client Closed Request")

    async def answer_to_end(self) -> None:
        """Do as :meth:`answer` does, and end also a response that has nobody who would read it."""
        await self.answer()
        if not self._finished:
            self.finish()

    def answer_error(self, error: Exception) -> None:
        """Answer with an error that ended the handling of the request."""
        if not self._finished:
            self.send_error(500, exc_info=(type(error), error, error.__traceback__))

    async def _run_operation(self) -> None:
        request = replace(self._api_request, body=b"".join(self._parts))
        self._parts.clear()
        operation = cast(Operation, self._operation)
        at_once = self._route.at_once.get(request.method)
        answered = None if at_once is None else at_once(request)
        if answered is not None:
            self.respond(answered)
            return
        work = (
            self.api.workers.run(functools.partial(operation, request))
            if self._sink is None
            else self._sink.finish(operation, request)
        )
        self._work = asyncio.ensure_future(work)
        try:
            response = await self._work
        except asyncio.CancelledError:
            if not self._is_gone:
                raise UnavailableError("The server is shutting down.") from None
            return
        if response.parts is None:
            self.respond(response)
        else:
            await self._send(response, response.parts)

    def on_finish(self) -> None:
        """Leave nothing of a body whose request was refused or failed; what is stored stays."""
        super().on_finish()
        if self._watch is not None:
            self._watch.stop()
        self._let_go()

    def on_connection_close(self) -> None:
        """End what the request began: its guest, its wait for a thread, and what it was about to store."""
        super().on_connection_close()
        self._is_gone = True
        if self._watch is not None:
            self._watch.stop()
        if self._call is not None:
            self._call.abandon()
        self._let_go()
        if self._work is not None:
            self._work.cancel()

    def _hang_up(self) -> None:
        # What tornado's connections have, and its interface for them has not.
        self.request.connection.close()  # type: ignore[union-attr]

    def leave(self) -> None:
        """Close the connection to a client that is gone."""
        self._hang_up()
        # Tornado tells only what it noticed itself.
        self.on_connection_close()

    # -- answers ------------------------------------------------------------------------------------------------------

    async def _send(self, response: ApiResponse, parts: Generator[bytes, None, None]) -> None:
        """Write an answer in parts. What fails after the first of them leaves the client with an unfinished answer."""
        self.set_head(response)
        # Without a length the answer is chunked: its end is known when it comes.
        if response.length is not None:
            self.set_header("Content-Length", str(response.length))
        self._work = asyncio.ensure_future(
            send_parts(self, parts, self.api.workers, silent_seconds=self.api.silent_seconds)
        )
        try:
            await self._work
        except (asyncio.CancelledError, TimeoutError, OSError):
            self._hang_up()  # The client is gone, or takes nothing, or the server ends.
        except MocError as error:
            if not self._headers_written:
                raise
            _LOG.error("%s %s was cut off: %s", self.request.method, self.request.path, error.message)
            self._hang_up()
        self.finish_with(None, None)

    def set_head(self, response: ApiResponse) -> None:
        """Set the status and the headers of `response`, for who writes its body in parts."""
        self.set_status(response.status)
        # Past `set_header`, which takes longer; what it would refuse is refused here.
        headers = self._headers
        headers["X-Content-Type-Options"] = "nosniff"
        headers["Cache-Control"] = "no-store"
        if response.sandboxed:
            headers["Content-Security-Policy"] = "sandbox"
        for name, value in (*response.headers.items(), ("Content-Type", response.content_type)):
            if not HEADER_VALUE.fullmatch(value):
                raise ValueError(f"{value!r} cannot be the value of the header {name}")
            headers[name] = value

    def respond(self, response: ApiResponse) -> None:
        """Write a whole response."""
        self.set_head(response)
        if response.status in (204, 304):
            self.finish_with(None, None)
            return
        if self.request.method == "HEAD":
            length = len(response.body) if response.length is None else response.length
            self.set_header("Content-Length", str(length))
            self.finish_with(None, response.content_type)
            return
        self.finish_with(response.body, response.content_type)

    def finish_with(self, body: bytes | None, content_type: str | None) -> None:
        """End the response; a base whose `finish` sets a type of its own overrides this."""
        if content_type is None:
            self.clear_header("Content-Type")
        self.finish(body)

    def compute_etag(self) -> str | None:
        """Compute nothing: operations that have an ETag set it."""
        return None

    def write_error(self, status_code: int, **kwargs: Any) -> None:
        """Answer with the error's JSON; tornado calls this for every exception."""
        exc_info = kwargs.get("exc_info")
        self.respond(self.error_response(self._as_moc_error(status_code, exc_info[1] if exc_info else None)))

    def error_response(self, error: MocError) -> ApiResponse:
        """Make the response to an error."""
        headers: dict[str, str] = {}
        if isinstance(error, MethodNotAllowedError):
            headers["Allow"] = ", ".join(error.details["allowed"])
        if isinstance(error, OverloadedError):
            headers["Retry-After"] = str(max(1, round(error.details["retry_after_seconds"])))
        if isinstance(error, RangeNotSatisfiableError):
            headers["Content-Range"] = f"bytes */{error.details['size']}"
        if error.http_status == 401:
            headers["WWW-Authenticate"] = "Bearer"
        body = to_json_bytes({"error": _finite(error.to_json())})
        if self.request.method == "HEAD" and len(body) <= _ERROR_HEADER_MAX:
            # A HEAD has no body that could tell the reason.
            headers["Moc-Error"] = body.decode().strip()
        return ApiResponse(error.http_status, body, JSON_CONTENT_TYPE, headers)

    def explain(self, error: BaseException) -> MocError:
        """Give what people are told of an error; one that nobody foresaw is logged."""
        return self._as_moc_error(500, error)

    def _as_moc_error(self, status_code: int, error: BaseException | None) -> MocError:
        if self._refusal is not None:
            return self._refusal  # Says more than the base's own guard, which stops the method afterwards.
        if isinstance(error, MocError):
            return error
        if isinstance(error, web.HTTPError | httputil.HTTPInputError) and status_code < 500:
            return _from_http(status_code, error, self.request.method or "")
        incident = secrets.token_hex(4)
        _LOG.error("Incident %s: %s %s", incident, self.request.method, self.request.path, exc_info=error)
        return InternalError(incident)

    def send_error(self, status_code: int = 500, **kwargs: Any) -> None:
        """Answer with an error, unless an answer is under way already."""
        if self._headers_written:
            _LOG.error("%s %s failed while it was answered", self.request.method, self.request.path)
            if not self._finished:
                self.finish()
            return
        self.clear()
        self.write_error(status_code, **kwargs)

    def log_exception(self, *args: Any) -> None:
        """Log nothing: `write_error` logs what nobody foresaw, and the client is told about the rest."""


def _from_http(status_code: int, error: BaseException, method: str) -> MocError:
    text = getattr(error, "log_message", None) or str(error)
    if status_code == 404:
        return NotFoundError("The API has no such address.")
    if status_code == 405:
        return MethodNotAllowedError(method, allowed=["DELETE", "GET", "HEAD", "POST", "PUT"])
    if status_code in (401, 403):
        return AccessDeniedError(f"The request was refused: {text}.")
    return InvalidInputError(f"The request cannot be read: {text}.")


def _finite(value: Any) -> Any:
    """Replace what JSON cannot say (an infinite limit, bytes) by text."""
    if isinstance(value, dict):
        return {str(name): _finite(each) for name, each in value.items()}
    if isinstance(value, list | tuple):
        return [_finite(each) for each in value]
    if isinstance(value, float) and value - value != 0:
        return str(value)
    return value if isinstance(value, str | int | float | bool | None) else str(value)
