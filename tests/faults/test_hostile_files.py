"""Guests that make files, names and descriptors without end: numbers refuse them, and the next call works."""

from __future__ import annotations

import pytest

from hostile_guests import OWN_NAME, Attack, again_and_again, exit_with, program
from moc_server_ext.guest_api.errno import Errno

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
