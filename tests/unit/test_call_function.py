"""``call_function`` between real functions: the name of a program, buffers that are handed over, and all others."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from moc_server_ext.cluster import Cluster
from moc_server_ext.engines.wasm.text import wat_to_wasm
from moc_server_ext.guest_api.errno import Errno
from moc_server_ext.model import CallRequest, CallResult, Declaration, Grants

IMPORTS = f"""
  (import "core" "call_function" (func $call_function (param {"i32 " * 14}) (result i32)))
  (import "core" "create_exchange_buffer" (func $create (result i32)))
  (import "core" "write_exchange_buffer" (func $write (param i32 i32 i32) (result i32)))
  (import "core" "read_exchange_buffer" (func $read (param i32 i32 i32) (result i32)))
  (memory (export "memory") 1)"""

# Writes its arguments, each followed by a line's end, and then its input.
ARGUMENTS = """(module
  (import "wasi_snapshot_preview1" "args_sizes_get" (func $sizes (param i32 i32) (result i32)))
  (import "wasi_snapshot_preview1" "args_get" (func $get (param i32 i32) (result i32)))
  (import "wasi_snapshot_preview1" "fd_write" (func $out (param i32 i32 i32 i32) (result i32)))
  (import "wasi_snapshot_preview1" "fd_read" (func $in (param i32 i32 i32 i32) (result i32)))
  (memory (export "memory") 1)
  (func (export "_start")
    (drop (call $sizes (i32.const 0) (i32.const 4)))
    (drop (call $get (i32.const 16) (i32.const 1024)))
    (i32.store (i32.const 8) (i32.const 1024)) (i32.store (i32.const 12) (i32.load (i32.const 4)))
    (drop (call $out (i32.const 1) (i32.const 8) (i32.const 1) (i32.const 4)))
    (i32.store (i32.const 12) (i32.const 1000))
    (drop (call $in (i32.const 0) (i32.const 8) (i32.const 1) (i32.const 12)))
    (drop (call $out (i32.const 1) (i32.const 8) (i32.const 1) (i32.const 4)))))"""


def call(callee: str, *, input: str = "(i32.const 0)", output: str = "(i32.const 0)", numbers: int = 0,
         file_name: tuple[int, int] = (0, 0)) -> str:  # fmt: skip
    """Call a function whose name lies at 64, with numbers that lie at 128."""
    before = f"(i32.const 64) (i32.const {len(callee)}) (i32.const 0) (i32.const 0) (i32.const 128)"
    name = f"(i32.const {file_name[0]}) (i32.const {file_name[1]})"
    return (
        f"(call $call_function {before} (i32.const {numbers}) (i32.const 0) (i32.const 0) {input} {output} {name}"
        " (i32.const 0) (i32.const 0))"
    )


@pytest.fixture
def moc(tmp_path: Path) -> Iterator[Cluster]:
    with Cluster.open(tmp_path / "storage", cache_directory=tmp_path / "cache") as cluster:
        yield cluster


def run(moc: Cluster, callee: str, body: str, **more: bytes) -> CallResult:
    """Run a caller of `callee`."""
    text = (
        f'(data (i32.const 64) "{callee}") (data (i32.const 96) "other name") (func (export "run") (result i32) {body})'
    )
    declaration = Declaration(grants=Grants(frozenset({f"call:{callee}"})))
    moc.functions.put("caller", wat_to_wasm(f"(module {IMPORTS} {text})"), declaration)
    return moc.call_sync(CallRequest("caller", **more))


@pytest.mark.parametrize(("file_name", "argv"), [((0, 0), b"program\0"), ((96, 10), b"other name\0")])
def test_a_program_is_called_by_the_name_that_its_caller_gives(moc, file_name, argv):
    moc.functions.put("program", wat_to_wasm(ARGUMENTS))
    body = call("program", input="(i32.const 1)", output="(i32.const 2)", file_name=file_name)
    result = run(moc, "program", body, input=b" and the input")
    assert (result.result, result.output) == (0, argv + b" and the input")


def test_a_name_with_a_nul_is_refused(moc):
    moc.functions.put("program", wat_to_wasm(ARGUMENTS))
    result = run(moc, "program", call("program", file_name=(0, 3)))
    assert result.result == -Errno.EINVAL
    assert b"NUL" in result.stderr


# Gives the size of the next part of the buffer with a number, and leaves behind buffers that nobody else knows.
SPY = f"""(module {IMPORTS}
  (func (export "look") (param i32) (result i32) (call $read (local.get 0) (i32.const 0) (i32.const 0)))
  (func (export "hide") (result i32) (local $n i32)
    (loop $more (local.set $n (call $create)) (drop (call $write (local.get $n) (i32.const 0) (i32.const 9)))
      (br_if $more (i32.lt_u (local.get $n) (i32.const 9)))) (local.get $n)))"""


def looking(moc: Cluster, body: str, *, entry: str = "look", **more: bytes) -> int | object:
    moc.functions.put("spy", wat_to_wasm(SPY), Declaration(entry=entry))
    return run(moc, "spy", body, **more).result


@pytest.mark.parametrize("handle", range(3, 12))
def test_a_callee_knows_no_buffer_that_its_caller_made(moc, handle):
    made = "(drop (call $write (call $create) (i32.const 0) (i32.const 9)))" * 9
    look = f"{made} (i32.store (i32.const 128) (i32.const {handle})) {call('spy', numbers=1)}"
    assert looking(moc, look) == -Errno.EBADF


def test_a_callee_sees_the_buffer_that_it_was_handed_as_its_input_and_nothing_of_the_callers_own(moc):
    look = f"(i32.store (i32.const 128) (i32.const 1)) {call('spy', numbers=1, input='(i32.const {})')}"
    handed = "(drop (call $write (call $create) (i32.const 0) (i32.const 9)))" + look.replace("{}", "3")
    assert looking(moc, handed, input=b"the caller's") == 9
    assert looking(moc, look.replace("{}", "1"), input=b"the caller's") == 12
    assert looking(moc, look.replace("{}", "0"), input=b"the caller's") == 0


def test_a_caller_knows_no_buffer_that_its_callee_made(moc):
    hidden = f"(call $read {call('spy')} (i32.const 0) (i32.const 0))"
    assert looking(moc, hidden, entry="hide") == -Errno.EBADF


def test_a_callee_finds_nothing_of_the_call_before(moc):
    again = f"(drop {call('spy')}) {call('spy')}"
    assert looking(moc, again, entry="hide") == 9
