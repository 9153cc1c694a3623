"""Small guests that tests share, in WAT: made when they are first asked for."""

from __future__ import annotations

from functools import cache

from moc_server_ext.engines.wasm.text import wat_to_wasm

_IO = """
  (import "wasi_snapshot_preview1" "fd_read" (func $read (param i32 i32 i32 i32) (result i32)))
  (import "wasi_snapshot_preview1" "fd_write" (func $write (param i32 i32 i32 i32) (result i32)))
  (import "wasi_snapshot_preview1" "poll_oneoff" (func $poll (param i32 i32 i32 i32) (result i32)))
  (memory (export "memory") 8)
  (data (i32.const 152) "\\ff\\ff\\ff\\ff\\ff\\ff\\ff\\7f")
  ;; An iovec at 0, its result at 8, a buffer of 64 KiB at 65536.
  (func $vector (param $length i32)
    (i32.store (i32.const 0) (i32.const 65536))
    (i32.store (i32.const 4) (local.get $length)))
  (func $take (result i32)
    (call $vector (i32.const 65536))
    (if (call $read (i32.const 0) (i32.const 0) (i32.const 1) (i32.const 8)) (then unreachable))
    (i32.load (i32.const 8)))
  (func $put (param $to i32) (param $length i32)
    (call $vector (local.get $length))
    (if (call $write (local.get $to) (i32.const 0) (i32.const 1) (i32.const 8)) (then unreachable)))
  (func $sleep (drop (call $poll (i32.const 128) (i32.const 192) (i32.const 1) (i32.const 256))))
"""
_BODIES = {
    # Copies stdin to stdout in pieces of up to 64 KiB.
    "cat": """(local $n i32)
        (loop $more
          (local.set $n (call $take))
          (if (local.get $n) (then (call $put (i32.const 1) (local.get $n)) (br $more))))""",
    # Reads all of stdin, then writes ten bytes.
    "swallow": """(loop $more (br_if $more (call $take))) (call $put (i32.const 1) (i32.const 10))""",
    # Writes without end.
    "flood": """(loop $more (call $put (i32.const 1) (i32.const 65536)) (br $more))""",
    # Writes 128 KiB and computes for ever.
    "burst": """(call $put (i32.const 1) (i32.const 65536)) (call $put (i32.const 1) (i32.const 65536))
        (loop $more (br $more))""",
    # Writes 128 KiB and traps.
    "collapse": """(call $put (i32.const 1) (i32.const 65536)) (call $put (i32.const 1) (i32.const 65536))
        unreachable""",
    # Copies one read of stdin to stdout and to stderr, and waits for ever.
    "pause": """(local $n i32)
        (local.set $n (call $take))
        (call $put (i32.const 1) (local.get $n)) (call $put (i32.const 2) (local.get $n)) (call $sleep)""",
    # Copies one read of stdin to stdout, and computes for ever.
    "pant": """(call $put (i32.const 1) (call $take)) (loop $more (br $more))""",
    # Copies stdin to stderr.
    "complain": """(local $n i32)
        (loop $more
          (local.set $n (call $take))
          (if (local.get $n) (then (call $put (i32.const 2) (local.get $n)) (br $more))))""",
    "spin": "(loop $more (br $more))",
    "sleep": "(call $sleep)",
    "trap": "unreachable",
    "nothing": "",
}


@cache
def guest(name: str) -> bytes:
    """Give a module by its name."""
    return wat_to_wasm(f'(module {_IO} (func (export "_start") {_BODIES[name]}))')


@cache
def tells_inputs() -> bytes:
    """Give a module that writes the content and the headers (as JSON) of each input, with a newline behind each."""
    return wat_to_wasm("""(module
      (import "core" "get_input_buffer_count" (func $count (result i32)))
      (import "core" "get_input_buffer_id_at" (func $id_at (param i32) (result i32)))
      (import "core" "get_output_buffer_id" (func $output (result i32)))
      (import "core" "read_exchange_buffer_headers" (func $headers (param i32) (result i32)))
      (import "core" "read_exchange_buffer" (func $read (param i32 i32 i32) (result i32)))
      (import "core" "write_exchange_buffer" (func $write (param i32 i32 i32) (result i32)))
      (memory (export "memory") 33)
      (data (i32.const 0) "\\n")
      (func $copy (param $from i32) (local $n i32)
        (loop $more
          (local.set $n (call $read (local.get $from) (i32.const 65536) (i32.const 2097152)))
          (if (i32.lt_s (local.get $n) (i32.const 0)) (then unreachable))
          (drop (call $write (call $output) (i32.const 65536) (local.get $n)))
          (br_if $more (local.get $n)))
        (drop (call $write (call $output) (i32.const 0) (i32.const 1))))
      (func (export "_start") (local $i i32)
        (loop $each
          (call $copy (call $id_at (local.get $i)))
          (call $copy (call $headers (call $id_at (local.get $i))))
          (local.set $i (i32.add (local.get $i) (i32.const 1)))
          (br_if $each (i32.lt_s (local.get $i) (call $count))))))""")


PANIC = "thread 'main' panicked at 'a number on stdin: ParseIntError { kind: InvalidDigit }', src/main.rs:2:58"


@cache
def panicking() -> bytes:
    """Give a program that ends as a panic in Rust does: text on stderr, then a trap inside of the standard library."""
    names = {
        "$fail": "__rust_start_panic",
        "$panic": "core::panicking::panic_fmt::h768731f43edd91bf",
        "$main": "app::parse::hfb1a28e3d878f8bc",
        "$rt": "std::rt::lang_start::hd4eb2a6ec3c6bb9f",
    }
    named = {each: f'(@name "{name}")' for each, name in names.items()}
    return wat_to_wasm(f"""(module
      (import "wasi_snapshot_preview1" "fd_write" (func $write (param i32 i32 i32 i32) (result i32)))
      (memory (export "memory") 1)
      (data (i32.const 0) "\\10\\00\\00\\00\\{len(PANIC) + 1:02x}\\00\\00\\00")
      (data (i32.const 16) "{PANIC}\\n")
      (func $fail {named["$fail"]} unreachable)
      (func $panic {named["$panic"]} (drop (call $write (i32.const 2) (i32.const 0) (i32.const 1) (i32.const 8)))
        (call $fail))
      (func $main {named["$main"]} (call $panic))
      (func $rt {named["$rt"]} (call $main))
      (func (export "_start") (call $rt)))""")
