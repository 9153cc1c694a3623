"""``moc run`` as any WASI runtime is used: arguments, variables, streams and the exit code, exactly as they are."""

from __future__ import annotations

import subprocess

import pytest

WASI = '"wasi_snapshot_preview1"'

# Exits with the number that its only argument is, modulo 2^32.
EXITS = f"""(module
  (import {WASI} "args_get" (func $args_get (param i32 i32) (result i32)))
  (import {WASI} "proc_exit" (func $proc_exit (param i32)))
  (memory (export "memory") 1)
  (func (export "_start") (local $at i32) (local $code i32)
    (drop (call $args_get (i32.const 0) (i32.const 64)))
    (local.set $at (i32.load (i32.const 4)))
    (loop $next
      (if (i32.load8_u (local.get $at)) (then
        (local.set $code (i32.add
          (i32.mul (local.get $code) (i32.const 10))
          (i32.sub (i32.load8_u (local.get $at)) (i32.const 48))))
        (local.set $at (i32.add (local.get $at) (i32.const 1)))
        (br $next))))
    (call $proc_exit (local.get $code))))"""


def lists(what: str) -> str:
    """Give a program that writes all of its arguments or variables, each with the NUL behind it."""
    return f"""(module
      (import {WASI} "{what}_sizes_get" (func $sizes (param i32 i32) (result i32)))
      (import {WASI} "{what}_get" (func $get (param i32 i32) (result i32)))
      (import {WASI} "fd_write" (func $write (param i32 i32 i32 i32) (result i32)))
      (memory (export "memory") 1)
      (func (export "_start")
        (drop (call $sizes (i32.const 0) (i32.const 12)))
        (drop (call $get (i32.const 64) (i32.const 4096)))
        (i32.store (i32.const 8) (i32.const 4096))
        (drop (call $write (i32.const 1) (i32.const 8) (i32.const 1) (i32.const 16)))))"""


# Copies its input to its output and to stderr.
COPIES = f"""(module
  (import {WASI} "fd_read" (func $read (param i32 i32 i32 i32) (result i32)))
  (import {WASI} "fd_write" (func $write (param i32 i32 i32 i32) (result i32)))
  (memory (export "memory") 1)
  (func (export "_start")
    (loop $next
      (i32.store (i32.const 0) (i32.const 1024))
      (i32.store (i32.const 4) (i32.const 1024))
      (drop (call $read (i32.const 0) (i32.const 0) (i32.const 1) (i32.const 8)))
      (i32.store (i32.const 4) (i32.load (i32.const 8)))
      (drop (call $write (i32.const 1) (i32.const 0) (i32.const 1) (i32.const 12)))
      (drop (call $write (i32.const 2) (i32.const 0) (i32.const 1) (i32.const 12)))
      (br_if $next (i32.load (i32.const 8))))))"""

# Exits with what `sock_shutdown` says about descriptor 3.
ASKS_A_SOCKET = f"""(module
  (import {WASI} "sock_shutdown" (func $shutdown (param i32 i32) (result i32)))
  (import {WASI} "proc_exit" (func $proc_exit (param i32)))
  (memory (export "memory") 1)
  (func (export "_start") (call $proc_exit (call $shutdown (i32.const 3) (i32.const 1)))))"""

EBADF, ENOTSOCK = 8, 57


@pytest.mark.parametrize("code", [0, 1, 2, 33, 125, 126, 127, 134, 255])
def test_an_exit_code_is_that_of_the_program(moc_inside, wat, code):
    done = moc_inside("run", wat("exits", EXITS), str(code))
    assert (done.returncode, done.stdout, done.stderr) == (code, b"", b"")


def test_of_a_larger_exit_code_the_lowest_byte_counts(moc_inside, wat):
    assert moc_inside("run", wat("exits", EXITS), str(256 + 7)).returncode == 7


def test_arguments_behind_the_file_are_the_programs_as_they_are(moc_inside, wat):
    given = ["two words", "", "ü☃", "--", "--dir", "none::/", "-x", '"quoted"', "--help", "a=b"]
    done = moc_inside("run", "--env", "UNSEEN=1", wat("lists", lists("args")), *given)
    assert done.stdout.decode().split("\0")[1:] == [*given, ""]


def test_a_program_sees_the_variables_that_it_was_given_and_no_other(moc_inside, wat):
    given = ["A=text", 'B=escap " ing', "C=new\nline", "D=", "E=b=c", "F=ü"]
    options = [word for each in given for word in ("--env", each)]
    done = moc_inside("run", *options, wat("lists", lists("environ")))
    assert done.stdout.decode().split("\0") == [*given, ""]
    assert moc_inside("run", wat("lists", lists("environ"))).stdout == b""


def test_every_byte_passes_through_the_three_streams(moc, wat):
    content = bytes(range(256)) * 300
    done = moc("run", wat("copies", COPIES), input=content)
    assert (done.returncode, done.stdout, done.stderr) == (0, content, content)


def test_a_closed_stdin_is_empty(command, environment, wat, tmp_path):
    done = subprocess.run(
        ["/bin/sh", "-c", 'exec "$@" <&-', "sh", *command, "run", wat("copies", COPIES)],
        capture_output=True,
        cwd=tmp_path,
        env=environment,
        timeout=60,
        check=False,
    )
    assert (done.returncode, done.stdout, done.stderr) == (0, b"", b"")


def test_to_a_program_without_directories_descriptor_3_is_nothing_that_was_given(moc_inside, wat, tmp_path):
    program = wat("asks", ASKS_A_SOCKET)
    assert moc_inside("run", program).returncode == EBADF
    (tmp_path / "data").mkdir()
    assert moc_inside("run", "--dir", "data::/", program).returncode == ENOTSOCK
