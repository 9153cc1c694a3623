"""A client of a platform that remembers what it was asked; blobs, buffers and key-values are real storage."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from moc_server_ext.abc import CallStreams
from moc_server_ext.client.client import Client
from moc_server_ext.errors import FunctionNotFoundError, nearest
from moc_server_ext.model import (
    CallRequest,
    CallResult,
    FunctionRecord,
    MapReduce,
    RunRecord,
    RunState,
    Signature,
)
from moc_server_ext.storage import Storage


class Functions:
    def __init__(self) -> None:
        self.records: dict[str, FunctionRecord] = {}

    def put(self, name, content, declaration, content_type):
        exports = {"add": Signature(("i32", "i32"), ("i32",))}
        self.records[name] = FunctionRecord(name, "0" * 64, len(content), content_type, declaration, exports, 1.5)
        return self.records[name]

    def get(self, name):
        if name not in self.records:
            raise FunctionNotFoundError(name, nearest=nearest(name, self.records))
        return self.records[name]

    def list(self):
        return [self.records[name] for name in sorted(self.records)]

    def delete(self, name):
        del self.records[name]


class Runs:
    """Runs that need three looks to end."""

    def __init__(self) -> None:
        self.states = [RunState.RUNNING, RunState.RUNNING, RunState.DONE]
        self.error: dict[str, Any] | None = None
        self.cancelled: list[str] = []
        self.looks = 0

    def _record(self, plan: MapReduce) -> RunRecord:
        state = self.states[min(self.looks, len(self.states) - 1)]
        self.looks += 1
        return RunRecord("r", plan, state, "map", self.looks, 3, error=self.error)

    def start(self, plan):
        self.plan = plan
        return self._record(plan)

    def get(self, run_id):
        return self._record(self.plan)

    def output(self, run_id):
        return b"out"

    def cancel(self, run_id):
        self.cancelled.append(run_id)
        return self._record(self.plan)


class Platform:
    def __init__(self, storage: Storage) -> None:
        self.functions = Functions()
        self.runs = Runs()
        self.blobs, self.buffers, self.kv = storage.blobs, storage.buffers, storage.kv
        self.zarr = storage.zarr
        self.path = storage.path
        self.requests: list[CallRequest] = []
        self.result = CallResult("c", None, 0, b"OUT")
        self.closed = False

    def call_sync(self, request: CallRequest, streams: CallStreams | None = None) -> CallResult:
        self.requests.append(request)
        return self.result

    def status(self) -> dict[str, Any]:
        return {}

    def gc(self, *, dry_run: bool = False) -> dict[str, Any]:
        return {}

    def close(self) -> None:
        self.closed = True


@pytest.fixture
def platform(tmp_path: Path) -> Iterator[Platform]:
    with Storage.open(tmp_path / "storage") as storage:
        yield Platform(storage)


@pytest.fixture
def moc(platform: Platform) -> Client:
    return Client(platform, origin="embedded on DIR")
