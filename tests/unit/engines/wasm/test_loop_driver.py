"""Guests on an event loop: many at once, by turns, waiting without threads, and ended from outside."""

from __future__ import annotations

import asyncio
import gc
import threading
import time

import pytest

from moc_server_ext.buffers.channel import Channel
from moc_server_ext.engines.wasm.run_queue import RunQueue
from moc_server_ext.errors import CancelledError, ExchangeBufferError, LimitExceededError, MemoryBudgetError
from moc_server_ext.guest_api.context import CallContext
from moc_server_ext.guest_api.registry import GuestModule, Wait, Work
from moc_server_ext.model import Limits, Mode
from moc_server_ext.resources import processors

ENDLESS = '(module (func (export "run") (loop (br 0))))'
COUNT = """(module (func (export "run") (param i32) (result i32) (local i32)
  (loop (local.set 1 (i32.add (local.get 1) (i32.const 1))) (br_if 0 (i32.lt_u (local.get 1) (local.get 0))))
  (local.get 1)))"""
WAITING = """(module (import "wait" "until" (func $until (result i32)))
  (func (export "run") (result i32) (call $until)))"""
BLOCKING = """(module (import "wait" "block" (func $block (result i32)))
  (func (export "run") (result i32) (call $block)))"""
GROWING = """(module (memory (export "memory") 1)
  (func (export "run") (loop (drop (memory.grow (i32.const 1))) (br 0))))"""
CAT = """(module
  (import "wasi_snapshot_preview1" "fd_read" (func $read (param i32 i32 i32 i32) (result i32)))
  (import "wasi_snapshot_preview1" "fd_write" (func $write (param i32 i32 i32 i32) (result i32)))
  (memory (export "memory") 2)
  (func (export "_start")
    (loop $more
      (i32.store (i32.const 0) (i32.const 65536)) (i32.store (i32.const 4) (i32.const 65536))
      (if (call $read (i32.const 0) (i32.const 0) (i32.const 1) (i32.const 16)) (then (unreachable)))
      (if (i32.load (i32.const 16)) (then
        (i32.store (i32.const 4) (i32.load (i32.const 16)))
        (if (call $write (i32.const 1) (i32.const 0) (i32.const 1) (i32.const 16)) (then (unreachable)))
        (br $more))))))"""


@pytest.fixture
def waits():
    """A module whose function waits for an event on the loop, or blocks until one on a thread."""
    module = GuestModule("wait")
    module.event = None
    module.begun = 0
    module.unblock = threading.Event()
    module.threads = set()

    @module.function("until", waits=True)
    def until(_call) -> Wait:
        async def start():
            module.begun += 1
            await module.event.wait()
            return 7

        return Wait(start)

    @module.function("block", waits=True)
    def block(_call) -> Work:
        def run():
            module.threads.add(threading.current_thread().name)
            module.begun += 1
            module.unblock.wait(60)
            return 8

        return Work(run)

    yield module
    module.unblock.set()


@pytest.fixture
def bench(make_bench, waits):
    return make_bench([waits])


async def begun(waits, count):
    while waits.begun < count:
        await asyncio.sleep(0)


def test_a_guest_that_computes_leaves_the_loop_to_others(bench):
    async def scenario():
        context = bench.context(bench.invocation(ENDLESS, limits=Limits(timeout_seconds=0.5)))
        endless = asyncio.create_task(bench.drive(context))
        turns = 0
        while not endless.done():
            await asyncio.sleep(0)
            turns += 1
        with pytest.raises(LimitExceededError, match="timeout_seconds"):
            await endless
        return turns

    assert asyncio.run(scenario()) > 10


def test_a_short_call_ends_while_long_ones_of_another_caller_compute(bench):
    async def scenario():
        endless = [
            asyncio.create_task(bench.drive(bench.context(bench.invocation(ENDLESS, caller="a")))) for _ in range(6)
        ]
        for _ in range(3):
            # It begins among the workers.
            result = await bench.drive(bench.context(bench.invocation(COUNT, "run", 30_000_000, caller="b")))
            assert result.result == 30_000_000
        for each in endless:
            each.cancel()
        await asyncio.gather(*endless, return_exceptions=True)

    asyncio.run(scenario())


def test_a_call_that_took_long_without_computing_does_not_keep_the_next_ones_among_the_workers(make_bench):
    module, threads = GuestModule("wait"), []

    @module.function("tell")
    def tell(_call) -> None:
        threads.append(threading.get_ident())
        # As if it waited for the interpreter's lock; longer than a first slice.
        time.sleep(0.02)

    bench = make_bench([module])
    counting = """(module (import "wait" "tell" (func $tell))
      (func (export "run") (param i32) (local i32)
        (loop (local.set 1 (i32.add (local.get 1) (i32.const 1))) (br_if 0 (i32.lt_u (local.get 1) (local.get 0))))
        (call $tell)))"""

    async def scenario():
        for count in (200_000_000, 1, 1):
            await bench.drive(bench.context(bench.invocation(counting, "run", count)))

    asyncio.run(scenario())
    loop = threading.get_ident()
    assert [each == loop for each in threads] == [False, False, True]


def test_a_function_runs_on_the_loop_once_it_is_known_to_be_short_and_never_again_once_it_held_the_loop_up(make_bench):
    module, threads = GuestModule("wait"), []

    @module.function("compute")
    def compute(_call, milliseconds: int) -> None:
        threads.append(threading.get_ident())
        # In one go, as a guest fills all its memory: no tick of the clock comes between.
        end = time.thread_time() + milliseconds / 1000
        while time.thread_time() < end:
            pass

    bench = make_bench([module])
    computing = """(module (import "wait" "compute" (func $compute (param i32)))
      (func (export "run") (param i32) (call $compute (local.get 0))))"""

    async def scenario():
        for milliseconds in (0, 0, 100, 0, 0, 0):
            await bench.drive(bench.context(bench.invocation(computing, "run", milliseconds)))

    asyncio.run(scenario())
    loop = threading.get_ident()
    assert [each == loop for each in threads] == [False, True, True, False, False, False]


def test_what_a_call_held_goes_with_its_error(bench):
    """Not when the collector comes round: that may be the output of a guest, as large as its limits allow."""

    def contexts() -> int:
        return sum(isinstance(each, CallContext) for each in gc.get_objects())

    async def scenario():
        invocation = bench.invocation(ENDLESS, limits=Limits(timeout_seconds=0.05))
        gc.collect()
        before = contexts()
        gc.disable()
        try:
            with pytest.raises(LimitExceededError):
                await bench.drive(bench.context(invocation))
            # The worker that ran it lets go of it when it waits for the next one.
            deadline = time.monotonic() + 30
            while (left := contexts() - before) and time.monotonic() < deadline:
                await asyncio.sleep(0.01)
            return left
        finally:
            gc.enable()

    assert asyncio.run(scenario()) == 0


def test_guests_wait_without_threads(bench, waits):
    async def scenario():
        waits.event = asyncio.Event()
        context = bench.context(bench.invocation(WAITING))
        calls = [asyncio.create_task(bench.drive(context))]
        await begun(waits, 1)
        before = threading.active_count()
        calls += [asyncio.create_task(bench.drive(bench.context(context.invocation))) for _ in range(299)]
        await begun(waits, 300)
        # Workers start with the first guests that want more than a slice: one a processor, whatever waits.
        assert threading.active_count() <= before + processors()
        waits.event.set()
        return [each.result for each in await asyncio.gather(*calls)]

    assert asyncio.run(scenario()) == [7] * 300


def test_blocking_work_runs_beside_the_loop(bench, waits):
    async def scenario():
        call = asyncio.create_task(bench.drive(bench.context(bench.invocation(BLOCKING))))
        await begun(waits, 1)
        waits.unblock.set()
        return (await call).result

    assert asyncio.run(scenario()) == 8
    assert threading.current_thread().name not in waits.threads


@pytest.mark.parametrize("wat", [WAITING, BLOCKING], ids=["on the loop", "on a thread"])
def test_a_waiting_guest_ends_when_its_call_is_cancelled(bench, waits, wat):
    async def scenario():
        waits.event = asyncio.Event()
        context = bench.context(bench.invocation(wat))
        call = asyncio.create_task(bench.drive(context))
        await begun(waits, 1)
        threading.Thread(target=context.cancel).start()
        with pytest.raises(CancelledError):
            await call

    asyncio.run(scenario())


@pytest.mark.parametrize("wat", [WAITING, BLOCKING], ids=["on the loop", "on a thread"])
def test_a_waiting_guest_ends_with_its_time(bench, waits, wat):
    async def scenario():
        waits.event = asyncio.Event()
        context = bench.context(bench.invocation(wat, limits=Limits(timeout_seconds=0.2)))
        with pytest.raises(LimitExceededError, match="timeout_seconds") as caught:
            await bench.drive(context)
        assert caught.value.backtrace

    asyncio.run(scenario())


def test_a_computing_guest_ends_when_its_call_is_cancelled(bench):
    async def scenario():
        context = bench.context(bench.invocation(ENDLESS))
        call = asyncio.create_task(bench.drive(context))
        await asyncio.sleep(0.05)
        context.cancel()
        with pytest.raises(CancelledError):
            await call

    asyncio.run(scenario())


def test_guests_that_queue_for_a_worker_end_when_they_are_cancelled(bench):
    async def scenario():
        contexts = [bench.context(bench.invocation(ENDLESS)) for _ in range(20)]
        calls = [asyncio.create_task(bench.drive(each)) for each in contexts]
        await asyncio.sleep(0.1)
        for each in contexts:
            each.cancel()
        outcomes = await asyncio.gather(*calls, return_exceptions=True)
        assert {type(each) for each in outcomes} == {CancelledError}

    asyncio.run(scenario())


def test_cancelling_the_coroutine_ends_the_guest(bench, waits):
    async def scenario():
        waits.event = asyncio.Event()
        context = bench.context(bench.invocation(WAITING))
        call = asyncio.create_task(bench.drive(context))
        await begun(waits, 1)
        call.cancel()
        with pytest.raises(asyncio.CancelledError):
            await call
        assert context.cancelled
        # What it waited for is given up as well.
        while len(asyncio.all_tasks()) > 1:
            await asyncio.sleep(0)

    asyncio.run(scenario())


def test_a_call_that_is_cancelled_before_it_begins_does_not_run(bench, waits):
    async def scenario():
        context = bench.context(bench.invocation(WAITING))
        context.cancel()
        with pytest.raises(CancelledError):
            await bench.drive(context)

    asyncio.run(scenario())
    assert not waits.begun


class Budget:
    """A place in a server without memory."""

    def __init__(self):
        self.waits = []
        self.has_room = True

    def suspend(self):
        self.waits.append("suspended")

    def resume(self):
        self.waits.append("resumed")

    def hold(self, memory_bytes, function):
        if memory_bytes > 1 << 20:
            raise MemoryBudgetError(function, 1 << 20)


@pytest.mark.parametrize("on_loop", [True, False], ids=["loop", "blocking"])
def test_a_guest_that_grows_beyond_the_budget_of_the_server_ends(bench, on_loop):
    bench.on_loop = on_loop
    context = bench.context(bench.invocation(GROWING, limits=Limits(memory_bytes=4 << 30)))
    context.place = Budget()
    with pytest.raises(MemoryBudgetError, match="'guest' was ended"):
        bench.run_context(context)


def test_a_place_is_given_up_for_as_long_as_the_guest_waits(bench, waits):
    async def scenario():
        waits.event = asyncio.Event()
        context = bench.context(bench.invocation(WAITING))
        context.place = place = Budget()
        call = asyncio.create_task(bench.drive(context))
        await begun(waits, 1)
        assert place.waits == ["suspended"]
        waits.event.set()
        await call
        assert place.waits == ["suspended", "resumed"]

    asyncio.run(scenario())


def test_output_leaves_before_the_input_has_ended(bench):
    async def scenario():
        source, sink = Channel(), Channel()
        invocation = bench.invocation(CAT, "_start", mode=Mode.POSIX)
        context = bench.context(invocation)
        context.input, context.output, context.live = source, sink, True
        call = asyncio.create_task(bench.drive(context))
        for part in (b"one", b"two"):
            source.write(part)
            await sink.readable()
            assert sink.take() == part
        source.close()
        result = await call
        assert result.exit_code == 0
        assert sink.ended

    asyncio.run(scenario())


def test_a_guest_waits_for_a_reader_and_holds_little_meanwhile(bench):
    async def scenario():
        source, sink = Channel(), Channel()
        invocation = bench.invocation(CAT, "_start", mode=Mode.POSIX)
        context = bench.context(invocation)
        context.input, context.output, context.live = source, sink, True
        call = asyncio.create_task(bench.drive(context))
        sent = got = most = 0
        while got < 4 << 20:
            if sent < 4 << 20 and not source.full:
                source.write(bytes(65536))
                sent += 65536
                if sent == 4 << 20:
                    source.close()
            elif sink.ready:
                most = max(most, sink.size - got)
                got += len(sink.take())
            else:
                await asyncio.sleep(0)
        await call
        assert most <= (256 << 10) + 65536

    asyncio.run(scenario())


def test_a_reader_that_has_gone_ends_the_guest_that_writes(bench):
    async def scenario():
        source, sink = Channel(), Channel()
        invocation = bench.invocation(CAT, "_start", mode=Mode.POSIX)
        context = bench.context(invocation)
        context.input, context.output, context.live = source, sink, True
        call = asyncio.create_task(bench.drive(context))
        sink.fail(ExchangeBufferError("nobody reads"))
        source.write(b"something")
        with pytest.raises(ExchangeBufferError, match="nobody reads"):
            await call

    asyncio.run(scenario())


class Turn:
    """A turn that is taken a number of times."""

    def __init__(self, caller, times, taken, gate):
        self.caller = caller
        self._left = times
        self._taken = taken
        self._gate = gate

    def take(self):
        self._gate.wait(60)
        self._taken.append(self.caller)
        self._left -= 1
        return self._left > 0


def test_callers_take_turns_on_the_workers():
    queue, taken, gate = RunQueue(1), [], threading.Event()
    for _ in range(50):
        queue.put(Turn("a", 4, taken, gate))
    queue.put(Turn("b", 4, taken, gate))
    gate.set()
    end = time.monotonic() + 30
    while len(taken) < 204 and time.monotonic() < end:
        time.sleep(0.001)
    queue.close()
    assert len(taken) == 204
    # Every second turn is b's, as long as b wants one.
    assert taken[:10].count("b") >= 4


def test_a_turn_can_be_taken_back_until_a_worker_begins_it():
    queue, taken, gate = RunQueue(1), [], threading.Event()
    first, second = Turn("a", 1, taken, gate), Turn("a", 1, taken, gate)
    queue.put(first)
    while queue.remove(first):
        queue.put(first)
    queue.put(second)
    assert queue.remove(second)
    assert not queue.remove(second)
    gate.set()
    queue.close()
    assert taken == ["a"]
