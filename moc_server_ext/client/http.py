"""The platform over HTTP: the nouns of :mod:`..abc`, each method one request."""

from __future__ import annotations

import copy
import json
from collections.abc import Callable, Generator, Iterable, Iterator, Mapping, Sequence
from typing import Any

from ..abc import Bytes, CallStreams, Platform
from ..errors import DirectoriesNotServedError
from ..model import (
    DEFAULT_CONTENT_TYPE,
    WASM_CONTENT_TYPE,
    BlobRecord,
    CallRecord,
    CallRequest,
    CallResult,
    CheckProgress,
    CheckReport,
    Declaration,
    FunctionRecord,
    MapReduce,
    Number,
    RunRecord,
    parse_blob_id,
)
from .calls import HttpCall, call_path
from .http_backups import HttpBackups
from .http_buffers import HttpBuffers
from .http_hierarchy import HttpHierarchy
from .http_keyvalues import HttpKeyValues
from .lines import progress_lines
from .noun import Noun, encode, listed, read_json
from .owned import OwnedPlatform
from .transport import Address, Transport


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
        self.zarr = HttpHierarchy(transport)
        self.kv = HttpKeyValues(transport)
        self.calls = HttpCalls(transport)
        self.runs = HttpRuns(transport)
        self.backups = HttpBackups(transport, self.status)

    @property
    def url(self) -> str:
        """Base address of the server that answers now."""
        return self.address.url

    @property
    def address(self) -> Address:
        """Where the server that answers now is, with what it asks for."""
        return self._transport.address

    def call_sync(self, request: CallRequest, streams: CallStreams | None = None) -> CallResult:
        """Run a function and wait for its end; see :meth:`..abc.Platform.call_sync`.

        A server that is busy is asked again for up to half a minute. The connection is the call's life: when it is
        closed, by an interrupt or by the end of this process, the guest is cancelled.

        Raises
        ------
        DirectoriesNotServedError
            The request mounts directories. Nothing was sent.
        ConnectionLostError
            It broke in the middle; the server cancels the guest then, if it still lives.
        """
        if request.mounts:
            raise DirectoriesNotServedError([each.host for each in request.mounts])
        path = call_path(encode(request.function), request, _limit_parameters(request.limits))
        return HttpCall(self._transport, path, request, streams or CallStreams()).run()

    def status(self) -> dict[str, Any]:
        """Tell what runs."""
        facts: dict[str, Any] = read_json(self._transport, self._transport.request("GET", "status"), dict)
        return facts

    def gc(self, *, dry_run: bool = False) -> dict[str, Any]:
        """Remove the object files that nothing refers to and that are due."""
        path = f"gc?dry_run={'true' if dry_run else 'false'}"
        told: dict[str, Any] = read_json(self._transport, self._transport.request("POST", path), dict)
        return told

    def fsck(
        self, *, quick: bool = False, repair: bool = False, remove_damaged: bool = False
    ) -> Generator[CheckProgress, None, CheckReport]:
        """Check everything that is stored, in steps; ending the generator ends the check on the server."""
        given = {"quick": quick, "repair": repair, "remove_damaged": remove_damaged}
        query = [(name, "true") for name, flag in given.items() if flag]
        return progress_lines(self._transport, "fsck", query, CheckProgress.from_json, CheckReport.from_json)

    def promote(self) -> dict[str, Any]:
        """Make the standby that answers here the primary; ConflictError if it is none."""
        promoted: dict[str, Any] = read_json(self._transport, self._transport.request("POST", "promote"), dict)
        return promoted

    def hurried(self, seconds: float) -> HttpPlatform:
        """Give the same platform for the next `seconds`; what has no answer by then is unreachable."""
        platform = copy.copy(self)
        platform._use(self._transport.hurried(seconds))
        return platform

    def close(self) -> None:
        """Close the connections; idempotent."""
        self._transport.close()


class HttpFunctions(Noun):
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
            f"functions/{encode(name)}",
            query=query,
            headers={"Content-Type": content_type},
            body=bytes(content),
        )
        record: FunctionRecord = read_json(self._transport, response, FunctionRecord.from_json)
        return record

    def get(self, name: str) -> FunctionRecord:
        """Look a function up."""
        record: FunctionRecord = self._get(f"functions/{encode(name)}", FunctionRecord.from_json)
        return record

    def list(self) -> Sequence[FunctionRecord]:
        """List all functions, sorted by name."""
        records: Sequence[FunctionRecord] = self._get("functions", listed("functions", FunctionRecord.from_json))
        return records

    def delete(self, name: str) -> None:
        """Remove the name."""
        self._transport.request("DELETE", f"functions/{encode(name)}")


class HttpBlobs(Noun):
    """See :class:`~..abc.Blobs`."""

    def put(self, content: Bytes | Iterable[Bytes], content_type: str = DEFAULT_CONTENT_TYPE) -> BlobRecord:
        """Store `content`, bytes or the parts of them."""
        response = self._store("POST", "blobs", content, {"Content-Type": content_type})
        record: BlobRecord = read_json(self._transport, response, BlobRecord.from_json)
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


class HttpCalls(Noun):
    """See :class:`~..abc.Calls`."""

    def get(self, call_id: str) -> CallRecord:
        """Tell how a call is."""
        record: CallRecord = self._get(f"calls/{encode(call_id)}", CallRecord.from_json)
        return record

    def list(self, *, limit: int = 1000) -> Sequence[CallRecord]:
        """List calls, those that began last first."""
        records: Sequence[CallRecord] = self._get(
            "calls", listed("calls", CallRecord.from_json), [("limit", str(limit))]
        )
        return records

    def cancel(self, call_id: str) -> CallRecord:
        """End a call."""
        response = self._transport.request("DELETE", f"calls/{encode(call_id)}")
        record: CallRecord = read_json(self._transport, response, CallRecord.from_json)
        return record


class HttpRuns(Noun):
    """See :class:`~..abc.Runs`."""

    def start(self, plan: MapReduce) -> RunRecord:
        """Begin a run in the background."""
        response = self._transport.request(
            "POST",
            "runs",
            headers={"Content-Type": "application/json"},
            body=json.dumps(plan.to_json()).encode(),
        )
        record: RunRecord = read_json(self._transport, response, RunRecord.from_json)
        return record

    def get(self, run_id: str) -> RunRecord:
        """Tell how far a run is."""
        record: RunRecord = self._get(f"runs/{encode(run_id)}", RunRecord.from_json)
        return record

    def output(self, run_id: str) -> bytes:
        """Give the output of a finished run."""
        return bytes(self._transport.request("GET", f"runs/{encode(run_id)}/output", answer_seconds=None).content)

    def list(self) -> Sequence[RunRecord]:
        """List the recent runs, newest first."""
        records: Sequence[RunRecord] = self._get("runs", listed("runs", RunRecord.from_json))
        return records

    def cancel(self, run_id: str) -> RunRecord:
        """End a run."""
        response = self._transport.request("DELETE", f"runs/{encode(run_id)}")
        record: RunRecord = read_json(self._transport, response, RunRecord.from_json)
        return record


def _limit_parameters(limits: Mapping[str, Number]) -> list[tuple[str, str]]:
    return [("limit", f"{name}={value}") for name, value in limits.items()]
