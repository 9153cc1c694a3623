"""The platform over HTTP: the nouns of :mod:`..abc`, each method one request."""

from __future__ import annotations

import base64
import copy
import json
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any
from urllib.parse import quote

from ..abc import Bytes, CallStreams, Platform
from ..errors import InvalidInputError, ServerUnreachableError
from ..model import (
    DEFAULT_CONTENT_TYPE,
    WASM_CONTENT_TYPE,
    BlobRecord,
    BufferRecord,
    CallRecord,
    CallRequest,
    CallResult,
    Declaration,
    FunctionRecord,
    MapReduce,
    Number,
    RunRecord,
    parse_blob_id,
)
from .calls import HttpCall, call_path
from .owned import OwnedPlatform
from .parts import OnceParts
from .transport import Address, Transport

if TYPE_CHECKING:
    import httpx

_RANGE_NOT_SATISFIABLE = 416
# A large body is synchronised to the disk before the answer.
_STORED_SECONDS = 600.0


def hurried(platform: Platform, seconds: float) -> Platform:
    """Give `platform` to somebody who cannot wait: a server has about `seconds` from now to answer in.

    What has no answer by then raises ServerUnreachableError. An embedded platform answers at once anyway.
    """
    return platform.hurried(seconds) if isinstance(platform, HttpPlatform | OwnedPlatform) else platform


class HttpPlatform:
    """A server's platform. Thread-safe; implements :class:`~..abc.Platform`.

    Parameters
    ----------
    url
        Base address, without the API's path.
    rediscover
        See :class:`.transport.Transport`.
    """

    def __init__(
        self,
        url: str,
        token: str | None,
        ca_file: str | None = None,
        *,
        rediscover: Callable[[], Address | None] | None = None,
    ) -> None:
        self._use(Transport(Address(url, token, ca_file), rediscover=rediscover))

    def _use(self, transport: Transport) -> None:
        self._transport = transport
        self.functions = HttpFunctions(transport)
        self.blobs = HttpBlobs(transport)
        self.buffers = HttpBuffers(transport)
        self.kv = HttpKeyValues(transport)
        self.calls = HttpCalls(transport)
        self.runs = HttpRuns(transport)

    @property
    def url(self) -> str:
        """Base address of the server that answers now."""
        return self._transport.address.url

    def call_sync(self, request: CallRequest, streams: CallStreams | None = None) -> CallResult:
        """Run a function and wait for its end; see :meth:`..abc.Platform.call_sync`.

        A server that is busy is asked again for up to half a minute. The connection is the call's life: when it is
        closed, by an interrupt or by the end of this process, the guest is cancelled.

        Raises
        ------
        ConnectionLostError
            It broke in the middle; the server cancels the guest then, if it still lives.
        """
        path = call_path(_encode(request.function), request, _limit_parameters(request.limits))
        return HttpCall(self._transport, path, request, streams or CallStreams()).run()

    def status(self) -> dict[str, Any]:
        """Tell what runs."""
        facts: dict[str, Any] = _read_json(self._transport, self._transport.request("GET", "status"), dict)
        return facts

    def hurried(self, seconds: float) -> HttpPlatform:
        """Give the same platform for the next `seconds`; what has no answer by then is unreachable."""
        platform = copy.copy(self)
        platform._use(self._transport.hurried(seconds))
        return platform

    def close(self) -> None:
        """Close the connections; idempotent."""
        self._transport.close()


class _Noun:
    def __init__(self, transport: Transport) -> None:
        self._transport = transport

    def _get(self, path: str, read: Callable[[Any], Any], query: Sequence[tuple[str, str]] = ()) -> Any:
        return _read_json(self._transport, self._transport.request("GET", path, query=query), read)

    def _read(self, path: str, start: int, stop: int | None) -> bytes:
        """Read bytes ``[start, stop)``, cut off at the end."""
        if start < 0 or (stop is not None and stop < 0):
            raise InvalidInputError(f"A range of bytes is counted from the start: [{start}, {stop}) is none.")
        if stop is not None and stop <= start:
            self._transport.request("HEAD", path)
            return b""
        headers = _range_headers(start, stop)
        response = self._transport.request("GET", path, headers=headers, expected=[_RANGE_NOT_SATISFIABLE])
        return b"" if response.status_code == _RANGE_NOT_SATISFIABLE else response.content

    def _parts(self, path: str, start: int, stop: int | None) -> Iterator[bytes]:
        if start < 0 or (stop is not None and stop <= start):
            part = self._read(path, start, stop)
            return iter([part] if part else [])
        return self._transport.parts(path, headers=_range_headers(start, stop), expected=[_RANGE_NOT_SATISFIABLE])

    def _store(
        self, method: str, path: str, content: Bytes | Iterable[Bytes], headers: Mapping[str, str]
    ) -> httpx.Response:
        body = bytes(content) if isinstance(content, bytes | bytearray | memoryview) else OnceParts(content)
        return self._transport.request(method, path, headers=headers, body=body, answer_seconds=_STORED_SECONDS)

    def _stat(self, path: str, read: Callable[[Any], Any]) -> Any:
        response = self._transport.request("HEAD", path)
        return _parse(self._transport, response.headers.get("moc-record", ""), read)


class HttpFunctions(_Noun):
    """See :class:`~..abc.Functions`."""

    def put(
        self,
        name: str,
        content: bytes,
        declaration: Declaration = Declaration(),
        content_type: str = WASM_CONTENT_TYPE,
    ) -> FunctionRecord:
        """Register `content` under `name`."""
        query = [("grant", each) for each in sorted(declaration.grants.permissions)]
        query += [("allow-host", each) for each in sorted(declaration.grants.allowed_hosts)]
        query += _limit_parameters(declaration.limits)
        if declaration.mode is not None:
            query.append(("mode", declaration.mode.value))
        if declaration.entry is not None:
            query.append(("entry", declaration.entry))
        query += [(flag, "true") for flag in ("reusable", "deterministic") if getattr(declaration, flag)]
        response = self._transport.request(
            "PUT",
            f"functions/{_encode(name)}",
            query=query,
            headers={"Content-Type": content_type},
            body=bytes(content),
        )
        record: FunctionRecord = _read_json(self._transport, response, FunctionRecord.from_json)
        return record

    def get(self, name: str) -> FunctionRecord:
        """Look a function up."""
        record: FunctionRecord = self._get(f"functions/{_encode(name)}", FunctionRecord.from_json)
        return record

    def list(self) -> Sequence[FunctionRecord]:
        """List all functions, sorted by name."""
        records: Sequence[FunctionRecord] = self._get("functions", _listed("functions", FunctionRecord.from_json))
        return records

    def delete(self, name: str) -> None:
        """Remove the name."""
        self._transport.request("DELETE", f"functions/{_encode(name)}")


class HttpBlobs(_Noun):
    """See :class:`~..abc.Blobs`."""

    def put(self, content: Bytes | Iterable[Bytes], content_type: str = DEFAULT_CONTENT_TYPE) -> BlobRecord:
        """Store `content`, bytes or the parts of them."""
        response = self._store("POST", "blobs", content, {"Content-Type": content_type})
        record: BlobRecord = _read_json(self._transport, response, BlobRecord.from_json)
        return record

    def stat(self, blob_id: str) -> BlobRecord:
        """Look a blob up without reading it."""
        record: BlobRecord = self._stat(f"blobs/{parse_blob_id(blob_id)}", BlobRecord.from_json)
        return record

    def read(self, blob_id: str, start: int = 0, stop: int | None = None) -> bytes:
        """Read bytes ``[start, stop)``."""
        return self._read(f"blobs/{parse_blob_id(blob_id)}", start, stop)

    def parts(self, blob_id: str, start: int = 0, stop: int | None = None) -> Iterator[bytes]:
        """Read bytes ``[start, stop)`` in parts."""
        return self._parts(f"blobs/{parse_blob_id(blob_id)}", start, stop)


class HttpBuffers(_Noun):
    """See :class:`~..abc.Buffers`."""

    def put(
        self,
        name: str,
        content: Bytes | Iterable[Bytes],
        content_type: str = DEFAULT_CONTENT_TYPE,
        headers: Mapping[str, str] | None = None,
    ) -> BufferRecord:
        """Store `content`, bytes or the parts of them, under `name`."""
        sent = {"Content-Type": content_type}
        if headers is not None:
            sent["Moc-Headers"] = json.dumps(dict(headers))
        response = self._store("PUT", f"buffers/{_encode(name)}", content, sent)
        record: BufferRecord = _read_json(self._transport, response, BufferRecord.from_json)
        return record

    def stat(self, name: str) -> BufferRecord:
        """Look a buffer up without reading it."""
        record: BufferRecord = self._stat(f"buffers/{_encode(name)}", BufferRecord.from_json)
        return record

    def read(self, name: str, start: int = 0, stop: int | None = None) -> bytes:
        """Read bytes ``[start, stop)``."""
        return self._read(f"buffers/{_encode(name)}", start, stop)

    def parts(self, name: str, start: int = 0, stop: int | None = None) -> Iterator[bytes]:
        """Read bytes ``[start, stop)`` in parts."""
        return self._parts(f"buffers/{_encode(name)}", start, stop)

    def list(self) -> Sequence[BufferRecord]:
        """List all buffers, sorted by name."""
        records: Sequence[BufferRecord] = self._get("buffers", _listed("buffers", BufferRecord.from_json))
        return records

    def delete(self, name: str) -> None:
        """Remove the buffer."""
        self._transport.request("DELETE", f"buffers/{_encode(name)}")


class HttpKeyValues(_Noun):
    """See :class:`~..abc.KeyValues`."""

    def set(self, key: bytes, value: Bytes) -> None:
        """Store a value."""
        self._transport.request(
            "PUT", f"kv/{_encode(key)}", headers={"Content-Type": DEFAULT_CONTENT_TYPE}, body=bytes(value)
        )

    def get(self, key: bytes) -> bytes:
        """Read a value."""
        return bytes(self._transport.request("GET", f"kv/{_encode(key)}").content)

    def list(self, prefix: bytes = b"", *, limit: int = 1000, after: bytes | None = None) -> Sequence[bytes]:
        """List keys in bytewise order."""
        query = [("prefix_base64", base64.b64encode(prefix).decode()), ("limit", str(limit))]
        if after is not None:
            query.append(("after_base64", base64.b64encode(after).decode()))
        keys: Sequence[bytes] = self._get(
            "kv", _listed("keys", lambda each: base64.b64decode(each["base64"], validate=True)), query
        )
        return keys

    def delete(self, key: bytes) -> None:
        """Remove a key."""
        self._transport.request("DELETE", f"kv/{_encode(key)}")


class HttpCalls(_Noun):
    """See :class:`~..abc.Calls`."""

    def get(self, call_id: str) -> CallRecord:
        """Tell how a call is."""
        record: CallRecord = self._get(f"calls/{_encode(call_id)}", CallRecord.from_json)
        return record

    def cancel(self, call_id: str) -> CallRecord:
        """End a call."""
        response = self._transport.request("DELETE", f"calls/{_encode(call_id)}")
        record: CallRecord = _read_json(self._transport, response, CallRecord.from_json)
        return record


class HttpRuns(_Noun):
    """See :class:`~..abc.Runs`."""

    def start(self, plan: MapReduce) -> RunRecord:
        """Begin a run in the background."""
        response = self._transport.request(
            "POST",
            "runs",
            headers={"Content-Type": "application/json"},
            body=json.dumps(plan.to_json()).encode(),
        )
        record: RunRecord = _read_json(self._transport, response, RunRecord.from_json)
        return record

    def get(self, run_id: str) -> RunRecord:
        """Tell how far a run is."""
        record: RunRecord = self._get(f"runs/{_encode(run_id)}", RunRecord.from_json)
        return record

    def output(self, run_id: str) -> bytes:
        """Give the output of a finished run."""
        return bytes(self._transport.request("GET", f"runs/{_encode(run_id)}/output", answer_seconds=None).content)

    def list(self) -> Sequence[RunRecord]:
        """List the recent runs, newest first."""
        records: Sequence[RunRecord] = self._get("runs", _listed("runs", RunRecord.from_json))
        return records

    def cancel(self, run_id: str) -> RunRecord:
        """End a run."""
        response = self._transport.request("DELETE", f"runs/{_encode(run_id)}")
        record: RunRecord = _read_json(self._transport, response, RunRecord.from_json)
        return record


def _range_headers(start: int, stop: int | None) -> dict[str, str]:
    if not start and stop is None:
        return {}
    return {"Range": f"bytes={start}-{'' if stop is None else stop - 1}"}


def _encode(name: str | bytes) -> str:
    try:
        encoded = quote(name, safe="")
    except UnicodeEncodeError:
        raise InvalidInputError("A name must be valid Unicode text.") from None
    if not encoded:
        raise InvalidInputError("A name or key cannot be empty.")
    # Clients resolve a segment of dots as a directory, and quote() leaves dots alone.
    return encoded.replace(".", "%2E") if not encoded.strip(".") else encoded


def _limit_parameters(limits: Mapping[str, Number]) -> list[tuple[str, str]]:
    return [("limit", f"{name}={value}") for name, value in limits.items()]


def _listed(field: str, read: Callable[[Any], Any]) -> Callable[[Any], list[Any]]:
    return lambda body: [read(each) for each in body[field]]


def _read_json(transport: Transport, response: httpx.Response, read: Callable[[Any], Any]) -> Any:
    return _parse(transport, response.content, read)


def _parse(transport: Transport, text: str | bytes, read: Callable[[Any], Any]) -> Any:
    """Read an answer; one that is not of the expected shape does not come from a moc server that we understand."""
    try:
        return read(json.loads(text))
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError):
        raise ServerUnreachableError(
            transport.address.url, "its answer is not one that this client understands"
        ) from None
