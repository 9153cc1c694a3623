"""A guest for tests of mounted directories: it copies one file to stdout, or ends with the number that refused it."""

from __future__ import annotations

from moc_server_ext.engines.wasm.text import wat_to_wasm

FILE = "hello"
ENOENT = 44

READER_TEXT = f"""(module
  (import "wasi_snapshot_preview1" "path_open"
    (func $path_open (param i32 i32 i32 i32 i32 i64 i64 i32 i32) (result i32)))
  (import "wasi_snapshot_preview1" "fd_read" (func $fd_read (param i32 i32 i32 i32) (result i32)))
  (import "wasi_snapshot_preview1" "fd_write" (func $fd_write (param i32 i32 i32 i32) (result i32)))
  (import "wasi_snapshot_preview1" "proc_exit" (func $proc_exit (param i32)))
  (memory (export "memory") 1)
  (data (i32.const 100) "{FILE}")
  (data (i32.const 16) "\\e8\\03\\00\\00\\64\\00\\00\\00")
  (func (export "_start") (local $refused i32)
    (local.set $refused (call $path_open (i32.const 3) (i32.const 1) (i32.const 100) (i32.const {len(FILE)})
      (i32.const 0) (i64.const 2) (i64.const 0) (i32.const 0) (i32.const 0)))
    (if (local.get $refused) (then (call $proc_exit (local.get $refused))))
    (drop (call $fd_read (i32.load (i32.const 0)) (i32.const 16) (i32.const 1) (i32.const 20)))
    (drop (call $fd_write (i32.const 1) (i32.const 16) (i32.const 1) (i32.const 8)))))
"""
READER = wat_to_wasm(READER_TEXT)

CALLER = wat_to_wasm(f"""(module
  (import "core" "call_function" (func $call (param {"i32 " * 14}) (result i32)))
  (import "wasi_snapshot_preview1" "proc_exit" (func $proc_exit (param i32)))
  (memory (export "memory") 1)
  (data (i32.const 100) "reader")
  (func (export "_start")
    (call $proc_exit (call $call (i32.const 100) (i32.const 6) {"(i32.const 0) " * 12}))))
""")
"""Calls ``reader`` and ends with its exit code."""
