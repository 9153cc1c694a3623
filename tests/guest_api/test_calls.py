"""Guests call programs by ``call_function``."""

from __future__ import annotations

import pytest

from moc_server_ext.engines.wasm.text import wat_to_wasm
from moc_server_ext.guest_api.errno import Errno

# Writes its first argument, which is its own name, with all that follows in one run of memory.
NAMED = wat_to_wasm("""(module
  (import "wasi_snapshot_preview1" "args_sizes_get" (func $sizes (param i32 i32) (result i32)))
  (import "wasi_snapshot_preview1" "args_get" (func $get (param i32 i32) (result i32)))
  (import "wasi_snapshot_preview1" "fd_write" (func $write (param i32 i32 i32 i32) (result i32)))
  (memory (export "memory") 1)
  (func (export "_start")
    (drop (call $sizes (i32.const 0) (i32.const 12)))
    (drop (call $get (i32.const 64) (i32.const 1024)))
    (i32.store (i32.const 8) (i32.const 1024))
    (drop (call $write (i32.const 1) (i32.const 8) (i32.const 1) (i32.const 16)))))""")


@pytest.mark.parametrize(
    ("file_name", "seen"),
    [("", b"named\0say\0"), ("another", b"another\0say\0"), ("n\u00e4me", "näme\0say\0".encode())],
)
def test_a_program_is_called_by_the_name_that_its_caller_gives(moc, play, program, file_name, seen):
    moc.functions.put("named", NAMED)
    argument = program.put("say").to_bytes(4, "little") + (3).to_bytes(4, "little")
    call = program.call("call_function", "named", "", 0, 0, "posix", 0, 2, file_name, program.put(argument), 1)
    result = play(program.wasm(call), grants=("call:named",))
    assert (result.result, result.output) == (0, seen)


def test_a_name_that_no_program_could_be_told_is_refused(moc, play, program):
    moc.functions.put("named", NAMED)
    call = program.call("call_function", "named", "", 0, 0, "posix", 0, 2, "two\0names", 0, 0)
    result = play(program.wasm(call), grants=("call:named",))
    assert result.result == -Errno.EINVAL
    assert b"NUL" in result.stderr
