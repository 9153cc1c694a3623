"""A cluster of its own for hostile guests, and what watches them."""

from __future__ import annotations

import ctypes
import gc
import threading
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from hostile_guests import LIMITS, Attack
from moc_server_ext.cluster import Cluster
from moc_server_ext.engines.wasm.text import wat_to_wasm
from moc_server_ext.model import CallRequest, CallResult, Declaration, Grants, Number

GRANTS = frozenset({"call", "kv", "buffer", "blob"})


def _resident_bytes() -> int:
    return int(Path("/proc/self/statm").read_text().split()[1]) * 4096


@pytest.fixture
def resident_bytes() -> Callable[[], int]:
    """Give what tells how much this process holds, without what its allocators could give back."""

    def measure() -> int:
        gc.collect()
        ctypes.CDLL(None).malloc_trim(0)
        return _resident_bytes()

    return measure


@pytest.fixture(scope="module")
def hostile_moc(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Cluster]:
    """A cluster with small limits, in which ``innocent`` is a function that others need."""
    root: Path = tmp_path_factory.mktemp("hostile")
    with Cluster.open(root / "storage", limits=LIMITS, cache_directory=root / "modules") as cluster:
        cluster.functions.put("innocent", wat_to_wasm('(module (func (export "_start")))'))
        yield cluster


@pytest.fixture
def attack(hostile_moc: Cluster) -> Iterator[Attack]:
    """Register a module as ``hostile`` and call it; the next call must work."""

    def go(
        wat: str | bytes, *, input: bytes = b"", grants: frozenset[str] = frozenset({"call", "kv"}), **limits: Number
    ) -> CallResult:
        content = wat if isinstance(wat, bytes) else wat_to_wasm(wat)
        hostile_moc.functions.put("hostile", content, Declaration(grants=Grants(GRANTS)))
        return hostile_moc.call_sync(CallRequest("hostile", input=input, limits=limits))

    yield go
    assert hostile_moc.call_sync(CallRequest("innocent")).exit_code == 0
    assert hostile_moc.status()["calls"]["running"] == 0


@pytest.fixture
def at_most() -> Iterator[Callable[[int], None]]:
    """Watch the memory of this process: it may not grow by more than the test says, at any moment."""
    before, peak, over = 0, 0, threading.Event()

    def watch() -> None:
        nonlocal peak
        while not over.wait(0.001):
            peak = max(peak, _resident_bytes())

    allowed: list[int] = []
    before = _resident_bytes()
    watcher = threading.Thread(target=watch)
    watcher.start()
    yield allowed.append
    over.set()
    watcher.join()
    assert peak - before <= allowed[0]
