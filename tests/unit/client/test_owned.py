"""Handing a storage over: between two operations, never in the middle of one, and only once."""

from __future__ import annotations

import os
import threading
from pathlib import Path
from typing import Any

import pytest

from moc_server_ext.client.owned import OwnedPlatform
from moc_server_ext.cluster import Cluster
from moc_server_ext.engines.wasm.text import wat_to_wasm
from moc_server_ext.errors import (
    CancelledError,
    ConflictError,
    HandedOverError,
    InvalidInputError,
    ServerUnreachableError,
)
from moc_server_ext.model import CallRequest, MapReduce
from moc_server_ext.scope import CallScope
from moc_server_ext.storage.ownership import owner_pid

SPIN = wat_to_wasm('(module (memory (export "memory") 1) (func (export "_start") (loop (br 0))))')


class Owner:
    """The platform of the next owner: what it is asked is kept."""

    url = "https://localhost:1"

    def __init__(self, cluster: Cluster) -> None:
        self.cluster = cluster
        self.kv = cluster.kv
        self.closed = False

    def hurried(self, seconds: float) -> Any:
        return self

    def close(self) -> None:
        self.closed = True


@pytest.fixture
def path(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    return tmp_path / "storage"


def owned(path: Path, find_owner: Any = None) -> OwnedPlatform:
    def none(heir: int | None, seconds: float) -> Any:
        raise ServerUnreachableError(str(path), "nobody is there")

    return OwnedPlatform(Cluster.open(path), find_owner or none)


def test_what_is_under_way_ends_first_and_what_comes_meanwhile_goes_to_the_next_owner(path):
    taken: list[Cluster] = []

    def find_owner(heir: int | None, seconds: float) -> Any:
        assert heir == os.getpid()
        taken.append(Cluster.open(path))
        return Owner(taken[0])

    platform = owned(path, find_owner)
    platform.kv.set(b"k", b"before")
    reading, go_on = threading.Event(), threading.Event()
    order: list[str] = []

    def read_slowly() -> None:
        with platform._use() as cluster:
            reading.set()
            assert go_on.wait(60)
            order.append(bytes(cluster.kv.get(b"k")).decode())

    def hand_over() -> None:
        platform.hand_over(os.getpid())
        order.append("handed over")

    def write() -> None:
        platform.kv.set(b"k", b"after")
        order.append("written")

    threads = [threading.Thread(target=each) for each in (read_slowly, hand_over, write)]
    threads[0].start()
    assert reading.wait(60)
    threads[1].start()
    with platform._changed:
        assert platform._changed.wait_for(lambda: platform._phase.name == "HANDING_OVER", 10)
        # Not only while it waits for the one that reads: from here on others are turned away.
        threads[2].start()
    with pytest.raises(HandedOverError):
        platform.served.kv.get(b"k")
    go_on.set()
    for each in threads:
        each.join(60)
    assert order[0] == "before"
    assert set(order[1:]) == {"handed over", "written"}
    assert taken[0].kv.get(b"k") == b"after"
    assert platform.origin == "server https://localhost:1"
    platform.close()
    taken[0].close()


def test_an_operation_that_does_not_end_keeps_the_storage_here(path, monkeypatch):
    monkeypatch.setattr("moc_server_ext.client.owned._SETTLE_SECONDS", 0.01)
    platform = owned(path)
    with platform._use(), pytest.raises(ConflictError, match="an operation is under way"):
        platform.hand_over(None)
    platform.kv.set(b"k", b"v")
    assert platform.served.kv.get(b"k") == b"v"
    platform.close()


@pytest.mark.parametrize("door", ["own", "served"])
def test_a_call_under_way_keeps_the_storage_here(path, door):
    platform = owned(path)
    platform.functions.put("spin", SPIN)
    scope = CallScope()
    ended: list[type[BaseException]] = []

    def spin() -> None:
        try:
            if door == "own":
                platform.call_sync(CallRequest("spin", call_id="endless"))
            else:
                platform.served.call_sync(CallRequest("spin"), scope=scope)
        except CancelledError as error:
            ended.append(type(error))

    thread = threading.Thread(target=spin)
    thread.start()
    while platform.status()["calls"]["running"] == 0:
        assert thread.is_alive()
    with pytest.raises(ConflictError, match="a call is under way"):
        platform.hand_over(None)
    if door == "own":
        platform.calls.cancel("endless")
    scope.cancel()
    thread.join(60)
    assert ended == [CancelledError]
    platform.hand_over(None)
    platform.close()


def test_a_run_keeps_the_storage_here_until_its_output_was_to_be_had(path, monkeypatch):
    platform = owned(path)
    platform.functions.put("spin", SPIN)
    platform.buffers.put("b", b"line\n")
    run = platform.runs.start(MapReduce("b", "spin"))
    with pytest.raises(ConflictError, match="a run is under way"):
        platform.hand_over(None)
    platform.runs.cancel(run.run_id)
    with pytest.raises(ConflictError, match="a run is under way"):
        platform.hand_over(None)
    monkeypatch.setattr("moc_server_ext.client.owned._AFTER_RUN_SECONDS", 0.0)
    platform.hand_over(None)
    platform.close()


def test_a_storage_is_handed_over_once_and_says_to_whom(path):
    platform = owned(path)
    platform.hand_over(4711)
    assert owner_pid(path) == 4711
    with pytest.raises(HandedOverError):
        platform.hand_over(4712)
    with pytest.raises(ServerUnreachableError, match="nobody is there"):
        platform.kv.get(b"k")
    assert platform.origin == f"the new owner of {path}"
    platform.close()
    with pytest.raises(InvalidInputError, match="closed"):
        platform.kv.get(b"k")
    Cluster.open(path).close()


def test_somebody_in_a_hurry_does_not_wait_for_another_who_looks_for_the_next_owner(path):
    looking, found = threading.Event(), threading.Event()

    def find_owner(heir: int | None, seconds: float) -> Any:
        looking.set()
        found.wait(60)
        raise ServerUnreachableError(str(path), "nobody is there")

    platform = owned(path, find_owner)
    platform.hand_over(None)

    def patient() -> None:
        with pytest.raises(ServerUnreachableError):
            platform.kv.get(b"k")

    thread = threading.Thread(target=patient)
    thread.start()
    assert looking.wait(60)
    with pytest.raises(ServerUnreachableError, match="looked for"):
        platform.hurried(0.01)
    found.set()
    thread.join(60)
    platform.close()
