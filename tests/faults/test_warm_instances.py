"""Warm instances under load and failure, in a whole cluster: never shared, never in the way, gone when they must be."""

from __future__ import annotations

import asyncio
import random
from collections.abc import Iterator
from pathlib import Path

import pytest

from moc_server_ext.admission import Idle
from moc_server_ext.cluster import Cluster
from moc_server_ext.engines.wasm.text import wat_to_wasm
from moc_server_ext.errors import CancelledError, LimitExceededError, MocError, TrapError
from moc_server_ext.model import CallRequest, Declaration, Grants
from moc_server_ext.scope import CallScope
from support import wait_until

MIB = 1 << 20
COUNTER = """(module
  (memory (export "memory") 1)
  (global $n (mut i32) (i32.const 0))
  (func $next (export "next") (result i32)
    (global.set $n (i32.add (global.get $n) (i32.const 1)))
    (global.get $n))
  (func (export "trap") (result i32) (drop (call $next)) (unreachable))
  (func (export "hang") (result i32) (drop (call $next)) (loop $again (br $again)) (unreachable))
  (func (export "fill") (param $pages i32) (result i32)
    (drop (memory.grow (i32.sub (local.get $pages) (memory.size))))
    (memory.fill (i32.const 0) (i32.const 7) (i32.mul (memory.size) (i32.const 65536)))
    (call $next)))"""
ASKS = f"""(module
  (import "core" "call_function" (func $call_function (param {"i32 " * 14}) (result i32)))
  (memory (export "memory") 1)
  (data (i32.const 0) "counternext")
  (func (export "ask") (result i32)
    (call $call_function (i32.const 0) (i32.const 7) (i32.const 7) (i32.const 4) {"(i32.const 0) " * 10})))"""
# Keeps whose it is, and traps when a call of another caller finds that.
SECRET = """(module
  (import "wasi_snapshot_preview1" "sched_yield" (func $sched_yield (result i32)))
  (memory (export "memory") 1)
  (func (export "keep") (param $me i32) (result i32)
    (local $found i32) (local $turns i32)
    (local.set $found (i32.load (i32.const 8)))
    (if (i32.and (i32.ne (local.get $found) (i32.const 0)) (i32.ne (local.get $found) (local.get $me)))
      (then (unreachable)))
    (i32.store (i32.const 8) (local.get $me))
    (loop $again
      (drop (call $sched_yield))
      (local.set $turns (i32.add (local.get $turns) (i32.const 1)))
      (br_if $again (i32.lt_u (local.get $turns) (i32.const 20))))
    (local.get $found)))"""


@pytest.fixture
def moc(tmp_path: Path) -> Iterator[Cluster]:
    with opened(tmp_path) as cluster:
        yield cluster


def opened(path: Path, **more: int) -> Cluster:
    cluster = Cluster.open(path / "storage", cache_directory=path / "modules", concurrent_calls=16, **more)
    cluster.functions.put("counter", wat_to_wasm(COUNTER), Declaration(reusable=True))
    cluster.functions.put("secret", wat_to_wasm(SECRET), Declaration(reusable=True))
    cluster.functions.put("asks", wat_to_wasm(ASKS), Declaration(grants=Grants(frozenset({"call:counter"}))))
    return cluster


def request(entry: str = "next", *arguments: str, **more: object) -> CallRequest:
    return CallRequest("counter", arguments, entry=entry, **more)  # type: ignore[arg-type]


def warm(moc: Cluster) -> dict[str, int]:
    return dict(moc.status()["warm"])


def pool(moc: Cluster) -> Idle:
    return moc._orchestrator.admission.idle


def resident_bytes() -> int:
    return int(Path("/proc/self/statm").read_text().split()[1]) * 4096


def test_one_instance_serves_calls_through_every_door(moc):
    assert moc.call_sync(request()).result == 1
    assert asyncio.run(moc.call(request())).result == 2
    moc.call_sync(CallRequest("asks"))
    with moc.prepare(request()) as prepared:
        assert prepared.run().result == 4
    assert moc.call_sync(request()).result == 5
    assert warm(moc) == {"instances": 1, "memory_bytes": 65536}
    now = moc.activity()
    assert (now.warm_instances, now.warm_bytes) == (1, 65536)


def test_another_caller_gets_another_instance_through_every_door(moc):
    assert moc.call_sync(request()).result == 1
    assert moc.call_sync(request(caller="somebody else")).result == 1
    moc.call_sync(CallRequest("asks", caller="a third"))
    assert asyncio.run(moc.call(request(caller="a third"))).result == 2
    assert warm(moc)["instances"] == 3


def test_a_function_that_was_replaced_and_one_that_was_deleted_leave_no_state_behind(moc):
    moc.call_sync(request())
    moc.functions.put(
        "counter", wat_to_wasm(COUNTER.replace("i32.const 7)", "i32.const 8)")), Declaration(reusable=True)
    )
    assert moc.call_sync(request()).result == 1
    assert warm(moc)["instances"] == 1
    moc.functions.delete("counter")
    moc.functions.put("counter", wat_to_wasm(COUNTER), Declaration())
    assert [moc.call_sync(request()).result for _ in range(2)] == [1, 1]


def test_a_trap_a_limit_and_a_cancel_in_the_middle_end_the_instance_and_nothing_else(moc):
    def cancelled() -> None:
        scope = CallScope()

        async def call() -> None:
            running = asyncio.ensure_future(moc.call(request("hang"), scope=scope))
            while not moc.activity().running:
                await asyncio.sleep(0)
            scope.cancel()
            await running

        asyncio.run(call())

    failures = [
        (TrapError, lambda: moc.call_sync(request("trap"))),
        (TrapError, lambda: asyncio.run(moc.call(request("trap")))),
        (LimitExceededError, lambda: moc.call_sync(request("hang", limits={"timeout_seconds": 0.05}))),
        (LimitExceededError, lambda: asyncio.run(moc.call(request("hang", limits={"timeout_seconds": 0.05})))),
        (CancelledError, cancelled),
    ]
    for error, fail in failures:
        assert moc.call_sync(request()).result == 1
        assert moc.call_sync(request()).result == 2
        with pytest.raises(error):
            fail()
        assert warm(moc) == {"instances": 0, "memory_bytes": 0}


def test_two_hundred_calls_at_once_of_two_callers_find_only_their_own(moc):
    async def one(me: int) -> object:
        call = CallRequest("secret", (str(me),), caller=f"caller {me}")
        return (await moc.call(call)).result

    async def every() -> list[object]:
        return await asyncio.gather(*(one(1 + index % 2) for index in range(200)))

    for _ in range(2):
        results = asyncio.run(every())
        assert all(found in (0, 1 + index % 2) for index, found in enumerate(results))
    assert 0 < warm(moc)["instances"] <= 32


def test_calls_that_fail_at_random_never_hand_a_broken_instance_on(moc):
    chance = random.Random(5)

    async def one(index: int) -> None:
        entry = chance.choice(["next", "next", "trap", "hang", "fill"])
        arguments = ("40",) if entry == "fill" else ()
        limits = {"timeout_seconds": 0.02} if entry == "hang" else {}
        call = request(entry, *arguments, limits=limits, caller=f"caller {index % 2}")
        try:
            assert (await moc.call(call)).result >= 1
        except MocError:
            assert entry in ("trap", "hang")

    async def every() -> None:
        await asyncio.gather(*(one(index) for index in range(200)))

    asyncio.run(every())
    assert moc.status()["calls"]["running"] == 0
    machines = moc._orchestrator.engine._machines.values()
    wait_until(lambda: sum(each.ticker._running for each in machines) == 0)


def test_idle_instances_go_before_a_call_lacks_memory(tmp_path):
    with opened(tmp_path, memory_bytes=64 * MIB) as moc:
        for caller in ("a", "b"):
            moc.call_sync(request("fill", "96", caller=caller))
        # A quarter of the budget may wait, and these are 6 MiB each.
        assert warm(moc) == {"instances": 2, "memory_bytes": 12 * MIB}
        with moc._orchestrator.admission.enter("other") as place:
            place.hold(56 * MIB, "other")
            assert warm(moc) == {"instances": 1, "memory_bytes": 6 * MIB}
            place.hold(63 * MIB, "other")
            assert warm(moc) == {"instances": 0, "memory_bytes": 0}


def test_memory_of_many_instances_is_given_back(tmp_path):
    with opened(tmp_path, memory_bytes=2048 * MIB) as moc:

        async def every() -> None:
            await asyncio.gather(
                *(moc.call(request("fill", "160", caller=f"caller {index % 20}")) for index in range(200))
            )

        moc.call_sync(request())
        before = resident_bytes()
        asyncio.run(every())
        assert warm(moc)["instances"] >= 20
        pool(moc).release(1 << 40)
        wait_until(lambda: resident_bytes() - before <= 16 * MIB)


def test_a_cluster_that_closes_lets_all_instances_go(tmp_path):
    with opened(tmp_path) as moc:
        moc.call_sync(request())
        assert pool(moc).count == 1
    assert (pool(moc).count, pool(moc).memory_bytes) == (0, 0)


def test_none_wait_where_none_may(tmp_path):
    with opened(tmp_path, warm_instances=0) as moc:
        assert [moc.call_sync(request()).result for _ in range(2)] == [1, 1]


def test_the_instances_of_a_prepared_call_go_with_it(moc):
    with moc.prepare(request()) as prepared:
        assert [prepared.call() for _ in range(3)] == [1, 2, 3]
    assert warm(moc)["instances"] == 0
    assert moc.call_sync(request()).result == 1


def test_an_instance_that_grows_with_each_call_is_retired_before_it_fails_and_gives_its_memory_back(moc):
    grow = """(module (memory (export "memory") 1)
      (func (export "grow") (result i32) (local $at i32)
        (local.set $at (i32.shl (memory.grow (i32.const 64)) (i32.const 16)))
        (memory.fill (local.get $at) (i32.const 7) (i32.const 4194304))
        (memory.size)))"""
    moc.functions.put("grows", wat_to_wasm(grow), Declaration(reusable=True, limits={"memory_bytes": 64 * MIB}))
    moc.call_sync(request())
    before = resident_bytes()
    pages = [moc.call_sync(CallRequest("grows")).result for _ in range(100)]
    # Used again, each time with more, and then a new one.
    assert pages[:2] == [65, 129]
    assert pages.count(65) > 1
    assert warm(moc)["memory_bytes"] <= 64 * MIB
    pool(moc).release(1 << 40)
    wait_until(lambda: resident_bytes() - before <= 16 * MIB)
