"""Imports that are bound to registered functions: checked when they are registered, and again at each call."""

from __future__ import annotations

import asyncio
import struct
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from moc_server_ext.cluster import Cluster
from moc_server_ext.engines.wasm.text import wat_to_wasm
from moc_server_ext.errors import (
    CancelledError,
    GuestError,
    GuestExitError,
    InvalidModuleError,
    LimitExceededError,
    MissingImportError,
    NotGrantedError,
    TrapError,
)
from moc_server_ext.model import CallRequest, CallResult, Declaration, Grants, Limits, Signature
from moc_server_ext.scope import CallScope

MATHS = """(module
  (func (export "add") (param i32 i32) (result i32) (i32.add (local.get 0) (local.get 1)))
  (func (export "mix") (param i32 i64 f32 f64) (result f64 f32 i64 i32)
    (local.get 3) (local.get 2) (local.get 1) (local.get 0))
  (func (export "nothing"))
  (func (export "bits") (param f64) (result i64) (i64.reinterpret_f64 (local.get 0)))
  (func (export "nan") (result f64) (f64.reinterpret_i64 (i64.const 0xfff4000000000123))))"""
CALC = """(module
  (import "maths" "add" (func $add (param i32 i32) (result i32)))
  (func (export "triple") (param i32) (result i32)
    (call $add (local.get 0) (call $add (local.get 0) (local.get 0)))))"""
MIXER = """(module
  (import "maths" "mix" (func $mix (param i32 i64 f32 f64) (result f64 f32 i64 i32)))
  (import "maths" "nothing" (func $nothing))
  (func (export "run") (param i32 i64 f32 f64) (result f64 f32 i64 i32)
    (call $nothing)
    (call $mix (local.get 0) (local.get 1) (local.get 2) (local.get 3))))"""


@pytest.fixture
def moc(tmp_path: Path) -> Iterator[Cluster]:
    with Cluster.open(tmp_path / "storage", cache_directory=tmp_path / "cache") as cluster:
        yield cluster


def put(moc: Cluster, name: str, wat: str, *grants: str, **declared: object) -> None:
    declaration = Declaration(grants=Grants(frozenset(grants)), **declared)  # type: ignore[arg-type]
    moc.functions.put(name, wat_to_wasm(wat), declaration)


@pytest.fixture(params=["sync", "loop"])
def call(moc: Cluster, request: pytest.FixtureRequest) -> Callable[..., CallResult]:
    """Call under both drivers."""

    def call(name: str, *arguments: str, entry: str | None = None, **limits: float) -> CallResult:
        wanted = CallRequest(name, arguments, entry=entry, limits=limits)
        return moc.call_sync(wanted) if request.param == "sync" else asyncio.run(moc.call(wanted))

    return call


# -- calling ----------------------------------------------------------------------------------------------------------


def test_an_import_is_a_function_of_the_same_name(moc, call):
    put(moc, "maths", MATHS)
    put(moc, "calc", CALC, "call:maths")
    assert call("calc", "-14").result == -42


def test_numbers_of_all_types_pass_in_both_directions(moc, call):
    put(moc, "maths", MATHS)
    put(moc, "mixer", MIXER, "call:maths")
    numbers = ("-2147483648", "-9223372036854775808", "0.1", "-1e308")
    expected = (-1e308, struct.unpack("f", struct.pack("f", 0.1))[0], -(1 << 63), -(1 << 31))
    assert call("mixer", *numbers).result == expected
    assert call("mixer", "1", "2", "inf", "-inf").result == (float("-inf"), float("inf"), 2, 1)


def test_a_nan_loses_sign_and_payload_on_its_way(moc, call):
    put(moc, "maths", MATHS)
    put(
        moc,
        "payload",
        """(module
          (import "maths" "nan" (func $nan (result f64)))
          (import "maths" "bits" (func $bits (param f64) (result i64)))
          (func (export "given") (result i64) (i64.reinterpret_f64 (call $nan)))
          (func (export "taken") (result i64) (call $bits (f64.reinterpret_i64 (i64.const 0xfff4000000000123)))))""",
        "call",
    )
    assert {call("payload", entry=each).result for each in ("given", "taken")} == {0x7FF8 << 48}


def test_each_call_has_an_instance_of_its_own(moc, call):
    put(
        moc,
        "counter",
        """(module (global $n (mut i32) (i32.const 0)) (func (export "next") (result i32)
          (global.set $n (i32.add (global.get $n) (i32.const 1))) (global.get $n)))""",
    )
    put(
        moc,
        "twice",
        """(module (import "counter" "next" (func $next (result i32)))
          (func (export "run") (result i32) (i32.add (i32.mul (call $next) (i32.const 10)) (call $next))))""",
        "call:counter",
    )
    assert call("twice").result == 11


def test_the_start_function_of_a_module_may_call(moc, call):
    put(moc, "maths", MATHS)
    put(
        moc,
        "eager",
        """(module (import "maths" "add" (func $add (param i32 i32) (result i32)))
          (global $sum (mut i32) (i32.const 0))
          (func $start (global.set $sum (call $add (i32.const 40) (i32.const 2)))) (start $start)
          (func (export "run") (result i32) (global.get $sum)))""",
        "call:maths",
    )
    assert call("eager").result == 42


def test_a_function_that_imports_another_is_called_again_and_again_when_prepared(moc):
    put(moc, "maths", MATHS)
    put(moc, "calc", CALC, "call:maths", reusable=True)
    with moc.prepare(CallRequest("calc")) as prepared:
        assert [prepared.call(each) for each in range(3)] == [0, 3, 6]


def test_what_a_callee_writes_to_stderr_is_its_callers(moc, call):
    put(
        moc,
        "talker",
        """(module (import "core" "print_debug" (func $log (param i32 i32) (result i32)))
          (memory (export "memory") 1) (data (i32.const 0) "hello")
          (func (export "talk") (drop (call $log (i32.const 0) (i32.const 5)))))""",
    )
    put(moc, "asker", '(module (import "talker" "talk" (func $t)) (func (export "run") (call $t)))', "call:talker")
    assert b"hello" in call("asker").stderr


RECURSIVE = """(module
  (import "sum" "to" (func $to (param i64) (result i64)))
  (func (export "to") (param i64) (result i64)
    (if (result i64) (i64.eqz (local.get 0)) (then (i64.const 0))
      (else (i64.add (local.get 0) (call $to (i64.sub (local.get 0) (i64.const 1))))))))"""


def test_a_function_may_import_itself_as_deep_as_calls_may_be(moc, call):
    put(moc, "sum", RECURSIVE, "call:sum")
    assert call("sum", "15").result == 120
    with pytest.raises(LimitExceededError, match="call_depth = 16") as caught:
        call("sum", "16")
    assert caught.value.called_by == ["sum"] * 15


# -- registering ------------------------------------------------------------------------------------------------------


def refused(moc: Cluster, kind: type[Exception], name: str, wat: str, *grants: str) -> str:
    with pytest.raises(kind) as caught:
        put(moc, name, wat, *grants)
    assert moc.functions.find(name) is None
    return str(caught.value)


def test_a_function_is_registered_after_those_that_it_imports(moc):
    put(moc, "math", MATHS)
    text = refused(moc, MissingImportError, "calc", CALC, "call:maths")
    assert "imports `maths.add`, which no guest API and no registered function provides" in text
    assert "Available: core, my-own-cluster, wasi_snapshot_preview1, wasi_unstable." in text
    assert "provides. Did you mean 'math'? Available: " in text
    assert text.endswith("A function that others import is registered before them.")


def test_an_export_that_is_not_there_is_named_with_the_nearest(moc):
    put(moc, "maths", MATHS)
    text = refused(moc, MissingImportError, "f", '(module (import "maths" "ad" (func)) (func (export "f")))', "call")
    assert "imports `maths.ad`, and function 'maths' exports no such function. Did you mean 'add'?" in text
    assert "? Available: add(i32, i32) -> (i32), mix(" in text


def test_types_must_agree_and_both_are_shown(moc):
    put(moc, "maths", MATHS)
    wat = '(module (import "maths" "add" (func (param i64) (result i64))) (func (export "f")))'
    text = refused(moc, MissingImportError, "f", wat, "call")
    assert "which has the type (i32, i32) -> (i32) in function 'maths', and not (i64) -> (i64)" in text
    assert "Declare the import with the type that is there, or register a 'maths'" in text


def test_calling_needs_a_grant_and_the_message_has_the_command(moc):
    put(moc, "maths", MATHS)
    text = refused(moc, NotGrantedError, "calc", CALC, "call:other", "kv")
    assert text == (
        "Function 'calc' has no grant 'call:maths', and it imports `maths.add`. "
        "Register it with `moc push --grant call:maths …`."
    )


def test_the_command_in_the_message_can_be_typed_whatever_the_name_is(moc, call):
    name = "a [1]; *?"
    put(moc, name, '(module (func (export "f")))')
    wat = f'(module (import "{name}" "f" (func $f)) (func (export "run") (call $f)))'
    text = refused(moc, NotGrantedError, "user", wat)
    assert "`moc push --grant 'call:a [[]1]; [*][?]' …`" in text
    put(moc, "user", wat, "call:a [[]1]; [*][?]")
    call("user")


@pytest.mark.parametrize(
    ("import_", "message"),
    [
        ('"prog" "_start" (func)', "which is a whole program"),
        ('"prog" "chunk/1:blur" (func (param i32 i32) (result i32))', "which is an array function"),
        ('"prog" "f" (func (param externref))', r"with the type \(ref\) -> \(\), and only i32, i64, f32 and f64 pass"),
        ('"prog" "f" (func (result v128))', "only i32, i64, f32 and f64 pass"),
        ('"prog" "f" (func)) (import "prog" "f" (func (param i32))', r"\(i32\) -> \(\) and also with \(\) -> \(\)"),
        ('"prog" "memory" (memory 1)', "which is a memory, and guests can import functions only"),
    ],
)
def test_only_exports_that_are_called_with_numbers_are_bound(moc, import_, message):
    put(
        moc,
        "prog",
        """(module (memory (export "memory") 1) (func (export "_start")) (func (export "f"))
          (func (export "chunk/1:blur") (param i32 i32) (result i32) (i32.const 1)))""",
    )
    with pytest.raises(MissingImportError, match=message):
        put(moc, "g", f'(module (import {import_}) (func (export "g")))', "call")


def test_a_module_binds_a_thousand_imports_and_no_more(moc, call):
    def importing(count: int) -> str:
        imports = "".join(f'(import "wide" "e{n}" (func))' for n in range(count))
        return f'(module {imports} (func (export "run") (result i32) (call {count - 1}) (i32.const 7)))'

    put(moc, "wide", "(module (func $f)" + "".join(f'(export "e{n}" (func $f))' for n in range(1001)) + ")")
    put(moc, "user", importing(1000), "call")
    assert call("user").result == 7
    with pytest.raises(InvalidModuleError, match="it imports 1,001 functions of other functions, and at most 1,000"):
        put(moc, "user", importing(1001), "call")


def test_imports_of_many_numbers_are_bound(moc, call):
    types = "i32 i64 f32 f64 " * 250
    numbers = [str(each) for each in range(1000)]
    same = "".join(f"(local.get {each})" for each in range(1000))
    put(moc, "wide", f'(module (func (export "f") (param {types}) (result {types}) {same}))')
    user = f"""(module (import "wide" "f" (func $f (param {types}) (result {types})))
      (func (export "run") (param {types}) (result {types}) (call $f {same})))"""
    put(moc, "user", user, "call")
    assert call("user", *numbers).result == tuple(range(1000))


def test_imports_have_ten_thousand_numbers_and_no_more(moc):
    imports = "".join(f'(import "wide" "e{n}" (func (param {"i64 " * 1000})))' for n in range(11))
    with pytest.raises(InvalidModuleError, match="has 11,000 parameters and results, and at most 10,000 are bound"):
        put(moc, "user", f"(module {imports})", "call")


def test_memory_that_is_not_exported_could_not_be_counted_and_is_refused(moc):
    put(moc, "maths", MATHS)
    hidden = '(import "maths" "nothing" (func)) (memory 1) (func (export "f"))'
    with pytest.raises(InvalidModuleError, match=r"does not export as 'memory', so that .* cannot be limited"):
        put(moc, "user", f"(module {hidden})", "call")
    put(moc, "user", f'(module {hidden} (export "memory" (memory 0)))', "call")


def test_bytes_without_a_name_are_bound_to_nothing(moc):
    put(moc, "maths", MATHS)
    blob_id = moc.blobs.put(wat_to_wasm(CALC), "application/wasm").blob_id
    with pytest.raises(MissingImportError, match="`moc push --grant call:maths NAME FILE`"):
        moc.call_sync(CallRequest(blob_id, ("1",)))


def test_a_blob_id_is_no_function_to_import_from(moc):
    put(moc, "maths", MATHS)
    blob_id = moc.functions.get("maths").blob_id
    wat = CALC.replace("maths", blob_id)
    assert "no registered function provides" in refused(moc, MissingImportError, "calc", wat, "call")


def test_a_guest_api_cannot_be_replaced_by_a_function_of_its_name(moc):
    put(moc, "core", '(module (func (export "steal")))')
    wat = '(module (import "core" "steal" (func)) (func (export "f")))'
    assert "module 'core' has no such function" in refused(moc, MissingImportError, "f", wat, "call")


def test_the_record_lists_what_is_imported_and_stays(moc, tmp_path):
    put(moc, "maths", MATHS)
    put(moc, "calc", CALC, "call:maths")
    record = moc.functions.get("calc")
    assert [(each.function, each.export, each.signature) for each in record.imports] == [
        ("maths", "add", Signature(("i32", "i32"), ("i32",)))
    ]
    assert record.to_json()["imports"] == [
        {"function": "maths", "export": "add", "params": ["i32", "i32"], "results": ["i32"]}
    ]
    assert type(record).from_json(record.to_json()) == record
    moc.close()
    with Cluster.open(tmp_path / "storage", cache_directory=tmp_path / "cache") as again:
        assert again.functions.get("calc") == record
        assert again.call_sync(CallRequest("calc", ("2",))).result == 6


# -- when the callee changes ------------------------------------------------------------------------------------------


def test_a_callee_that_was_replaced_by_one_of_the_same_type_is_what_runs(moc, call):
    put(moc, "maths", MATHS)
    put(moc, "calc", CALC, "call:maths")
    assert call("calc", "2").result == 6
    put(moc, "maths", MATHS.replace("i32.add", "i32.mul"))
    assert call("calc", "2").result == 8


def test_a_callee_that_was_replaced_by_one_of_another_type_ends_its_caller_in_words(moc, call):
    put(moc, "maths", MATHS)
    put(moc, "calc", CALC, "call:maths")
    assert call("calc", "2").result == 6
    put(moc, "maths", '(module (func (export "add") (param f64) (result f64) (local.get 0)))')
    with pytest.raises(MissingImportError, match=r"\(f64\) -> \(f64\) in function 'maths', and not \(i32, i32\)"):
        call("calc", "2")
    put(moc, "maths", '(module (func (export "sub")))')
    with pytest.raises(MissingImportError, match="function 'maths' exports no such function"):
        call("calc", "2")


def test_a_callee_that_was_deleted_ends_its_caller_in_words(moc, call):
    put(moc, "maths", MATHS)
    put(moc, "calc", CALC, "call:maths")
    moc.functions.delete("maths")
    with pytest.raises(MissingImportError, match=r"'calc' imports `maths\.add`, which .* no registered function"):
        call("calc", "2")
    put(moc, "maths", MATHS)
    assert call("calc", "2").result == 6


# -- when the callee fails --------------------------------------------------------------------------------------------

FAILING = """(module
  (import "core" "print_debug" (func $log (param i32 i32) (result i32)))
  (import "wasi_snapshot_preview1" "proc_exit" (func $exit (param i32)))
  (memory (export "memory") 1) (data (i32.const 0) "about to fail")
  (func $inner (unreachable))
  (func $trap (export "trap") (drop (call $log (i32.const 0) (i32.const 13))) (call $inner))
  (func (export "exit") (call $exit (i32.const 3)))
  (func (export "spin") (loop (br 0)))
  (func (export "grow") (if (i32.eq (memory.grow (i32.const 60)) (i32.const -1)) (then unreachable))))"""


def middle(export: str) -> str:
    return f'(module (import "failing" "{export}" (func $f)) (func $middle (export "{export}") (call $f)))'


def outer(export: str, pages: int = 1) -> str:
    return f"""(module (import "middle" "{export}" (func $f)) (memory (export "memory") {pages})
      (func $outer (export "run") (call $f)))"""


@pytest.fixture
def tower(moc: Cluster) -> Callable[..., None]:
    """Register three functions, each of which imports `export` of the next."""

    def make(export: str, **declared: object) -> None:
        put(moc, "failing", FAILING, **declared)
        put(moc, "middle", middle(export), "call:failing")
        put(moc, "outer", outer(export), "call:middle")

    return make


def test_a_trap_ends_all_callers_with_one_error_that_shows_the_way(tower, call):
    tower("trap")
    with pytest.raises(TrapError) as caught:
        call("outer")
    error = caught.value
    assert error.message == (
        "Function 'failing' trapped in inner: unreachable instruction executed. "
        "It was called by function 'middle', which was called by function 'outer'."
    )
    assert error.called_by == ["middle", "outer"]
    assert error.backtrace == ["inner", "trap", "middle in function 'middle'", "outer in function 'outer'"]
    assert "about to fail" in error.stderr
    assert error.details["function"] == "failing"


def test_a_callee_that_exits_ends_its_callers(tower, call):
    tower("exit")
    with pytest.raises(GuestExitError, match=r"'failing' ended with exit code 3\. It was called by function 'middle'"):
        call("outer")


def test_a_callees_own_limit_is_named(tower, call):
    tower("spin", limits={"timeout_seconds": 0.05})
    with pytest.raises(LimitExceededError, match=r"'failing' reached its limit timeout_seconds = 0\.05") as caught:
        call("outer")
    assert caught.value.called_by == ["middle", "outer"]


def test_the_time_of_a_callee_is_the_time_of_its_callers(tower, call):
    tower("spin")
    with pytest.raises(LimitExceededError, match=r"'outer' reached its limit timeout_seconds = 0\.2"):
        call("outer", timeout_seconds=0.2)


def test_the_memory_of_a_call_tree_is_one(moc, call):
    put(moc, "failing", FAILING)
    put(moc, "middle", middle("grow"), "call:failing")
    put(moc, "outer", outer("grow"), "call:middle")
    call("outer", memory_bytes=64 << 16)
    put(moc, "outer", outer("grow", pages=10), "call:middle")
    with pytest.raises(TrapError, match="'failing' trapped"):
        call("outer", memory_bytes=64 << 16)


def test_cancelling_the_root_ends_the_whole_tree(moc, tower):
    tower("spin")
    scope = CallScope()

    async def main() -> None:
        running = asyncio.ensure_future(moc.call(CallRequest("outer"), scope=scope))
        while not running.done():
            if moc.calls.list(limit=1):
                scope.cancel()
            await asyncio.sleep(0)
        await running

    with pytest.raises(CancelledError, match="'outer' was cancelled"):
        asyncio.run(main())


BOMB = """(module
  (import "bomb" "run" (func $again (param i32)))
  (func (export "run") (param i32)
    (if (i32.eqz (local.get 0)) (then (return)))
    (loop $more (call $again (i32.sub (local.get 0) (i32.const 1))) (br $more))))"""


def test_calls_that_make_calls_without_end_are_ended_by_their_time(moc, call):
    put(moc, "bomb", BOMB, "call:bomb")
    put(moc, "maths", MATHS)
    with pytest.raises(LimitExceededError, match="timeout_seconds"):
        call("bomb", "15", timeout_seconds=0.5)
    with pytest.raises(GuestError, match="call_depth"):
        call("bomb", "16")
    assert call("maths", "1", "2", entry="add").result == 3


def test_others_are_served_while_calls_make_calls_without_end(moc):
    put(moc, "bomb", BOMB, "call:bomb")
    put(moc, "maths", MATHS)
    scope = CallScope()

    async def main() -> None:
        bomb = asyncio.ensure_future(moc.call(CallRequest("bomb", ("15",), caller="somebody"), scope=scope))
        for _ in range(20):
            assert (await moc.call(CallRequest("maths", ("1", "2"), entry="add"))).result == 3
        assert not bomb.done()
        scope.cancel()
        await bomb

    with pytest.raises(CancelledError, match="'bomb' was cancelled"):
        asyncio.run(main())


# -- isolation --------------------------------------------------------------------------------------------------------


def test_a_callee_knows_no_buffer_of_its_caller_and_the_caller_none_of_its(moc, call):
    put(
        moc,
        "spy",
        """(module
          (import "core" "create_exchange_buffer" (func $create (result i32)))
          (import "core" "write_exchange_buffer" (func $write (param i32 i32 i32) (result i32)))
          (import "core" "read_exchange_buffer" (func $read (param i32 i32 i32) (result i32)))
          (memory (export "memory") 1) (data (i32.const 8) "secret")
          (func (export "look") (param i32) (result i32) (call $read (local.get 0) (i32.const 0) (i32.const 0)))
          (func (export "hide") (result i32) (local $last i32)
            (drop (call $create)) (drop (call $create)) (drop (call $create))
            (local.set $last (call $create))
            (drop (call $write (local.get $last) (i32.const 8) (i32.const 6)))
            (drop (call $write (i32.const 2) (i32.const 8) (i32.const 6)))
            (local.get $last)))""",
    )
    put(
        moc,
        "home",
        """(module
          (import "spy" "look" (func $look (param i32) (result i32)))
          (import "spy" "hide" (func $hide (result i32)))
          (import "core" "create_exchange_buffer" (func $create (result i32)))
          (import "core" "write_exchange_buffer" (func $write (param i32 i32 i32) (result i32)))
          (import "core" "read_exchange_buffer" (func $read (param i32 i32 i32) (result i32)))
          (memory (export "memory") 1)
          (func (export "child_reads") (result i32) (local $own i32)
            (local.set $own (call $create))
            (drop (call $write (local.get $own) (i32.const 0) (i32.const 100)))
            (call $look (local.get $own)))
          (func (export "child_reads_input") (result i32) (call $look (i32.const 1)))
          (func (export "parent_reads") (result i32) (call $read (call $hide) (i32.const 0) (i32.const 0))))""",
        "call:spy",
    )
    assert call("home", entry="child_reads").result == -8
    assert call("home", entry="parent_reads").result == -8
    assert moc.call_sync(CallRequest("home", entry="child_reads_input", input=b"of the parent")).result == 0
    assert call("home", entry="parent_reads").output == b""


def test_an_import_gives_its_callee_no_grant_of_the_caller(moc, call):
    put(
        moc,
        "thief",
        """(module (import "core" "persistence_get" (func $get (param i32 i32) (result i32)))
          (memory (export "memory") 1) (data (i32.const 0) "k")
          (func (export "take") (result i32) (call $get (i32.const 0) (i32.const 1))))""",
    )
    moc.kv.set(b"k", b"v")
    put(
        moc,
        "rich",
        '(module (import "thief" "take" (func $take (result i32))) (func (export "run") (result i32) (call $take)))',
        "call:thief",
        "kv",
    )
    assert call("rich").result == -2


def test_limits_of_the_server_hold_for_the_depth(tmp_path):
    limits = Limits(call_depth=2)
    with Cluster.open(tmp_path / "storage", cache_directory=tmp_path / "cache", limits=limits) as moc:
        put(moc, "sum", RECURSIVE, "call:sum")
        assert moc.call_sync(CallRequest("sum", ("1",))).result == 1
        with pytest.raises(LimitExceededError, match="call_depth = 2"):
            moc.call_sync(CallRequest("sum", ("2",)))
