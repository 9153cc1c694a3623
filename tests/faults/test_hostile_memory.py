"""Guests that want memory, their own or the host's: they get what their limits say, and give it back."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from hostile_guests import LIMITS, MIB, SELF, Attack, again_and_again, exit_with, program
from moc_server_ext.errors import InvalidModuleError, LimitExceededError
from moc_server_ext.guest_api.errno import Errno

WRITE_ALL = """(i32.store (i32.const 4) (i32.sub (i32.shl (memory.size) (i32.const 16)) (i32.const 0)))
  (drop (call $fd_write (i32.const 1) (i32.const 0) (i32.const 1) (i32.const 8)))"""


# -- memory of the guest -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("item", "count", "nothing"),
    [("memory", 1, ""), ("memory", 50, ""), ("table", 50, "(ref.null extern)")],
    ids=["one memory", "50 memories", "50 tables"],
)
def test_all_memories_and_tables_share_one_limit(
    attack: Attack, at_most: Callable[[int], None], item: str, count: int, nothing: str
) -> None:
    at_most(LIMITS.memory_bytes + 24 * MIB)
    kind, step, shift, fill = ("0", 1, 16, "(i32.const 1)") if item == "memory" else ("0 externref", 1000, 0, nothing)
    own = "".join(f"({item} $x{each} {kind})" for each in range(count))
    use = "".join(
        f"(loop (br_if 0 (i32.ne ({item}.grow $x{each} {nothing} (i32.const {step})) (i32.const -1))))"
        f"({item}.fill $x{each} (i32.const 0) {fill} (i32.shl ({item}.size $x{each}) (i32.const {shift})))"
        for each in range(count)
    )
    attack(f'(module {own} (func (export "_start") {use}))')


def test_tables_that_are_too_large_from_the_start_are_refused(attack: Attack) -> None:
    tables = "(table 1000000 funcref)" * 20
    with pytest.raises(InvalidModuleError, match="table"):
        attack(f'(module {tables} (func (export "_start")))')


def test_exceptions_without_end_cost_nothing(attack: Attack, at_most: Callable[[int], None]) -> None:
    at_most(32 * MIB)
    attack("""(module (tag $e (param i64 i64)) (table $kept 1000 exnref)
      (func (export "_start") (local $i i32) (local $r exnref)
        (loop $again
          (block $caught (result i64 i64 exnref)
            (try_table (catch_ref $e $caught) (throw $e (i64.const 1) (i64.const 2))) unreachable)
          (local.set $r) drop drop
          (table.set $kept (i32.rem_u (local.get $i) (i32.const 1000)) (local.get $r))
          (local.set $i (i32.add (local.get $i) (i32.const 1)))
          (br_if $again (i32.lt_u (local.get $i) (i32.const 1000000))))))""")


# -- memory of the host ------------------------------------------------------------------------------------------------


def test_tiny_writes_cost_their_bytes(attack: Attack, at_most: Callable[[int], None]) -> None:
    at_most(16 * MIB)
    write = "(drop (call $fd_write (i32.const 1) (i32.const 0) (i32.const 1) (i32.const 8)))"
    result = attack(program("(i32.store (i32.const 4) (i32.const 1))" + again_and_again(write, 200_000)))
    assert len(result.output) == 200_000


def test_output_beyond_its_limit_ends_the_call(attack: Attack, at_most: Callable[[int], None]) -> None:
    at_most(64 * MIB)
    with pytest.raises(LimitExceededError) as caught:
        attack(program(WRITE_ALL, pages=500))
    assert caught.value.details["limit"] == "output_bytes"


def test_pieces_that_overlap_cannot_multiply(attack: Attack, at_most: Callable[[int], None]) -> None:
    at_most(32 * MIB)
    fill = "(i32.store offset=4 (i32.shl (local.get $i) (i32.const 3)) (i32.const 4000000))"
    body = again_and_again(fill, 1024) + exit_with(
        "(call $fd_write (i32.const 1) (i32.const 0) (i32.const 1024) (i32.const 9000))"
    )
    assert attack(program(body, pages=64)).exit_code == Errno.EINVAL


def test_a_tree_of_calls_shares_the_limit_of_output(attack: Attack, at_most: Callable[[int], None]) -> None:
    """Each level fills its output before it goes deeper."""
    at_most(LIMITS.memory_bytes + 3 * LIMITS.output_bytes)
    result = attack(program(f"{WRITE_ALL} (drop {SELF})", pages=48))
    assert len(result.output) == 48 << 16
    assert b"output_bytes = " in result.stderr


def test_a_tree_of_calls_shares_the_limit_of_buffers(attack: Attack) -> None:
    """Each level takes 4 MB of the 8 MiB: the second has room, the third has none, and its number comes up."""
    body = f"""(local.set $n (call $base64_encode (i32.const 0) (i32.const 3000000)))
      (if (i32.gt_s (local.get $n) (i32.const 0)) (then {exit_with(SELF)}))
      (call $proc_exit (i32.sub (i32.const 0) (local.get $n)))"""
    assert attack(program(body, pages=50), memory_bytes=200 * MIB).exit_code == Errno.ENOSPC


@pytest.mark.parametrize(
    ("call", "errno"),
    [
        ("(call $create_exchange_buffer)", Errno.EMFILE),
        ("(call $base64_encode (i32.const 0) (i32.const 60000))", Errno.ENOSPC),
        ("(call $write_exchange_buffer (call $create_exchange_buffer) (i32.const 0) (i32.const 60000))", Errno.ENOSPC),
        ("(call $read_exchange_buffer_headers (i32.const 2))", Errno.EMFILE),
    ],
)
def test_exchange_buffers_have_an_end(attack: Attack, call: str, errno: Errno) -> None:
    loop = f"(loop $more (local.set $n {call}) (br_if $more (i32.ge_s (local.get $n) (i32.const 0))))"
    assert attack(program(f"{loop} (call $proc_exit (i32.sub (i32.const 0) (local.get $n)))")).exit_code == errno


def test_headers_have_an_end(attack: Attack) -> None:
    name = "".join(
        f"(i32.store8 (i32.const {at}) (i32.add (i32.const 97) (i32.and (i32.const 15) (i32.shr_u (local.get $i)"
        f" (i32.const {4 * at})))))"
        for at in range(3)
    )
    header = f"{name} (local.set $n (call $write_exchange_buffer_header (i32.const 2) (i32.const 0)"
    header += " (i32.const 3) (i32.const 0) (i32.const 0)))"
    result = attack(program(again_and_again(header, 4096) + "(call $proc_exit (i32.sub (i32.const 0) (local.get $n)))"))
    assert result.exit_code == Errno.E2BIG
    assert len(result.output_headers) < 2000


def test_a_flood_of_log_lines_ends_the_call(attack: Attack) -> None:
    with pytest.raises(LimitExceededError) as caught:
        attack(program("(loop (drop (call $print_debug (i32.const 0) (i32.const 1000))) (br 0))"))
    assert caught.value.details["limit"] == "stderr_bytes"
