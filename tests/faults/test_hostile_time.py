"""Guests that never want to end: they end at their limit, and the next call works."""

from __future__ import annotations

import pytest

from hostile_guests import SELF, Attack, again_and_again, program
from moc_server_ext.errors import LimitExceededError, TrapError


@pytest.mark.parametrize(
    "wat",
    [
        program("(loop (br 0))"),
        program("(loop (drop (call $sched_yield)) (br 0))"),
        program("(loop (drop (call $fd_write (i32.const 9) (i32.const 9) (i32.const 9) (i32.const 9))) (br 0))"),
        '(module (func $s (loop (br 0))) (start $s) (func (export "_start")))',
        '(module (func (export "_initialize") (loop (br 0))) (func (export "run")))',
        program(f"(loop (drop {SELF}) (br 0))"),
        program(f"(drop {SELF}) (drop {SELF})"),
        program("(i64.store (i32.const 24) (i64.const -1)) (drop (call $poll_oneoff"
                " (i32.const 0) (i32.const 64) (i32.const 1) (i32.const 128)))"),
        program(again_and_again("(i64.store (i32.add (i32.const 24) (i32.mul (local.get $i) (i32.const 48)))"
                                " (i64.const -1))", 1000)
                + "(drop (call $poll_oneoff (i32.const 0) (i32.const 65536) (i32.const 1000) (i32.const 131000)))",
                pages=2),
    ],
    ids=["loop", "yield", "refusals", "start function", "initialize", "fork", "fork twice", "sleep", "1,000 sleeps"],
)  # fmt: skip
def test_what_never_ends_is_ended(attack: Attack, wat: str) -> None:
    with pytest.raises(LimitExceededError) as caught:
        attack(wat, timeout_seconds=0.15)
    assert caught.value.details["limit"] == "timeout_seconds"


def test_recursion_without_end_is_a_trap(attack: Attack) -> None:
    with pytest.raises(TrapError, match="call stack exhausted"):
        attack('(module (func $f (export "_start") (call $f)))')


def test_exit_in_a_start_function_is_the_exit_code(attack: Attack) -> None:
    wat = program("unreachable", more="(func $s (call $proc_exit (i32.const 5))) (start $s)")
    assert attack(wat).exit_code == 5
