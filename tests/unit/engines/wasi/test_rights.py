"""Rights and flags of descriptors: what they are at first, that they can only be given up, and what is refused then."""

from __future__ import annotations

from typing import Any

import pytest

from moc_server_ext.engines.wasi import layout
from moc_server_ext.guest_api.errno import Errno, GuestErrno

RESULT, CONTENT = 64, 64 << 10
SET, CUR = 0, 1


def fdstat(guest: Any, fd: int) -> tuple[int, int, int, int]:
    """Give filetype, flags, rights and inheriting rights."""
    guest.need(guest.fd_fdstat_get(fd, RESULT))
    return layout.FDSTAT.unpack(guest.memory.read(RESULT, layout.FDSTAT.size))


def give_up(guest: Any, fd: int, rights: int = 0, inheriting: int = 0) -> None:
    _, _, has, hands_on = fdstat(guest, fd)
    guest.need(guest.fd_fdstat_set_rights(fd, has & ~rights, hands_on & ~inheriting))


@pytest.fixture
def guest(guest):
    fd = guest.open("f", "w")
    guest.write(fd, b"abc")
    guest.need(guest.fd_close(fd))
    guest.symlink("f", "link")
    return guest


def test_a_file_has_all_rights_that_apply_but_the_directions_that_were_not_asked_for(guest):
    both = layout.RIGHT_READ | layout.RIGHT_WRITE
    for mode, has in (("r", layout.RIGHT_READ), ("a", layout.RIGHT_WRITE), ("r+", both)):
        filetype, _, rights, inheriting = fdstat(guest, guest.open("f", mode))
        assert (filetype, rights, inheriting) == (layout.REGULAR_TYPE, layout.FILE_RIGHTS & ~both | has, 0)
    fd = guest.open("f", rights=0)
    assert fdstat(guest, fd)[2] == layout.FILE_RIGHTS & ~both
    for act in (lambda: guest.read(fd, 1), lambda: guest.write(fd, b"x")):
        with pytest.raises(GuestErrno, match="EBADF"):
            act()


def test_directories_cannot_be_sought_read_or_sized(guest):
    for fd in (3, guest.open("tmp", "d")):
        filetype, flags, rights, inheriting = fdstat(guest, fd)
        assert (filetype, flags, rights) == (layout.DIRECTORY_TYPE, 0, layout.DIRECTORY_RIGHTS)
        assert inheriting == layout.DIRECTORY_RIGHTS | layout.FILE_RIGHTS
        assert not rights & (layout.RIGHT_SEEK | layout.RIGHT_READ | layout.RIGHT_WRITE | layout.RIGHT_SET_SIZE)


def test_rights_that_were_given_up_do_not_come_back(guest):
    fd = guest.open("f", "r+")
    _, _, rights, _ = fdstat(guest, fd)
    give_up(guest, fd, layout.RIGHT_WRITE)
    assert guest.fd_fdstat_set_rights(fd, rights, 0) == Errno.ENOTCAPABLE
    assert guest.fd_fdstat_set_rights(fd, 0, layout.RIGHT_READ) == Errno.ENOTCAPABLE
    assert guest.fd_fdstat_set_rights(fd, 1 << 40, 0) == Errno.EINVAL
    assert fdstat(guest, fd)[2] == rights & ~layout.RIGHT_WRITE
    with pytest.raises(GuestErrno, match="EBADF"):
        guest.write(fd, b"x")
    assert guest.read(fd, 3) == b"abc"


def test_streams_keep_their_rights(guest):
    for fd in (0, 1, 2):
        assert guest.fd_fdstat_set_rights(fd, 0, 0) == Errno.ENOTSUP
    assert guest.fd_fdstat_set_rights(99, 0, 0) == Errno.EBADF


@pytest.mark.parametrize(("right", "act"), [
    (layout.RIGHT_SEEK, lambda g, fd: g.fd_seek(fd, 1, SET, RESULT)),
    (layout.RIGHT_TELL, lambda g, fd: g.fd_tell(fd, RESULT)),
    (layout.RIGHT_SET_FLAGS, lambda g, fd: g.fd_fdstat_set_flags(fd, 1)),
    (layout.RIGHT_STAT, lambda g, fd: g.fd_filestat_get(fd, RESULT)),
    (layout.RIGHT_SET_SIZE, lambda g, fd: g.fd_filestat_set_size(fd, 1)),
    (layout.RIGHT_SET_TIMES, lambda g, fd: g.fd_filestat_set_times(fd, 0, 0, 0)),
    (layout.RIGHT_ALLOCATE, lambda g, fd: g.fd_allocate(fd, 0, 1)),
    (layout.RIGHT_ADVISE, lambda g, fd: g.fd_advise(fd, 0, 1, 0)),
    (layout.RIGHT_SYNC, lambda g, fd: g.fd_sync(fd)),
    (layout.RIGHT_DATASYNC, lambda g, fd: g.fd_datasync(fd)),
])  # fmt: skip
def test_what_a_file_has_no_right_to_is_refused(guest, right, act):
    fd = guest.open("f", "r+")
    assert act(guest, fd) == Errno.SUCCESS
    give_up(guest, fd, right)
    assert act(guest, fd) == Errno.ENOTCAPABLE


@pytest.mark.parametrize(("right", "act"), [
    (layout.RIGHT_CREATE_DIRECTORY, lambda g, fd: g.path_create_directory(fd, *g.path("new"))),
    (layout.RIGHT_CREATE_FILE, lambda g, fd: g.path_open(fd, 0, *g.path("new"), 1, 2, 0, 0, RESULT)),
    (layout.RIGHT_OPEN, lambda g, fd: g.path_open(fd, 0, *g.path("f"), 0, 2, 0, 0, RESULT)),
    (layout.RIGHT_PATH_SET_SIZE, lambda g, fd: g.path_open(fd, 0, *g.path("f"), 8, 2, 0, 0, RESULT)),
    (layout.RIGHT_LINK_SOURCE, lambda g, fd: g.path_link(fd, 0, *g.path("f"), fd, *g.path("new", at=32 << 10))),
    (layout.RIGHT_LINK_TARGET, lambda g, fd: g.path_link(3, 0, *g.path("f"), fd, *g.path("new", at=32 << 10))),
    (layout.RIGHT_READDIR, lambda g, fd: g.fd_readdir(fd, CONTENT, 100, 0, RESULT)),
    (layout.RIGHT_READLINK, lambda g, fd: g.path_readlink(fd, *g.path("link"), CONTENT, 100, RESULT)),
    (layout.RIGHT_RENAME_SOURCE, lambda g, fd: g.path_rename(fd, *g.path("f"), 3, *g.path("new", at=32 << 10))),
    (layout.RIGHT_RENAME_TARGET, lambda g, fd: g.path_rename(3, *g.path("f"), fd, *g.path("new", at=32 << 10))),
    (layout.RIGHT_PATH_STAT, lambda g, fd: g.path_filestat_get(fd, 0, *g.path("f"), RESULT)),
    (layout.RIGHT_PATH_SET_TIMES, lambda g, fd: g.path_filestat_set_times(fd, 0, *g.path("f"), 0, 0, 0)),
    (layout.RIGHT_STAT, lambda g, fd: g.fd_filestat_get(fd, RESULT)),
    (layout.RIGHT_SET_TIMES, lambda g, fd: g.fd_filestat_set_times(fd, 0, 0, 0)),
    (layout.RIGHT_SYMLINK, lambda g, fd: g.path_symlink(*g.path("f"), fd, *g.path("new", at=32 << 10))),
    (layout.RIGHT_REMOVE_DIRECTORY, lambda g, fd: g.path_remove_directory(fd, *g.path("tmp"))),
    (layout.RIGHT_UNLINK, lambda g, fd: g.path_unlink_file(fd, *g.path("f"))),
])  # fmt: skip
def test_what_a_directory_has_no_right_to_is_refused_and_nothing_changes(guest, right, act):
    fd = guest.open(".", "d")
    names = guest.listdir(".")
    give_up(guest, fd, right)
    assert act(guest, fd) == Errno.ENOTCAPABLE
    assert guest.listdir(".") == names
    assert guest.stat("f")["size"] == 3
    assert act(guest, guest.open(".", "d")) == Errno.SUCCESS


def test_what_is_opened_by_a_directory_has_no_more_than_it_hands_on(guest):
    fd = guest.open(".", "d")
    give_up(guest, fd, inheriting=layout.RIGHT_WRITE | layout.RIGHT_SEEK | layout.RIGHT_UNLINK)
    for mode in ("a", "r+", "w"):
        with pytest.raises(GuestErrno, match="ENOTCAPABLE"):
            guest.open("f", mode, at=fd)
    assert guest.stat("f")["size"] == 3
    assert not fdstat(guest, guest.open("f", at=fd))[2] & layout.RIGHT_SEEK
    below = guest.open("tmp", "d", at=fd)
    assert not fdstat(guest, below)[2] & layout.RIGHT_UNLINK
    with pytest.raises(GuestErrno, match="ENOTCAPABLE"):
        guest.open("new", "w", at=below)


def test_flags_are_kept_and_shown_and_those_of_synchronous_writing_cannot_change(guest):
    fd = guest.open("f", "r+", flags=layout.FLAG_APPEND | layout.FLAG_SYNC)
    assert fdstat(guest, fd)[1] == layout.FLAG_APPEND | layout.FLAG_SYNC
    guest.need(guest.fd_fdstat_set_flags(fd, layout.FLAG_NONBLOCK))
    assert fdstat(guest, fd)[1] == layout.FLAG_NONBLOCK
    for flag in (layout.FLAG_SYNC, layout.FLAG_DSYNC, layout.FLAG_RSYNC, 32):
        assert guest.fd_fdstat_set_flags(fd, flag) == Errno.EINVAL
    for other in (0, 1, 3):
        assert guest.fd_fdstat_set_flags(other, 0) == Errno.EBADF


def test_writing_at_an_offset_appends_to_a_file_that_is_appended_to(guest):
    fd = guest.open("f", "a")
    guest.need(guest.fd_pwrite(fd, *guest.vectors(guest.put(CONTENT, b"de")), 0, RESULT))
    guest.need(guest.fd_tell(fd, RESULT))
    assert guest.memory.read_u64(RESULT) == 0
    guest.write(fd, b"f")
    guest.need(guest.fd_tell(fd, RESULT))
    assert guest.memory.read_u64(RESULT) == 6
    assert guest.read(guest.open("f"), 10) == b"abcdef"
