"""Descriptors and virtual files that must wait: what the functions of WASI make of it, in live calls and in others."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from moc_server_ext.engines.wasi import layout, schemes
from moc_server_ext.engines.wasi.descriptors import STREAM_DEVICE, Descriptor, Stat
from moc_server_ext.engines.wasi.paths import VirtualPath, virtual
from moc_server_ext.engines.wasi.schemes import Asked, Scheme
from moc_server_ext.engines.wasi.waiting import Later, lastly, then
from moc_server_ext.guest_api.errno import Errno, GuestErrno
from moc_server_ext.guest_api.registry import Wait, Waiting, Work

RESULT, CONTENT = 64, 64 << 10


class Slow(Descriptor):
    """Waits before everything, and notes what happens."""

    __slots__ = ("happened", "refuses")

    filetype = layout.REGULAR_TYPE

    def __init__(self) -> None:
        self.happened: list[str] = []
        self.refuses = False

    def _waiting(self, what: str) -> Waiting:
        def finish(_: Any) -> int:
            self.happened.append(f"waited to {what}")
            if self.refuses:
                raise GuestErrno(Errno.ENOSPC)
            return 99

        return Work(lambda: None, finish)

    def before_read(self, call):
        return self._waiting("read")

    def before_read_at(self, call, offset):
        return self._waiting(f"read at {offset}")

    def before_write(self, call):
        return self._waiting("write")

    def before_close(self, call):
        return self._waiting("close")

    def read(self, call, vectors):
        self.happened.append("read")
        return 7

    def read_at(self, call, vectors, offset):
        self.happened.append(f"read at {offset}")
        return 8

    def write(self, call, part):
        self.happened.append(f"wrote {part!r}")
        return len(part)

    def close(self):
        self.happened.append("closed")


class SlowScheme(Scheme):
    """Opens, describes and removes after a wait."""

    __slots__ = ("happened", "opened")

    def __init__(self) -> None:
        self.happened: list[Any] = []
        self.opened = Slow()

    def _later(self, what: Any, value: Any) -> Later[Any]:
        def finish(_: Any) -> int:
            self.happened.append(what)
            return 0

        return Later(Work(lambda: None, finish), lambda: value)

    def open(self, call, name, asked: Asked):
        return self._later(("open", name, asked.reading, asked.writing), self.opened)

    def stat(self, call, name):
        return self._later(("stat", name), Stat(STREAM_DEVICE, 5, layout.REGULAR_TYPE, 1, 1234, 0, 0, 0))

    def unlink(self, call, name):
        return self._later(("unlink", name), None)


@pytest.fixture
def slow(guest) -> tuple[Any, int, Slow]:
    guest.context.live = True
    descriptor = Slow()
    return guest, guest.state.open(descriptor), descriptor


def settle(guest: Any, name: str, *numbers: int) -> int:
    """Call a function that must wait, let it, and give its number."""
    waiting = guest.module.functions[name].body(guest.context, *numbers)
    assert isinstance(waiting, Work)
    return waiting.finish(waiting.run())


def test_reading_and_writing_follow_what_was_waited_for(slow):
    guest, fd, descriptor = slow
    assert settle(guest, "fd_read", fd, *guest.vectors((CONTENT, 10)), RESULT) == 0
    assert guest.result() == 7
    assert settle(guest, "fd_pread", fd, *guest.vectors((CONTENT, 10)), 40, RESULT) == 0
    assert guest.result() == 8
    assert settle(guest, "fd_write", fd, *guest.vectors(guest.put(CONTENT, b"abc")), RESULT) == 0
    assert guest.result() == 3
    assert descriptor.happened == [
        "waited to read", "read", "waited to read at 40", "read at 40", "waited to write", "wrote b'abc'",
    ]  # fmt: skip


def test_what_is_refused_after_a_wait_is_not_done(slow):
    guest, fd, descriptor = slow
    descriptor.refuses = True
    for name in ("fd_read", "fd_write"):
        with pytest.raises(GuestErrno, match="ENOSPC"):
            settle(guest, name, fd, *guest.vectors((CONTENT, 10)), RESULT)
    assert descriptor.happened == ["waited to read", "waited to write"]


@pytest.mark.parametrize("refuses", [False, True])
def test_closing_closes_whatever_its_wait_came_to(slow, refuses):
    guest, fd, descriptor = slow
    descriptor.refuses = refuses
    if refuses:
        with pytest.raises(GuestErrno, match="ENOSPC"):
            settle(guest, "fd_close", fd)
    else:
        assert settle(guest, "fd_close", fd) == 0
    assert descriptor.happened == ["waited to close", "closed"]
    assert guest.fd_fdstat_get(fd, RESULT) == Errno.EBADF


@pytest.mark.parametrize("refuses", [False, True])
def test_renumbering_closes_what_it_replaces_after_its_wait(slow, refuses):
    guest, fd, descriptor = slow
    descriptor.refuses = refuses
    moved = guest.open("f", "w")
    if refuses:
        with pytest.raises(GuestErrno, match="ENOSPC"):
            settle(guest, "fd_renumber", moved, fd)
    else:
        assert settle(guest, "fd_renumber", moved, fd) == 0
    assert descriptor.happened == ["waited to close", "closed"]
    guest.write(fd, b"abc")
    assert guest.stat("f")["size"] == 3
    assert guest.fd_renumber(fd, fd) == 0


def test_calls_that_are_not_live_are_never_asked_to_wait(guest):
    descriptor = Slow()
    fd = guest.state.open(descriptor)
    guest.read(fd, 1)
    guest.write(fd, b"x")
    guest.need(guest.fd_close(fd))
    assert descriptor.happened == ["read", "wrote b'x'", "closed"]


def test_all_that_is_open_is_closed_once_at_the_end(guest):
    descriptors = [Slow() for _ in range(3)]
    for each in descriptors:
        guest.state.open(each)
    guest.state.close_all()
    guest.state.close_all()
    assert [each.happened for each in descriptors] == [["closed"]] * 3


def test_virtual_files_are_opened_described_and_removed_after_their_wait(guest, monkeypatch):
    guest.context.live = True
    scheme = SlowScheme()
    monkeypatch.setattr("moc_server_ext.engines.wasi.names.SCHEMES", {**schemes.SCHEMES, b"kv": scheme})
    path = guest.path("/work/kv:/some/key")
    assert settle(guest, "path_open", 3, 0, *path, 1, 66, 0, 0, RESULT) == 0
    assert guest.state.descriptor(guest.result()) is scheme.opened
    assert settle(guest, "path_filestat_get", 3, 0, *path, RESULT) == 0
    assert guest._filestat()["size"] == 1234
    assert settle(guest, "path_unlink_file", 3, *path) == 0
    assert scheme.happened == [("open", b"some/key", True, True), ("stat", b"some/key"), ("unlink", b"some/key")]
    assert guest.path_open(3, 0, *path, 2, 2, 0, 0, RESULT) == Errno.ENOTDIR
    for refused in (
        guest.path_create_directory(3, *path),
        guest.path_remove_directory(3, *path),
        guest.path_rename(3, *path, 3, *guest.path("x", at=32 << 10)),
        guest.path_symlink(*guest.path("x", at=32 << 10), 3, *path),
        guest.path_readlink(3, *path, CONTENT, 100, RESULT),
    ):
        assert refused == Errno.EPERM


@pytest.mark.parametrize(("text", "found"), [
    (b"buffer://x", (b"buffer", b"x")), (b"buffer:/x", (b"buffer", b"x")), (b"/buffer:/x", (b"buffer", b"x")),
    (b"./blob://x/y", (b"blob", b"x/y")), (b"work/kv:/a//b", (b"kv", b"a//b")), (b"call:///x", (b"call", b"/x")),
    (b"kv://", (b"kv", b"")), (b"kv://a/call://b", (b"kv", b"a/call://b")), (b"xkv://a", None), (b"kv:a", None),
    (b"KV://a", None), (b"a/b:/c", None),
])  # fmt: skip
def test_virtual_paths_are_recognised_in_every_spelling(text, found):
    assert virtual(text) == (found and VirtualPath(*found))


@pytest.mark.parametrize("join", [then, lastly])
def test_joining_keeps_what_is_waited_for(join: Callable[..., Waiting]):
    async def start() -> int:
        return 5

    seen: list[Any] = []
    wait = Wait(start, lambda outcome: seen.append(outcome) or 1)
    joined = join(wait, lambda: 42)
    assert isinstance(joined, Wait)
    assert joined.start is start
    assert joined.finish("outcome") == 42
    assert seen == ["outcome"]
