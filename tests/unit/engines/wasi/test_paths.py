"""Every operation on every interesting path: the answer, and what it leaves, are those of wasmtime's own WASI."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import pytest

from moc_server_ext.guest_api.errno import GuestErrno

RESULT = 64
Act = Callable[..., Any]

NAMES = ["f", "d", "e", "full", "to-f", "to-d", "to-d-slash", "to-f-slash", "to-none", "loop", "hard"]
PATHS = [*NAMES, *(f"{name}/" for name in NAMES), *(f"{name}/." for name in NAMES), *(f"{name}/.." for name in NAMES),
         "none", "none/", "none/.", "none/..", "none/x", "f/x", "e/new", "e/new/", "e/new/.", "to-d/new", "to-d/new/",
         "to-none/x", "d/x", "to-d/x", "d/up", "to-d/up", "d/out", "d/out/f", ".", "./", "..", "../f", "/", "/f", "",
         "\0", "f\0", "x" * 255, "x" * 256, "./f", "e//new", "d/../f", "d/e/../../..", "d/./x", "full/../e/.//",
         ]  # fmt: skip
SOURCES = ["f", "f/", "hard", "d", "d/", "d/.", "d/e", "d/e/..", "e", "full", "full/x", "to-f", "to-f/", "to-d",
           "to-d/", "to-none", "loop", "none", "none/", ".", "..", "/f", "", "f/x"]  # fmt: skip
TARGETS = ["f", "f/", "hard", "e", "e/", "e/.", "e/new", "d", "d/", "d/e", "d/e/new", "full", "full/", "full/x", "new",
           "new/", "new/.", "to-f", "to-f/", "to-d", "to-d/", "to-none", "to-none/", "loop", "loop/", "none/x", "f/x",
           ".", "..", "", "/x"]  # fmt: skip
SEEN = [*NAMES, "none", "new", "d/e", "d/x", "e/new", "full/x", "d/new", "d/e/new"]


def opening(open_flags: int, rights: int, *, follow: int) -> Act:
    def act(guest: Any, path: str) -> int:
        guest.need(guest.path_open(3, follow, *guest.path(path), open_flags, rights, 0, 0, RESULT))
        fd = guest.result()
        filetype: int = guest.fstat(fd)["filetype"]
        guest.need(guest.fd_close(fd))
        return filetype

    return act


LOOKS: dict[str, Act] = {
    "stat": lambda g, path: g.stat(path)["filetype"],
    "lstat": lambda g, path: g.stat(path, follow=False)["filetype"],
    "readlink": lambda g, path: g.readlink(path),
    "set times": lambda g, path: g.need(g.path_filestat_set_times(3, 1, *g.path(path), 1000, 2000, 5)),
    "set times of a link": lambda g, path: g.need(g.path_filestat_set_times(3, 0, *g.path(path), 1000, 2000, 5)),
    **{
        f"open {flags} {rights} {follow}": opening(flags, rights, follow=follow)
        for flags, rights in ((0, 0), (0, 2), (0, 66), (2, 2), (2, 66), (3, 2), (4, 2), (6, 2), (7, 66), (10, 2))
        for follow in (0, 1)
    },
}
CHANGES: dict[str, Act] = {
    "unlink": lambda g, path: g.unlink(path),
    "mkdir": lambda g, path: g.mkdir(path),
    "symlink": lambda g, path: g.symlink("f", path),
    **{
        f"open {flags} {rights} {follow}": opening(flags, rights, follow=follow)
        for flags, rights in ((1, 2), (1, 66), (5, 66), (8, 2), (9, 66))
        for follow in (0, 1)
    },
}


def prepare(guest: Any) -> Any:
    for path, content in (("f", b"abc"), ("d/x", b""), ("full/x", b"")):
        if "/" in path:
            guest.mkdir(path.partition("/")[0])
        fd = guest.open(path, "w")
        guest.write(fd, content)
        guest.need(guest.fd_close(fd))
    guest.mkdir("d/e")
    guest.mkdir("e")
    guest.link("f", "hard")
    for content, path in (("f", "to-f"), ("d", "to-d"), ("d/", "to-d-slash"), ("f/", "to-f-slash"), ("none", "to-none"),
                          ("loop", "loop"), ("../f", "d/up"), ("../..", "d/out")):  # fmt: skip
        guest.symlink(content, path)
    return guest


def outcome(act: Act, guest: Any, *paths: str) -> Any:
    try:
        return act(guest, *paths)
    except GuestErrno as refusal:
        return refusal.number.name


def tree(guest: Any) -> list[Any]:
    def look(guest: Any, path: str) -> Any:
        found = guest.stat(path, follow=False)
        # Of a directory's links and size the host has an idea of its own.
        return (found["filetype"], *(found["filetype"] != 3 and found[each] for each in ("nlink", "size")))

    return [outcome(look, guest, path) for path in SEEN]


def play(make: Callable[[], Any], act: Act, cases: Sequence[tuple[str, ...]], *, changes: bool) -> list[Any]:
    """Give the outcome of each case, each on a tree as it was prepared."""
    guest, seen = prepare(make()), []
    for paths in cases:
        found = outcome(act, guest, *paths)
        done = changes and not isinstance(found, str)
        seen.append((paths, found, tree(guest) if done else None))
        if done:
            guest = prepare(make())
    return seen


@pytest.mark.parametrize("look", LOOKS)
def test_looking_at_a_path_gives_what_it_gives_on_wasmtimes_own_wasi(make_guest, native_guests, look):
    cases = [(path,) for path in PATHS]
    theirs = play(native_guests, LOOKS[look], cases, changes=False)
    assert play(make_guest, LOOKS[look], cases, changes=False) == theirs


@pytest.mark.parametrize("change", CHANGES)
def test_changing_a_path_does_what_it_does_on_wasmtimes_own_wasi(make_guest, native_guests, change):
    cases = [(path,) for path in PATHS]
    theirs = play(native_guests, CHANGES[change], cases, changes=True)
    assert play(make_guest, CHANGES[change], cases, changes=True) == theirs


@pytest.mark.parametrize("source", SOURCES)
@pytest.mark.parametrize("change", ["rename", "link"])
def test_a_second_name_does_what_it_does_on_wasmtimes_own_wasi(make_guest, native_guests, change, source):
    def act(guest: Any, old: str, new: str) -> Any:
        return getattr(guest, change)(old, new)

    cases = [(source, target) for target in TARGETS]
    assert play(make_guest, act, cases, changes=True) == play(native_guests, act, cases, changes=True)


def test_as_many_links_are_followed_as_on_wasmtimes_own_wasi(make_guest, native_guests):
    def limit(guest: Any) -> int:
        number = 0
        guest.symlink("tmp", "link-0")
        while not isinstance(outcome(lambda g, path: g.stat(path), guest, f"link-{number}"), str):
            number += 1
            guest.symlink(f"link-{number - 1}", f"link-{number}")
        return number

    assert limit(make_guest()) == limit(native_guests())


def test_a_directory_is_removed_as_posix_says(make_guest, native_guests):
    def act(guest: Any, path: str) -> Any:
        return guest.rmdir(path)

    # Wasmtime refuses a slash behind the name, which its own suite of tests lists as a fault.
    plain = [(path,) for path in PATHS if not path.endswith("/")]
    assert play(make_guest, act, plain, changes=True) == play(native_guests, act, plain, changes=True)
    ends = {"e/": None, "e//": None, "d/": "ENOTEMPTY", "f/": "ENOTDIR", "to-d/": "ENOTDIR", "none/": "ENOENT",
            "./": "EINVAL", "../": "EPERM"}  # fmt: skip
    found = play(make_guest, act, [(path,) for path in ends], changes=True)
    assert {paths[0]: answer for paths, answer, _ in found} == ends
