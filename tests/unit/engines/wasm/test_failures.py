"""Guests that fail or reach a limit: what the caller learns, and that the engine stays usable."""

from __future__ import annotations

import signal
import threading

import pytest

from moc_server_ext.errors import (
    CancelledError,
    ConflictError,
    HostCallError,
    LimitExceededError,
    TrapError,
)
from moc_server_ext.model import Limits, Mode

SHORT = Limits(timeout_seconds=0.2)

BROKEN = """(module
  (import "host" "fail" (func $fail (param i32) (result i32)))
  (import "host" "limit" (func $limit (result i32)))
  (import "host" "wait_fail" (func $wait_fail (result i32)))
  (import "host" "log" (func $log (param i32 i32) (result i32)))
  (memory (export "memory") 1)
  (data (i32.const 0) "last words")
  (func $inner unreachable)
  (func $outer (drop (call $log (i32.const 0) (i32.const 10))) (call $inner))
  (func (export "boom") (call $outer))
  (func (export "outside") (drop (i32.load (i32.const 65536))))
  (func (export "divide") (param i32) (result i32) (i32.div_s (i32.const 1) (local.get 0)))
  (func $deeper (export "recurse") (call $deeper))
  (func $endless (export "endless") (loop $again (br $again)))
  (func (export "fails") (param i32) (result i32) (call $fail (local.get 0)))
  (func (export "limits") (result i32) (call $limit))
  (func (export "wait_fails") (result i32) (call $wait_fail))
  (func (export "fine") (result i32) (i32.const 1)))"""


def test_a_trap_names_its_frames_innermost_first_and_shows_the_end_of_stderr(bench):
    with pytest.raises(TrapError) as caught:
        bench.run(BROKEN, "boom")
    assert caught.value.backtrace[:2] == ["inner", "outer"]
    assert caught.value.stderr == "last words"
    assert "trapped in inner: unreachable" in caught.value.message


@pytest.mark.parametrize(
    ("entry", "numbers", "reason"),
    [
        ("outside", (), "out of bounds memory access"),
        ("divide", (0,), "integer divide by zero"),
        ("recurse", (), "call stack exhausted"),
    ],
)
def test_each_kind_of_trap_has_its_reason_and_leaves_the_engine_usable(bench, entry, numbers, reason):
    with pytest.raises(TrapError, match=reason):
        bench.run(BROKEN, entry, *numbers)
    assert bench.run(BROKEN, "fine").result == 1


@pytest.mark.parametrize("name", ["f", "i", "main"])
def test_a_function_of_c_keeps_its_name(bench, name):
    """As a mangled name of C++, `f` would stand for `float`."""
    with pytest.raises(TrapError) as caught:
        bench.run(f'(module (func ${name} (export "run") (unreachable)))')
    assert caught.value.backtrace == [name]


def test_a_function_without_a_name_has_its_number(bench):
    with pytest.raises(TrapError) as caught:
        bench.run('(module (func) (func (export "run") (unreachable)))')
    assert caught.value.backtrace == ["function 1"]


def test_hostile_function_names_are_made_printable(bench):
    with pytest.raises(TrapError) as caught:
        bench.run('(module (func $"\\1b[31mred\\0aline" (unreachable)) (func (export "run") (call 0)))')
    assert all(frame.isprintable() for frame in caught.value.backtrace)
    assert caught.value.backtrace


ENDLESS = '(module (func $endless (export "run") (loop $again (br $again))))'


def call(bench, is_warm, *arguments, **more):
    if not is_warm:
        bench.run(*arguments, **more)
        return
    with bench.warm(*arguments, **more) as warm:
        warm.call()


@pytest.mark.parametrize("is_warm", [False, True])
def test_an_endless_loop_ends_at_its_timeout_with_a_backtrace(bench, is_warm):
    with pytest.raises(LimitExceededError, match="timeout_seconds") as caught:
        call(bench, is_warm, ENDLESS, limits=SHORT)
    assert caught.value.backtrace == ["endless"]
    assert bench.run(BROKEN, "fine").result == 1


def test_a_start_function_that_loops_ends_at_the_timeout(bench):
    with pytest.raises(LimitExceededError, match="timeout_seconds"):
        bench.run('(module (func $start (loop $again (br $again))) (start $start) (func (export "run")))', limits=SHORT)


def test_a_warm_instance_is_retired_by_a_trap(bench):
    warm = bench.warm('(module (func (export "run") (unreachable)))')
    with pytest.raises(TrapError):
        warm.call()
    with pytest.raises(ConflictError, match="Make a new one"):
        warm.call()


def test_a_failing_host_function_is_named_with_its_reason_and_cause(bench):
    with pytest.raises(HostCallError, match=r"'fail'.*ValueError: number 7") as caught:
        bench.run(BROKEN, "fails", 7)
    assert isinstance(caught.value.__cause__, ValueError)
    with pytest.raises(HostCallError, match=r"'wait_fail'.*upside down") as caught:
        bench.run(BROKEN, "wait_fails")
    assert caught.value.backtrace


def test_an_error_of_the_platform_from_a_host_function_arrives_as_it_is_with_the_backtrace(bench):
    with pytest.raises(LimitExceededError, match="open_files") as caught:
        bench.run(BROKEN, "limits")
    assert caught.value.backtrace


def test_two_threads_get_their_own_errors(bench):
    """Each of 1,000 calls a thread fails in a host function, and learns its own number."""
    bench.run(BROKEN, "fine")
    wrong: list[str] = []

    def fail(base: int) -> None:
        for number in range(base, base + 1000):
            try:
                bench.run(BROKEN, "fails", number)
            except HostCallError as error:
                if not error.message.endswith(f"ValueError: number {number}"):
                    wrong.append(error.message)
            else:
                wrong.append(f"{number} did not fail")

    threads = [threading.Thread(target=fail, args=(base,)) for base in (0, 100_000)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert wrong == []


def test_a_cancelled_call_ends(bench):
    cancels = """(module (import "host" "cancel" (func $cancel (result i32)))
      (func (export "run") (drop (call $cancel)) (loop $again (br $again))))"""
    with pytest.raises(CancelledError):
        bench.run(cancels)


def test_a_call_is_cancelled_from_another_thread(bench):
    context = bench.context(bench.invocation(BROKEN, "endless"))
    timer = threading.Timer(0.02, context.cancel)
    timer.start()
    with pytest.raises(CancelledError):
        bench.run_context(context)
    timer.join()


INTERRUPTED = """(module (import "host" "interrupt" (func $interrupt (result i32)))
  (func (export "run") (drop (call $interrupt)) (loop $again (br $again)))
  (func (export "short") (drop (call $interrupt)))
  (func (export "fine") (result i32) (i32.const 1)))"""


@pytest.mark.parametrize("entry", ["run", "short"])
@pytest.mark.parametrize("is_warm", [False, True])
def test_ctrl_c_inside_a_host_function_ends_the_call_and_leaves_the_engine_usable(bench, entry, is_warm):
    before = signal.getsignal(signal.SIGINT)
    with pytest.raises(KeyboardInterrupt):
        call(bench, is_warm, INTERRUPTED, entry)
    assert signal.getsignal(signal.SIGINT) is before
    assert bench.run(INTERRUPTED, "fine").result == 1


def test_ctrl_c_while_a_guest_computes_ends_the_call(bench):
    computes = """(module (import "host" "interrupt_soon" (func $interrupt_soon (result i32)))
      (func (export "run") (drop (call $interrupt_soon)) (loop $again (br $again))))"""
    with pytest.raises(KeyboardInterrupt):
        bench.run(computes)
    assert bench.run(BROKEN, "fine").result == 1


# -- memory -----------------------------------------------------------------------------------------------------------

GROWS = """(module (memory (export "memory") 1)
  (func (export "run") (result i32) (loop $again (br_if $again (i32.ne (memory.grow (i32.const 16)) (i32.const -1))))
    (memory.size))
  (func (export "bomb")
    (loop $again (br_if $again (i32.ne (memory.grow (i32.const 1)) (i32.const -1)))) (unreachable)))"""


def test_memory_grows_up_to_its_limit_and_no_further(bench):
    limits = Limits(memory_bytes=8 << 20)
    assert 112 < bench.run(GROWS, limits=limits).result <= 128
    with bench.warm(GROWS, limits=limits) as warm:
        assert 112 < warm.call() <= 128


def test_a_trap_with_the_memory_used_up_says_so(bench):
    with pytest.raises(TrapError, match=r"limit memory_bytes = 8,388,608.*--limit memory_bytes"):
        bench.run(GROWS, "bomb", limits=Limits(memory_bytes=8 << 20))


def test_a_minimum_above_the_limit_is_a_reached_limit(bench):
    big = '(module (memory (export "memory") 200) (func (export "run")))'
    for start in (lambda: bench.run(big, limits=Limits(memory_bytes=8 << 20)),
                  lambda: bench.warm(big, limits=Limits(memory_bytes=8 << 20))):  # fmt: skip
        with pytest.raises(LimitExceededError, match="memory_bytes = 8,388,608") as caught:
            start()
        assert caught.value.details["found"] == 200 * 65536


def test_several_memories_share_the_limit(bench):
    two = """(module (memory $a (export "memory") 1) (memory $b 1)
      (func (export "run") (result i32)
        (loop $again (br_if $again (i32.ne (memory.grow $a (i32.const 1)) (i32.const -1))))
        (loop $again (br_if $again (i32.ne (memory.grow $b (i32.const 1)) (i32.const -1))))
        (i32.add (memory.size $a) (memory.size $b))))"""
    assert 100 < bench.run(two, limits=Limits(memory_bytes=8 << 20)).result <= 128


def test_a_table_bomb_is_stopped(bench):
    bomb = """(module (table 1 funcref) (func (export "run") (result i32)
      (loop $again (br_if $again (i32.ne (table.grow (ref.null func) (i32.const 100000)) (i32.const -1))))
      (table.size)))"""
    assert bench.run(bomb).result <= 1_000_000


def test_a_table_larger_than_the_pool_takes_runs_all_the_same(bench):
    big = '(module (table 50000 funcref) (memory (export "memory") 1) (func (export "run") (result i32) (table.size)))'
    assert bench.run(big).result == 50_000


def test_stderr_beyond_its_limit_ends_the_call(bench):
    loud = """(module (import "host" "log" (func $log (param i32 i32) (result i32))) (memory (export "memory") 1)
      (func (export "run") (loop $again (drop (call $log (i32.const 0) (i32.const 60000))) (br $again))))"""
    with pytest.raises(LimitExceededError, match="stderr_bytes") as caught:
        bench.run(loud)
    assert len(caught.value.stderr) == 4096


def test_an_output_bomb_ends_the_call(bench):
    bomb = """(module
      (import "wasi_snapshot_preview1" "fd_write" (func $write (param i32 i32 i32 i32) (result i32)))
      (memory (export "memory") 1) (data (i32.const 4) "\\00\\f0\\00\\00")
      (func (export "_start") (loop $again
        (drop (call $write (i32.const 1) (i32.const 0) (i32.const 1) (i32.const 8))) (br $again))))"""
    with pytest.raises(LimitExceededError, match="output_bytes"):
        bench.run(bomb, "_start", mode=Mode.POSIX, limits=Limits(output_bytes=1 << 20))
