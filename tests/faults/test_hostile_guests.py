"""Guests that want to hurt: whatever they do ends with their own call, costs what its limits say, and no more.

Each runs in a whole cluster, and after each the next call works.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from moc_server_ext.cluster import Cluster
from moc_server_ext.engines.wasi import PREVIEW1
from moc_server_ext.engines.wasm.text import wat_to_wasm
from moc_server_ext.errors import InvalidModuleError, LimitExceededError, TrapError
from moc_server_ext.guest_api.core import CORE
from moc_server_ext.guest_api.errno import Errno
from moc_server_ext.guest_api.registry import GuestModule
from moc_server_ext.model import CallRequest, CallResult, Declaration, Grants, Limits, Number

MIB = 1 << 20
LIMITS = Limits(
    memory_bytes=64 * MIB, timeout_seconds=10, output_bytes=16 * MIB, stderr_bytes=MIB, scratch_bytes=8 * MIB
)
OWN_NAME = 60_000
SELF = f"(call $call_function (i32.const {OWN_NAME}) (i32.const 7) {'(i32.const 0) ' * 12})"


def imports(module: GuestModule) -> str:
    """Import everything, each function under its own name."""
    return "".join(
        f'(import "{module.name}" "{name}" (func ${name} (param {" ".join(function.signature.params)})'
        f" (result {' '.join(function.signature.results)})))"
        for name, function in module.functions.items()
    )


def program(body: str, *, pages: int = 1, more: str = "") -> str:
    """Make a module around the body of ``_start``."""
    return f"""(module {imports(PREVIEW1)} {imports(CORE)} (memory (export "memory") {pages})
      (data (i32.const {OWN_NAME}) "hostiletmp/aaaa") {more}
      (func (export "_start") (local $i i32) (local $n i32) {body}))"""


def again_and_again(body: str, times: int) -> str:
    """Do `body` so many times."""
    return (
        f"(loop $again {body} (local.set $i (i32.add (local.get $i) (i32.const 1)))"
        f" (br_if $again (i32.lt_u (local.get $i) (i32.const {times}))))"
    )


def exit_with(number: str) -> str:
    """End with a number of the host as exit code, or its negative."""
    negated = "(i32.sub (i32.const 0) (local.get $n))"
    is_positive = "(i32.ge_s (local.get $n) (i32.const 0))"
    return f"(local.set $n {number}) (call $proc_exit (select (local.get $n) {negated} {is_positive}))"


WRITE_ALL = """(i32.store (i32.const 4) (i32.sub (i32.shl (memory.size) (i32.const 16)) (i32.const 0)))
  (drop (call $fd_write (i32.const 1) (i32.const 0) (i32.const 1) (i32.const 8)))"""

Attack = Callable[..., CallResult]


@pytest.fixture(scope="module")
def moc(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Cluster]:
    root: Path = tmp_path_factory.mktemp("hostile")
    with Cluster.open(root / "storage", limits=LIMITS, cache_directory=root / "modules") as cluster:
        cluster.functions.put("innocent", wat_to_wasm('(module (func (export "_start")))'))
        yield cluster


@pytest.fixture
def attack(moc: Cluster) -> Iterator[Attack]:
    """Register a module as ``hostile`` and call it; the next call must work."""

    def go(wat: str | bytes, *, input: bytes = b"", **limits: Number) -> CallResult:
        content = wat if isinstance(wat, bytes) else wat_to_wasm(wat)
        moc.functions.put("hostile", content, Declaration(grants=Grants(frozenset({"call", "kv"}))))
        return moc.call_sync(CallRequest("hostile", input=input, limits=limits))

    yield go
    assert moc.call_sync(CallRequest("innocent")).exit_code == 0
    assert moc.status()["calls"]["running"] == 0


@pytest.fixture
def at_most() -> Iterator[Callable[[int], None]]:
    """Watch the memory of this process: it may not grow by more than the test says, at any moment."""
    page = 4096
    before, peak, over = 0, 0, threading.Event()

    def resident() -> int:
        return int(Path("/proc/self/statm").read_text().split()[1]) * page

    def watch() -> None:
        nonlocal peak
        while not over.wait(0.001):
            peak = max(peak, resident())

    allowed: list[int] = []
    before = resident()
    watcher = threading.Thread(target=watch)
    watcher.start()
    yield allowed.append
    over.set()
    watcher.join()
    assert peak - before <= allowed[0]


# -- time -------------------------------------------------------------------------------------------------------------


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


# -- memory of the guest ----------------------------------------------------------------------------------------------


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


# -- memory of the host -----------------------------------------------------------------------------------------------


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


# -- files ------------------------------------------------------------------------------------------------------------

# The number in four letters, A to P: names are UTF-8.
NEW_NAME = "".join(
    f"(i32.store8 (i32.const {OWN_NAME + 11 + at}) (i32.add (i32.const 65)"
    f" (i32.and (i32.const 15) (i32.shr_u (local.get $i) (i32.const {4 * at})))))"
    for at in range(4)
)
PATH = f"(i32.const {OWN_NAME + 7}) (i32.const 8)"
ANY = "(i64.const -1) (i64.const -1) (i32.const 0)"
OPEN = f"(call $path_open (i32.const 3) (i32.const 0) {PATH} (i32.const 1) {ANY} (i32.const 64))"
# To make and to open; with the right to write, no directory is opened.
RIGHTS = 1 << 9 | 1 << 13
MKDIR = f"(call $path_create_directory (i32.const 3) {PATH})"


@pytest.mark.parametrize(("call", "errno"), [(OPEN, Errno.EMFILE), (MKDIR, Errno.ENOSPC)], ids=["open", "mkdir"])
def test_files_and_directories_have_an_end(attack: Attack, call: str, errno: Errno) -> None:
    loop = again_and_again(f"{NEW_NAME} (local.set $n {call})", 20_000)
    assert attack(program(f"{loop} (call $proc_exit (local.get $n))")).exit_code == errno


def test_renaming_and_removing_leave_nothing_behind(attack: Attack) -> None:
    one_round = f"""(local.set $n (i32.or (local.get $n) {MKDIR}))
      (local.set $n (i32.or (local.get $n)
        (call $path_rename (i32.const 3) {PATH} (i32.const 3) (i32.const {OWN_NAME + 7}) (i32.const 7))))
      (local.set $n (i32.or (local.get $n)
        (call $path_remove_directory (i32.const 3) (i32.const {OWN_NAME + 7}) (i32.const 7))))"""
    assert attack(program(again_and_again(one_round, 20_000) + "(call $proc_exit (local.get $n))")).exit_code == 0


def test_a_directory_in_a_directory_in_a_directory_ends_with_its_call(attack: Attack) -> None:
    """As deep as the quota goes: nothing on the host may walk or free it recursively."""
    body = f"""(local.set $n (i32.const 3))
      (block $full (loop $deeper
        (br_if $full (call $path_create_directory (local.get $n) (i32.const {OWN_NAME}) (i32.const 1)))
        (drop (call $path_open (local.get $n) (i32.const 0) (i32.const {OWN_NAME}) (i32.const 1) (i32.const 2)
          (i64.const {RIGHTS}) (i64.const {RIGHTS}) (i32.const 0) (i32.const 64)))
        (if (i32.ne (local.get $n) (i32.const 3)) (then (drop (call $fd_close (local.get $n)))))
        (local.set $n (i32.load (i32.const 64)))
        (local.set $i (i32.add (local.get $i) (i32.const 1)))
        (br $deeper)))
      (call $proc_exit (i32.gt_u (local.get $i) (i32.const 8000)))"""
    assert attack(program(body)).exit_code == 1


@pytest.mark.parametrize(
    ("call", "errno"),
    [
        ("(call $path_create_directory (i32.const 3) (i32.const 0) (i32.const 1000000))", Errno.ENAMETOOLONG),
        ("(call $random_get (i32.const 0) (i32.const -1))", Errno.EFAULT),
        ("(call $fd_write (i32.const 1) (i32.const 0) (i32.const -1) (i32.const 8))", Errno.EINVAL),
        ("(call $fd_read (i32.const 0) (i32.const -8) (i32.const 2) (i32.const 8))", Errno.EFAULT),
        ("(call $poll_oneoff (i32.const 0) (i32.const 0) (i32.const -1) (i32.const 0))", Errno.EINVAL),
        ("(call $base64_encode (i32.const 1) (i32.const -1))", Errno.ENOSPC),
        ("(call $print_debug (i32.const 1) (i32.const -1))", Errno.EFAULT),
        (f"(call $call_function (i32.const 0) (i32.const 1000000) {'(i32.const 0) ' * 12})", Errno.E2BIG),
    ],
)
def test_what_is_too_large_is_refused_by_number(attack: Attack, call: str, errno: Errno) -> None:
    assert attack(program(exit_with(call), pages=20)).exit_code == errno


# -- modules ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("name", "count"), [("f", 10_001), ("f" * 20_000, 60)], ids=["many", "long"])
def test_exports_beyond_measure_are_refused(attack: Attack, name: str, count: int) -> None:
    exports = "".join(f'(export "{name}{each}" (func $f))' for each in range(count))
    with pytest.raises(InvalidModuleError, match="at most"):
        attack(f"(module (func $f) {exports})")


def test_sections_that_mean_nothing_cost_nothing_when_called(attack: Attack) -> None:
    section = b"\0\x85\x80\x80\x08\x04junk" + bytes(16 * MIB)
    began = time.perf_counter()
    attack(wat_to_wasm('(module (func (export "_start")))') + section)
    assert time.perf_counter() - began < 30


def test_a_function_beyond_measure_is_refused(attack: Attack) -> None:
    body = b"\0" + b"\x01" * (8 * MIB) + b"\x0b"

    def number(value: int) -> bytes:
        return bytes([value & 127 | 128, value >> 7 & 127 | 128, value >> 14 & 127 | 128, value >> 21 & 127])

    code = b"\x01" + number(len(body)) + body
    module = b"\0asm\1\0\0\0" + b"\x01\x04\x01\x60\0\0" + b"\x03\x02\x01\0" + b"\x0a" + number(len(code)) + code
    with pytest.raises(InvalidModuleError, match="exceeds limit"):
        attack(module)
