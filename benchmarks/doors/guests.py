"""The guests of the benchmarks, as WebAssembly text, except for the shipped samples."""

from __future__ import annotations

import wasmtime

from ..runtime import sample

ADD = '(module (func (export "add") (param i32 i32) (result i32) (i32.add (local.get 0) (local.get 1))))'

SPIN = '(module (func (export "spin") (loop br 0)))'

WORK = """
(module
  ;; Computes for as many rounds as its argument says, and gives a number that depends on all of them.
  (func (export "work") (param $rounds i32) (result i32)
    (local $value i32)
    (local.set $value (i32.const 1))
    (loop $next
      (local.set $value
        (i32.add (i32.mul (local.get $value) (i32.const 1664525)) (i32.const 1013904223)))
      (br_if $next (local.tee $rounds (i32.sub (local.get $rounds) (i32.const 1)))))
    (local.get $value)))
"""

_WASI = """
(module
  (import "wasi_snapshot_preview1" "fd_read" (func $read (param i32 i32 i32 i32) (result i32)))
  (import "wasi_snapshot_preview1" "fd_write" (func $write (param i32 i32 i32 i32) (result i32)))
  (import "wasi_snapshot_preview1" "poll_oneoff" (func $poll (param i32 i32 i32 i32) (result i32)))
  (memory (export "memory") {pages})
  (func (export "_start") {body}))
"""

CAT = _WASI.format(
    pages=2,
    body="""
    (block $done
      (loop $next
        (i32.store (i32.const 0) (i32.const 64))
        (i32.store (i32.const 4) (i32.const 65536))
        (br_if $done (call $read (i32.const 0) (i32.const 0) (i32.const 1) (i32.const 8)))
        (br_if $done (i32.eqz (i32.load (i32.const 8))))
        (i32.store (i32.const 4) (i32.load (i32.const 8)))
        (br_if $done (call $write (i32.const 1) (i32.const 0) (i32.const 1) (i32.const 8)))
        (br $next)))""",
)

# Reads a time (nanoseconds since 1970, 8 bytes) from stdin and sleeps until then. The subscription is at 64: userdata,
# tag 0 (a clock) at 72, the clock's id 0 (real time) at 80, the time at 88, its precision at 96, flag 1 (absolute).
SLEEP_UNTIL = _WASI.format(
    pages=1,
    body="""
    (i32.store (i32.const 0) (i32.const 88))
    (i32.store (i32.const 4) (i32.const 8))
    (drop (call $read (i32.const 0) (i32.const 0) (i32.const 1) (i32.const 8)))
    (i32.store16 (i32.const 104) (i32.const 1))
    (if (call $poll (i32.const 64) (i32.const 128) (i32.const 1) (i32.const 8)) (then unreachable))""",
)


def module(text: str) -> bytes:
    """Assemble."""
    return bytes(wasmtime.wat2wasm(text))


__all__ = ["ADD", "CAT", "SLEEP_UNTIL", "SPIN", "WORK", "module", "sample"]
