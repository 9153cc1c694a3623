"""Which instance answers a call of a reusable function, and when one goes: with a bare engine, under both drivers."""

from __future__ import annotations

import asyncio
import logging
import threading
import time

import pytest

from moc_server_ext.engines.wasm import WarmPool, warm_pool
from moc_server_ext.errors import CancelledError, InvalidModuleError, LimitExceededError, TrapError
from moc_server_ext.guest_api.context import CallContext
from moc_server_ext.guest_api.registry import GuestModule, Wait
from moc_server_ext.model import Grants, Limits, Mode

COUNTER = """
(module
  (import "host" "add" (func $add (param i32 i32) (result i32)))
  (memory (export "memory") 1)
  (func (export "run") (result i32)
    (i32.store (i32.const 0) (call $add (i32.load (i32.const 0)) (i32.const 1)))
    (i32.load (i32.const 0)))
  (func (export "same") (result i32) (i32.load (i32.const 0)))
  (func (export "trap") (unreachable))
  (func (export "hang") (loop $again (br $again)))
  (func (export "grow") (param i32) (result i32) (memory.grow (local.get 0))))
"""
REUSABLE = {"reusable": True, "limits": Limits(timeout_seconds=30)}


def counts(bench, times=3, entry="run", **more):
    return [bench.run(COUNTER, entry, **{**REUSABLE, **more}).result for _ in range(times)]


@pytest.fixture
def pool(make_bench, bench):
    return bench.engine._pool


def test_calls_of_a_reusable_function_find_what_the_one_before_left(bench, pool):
    assert counts(bench) == [1, 2, 3]
    assert pool.count == 1
    assert pool.memory_bytes == 65536


def test_each_entry_point_is_served_by_the_same_instance(bench):
    assert counts(bench) == [1, 2, 3]
    assert counts(bench, 1, "same") == [3]


def test_a_function_that_is_not_reusable_gets_a_fresh_instance_each_time(bench, pool):
    assert counts(bench, reusable=False) == [1, 1, 1]
    assert pool.count == 0


def test_a_posix_call_of_a_reusable_function_gets_a_fresh_instance(bench, pool):
    assert [bench.run(COUNTER, "run", mode=Mode.POSIX, reusable=True).exit_code for _ in range(2)] == [1, 1]
    assert pool.count == 0


@pytest.mark.parametrize(
    "other",
    [{"caller": "somebody"}, {"grants": Grants(frozenset({"kv"}))}, {"deterministic": True}, {"env": {"A": "1"}}],
)
def test_what_differs_in_who_calls_and_with_what_rights_shares_no_instance(bench, other):
    assert counts(bench) == [1, 2, 3]
    assert counts(bench, 1, **other) == [1]


def test_a_replaced_function_leaves_nothing_behind(bench, pool):
    assert counts(bench) == [1, 2, 3]
    replaced = COUNTER.replace("i32.const 1)))", "i32.const 5)))")
    assert [bench.run(replaced, **REUSABLE).result for _ in range(2)] == [5, 10]
    assert pool.count == 1
    pool.release(1 << 40)
    assert counts(bench) == [1, 2, 3]


@pytest.mark.parametrize("entry", ["trap", "hang"])
def test_an_instance_whose_call_failed_serves_no_other(bench, pool, entry):
    assert counts(bench) == [1, 2, 3]
    with pytest.raises((TrapError, LimitExceededError)):
        bench.run(COUNTER, entry, reusable=True, limits=Limits(timeout_seconds=0.05))
    assert pool.count == 0
    assert counts(bench) == [1, 2, 3]


def test_an_instance_whose_program_ended_itself_serves_no_other(bench, pool):
    exits = """(module
      (import "wasi_snapshot_preview1" "proc_exit" (func $exit (param i32)))
      (func (export "run") (call $exit (i32.const 3))))"""
    assert bench.run(exits, **REUSABLE).result is None
    assert pool.count == 0


def test_an_instance_that_holds_more_than_half_of_its_memory_goes(bench, pool):
    limits = Limits(memory_bytes=16 << 16)
    for pages, kept in ((6, 1), (3, 0)):
        assert bench.run(COUNTER, "grow", pages, reusable=True, limits=limits).result != -1
        assert pool.count == kept


def test_a_call_that_may_have_less_memory_than_an_instance_holds_gets_a_fresh_one(bench):
    assert counts(bench) == [1, 2, 3]
    assert bench.run(COUNTER, "grow", 31, **REUSABLE).result == 1
    small = Limits(memory_bytes=16 << 16)
    assert counts(bench, 1, limits=small) == [1]
    assert bench.run(COUNTER, "grow", 16, reusable=True, limits=small).result == -1


def test_an_instance_goes_after_many_calls(bench, pool, monkeypatch):
    monkeypatch.setattr(warm_pool, "CALLS_PER_INSTANCE", 2)
    assert counts(bench, 5) == [1, 2, 1, 2, 1]


def test_no_more_instances_wait_than_may(make_bench):
    bench = make_bench(pool=WarmPool(2))
    for caller in ("a", "b", "c"):
        assert counts(bench, 1, caller=caller) == [1]
    # The one that has waited longest went.
    assert [counts(bench, 1, caller=caller) for caller in ("c", "b", "a")] == [[2], [2], [1]]


def test_a_pool_for_none_keeps_none(make_bench):
    assert counts(make_bench(pool=WarmPool(0))) == [1, 1, 1]


def test_instances_hold_no_more_memory_together_than_they_may(make_bench):
    pool = WarmPool(most_bytes=100_000)
    bench = make_bench(pool=pool)
    for caller in ("a", "b"):
        counts(bench, 1, caller=caller)
    assert (pool.count, pool.memory_bytes) == (1, 65536)
    assert counts(bench, 1, caller="b") == [2]


def test_memory_that_is_needed_elsewhere_is_given_back_the_longest_idle_first(make_bench):
    pool = WarmPool()
    bench = make_bench(pool=pool)
    for caller in ("a", "b", "c"):
        counts(bench, 1, caller=caller)
    pool.release(65537)
    assert (pool.count, pool.memory_bytes) == (1, 65536)
    assert counts(bench, 1, caller="c") == [2]
    pool.release(1 << 40)
    assert (pool.count, pool.memory_bytes) == (0, 0)


def test_an_instance_that_nobody_asks_for_goes_by_itself(make_bench):
    pool = WarmPool(idle_seconds=0.05)
    bench = make_bench(pool=pool)
    for _ in range(2):
        counts(bench, 1)
        deadline = time.monotonic() + 30
        while pool.count and time.monotonic() < deadline:
            threading.Event().wait(0.01)
        assert pool.count == 0


def test_a_closed_engine_keeps_no_instance_of_a_call_that_ends_later(make_bench):
    pool = WarmPool()
    bench = make_bench(pool=pool)
    counts(bench)
    pool.close()
    assert (pool.count, pool.memory_bytes) == (0, 0)
    assert counts(bench, 2) == [1, 1]
    assert pool.count == 0


# -- what one call must not see of another ----------------------------------------------------------------------------

REACTOR = """
(module
  (import "wasi_snapshot_preview1" "path_open"
    (func $open (param i32 i32 i32 i32 i32 i64 i64 i32 i32) (result i32)))
  (import "wasi_snapshot_preview1" "fd_fdstat_get" (func $stat (param i32 i32) (result i32)))
  (memory (export "memory") 1)
  (data (i32.const 0) "file")
  (global $opened (mut i32) (i32.const 0))
  (func (export "create") (result i32)
    (drop (call $open (i32.const 3) (i32.const 0) (i32.const 0) (i32.const 4) (i32.const 1)
                      (i64.const 64) (i64.const 0) (i32.const 0) (i32.const 100)))
    (global.set $opened (i32.load (i32.const 100)))
    (global.get $opened))
  (func (export "is_open") (result i32) (call $stat (global.get $opened) (i32.const 200)))
  (func (export "exists") (result i32)
    (call $open (i32.const 3) (i32.const 0) (i32.const 0) (i32.const 4) (i32.const 0)
                (i64.const 2) (i64.const 0) (i32.const 0) (i32.const 100))))
"""


def test_files_and_descriptors_of_a_call_are_none_of_the_next(bench):
    assert bench.run(REACTOR, "create", **REUSABLE).result == 4
    assert bench.run(REACTOR, "is_open", **REUSABLE).result == 8  # EBADF
    assert bench.run(REACTOR, "exists", **REUSABLE).result == 44  # ENOENT


def test_a_warm_guest_has_new_files_for_each_call_too(bench):
    with bench.warm(REACTOR, "exists") as warm:
        assert [warm.call(), warm.call()] == [44, 44]
    with bench.warm(REACTOR, "create") as warm:
        assert [warm.call(), warm.call()] == [4, 4]


def test_an_idle_instance_holds_nothing_of_the_call_that_it_served(bench, pool):
    context = bench.context(bench.invocation(COUNTER, **REUSABLE), b"x" * 100)
    bench.run_context(context)
    (shelf,) = pool._shelves.values()
    assert not hasattr(shelf.idle[0].guest, "context")
    with pytest.raises(Exception, match=r"14|EFAULT"):
        context.memory.read(0, 4)


# -- reset ------------------------------------------------------------------------------------------------------------

RESETTING = """
(module
  (import "host" "log" (func $log (param i32 i32) (result i32)))
  (import "host" "wait_add" (func $wait_add (param i32 i32) (result i32)))
  (memory (export "memory") 1)
  (data (i32.const 8) "reset")
  (global $count (mut i32) (i32.const 0))
  (global $resets (mut i32) (i32.const 0))
  (func (export "run") (result i32)
    (global.set $count (i32.add (global.get $count) (i32.const 1)))
    (i32.add (i32.mul (global.get $resets) (i32.const 10)) (global.get $count)))
  (func (export "moc_reset")
    (drop (call $log (i32.const 8) (i32.const 5)))
    (global.set $count (i32.const 0))
    (global.set $resets (call $wait_add (global.get $resets) (i32.const 1)))
    {more}))
"""
STILL = RESETTING.replace("wait_add", "add")


@pytest.mark.parametrize("source", [RESETTING, STILL])
def test_a_module_makes_its_instance_ready_for_the_next_call_unseen(bench, source):
    results = [bench.run(source.format(more=""), **REUSABLE) for _ in range(3)]
    assert [each.result for each in results] == [1, 11, 21]
    assert [each.stderr for each in results] == [b"", b"", b""]


def test_a_warm_guest_is_reset_after_each_call(bench):
    with bench.warm(STILL.format(more="")) as warm:
        assert [warm.call() for _ in range(3)] == [1, 11, 21]


@pytest.mark.parametrize("more", ["(unreachable)", "(loop $again (br $again))"])
def test_a_reset_that_fails_costs_the_instance_and_not_the_call(bench, pool, caplog, more):
    caplog.set_level(logging.WARNING)
    limits = Limits(timeout_seconds=0.2)
    assert [bench.run(RESETTING.format(more=more), reusable=True, limits=limits).result for _ in range(2)] == [1, 1]
    assert pool.count == 0
    assert "moc_reset failed" in caplog.text


def test_a_warm_guest_whose_reset_fails_is_worn_and_has_answered(bench, caplog):
    with bench.warm(STILL.format(more="(unreachable)")) as warm:
        assert warm.call() == 1
        assert warm.is_worn
    assert "moc_reset failed" in caplog.text


def test_a_fresh_instance_is_not_reset(bench):
    assert bench.run(RESETTING.format(more="(unreachable)")).result == 1


def test_a_reset_of_another_type_is_refused_when_the_module_is_looked_at(bench):
    content = bench.sources[bench.module('(module (func (export "moc_reset") (param i32)))')]
    with pytest.raises(InvalidModuleError, match=r"'moc_reset' with the type .*i32.* must have the type"):
        bench.engine.inspect("guest", content)


# -- many at once -----------------------------------------------------------------------------------------------------

WAITS = """
(module
  (import "host" "wait_add" (func $wait_add (param i32 i32) (result i32)))
  (global $owner (mut i32) (i32.const 0))
  (global $inside (mut i32) (i32.const 0))
  (func (export "run") (param $me i32) (result i32)
    (local $before i32)
    (local.set $before (global.get $owner))
    (if (global.get $inside) (then (unreachable)))
    (global.set $inside (i32.const 1))
    (global.set $owner (call $wait_add (local.get $me) (i32.const 0)))
    (global.set $inside (i32.const 0))
    (local.get $before)))
"""


def test_two_hundred_calls_at_once_of_two_callers_never_share_an_instance(make_bench):
    bench = make_bench()

    async def every() -> list[list[object]]:
        async def one(me: int) -> object:
            invocation = bench.invocation(WAITS, "run", me, caller=f"caller {me}", **REUSABLE)
            return (await bench.drive(bench.context(invocation))).result

        answers = await asyncio.gather(*(one(1 + index % 2) for index in range(200)))
        return [answers[0::2], answers[1::2]]

    first, second = asyncio.run(every())
    assert set(first) <= {0, 1}
    assert set(second) <= {0, 2}
    assert 0 < bench.engine._pool.count <= 2 * warm_pool.INSTANCES_PER_CALLER
    again, _ = asyncio.run(every())
    assert 1 in again


def test_a_cancelled_call_ends_its_instance(make_bench):
    gate = GuestModule("gate")
    contexts = []

    async def wait_for_ever() -> int:
        contexts.pop().cancel()
        return await asyncio.get_running_loop().create_future()

    @gate.function("pass", waits=True)
    def pass_(call: CallContext, is_closed: int) -> int | Wait:
        contexts.append(call)
        return Wait(wait_for_ever) if is_closed else 1

    source = """(module (import "gate" "pass" (func $pass (param i32) (result i32)))
      (func (export "run") (param i32) (result i32) (call $pass (local.get 0))))"""
    bench = make_bench([gate])
    assert bench.run(source, "run", 0, **REUSABLE).result == 1
    assert bench.engine._pool.count == 1
    with pytest.raises(CancelledError):
        asyncio.run(bench.drive(bench.context(bench.invocation(source, "run", 1, **REUSABLE))))
    assert bench.engine._pool.count == 0
