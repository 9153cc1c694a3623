"""Calls over HTTP: frames come back while the input still goes out, and the connection's end is the guest's.

One call is one request. What the server did not begin (it was busy, restarted, or the connection never came about) is
asked for again; what it began never is.
"""

from __future__ import annotations

import contextlib
import json
import secrets
import threading
import time
from collections.abc import Callable
from dataclasses import replace
from typing import Any, Final
from urllib.parse import urlencode

from ..abc import CallStreams
from ..errors import (
    CancelledError,
    ConnectionLostError,
    HandedOverError,
    InvalidInputError,
    MocError,
    OverloadedError,
    ServerUnreachableError,
    UnauthorizedError,
    from_json,
)
from ..frames import CONTENT_TYPE, Decoder, Frame
from ..model import CallInput, CallRequest, CallResult
from .connection import Answer, BrokenConnectionError, Connection
from .connections import NotConnectedError
from .feed import Feed
from .form import Form, headers_to_send
from .transport import API_PATH, Address, Transport, error_of

OVERLOADED_SECONDS: Final = 30.0
"""How long a call that finds the server busy is tried again."""

_ERROR_BYTES: Final = 1 << 20


class HttpCall:
    """One call through a server. :meth:`run` blocks; :meth:`cancel` may come from any thread.

    Parameters
    ----------
    path
        Behind the API's root, percent-encoded, with its query.
    """

    def __init__(self, transport: Transport, path: str, request: CallRequest, streams: CallStreams) -> None:
        self._transport = transport
        self._path = path
        self._request = request
        self._streams = streams
        inputs = (CallInput(request.input, request.input_headers), *request.more_inputs)
        self._form = Form(inputs) if request.more_inputs else None
        self._cancelled = threading.Event()
        self._connection: Connection | None = None

    def cancel(self) -> None:
        """End the call; idempotent, returns at once."""
        self._cancelled.set()
        connection = self._connection
        if connection is not None:
            connection.abort()

    def run(self) -> CallResult:
        """Run it to its end; any exception closes the connection, which cancels the guest.

        Raises
        ------
        MocError
            As :meth:`..abc.Platform.call_sync` does.
        CancelledError
            :meth:`cancel` was called.
        """
        self._tell("")
        source = self._streams.source
        if self._form is None:
            whole = [memoryview(self._request.input).cast("B")]
        else:
            whole = self._form.body()
            source = source if source is None else self._form.body_from(source)
        body = whole if source is None else Feed(source)
        try:
            return self._until_taken(body)
        finally:
            if isinstance(body, Feed):
                body.close()

    def _until_taken(self, body: list[memoryview] | Feed) -> CallResult:
        deadline = time.monotonic() + OVERLOADED_SECONDS
        reread = False
        while True:
            address = self._transport.address
            try:
                return self._once(body)
            except OverloadedError as error:
                seconds = _wait_seconds(error)
                if time.monotonic() + seconds > deadline or not _again(body):
                    raise
                self._cancelled.wait(seconds)
            except ServerUnreachableError as error:
                if not isinstance(error.__cause__, NotConnectedError):
                    raise
                if not reread and error.__cause__.is_untrusted:
                    # The server may have made a new certificate, into the same file.
                    reread = True
                    self._transport.forget_call_connections()
                elif not self._transport.find_again(address) or not _again(body):
                    raise
            except (UnauthorizedError, HandedOverError):
                if not self._transport.find_again(address) or not _again(body):
                    raise

    def _once(self, body: list[memoryview] | Feed) -> CallResult:
        if self._cancelled.is_set():
            raise CancelledError(self._request.function)
        connections, address = self._transport.call_connections()
        headers = [("Host", connections.host), *self._transport.headers(address).items()]
        headers.append(("Accept", CONTENT_TYPE))
        if self._form is None:
            headers += headers_to_send(self._request.input_headers)
        else:
            headers.append(("Content-Type", self._form.content_type))
        try:
            connection = connections.take()
        except NotConnectedError as error:
            raise ServerUnreachableError(address.url, str(error)) from error
        collected = _Collected(self._streams)
        try:
            self._connection = connection
            if self._cancelled.is_set():
                raise CancelledError(self._request.function)
            answer = connection.begin("POST", f"{connections.prefix}{API_PATH}{self._path}", headers, body)
            result = self._read(connection, answer, address, collected)
        except BrokenConnectionError as error:
            connection.close()
            if self._cancelled.is_set():
                raise CancelledError(self._request.function) from None
            raise ConnectionLostError(address.url, str(error), output_bytes=collected.output_bytes) from error
        except BaseException:
            connection.close()
            raise
        finally:
            self._connection = None
        connections.give(connection)
        if isinstance(result, MocError):
            raise result
        return result

    def _read(
        self, connection: Connection, answer: Answer, address: Address, collected: _Collected
    ) -> CallResult | MocError:
        if answer.status >= 400:
            return _refusal(connection, answer, address)
        if answer.status != 200 or answer.headers.get("content-type") != CONTENT_TYPE:
            raise ServerUnreachableError(address.url, "its answer to a call is not one that this client understands")
        decoder = Decoder()
        end: CallResult | MocError | None = None
        try:
            while part := connection.part():
                for kind, payload in decoder.feed(part):
                    if end is not None:
                        raise InvalidInputError("A frame came behind the last one.")
                    if kind is Frame.OUTPUT:
                        collected.take_output(payload)
                    elif kind is Frame.STDERR:
                        collected.take_stderr(payload)
                    elif kind is Frame.BEGIN:
                        collected.call_id = str(json.loads(payload)["call_id"])
                        self._tell(collected.call_id)
                    elif kind is Frame.RESULT:
                        end = collected.result(json.loads(payload))
                    else:
                        end = from_json(json.loads(payload))
        except _TakerError as error:
            raise error.raised from None
        except BrokenConnectionError:
            if end is None:
                raise
            return end  # Everything was said; the connection is closed by `give`, which finds it unfinished.
        except (InvalidInputError, ValueError, KeyError, TypeError, AttributeError, RecursionError) as error:
            raise ServerUnreachableError(
                address.url, "its answer to a call is not one that this client understands"
            ) from error
        if end is None:
            raise BrokenConnectionError("it was closed")
        return end

    def _tell(self, call_id: str) -> None:
        if self._streams.begun is not None:
            self._streams.begun(call_id, self.cancel)


def call_path(name: str, request: CallRequest, limits: list[tuple[str, str]]) -> str:
    """Give the address of a call behind the API's root; `name` is encoded already.

    Raises
    ------
    InvalidInputError
        An argument or a variable cannot be sent: it is no Unicode text.
    """
    query = [("arg", each) for each in request.arguments]
    query += [("env", f"{variable}={value}") for variable, value in request.env.items()]
    query += limits
    if request.mode is not None:
        query.append(("mode", request.mode.value))
    if request.entry is not None:
        query.append(("entry", request.entry))
    try:
        return f"functions/{name}/call" + (f"?{urlencode(query)}" if query else "")
    except UnicodeEncodeError:
        raise InvalidInputError("Arguments, variables and entry points must be valid Unicode text.") from None


class _TakerError(Exception):
    """What a taker of parts raised: it must not be mistaken for what the server did."""

    def __init__(self, raised: BaseException) -> None:
        super().__init__()
        self.raised = raised


class _Collected:
    """What came of a call: handed on as it comes, or kept."""

    def __init__(self, streams: CallStreams) -> None:
        self._streams = streams
        self._output: list[bytes] = []
        self._stderr: list[bytes] = []
        self._size = 0
        self.call_id = ""

    def take_output(self, part: bytes) -> None:
        """Take a part of the output."""
        self._size += len(part)
        _hand_on(self._streams.output or self._output.append, part)

    def take_stderr(self, part: bytes) -> None:
        """Take a part of the guest's stderr."""
        _hand_on(self._streams.stderr or self._stderr.append, part)

    def result(self, body: Any) -> CallResult:
        """Give the result of the call, with what was kept."""
        result = CallResult.from_json({**body, "output": "", "stderr": ""})
        return replace(result, output=b"".join(self._output), stderr=b"".join(self._stderr))

    @property
    def output_bytes(self) -> int | None:
        """How much output came; None before the call began."""
        return self._size if self.call_id else None


def _hand_on(take: Callable[[bytes], None], part: bytes) -> None:
    try:
        take(part)
    except Exception as error:
        raise _TakerError(error) from error


def _refusal(connection: Connection, answer: Answer, address: Address) -> MocError:
    content = bytearray()
    # Without its end the status still says something.
    with contextlib.suppress(BrokenConnectionError):
        while len(content) < _ERROR_BYTES and (part := connection.part()):
            content += part
    return error_of(answer.status, answer.headers, bytes(content), address.url)


def _wait_seconds(error: OverloadedError) -> float:
    asked = error.details.get("retry_after_seconds")
    seconds = float(asked) if isinstance(asked, int | float) and 0 <= asked < 3600 else 1.0
    # Those who were refused together must not come back together.
    return seconds * (1 + secrets.randbelow(500) / 1000)


def _again(body: list[memoryview] | Feed) -> bool:
    """Make the input ready to be sent once more; False when too much of it is gone."""
    return not isinstance(body, Feed) or body.rewind()
