"""A host and a platform in memory, so that verbs can be tried without a guest, a disk or a terminal."""

from __future__ import annotations

import dataclasses
import io
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any

import pytest

from moc_server_ext.abc import CallStreams
from moc_server_ext.client.client import Client
from moc_server_ext.errors import (
    BufferNotFoundError,
    FunctionNotFoundError,
    InvalidInputError,
    KeyConflictError,
    KeyNotFoundError,
)
from moc_server_ext.model import (
    BufferRecord,
    CallRequest,
    CallResult,
    Declaration,
    FunctionRecord,
    KvPage,
    MapReduce,
    RunRecord,
    RunState,
    Signature,
)
from moc_server_ext.verbs import CallOutcome, Outcome, build_group, invoke


class MemoryFunctions:
    def __init__(self) -> None:
        self.records: dict[str, FunctionRecord] = {}
        self.contents: dict[str, bytes] = {}

    def put(self, name, content, declaration=None, content_type="application/wasm"):
        declaration = declaration or Declaration()
        exports = {"_start": Signature()} if b"start" in content else {"add": Signature(("i32", "i32"), ("i32",))}
        self.records[name] = FunctionRecord(name, "ab" * 32, len(content), content_type, declaration, exports, 0.0)
        self.contents[name] = content
        return self.records[name]

    def get(self, name):
        if name not in self.records:
            raise FunctionNotFoundError(name)
        return self.records[name]

    def list(self):
        return [self.records[name] for name in sorted(self.records)]

    def delete(self, name):
        self.get(name)
        del self.records[name]


class MemoryBuffers:
    def __init__(self) -> None:
        self.contents: dict[str, tuple[bytes, str]] = {}
        self.compressions: dict[str, str | None] = {}

    def put(self, name, content, content_type="application/octet-stream", headers=None, *, compression=None):
        self.compressions[name] = compression
        whole = bytes(content) if isinstance(content, bytes | bytearray) else b"".join(content)
        self.contents[name] = whole, content_type
        return self.stat(name)

    def stat(self, name):
        if name not in self.contents:
            raise BufferNotFoundError(name)
        content, content_type = self.contents[name]
        return BufferRecord(name, len(content), content_type, {}, 0.0)

    def read(self, name, start=0, stop=None):
        return self.contents[name][0][start:stop]

    def parts(self, name, start=0, stop=None):
        return iter([self.read(name, start, stop)])

    def list(self):
        return [self.stat(name) for name in sorted(self.contents)]

    def delete(self, name):
        self.stat(name)
        del self.contents[name]


class MemoryKeyValues:
    def __init__(self) -> None:
        self.values: dict[bytes, bytes] = {}

    def set(self, key, value):
        self.values[key] = bytes(value)

    def get(self, key):
        if key not in self.values:
            raise KeyNotFoundError(key.decode())
        return self.values[key]

    def list(self, prefix=b"", *, limit=1000, after=None):
        keys = sorted(each for each in self.values if each.startswith(prefix) and (after is None or each > after))
        return keys[:limit]

    def delete(self, key):
        self.get(key)
        del self.values[key]

    def compare_and_set(self, key, expected, value):
        found = self.values.pop(key, None)
        if found is not None and (found != expected or value is not None):
            self.values[key] = found
        if found != expected:
            raise KeyConflictError(key.decode(), expected="other", found=found, found_size=len(found or b""))
        if value is not None:
            self.values[key] = value

    def increment(self, key, by=1):
        self.values[key] = b"%d" % (int(self.values.get(key, b"0")) + by)
        return int(self.values[key])

    def scan(self, prefix=b"", *, limit=1000, after=None):
        keys = self.list(prefix, limit=limit + 1, after=after)
        more = len(keys) > limit
        return KvPage(tuple((each, self.values[each]) for each in keys[:limit]), keys[limit - 1] if more else None)


class MemoryRuns:
    def __init__(self, platform: MemoryPlatform) -> None:
        self.platform = platform
        self.records: list[RunRecord] = []

    def start(self, plan: MapReduce) -> RunRecord:
        run = RunRecord(f"run{len(self.records)}", plan, RunState.DONE, "reduce", 3, 3, output_bytes=6)
        self.records.append(run)
        return run

    def get(self, run_id):
        return next(each for each in self.records if each.run_id == run_id)

    def output(self, run_id):
        return b"a\t1\nb\t2\n"

    def list(self):
        return self.records[::-1]


class MemoryPlatform:
    """Answers every call with `result`, and remembers what was asked."""

    def __init__(self) -> None:
        self.functions = MemoryFunctions()
        self.buffers = MemoryBuffers()
        self.kv = MemoryKeyValues()
        self.runs = MemoryRuns(self)
        self.requests: list[CallRequest] = []
        self.result = CallResult("c1", None, 0, b"OUT")

    def call_sync(self, request, streams=None):
        if streams is not None and streams.source is not None:
            request = dataclasses.replace(request, input=b"".join(streams.source))
        self.requests.append(request)
        return self.result

    def status(self):
        return {"version": "1", "counts": {"functions": 0}}

    def gc(self, *, dry_run=False):
        held = {"grace": {"objects": 2, "bytes": 10}}
        told = {"dry_run": dry_run, "objects": 1, "bytes": 2048, "held": held}
        return {**told, "unknown": {"objects": 1, "bytes": 5}} if dry_run else told

    def close(self):
        pass


class MemoryView:
    """A view of a call that shows nothing and leaves everything in the result."""

    streams = CallStreams()

    def __init__(self, host: MemoryHost, function: str, output_file: str | None) -> None:
        self._host, self._function, self._output_file = host, function, output_file

    def ended(self, result: CallResult) -> CallOutcome:
        if self._output_file is not None:
            self._host.files[self._output_file] = result.output
        return CallOutcome(result, self._function)


class MemoryHost:
    """A face that keeps files, variables and stdin in memory."""

    storage: str | None = None
    is_stream = False

    def __init__(self, platform: MemoryPlatform) -> None:
        self.client = Client(platform, origin="embedded on memory")
        self.files: dict[str, bytes] = {}
        self.variables: dict[str, object] = {}
        self.stdin_content = b""
        self.cell: str | None = None
        self.cell_first_line = 2
        self.labels: list[str] = []

    def connect(self, url: str, token: str | None) -> Client:
        self.client = Client(self.client.platform, origin=f"server {url}")
        return self.client

    def read_file(self, path: str) -> bytes:
        if path not in self.files:
            raise InvalidInputError(f"{path!r} cannot be read")
        return self.files[path]

    @contextmanager
    def open_source(self, path: str) -> Iterator[io.BytesIO]:
        yield io.BytesIO(self.stdin() if path == "-" else self.read_file(path))

    def write_parts(self, path: str, parts: Iterable[bytes]) -> None:
        self.files[path] = b"".join(parts)

    def write_file(self, path: str, content: bytes) -> None:
        self.files[path] = content

    @contextmanager
    def call_view(
        self, function: str, *, output_file: str | None = None, is_kept: bool = False
    ) -> Iterator[MemoryView]:
        yield MemoryView(self, function, output_file)

    def stdin(self) -> bytes:
        return self.stdin_content

    @contextmanager
    def progress(self, label: str, total: float | None = None) -> Iterator[MemoryHost]:
        self.labels.append(label)
        yield self

    def update(self, done: float | None = None, total: float | None = None, label: str | None = None) -> None:
        self.labels.append(label or "")

    def variable(self, name: str) -> object:
        return self.variables[name]

    def assign(self, name: str, value: object) -> None:
        self.variables[name] = value


@pytest.fixture
def platform() -> MemoryPlatform:
    return MemoryPlatform()


@pytest.fixture
def host(platform: MemoryPlatform) -> MemoryHost:
    return MemoryHost(platform)


@pytest.fixture
def moc(host: MemoryHost) -> Callable[..., Outcome]:
    """Type a line at the command line's face."""
    return lambda *words: invoke(build_group("cli"), words, host, name="moc")


@pytest.fixture
def magic(host: MemoryHost) -> Callable[..., Outcome]:
    """Type a line into a cell."""
    return lambda *words: invoke(build_group("magic"), words, host, name="%moc")


@pytest.fixture
def variables(host: MemoryHost) -> Mapping[str, Any]:
    return host.variables
