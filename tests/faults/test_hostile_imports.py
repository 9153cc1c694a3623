"""Functions bound to each other to do harm: forks, rings, callees that never end. The whole tree is one call."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from hostile_guests import MIB, Attack
from moc_server_ext.cluster import Cluster
from moc_server_ext.engines.wasm.text import wat_to_wasm
from moc_server_ext.errors import GuestError, LimitExceededError
from moc_server_ext.model import CallRequest, Declaration, Grants

EMPTY = '(module (func (export "f")))'


def put(moc: Cluster, name: str, wat: str, **declared: bool) -> None:
    moc.functions.put(name, wat_to_wasm(wat), Declaration(grants=Grants(frozenset({"call"})), **declared))


def importing(name: str, body: str, *, times: int = 1) -> str:
    return f"""(module (import "{name}" "f" (func $f)) (memory (export "memory") 1)
      (func (export "f") {body * times}))"""


@pytest.mark.parametrize("reusable", [False, True], ids=["fresh", "warm"])
@pytest.mark.parametrize("name", ["itself", "ring"])
def test_functions_that_call_each_other_without_end_end_at_the_depth_of_calls(
    hostile_moc: Cluster, attack: Attack, resident_bytes: Callable[[], int], name: str, reusable: bool
) -> None:
    for each, other in (("ring", "other"), ("other", "ring"), ("itself", "itself")):
        put(hostile_moc, each, EMPTY)
        put(hostile_moc, other, importing(each, "(call $f)"), reusable=reusable)
        put(hostile_moc, each, importing(other, "(call $f)"), reusable=reusable)
    before = resident_bytes()
    for _ in range(20):
        with pytest.raises(LimitExceededError) as caught:
            hostile_moc.call_sync(CallRequest(name))
        assert caught.value.details["limit"] == "call_depth"
    assert len(caught.value.message) < 2000
    assert resident_bytes() - before < 16 * MIB


@pytest.mark.parametrize("reusable", [False, True], ids=["fresh", "warm"])
def test_a_fork_bomb_of_imports_ends_with_the_time_of_its_call(
    hostile_moc: Cluster, attack: Attack, resident_bytes: Callable[[], int], reusable: bool
) -> None:
    """Each level calls the next twenty times, fourteen levels deep."""
    put(hostile_moc, "level0", EMPTY)
    for level in range(1, 15):
        put(hostile_moc, f"level{level}", importing(f"level{level - 1}", "(call $f)", times=20), reusable=reusable)
    before = resident_bytes()
    with pytest.raises(LimitExceededError) as caught:
        hostile_moc.call_sync(CallRequest("level14", limits={"timeout_seconds": 0.3}))
    assert caught.value.details["limit"] == "timeout_seconds"
    assert resident_bytes() - before < 16 * MIB


@pytest.mark.parametrize("body", ["(loop (br 0))", "(drop (call $close (i32.const 99)))"], ids=["computes", "answers"])
def test_a_callee_that_never_ends_ends_with_its_caller(hostile_moc: Cluster, attack: Attack, body: str) -> None:
    callee = f"""(module (import "wasi_snapshot_preview1" "fd_close" (func $close (param i32) (result i32)))
      (memory (export "memory") 1) (func (export "f") (loop {body} (br 0))))"""
    put(hostile_moc, "endless", callee)
    put(hostile_moc, "caller", importing("endless", "(call $f)"))
    with pytest.raises(LimitExceededError) as caught:
        hostile_moc.call_sync(CallRequest("caller", limits={"timeout_seconds": 0.2}))
    assert caught.value.details["limit"] == "timeout_seconds"


def test_a_caller_of_a_thousand_functions_costs_what_it_calls(
    hostile_moc: Cluster, attack: Attack, resident_bytes: Callable[[], int]
) -> None:
    exports = "".join(f'(export "e{each}" (func $f))' for each in range(1000))
    put(hostile_moc, "wide", f"(module (func $f) {exports})")
    imports = "".join(f'(import "wide" "e{each}" (func))' for each in range(1000))
    calls = "".join(f"(call {each})" for each in range(1000))
    put(hostile_moc, "caller", f'(module {imports} (memory (export "memory") 1) (func (export "f") {calls}))')
    hostile_moc.call_sync(CallRequest("caller"))
    before = resident_bytes()
    hostile_moc.call_sync(CallRequest("caller"))
    assert resident_bytes() - before < 16 * MIB


def test_a_callee_gets_what_its_callers_left_of_the_memory(hostile_moc: Cluster, attack: Attack) -> None:
    """Both want 40 of the 64 MiB."""
    greedy = '(module (memory (export "memory") 640) (func (export "f")))'
    put(hostile_moc, "greedy", greedy)
    hostile_moc.call_sync(CallRequest("greedy"))
    wat = '(module (import "greedy" "f" (func $f)) (memory (export "memory") 640) (func (export "f") (call $f)))'
    put(hostile_moc, "caller", wat)
    with pytest.raises(GuestError, match="memory_bytes"):
        hostile_moc.call_sync(CallRequest("caller"))
