"""Links without end in a call's private tree: looking a path up costs little, and the quota holds."""

from __future__ import annotations

from collections.abc import Callable
from itertools import pairwise

import pytest

from hostile_guests import MIB, Attack, again_and_again, program
from moc_server_ext.errors import LimitExceededError
from moc_server_ext.guest_api.errno import Errno

# Names are one letter at 1000, a byte of the number after it; contents of links are written at 2000.
NAME, CONTENT = 1000, 2000
STAT = f"(call $path_filestat_get (i32.const 3) (i32.const 1) (i32.const {NAME}) (i32.const {{}}) (i32.const 64))"


def put(at: int, text: str) -> str:
    return "".join(
        f"(i32.store8 (i32.const {at + place}) (i32.const {byte}))" for place, byte in enumerate(text.encode())
    )


def symlink(content: str, name: str) -> str:
    return (
        put(CONTENT, content) + put(NAME, name) + f"(drop (call $path_symlink (i32.const {CONTENT}) (i32.const"
        f" {len(content)}) (i32.const 3) (i32.const {NAME}) (i32.const {len(name)})))"
    )


def stat(path: str) -> str:
    return put(NAME, path) + f"(call $proc_exit {STAT.format(len(path))})"


LETTERS = "abcdefghijklmnopqrstuvwxyz"
BOMBS = {
    "loop of one": (symlink("a", "a"), "a"),
    "loop of two": (symlink("b", "a") + symlink("a", "b"), "a"),
    "loop through directories": (symlink("./././a/x", "a"), "a/b"),
    "chain": ("".join(symlink(f"{each}{each}", f"{each}{each}x") for each in "z") + "".join(
        symlink(f"l{each + 1}", f"l{each}") for each in range(60)), "l0"),
    # Each link means the next one twice: looked up to its end it would be 2**26 links.
    "doubling": (symlink(".", "z") + "".join(
        symlink(f"{after}/{after}", each) for each, after in pairwise(LETTERS)), "a"),
}  # fmt: skip


@pytest.mark.parametrize(("links", "path"), BOMBS.values(), ids=BOMBS)
def test_links_that_lead_nowhere_are_followed_forty_times(attack: Attack, links: str, path: str) -> None:
    assert attack(program(links + stat(path))).exit_code == Errno.ELOOP


def test_links_of_4_kb_that_follow_each_other_end_with_the_time_of_their_call(attack: Attack) -> None:
    """Each of 39 links is 2,000 steps long: a lookup is short, but there may be many of them."""
    fill = again_and_again(
        f"(i32.store16 (i32.add (i32.const {CONTENT}) (i32.shl (local.get $i) (i32.const 1))) (i32.const 0x2f2e))", 2000
    )
    tail = CONTENT + 4000
    links = fill + "".join(
        put(tail, f"l{each + 10}") + put(NAME, f"l{each + 9}") + f"(drop (call $path_symlink (i32.const {CONTENT})"
        f" (i32.const {4000 + len(f'l{each + 10}')}) (i32.const 3) (i32.const {NAME})"
        f" (i32.const {len(f'l{each + 9}')})))"
        for each in range(39)
    )
    endless = f"{put(NAME, 'l9')} (loop (drop {STAT.format(2)}) (br 0))"
    with pytest.raises(LimitExceededError) as caught:
        attack(program(links + endless), timeout_seconds=0.3)
    assert caught.value.details["limit"] == "timeout_seconds"


# The number in four letters, A to P.
NEW_NAME = "".join(
    f"(i32.store8 (i32.const {NAME + at}) (i32.add (i32.const 65)"
    f" (i32.and (i32.const 15) (i32.shr_u (local.get $i) (i32.const {4 * at})))))"
    for at in range(4)
)
MAKE = {
    "symbolic": (
        f"(call $path_symlink (i32.const {CONTENT}) (i32.const 4000) (i32.const 3) (i32.const {NAME}) (i32.const 4))",
        again_and_again(f"(i32.store8 (i32.add (i32.const {CONTENT}) (local.get $i)) (i32.const 97))", 4000)
        + "(local.set $i (i32.const 0))",
    ),
    "hard": (
        f"(call $path_link (i32.const 3) (i32.const 0) (i32.const {CONTENT}) (i32.const 1)"
        f" (i32.const 3) (i32.const {NAME}) (i32.const 4))",
        put(CONTENT, "f") + f"(drop (call $path_open (i32.const 3) (i32.const 0) (i32.const {CONTENT}) (i32.const 1)"
        " (i32.const 1) (i64.const -1) (i64.const -1) (i32.const 0) (i32.const 64)))",
    ),
}  # fmt: skip


@pytest.mark.parametrize(("make", "before"), MAKE.values(), ids=MAKE)
def test_links_without_end_end_with_the_quota(
    attack: Attack, at_most: Callable[[int], None], make: str, before: str
) -> None:
    at_most(24 * MIB)
    loop = f"""(loop $more {NEW_NAME} (local.set $n {make}) (local.set $i (i32.add (local.get $i) (i32.const 1)))
      (br_if $more (i32.and (i32.eqz (local.get $n)) (i32.lt_u (local.get $i) (i32.const 65536)))))"""
    assert attack(program(f"{before} {loop} (call $proc_exit (local.get $n))")).exit_code == Errno.ENOSPC


def test_a_removed_link_gives_its_share_of_the_quota_back(attack: Attack) -> None:
    make, before = MAKE["symbolic"]
    remove = f"(call $path_unlink_file (i32.const 3) (i32.const {NAME}) (i32.const 4))"
    one = f"{NEW_NAME} (local.set $n (i32.or (local.get $n) (i32.or {make} {remove})))"
    assert attack(program(before + again_and_again(one, 5000) + "(call $proc_exit (local.get $n))")).exit_code == 0
