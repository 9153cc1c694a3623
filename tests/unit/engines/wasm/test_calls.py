"""Calls that go well: numbers, modes, host functions that wait and that do not."""

from __future__ import annotations

import threading

import pytest

from moc_server_ext.errors import EntryPointNotFoundError, InvalidArgumentsError, InvalidInputError
from moc_server_ext.guest_api.errno import GuestErrno
from moc_server_ext.model import Mode

NUMBERS = """(module
  (func (export "add") (param i32 i32) (result i32) (i32.add (local.get 0) (local.get 1)))
  (func (export "swap") (param i64 f32) (result f32 i64) (local.get 1) (local.get 0))
  (func (export "half") (param f64) (result f64) (f64.div (local.get 0) (f64.const 2)))
  (func (export "same32") (param i32) (result i32) (local.get 0))
  (func (export "vector") (param v128))
  (func (export "nothing")))"""


@pytest.mark.parametrize(
    ("entry", "numbers", "expected"),
    [
        ("add", (1, 2), 3),
        ("add", (2**31 - 1, 1), -(2**31)),
        ("swap", (-(2**63), 1.5), (1.5, -(2**63))),
        ("half", (3,), 1.5),
        ("same32", (2**32 - 1,), -1),
        ("nothing", (), None),
    ],
)
def test_numbers_of_every_type_reach_the_guest_and_come_back(bench, entry, numbers, expected):
    assert bench.run(NUMBERS, entry, *numbers).result == expected
    with bench.warm(NUMBERS, entry) as warm:
        assert warm.call(*numbers) == expected


@pytest.mark.parametrize("numbers", [(1,), (1, 2, 3), (1, 2.5), (1, 2**32), (1, -(2**31) - 1), (1, "2")])
def test_wrong_numbers_are_refused_with_the_types_that_are_taken(bench, numbers):
    with pytest.raises(InvalidArgumentsError, match=r"takes 2 arguments \(i32, i32\)"):
        bench.run(NUMBERS, "add", *numbers)
    with bench.warm(NUMBERS, "add") as warm:
        with pytest.raises(InvalidArgumentsError):
            warm.call(*numbers)
        assert warm.call(1, 2) == 3


def test_an_integer_too_large_for_a_float_is_refused(bench):
    with pytest.raises(InvalidArgumentsError):
        bench.run(NUMBERS, "half", 10**400)


def test_an_unknown_entry_point_lists_the_exports(bench):
    with pytest.raises(EntryPointNotFoundError, match="'add', 'half'"):
        bench.run(NUMBERS, "subtract")


def test_an_entry_point_with_types_that_are_no_numbers_is_refused(bench):
    with pytest.raises(InvalidInputError, match="v128"):
        bench.run(NUMBERS, "vector")


def test_every_call_gets_a_fresh_instance_and_a_warm_one_keeps_its_state(bench):
    counter = """(module (global $n (mut i32) (i32.const 0))
      (func (export "run") (result i32) (global.set $n (i32.add (global.get $n) (i32.const 1))) (global.get $n)))"""
    assert [bench.run(counter).result for _ in range(3)] == [1, 1, 1]
    with bench.warm(counter) as warm:
        assert [warm.call() for _ in range(3)] == [1, 2, 3]


@pytest.mark.parametrize("is_warm", [False, True])
def test_initialize_runs_before_a_direct_call(bench, is_warm):
    reactor = """(module (global $n (mut i32) (i32.const 0))
      (func (export "_initialize") (global.set $n (i32.const 7)))
      (func (export "run") (result i32) (global.get $n)))"""
    if is_warm:
        with bench.warm(reactor) as warm:
            assert warm.call() == 7
    else:
        assert bench.run(reactor).result == 7


EXITS = """(module (import "wasi_snapshot_preview1" "proc_exit" (func $exit (param i32)))
  (func (export "_start") (call $exit (i32.const 3)))
  (func (export "quiet"))
  (func (export "main") (result i32) (i32.const 5))
  (func (export "run") (param i32) (result i32) (call $exit (local.get 0)) (unreachable)))"""


@pytest.mark.parametrize(("entry", "code"), [("_start", 3), ("quiet", 0), ("main", 5)])
def test_a_posix_call_gives_its_exit_code_and_no_result(bench, entry, code):
    result = bench.run(EXITS, entry, mode=Mode.POSIX)
    assert (result.exit_code, result.result) == (code, None)


def test_proc_exit_in_a_direct_call_is_an_exit_code_and_no_error(bench):
    result = bench.run(EXITS, "run", 9)
    assert (result.exit_code, result.result) == (9, None)
    with bench.warm(EXITS, "run") as warm:
        assert warm.call(9) is None


HOST = """(module
  (import "host" "add" (func $add (param i32 i32) (result i32)))
  (import "host" "refuse" (func $refuse (result i32)))
  (import "host" "wait_add" (func $wait_add (param i32 i32) (result i32)))
  (import "host" "wait_refuse" (func $wait_refuse (result i32)))
  (import "host" "wait_write" (func $wait_write (param i32) (result i32)))
  (memory (export "memory") 1)
  (func (export "still") (param i32) (result i32) (call $add (local.get 0) (i32.const 1)))
  (func (export "refused") (result i32) (call $refuse))
  (func (export "waits") (param i32) (result i32)
    (call $wait_add (call $wait_add (local.get 0) (i32.const 1)) (i32.const 1)))
  (func (export "wait_refused") (result i32) (call $wait_refuse))
  (func (export "written") (result i32) (drop (call $wait_write (i32.const 8))) (i32.load (i32.const 8)))
  (func (export "outside") (result i32) (call $wait_write (i32.const 65533)))
  (func (export "grown") (result i32) (drop (memory.grow (i32.const 1))) (call $wait_write (i32.const 65536))))"""


@pytest.mark.parametrize(
    ("entry", "numbers", "expected"),
    [
        ("still", (41,), 42),
        ("refused", (), -2),
        ("waits", (40,), 42),
        ("wait_refused", (), -44),
        ("written", (), int.from_bytes(b"late", "little")),
        ("outside", (), -21),
        ("grown", (), 4),
    ],
)
def test_host_functions_answer_whether_they_wait_or_not(bench, entry, numbers, expected):
    assert bench.run(HOST, entry, *numbers).result == expected


def test_a_warm_instance_of_a_module_that_waits_answers_as_well(bench):
    with bench.warm(HOST, "waits") as warm:
        assert [warm.call(1), warm.call(2)] == [3, 4]


def test_waiting_functions_work_on_a_worker_thread(bench):
    found: list[object] = []
    thread = threading.Thread(target=lambda: found.append(bench.run(HOST, "waits", 40).result))
    thread.start()
    thread.join()
    assert found == [42]


def test_a_start_function_can_call_the_host_before_there_is_an_instance(bench):
    early = """(module (import "host" "log" (func $log (param i32 i32) (result i32)))
      (memory (export "memory") 1) (data (i32.const 4) "early")
      (func $start (drop (call $log (i32.const 4) (i32.const 5)))) (start $start)
      (func (export "run")))"""
    assert bench.run(early).stderr == b"early"


def test_a_module_without_memory_gets_efault_from_functions_that_need_one(bench):
    none = """(module (import "host" "log" (func $log (param i32 i32) (result i32)))
      (func (export "run") (result i32) (call $log (i32.const 0) (i32.const 1))))"""
    assert bench.run(none).result == -21


def test_a_pointer_near_the_end_of_the_address_space_is_out_of_bounds(bench):
    far = """(module (import "host" "log" (func $log (param i32 i32) (result i32))) (memory (export "memory") 1)
      (func (export "run") (param i32 i32) (result i32) (call $log (local.get 0) (local.get 1))))"""
    for pointer, length in [(-1, 1), (-1, -1), (0, -1), (65536, 1), (65535, 2)]:
        assert bench.run(far, "run", pointer, length).result == -21
    assert bench.run(far, "run", 65536, 0).result == 0


def test_the_result_tells_output_stderr_and_duration(bench):
    result = bench.run(HOST, "still", 1)
    assert result.output == b""
    assert result.duration_us >= 0
    assert len(result.call_id) == 16


def test_the_memory_of_a_call_that_ended_is_out_of_reach(bench):
    context = bench.context(bench.invocation(HOST, "waits", 1))
    bench.run_context(context)
    with pytest.raises(GuestErrno):
        context.memory.read(0, 1)
