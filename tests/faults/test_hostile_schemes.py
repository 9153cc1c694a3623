"""Virtual files opened without end: each costs what it holds, what is left open is closed, bad names are refused."""

from __future__ import annotations

import os
from collections.abc import Callable

import pytest

from hostile_guests import MIB, Attack, again_and_again, program
from moc_server_ext.cluster import Cluster
from moc_server_ext.errors import TrapError
from moc_server_ext.guest_api.errno import Errno

PATHS = ["kv://innocent", "buffer://innocent", "call://innocent", "blob://innocent"]
AT = 4000
READ, CREATE = 1 << 1, 1
LEFT_OPEN = 100


def opening(length: int, *, create: int = 0, rights: int = READ) -> str:
    return (
        f"(call $path_open (i32.const 3) (i32.const 0) (i32.const {AT}) (i32.const {length}) (i32.const {create})"
        f" (i64.const {rights}) (i64.const 0) (i32.const 0) (i32.const 64))"
    )


def named(path: str) -> str:
    return f'(data (i32.const {AT}) "{path}")'


@pytest.fixture
def stored(hostile_moc: Cluster) -> Cluster:
    hostile_moc.kv.set(b"innocent", b"value")
    hostile_moc.buffers.put("innocent", b"value")
    return hostile_moc


def open_descriptors() -> int:
    return len(os.listdir("/proc/self/fd"))


@pytest.mark.parametrize("path", PATHS)
def test_opened_and_closed_thousands_of_times_nothing_is_left(
    stored: Cluster, attack: Attack, resident_bytes: Callable[[], int], path: str
) -> None:
    one = f"""(local.set $n (i32.or (local.get $n) {opening(len(path))}))
      (local.set $n (i32.or (local.get $n) (call $fd_close (i32.load (i32.const 64)))))"""
    wat = program(again_and_again(one, 2000) + "(call $proc_exit (local.get $n))", more=named(path))
    assert attack(wat).exit_code == 0
    before, descriptors = resident_bytes(), open_descriptors()
    assert attack(wat).exit_code == 0
    assert open_descriptors() <= descriptors
    assert resident_bytes() - before < 16 * MIB


@pytest.mark.parametrize("path", PATHS)
@pytest.mark.parametrize("end", ["exit", "trap"])
def test_what_is_left_open_is_closed_with_the_call(stored: Cluster, attack: Attack, path: str, end: str) -> None:
    descriptors = open_descriptors()
    wat = program(
        again_and_again(f"(local.set $n (i32.or (local.get $n) {opening(len(path))}))", LEFT_OPEN)
        + ("(call $proc_exit (local.get $n))" if end == "exit" else "unreachable"),
        more=named(path),
    )
    for _ in range(20):
        if end == "exit":
            assert attack(wat).exit_code == 0
        else:
            with pytest.raises(TrapError):
                attack(wat)
    # Each call would have left a hundred; the storage and the engine may come to hold a few of their own.
    assert open_descriptors() - descriptors < LEFT_OPEN


@pytest.mark.parametrize("path", PATHS)
def test_open_files_have_an_end_in_every_scheme(stored: Cluster, attack: Attack, path: str) -> None:
    loop = f"""(loop $more (local.set $n {opening(len(path))}) (br_if $more (i32.eqz (local.get $n))))
      (call $proc_exit (local.get $n))"""
    assert attack(program(loop, more=named(path))).exit_code == Errno.EMFILE


NAMES = {
    "4 KB": b"a" * 4000,
    "NUL": b"a\0b",
    "not UTF-8": b"\xff\xfe",
    "a surrogate": b"\xed\xa0\x80",
    "nothing": b"",
    "half a character": b"\xc3",
}
REFUSALS = {Errno.EINVAL, Errno.EILSEQ, Errno.ENOENT, Errno.ENAMETOOLONG, Errno.EACCES, Errno.EIO}


@pytest.mark.parametrize("name", NAMES.values(), ids=NAMES)
@pytest.mark.parametrize("scheme", ["kv", "buffer", "call", "blob"])
def test_names_that_cannot_be_one_are_refused_by_number(
    stored: Cluster, attack: Attack, scheme: str, name: bytes
) -> None:
    """When it is opened; whether there is a function is seen when it is read."""
    path = f"{scheme}://".encode() + name
    written = "".join(f"\\{byte:02x}" for byte in path)
    body = f"""(local.set $n {opening(len(path))})
      (if (i32.eqz (local.get $n)) (then (i32.store (i32.const 4) (i32.const 1))
        (local.set $n (call $fd_read (i32.load (i32.const 64)) (i32.const 0) (i32.const 1) (i32.const 8)))))
      (call $proc_exit (local.get $n))"""
    assert attack(program(body, more=named(written))).exit_code in REFUSALS
    assert list(stored.kv.list()) == [b"innocent"]


def test_a_name_of_1_mb_is_refused_by_number(stored: Cluster, attack: Attack) -> None:
    wat = program(f"(call $proc_exit {opening(MIB)})", more=named("kv://"), pages=20)
    assert attack(wat).exit_code == Errno.ENAMETOOLONG


def test_thousands_of_values_left_open_for_writing_store_nothing_after_a_trap(stored: Cluster, attack: Attack) -> None:
    # Four letters behind `kv://new`, A to P.
    name = "".join(
        f"(i32.store8 (i32.const {AT + 8 + at}) (i32.add (i32.const 65)"
        f" (i32.and (i32.const 15) (i32.shr_u (local.get $i) (i32.const {4 * at})))))"
        for at in range(4)
    )
    body = again_and_again(f"{name} (drop {opening(12, create=CREATE, rights=READ | 1 << 6)})", 5000)
    with pytest.raises(TrapError):
        attack(program(body + "unreachable", more=named("kv://new")))
    assert list(stored.kv.list()) == [b"innocent"]
