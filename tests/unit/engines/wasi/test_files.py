"""Files and directories of the private tree: what POSIX says of them, their limits, and paths that mean harm."""

from __future__ import annotations

import gc
import weakref

import pytest

from moc_server_ext.engines.wasi import layout
from moc_server_ext.engines.wasi.nodes import NODE_BYTES
from moc_server_ext.guest_api.errno import Errno, GuestErrno

RESULT, CONTENT = 64, 64 << 10
SET, CUR, END = 0, 1, 2


def refused(errno: str):
    return pytest.raises(GuestErrno, match=f"^{errno}$")


def put(guest, path, content=b""):
    fd = guest.open(path, "w")
    guest.write(fd, content)
    guest.need(guest.fd_close(fd))


def get(guest, path):
    fd = guest.open(path)
    content = guest.read(fd, 1 << 16)
    guest.need(guest.fd_close(fd))
    return content


# -- content ----------------------------------------------------------------------------------------------------------


def test_what_was_written_is_read_back(guest):
    put(guest, "tmp/f", b"some bytes")
    assert get(guest, "tmp/f") == b"some bytes"
    assert guest.stat("tmp/f")["size"] == 10


def test_a_file_has_one_position_for_reading_and_writing(guest):
    fd = guest.open("f", "w+")
    guest.write(fd, b"0123456789")
    assert guest.read(fd, 5) == b""
    assert guest.seek(fd, 2, SET) == 2
    assert guest.read(fd, 3) == b"234"
    guest.write(fd, b"XY")
    assert guest.seek(fd, -1, END) == 9
    assert guest.read(fd, 5) == b"9"
    guest.need(guest.fd_tell(fd, RESULT))
    assert guest.result() == 10
    assert get(guest, "f") == b"01234XY789"


def test_a_write_behind_the_end_leaves_zeros(guest):
    fd = guest.open("f", "w+")
    guest.seek(fd, 3, SET)
    guest.write(fd, b"x")
    assert get(guest, "f") == b"\0\0\0x"


def test_appending_goes_to_the_end_whatever_the_position(guest):
    put(guest, "f", b"abc")
    fd = guest.open("f", "a")
    guest.seek(fd, 0, SET)
    guest.write(fd, b"d")
    assert get(guest, "f") == b"abcd"
    guest.need(guest.fd_fdstat_set_flags(fd, 0))
    guest.seek(fd, 0, SET)
    guest.write(fd, b"A")
    assert get(guest, "f") == b"Abcd"


def test_reading_and_writing_at_an_offset_leaves_the_position(guest):
    fd = guest.open("f", "w+")
    guest.write(fd, b"abcdef")
    assert guest.fd_pwrite(fd, *guest.vectors(guest.put(CONTENT, b"XX")), 1, RESULT) == 0
    assert guest.fd_pread(fd, *guest.vectors((CONTENT, 3)), 2, RESULT) == 0
    assert guest.memory.read(CONTENT, guest.result()) == b"Xde"
    guest.write(fd, b"g")
    assert get(guest, "f") == b"aXXdefg"
    assert guest.fd_pread(fd, *guest.vectors((CONTENT, 3)), -1, RESULT) == Errno.EINVAL
    assert guest.fd_pwrite(fd, *guest.vectors((CONTENT, 3)), -1, RESULT) == Errno.EINVAL


def test_setting_the_size_cuts_or_extends(guest):
    fd = guest.open("f", "w+")
    guest.write(fd, b"abcdef")
    guest.need(guest.fd_filestat_set_size(fd, 2))
    guest.need(guest.fd_filestat_set_size(fd, 4))
    guest.need(guest.fd_allocate(fd, 0, 3))
    assert get(guest, "f") == b"ab\0\0"
    guest.need(guest.fd_allocate(fd, 4, 2))
    assert guest.stat("f")["size"] == 6
    assert guest.fd_filestat_set_size(fd, -1) == Errno.EINVAL
    assert guest.fd_allocate(fd, 0, 0) == Errno.EINVAL
    assert guest.fd_filestat_set_size(guest.open("f"), 0) == Errno.EINVAL
    assert guest.fd_allocate(guest.open("f"), 0, 100) == Errno.EBADF
    assert guest.fd_filestat_set_size(3, 0) == guest.fd_filestat_set_size(1, 0) == Errno.EBADF


def test_opening_with_truncation_empties_a_file(guest):
    put(guest, "f", b"abc")
    guest.open("f", "w")
    assert guest.stat("f")["size"] == 0


def test_a_file_opened_for_one_direction_refuses_the_other(guest):
    put(guest, "f", b"abc")
    with refused("EBADF"):
        guest.write(guest.open("f"), b"x")
    with refused("EBADF"):
        guest.read(guest.open("f", "a"), 1)


def test_seeking_before_the_start_or_from_nowhere_is_refused(guest):
    fd = guest.open("f", "w")
    assert guest.fd_seek(fd, -1, SET, RESULT) == Errno.EINVAL
    assert guest.fd_seek(fd, 0, 3, RESULT) == Errno.EINVAL
    assert guest.fd_seek(fd, 0, -1, RESULT) == Errno.EINVAL
    guest.seek(fd, (1 << 63) - 1, SET)
    assert guest.fd_seek(fd, 1, CUR, RESULT) == Errno.EINVAL
    assert guest.fd_seek(3, 0, SET, RESULT) == Errno.EBADF
    assert guest.fd_seek(0, 0, SET, RESULT) == Errno.ESPIPE


# -- names ------------------------------------------------------------------------------------------------------------


def test_exclusive_creation_refuses_what_exists(guest):
    guest.open("f", "x")
    with refused("EEXIST"):
        guest.open("f", "x")
    with refused("EEXIST"):
        guest.open("tmp", "x")


def test_an_unlinked_file_lives_until_it_is_closed(guest):
    fd = guest.open("f", "w+")
    guest.write(fd, b"abc")
    guest.unlink("f")
    with refused("ENOENT"):
        guest.open("f")
    guest.seek(fd, 0, SET)
    assert guest.read(fd, 3) == b"abc"
    assert guest.fstat(fd)["nlink"] == 0
    used = guest.state.tree.quota.used_bytes
    guest.need(guest.fd_close(fd))
    assert guest.state.tree.quota.used_bytes == used - NODE_BYTES - 3


def test_directories_are_made_listed_and_removed(guest):
    guest.mkdir("d")
    guest.mkdir("d/e")
    put(guest, "d/f")
    assert guest.listdir("d") == ["e", "f"]
    with refused("ENOTEMPTY"):
        guest.rmdir("d")
    guest.rmdir("d/e")
    guest.unlink("d/f")
    guest.rmdir("d/")
    with refused("ENOENT"):
        guest.stat("d")


@pytest.mark.parametrize(("act", "errno"), [
    (lambda g: g.mkdir("tmp"), "EEXIST"), (lambda g: g.mkdir("f"), "EEXIST"), (lambda g: g.mkdir("."), "EEXIST"),
    (lambda g: g.mkdir("no/where"), "ENOENT"), (lambda g: g.mkdir("f/x"), "ENOTDIR"),
    (lambda g: g.rmdir("f"), "ENOTDIR"), (lambda g: g.rmdir("."), "EINVAL"), (lambda g: g.rmdir("tmp/."), "EINVAL"),
    (lambda g: g.rmdir("none"), "ENOENT"),
    (lambda g: g.unlink("tmp"), "EISDIR"), (lambda g: g.unlink("tmp/.."), "EISDIR"),
    (lambda g: g.unlink("f/"), "ENOTDIR"),
    (lambda g: g.unlink("none"), "ENOENT"),
    (lambda g: g.open("none"), "ENOENT"), (lambda g: g.open("f/"), "ENOTDIR"), (lambda g: g.open("f", "d"), "ENOTDIR"),
    (lambda g: g.open("f/x"), "ENOTDIR"), (lambda g: g.open("f/../f"), "ENOTDIR"),
    (lambda g: g.open("new/", "w"), "EISDIR"),
    (lambda g: g.open("tmp", "w"), "EISDIR"), (lambda g: g.open("tmp", "r+"), "EISDIR"),
    (lambda g: g.read(g.open("tmp", "d"), 1), "EBADF"), (lambda g: g.write(3, b""), "EBADF"),
    (lambda g: g.stat("f/"), "ENOTDIR"), (lambda g: g.open("x", at=g.open("f")), "ENOTDIR"),
    (lambda g: g.open("x", at=0), "EBADF"),
    (lambda g: g.stat("x", at=g.open("f")), "EBADF"), (lambda g: g.open("x", at=77), "EBADF"),
])  # fmt: skip
def test_what_does_not_fit_is_refused_as_posix_says(guest, act, errno):
    put(guest, "f", b"abc")
    with refused(errno):
        act(guest)
    assert get(guest, "f") == b"abc"


def test_renaming_moves_files_and_whole_directories(guest):
    put(guest, "f", b"abc")
    guest.mkdir("d")
    guest.mkdir("d/e")
    guest.rename("f", "d/e/g")
    guest.rename("d/e", "tmp/moved/")
    assert guest.listdir(".") == ["tmp", "d"]
    assert get(guest, "tmp/moved/g") == b"abc"
    assert get(guest, "tmp/moved/../../tmp/moved/g") == b"abc"


def test_renaming_replaces_a_file_and_gives_its_bytes_back(guest):
    put(guest, "a", b"12345")
    put(guest, "b", b"1234567890")
    used = guest.state.tree.quota.used_bytes
    guest.rename("a", "b")
    assert get(guest, "b") == b"12345"
    assert guest.state.tree.quota.used_bytes == used - NODE_BYTES - 10
    guest.rename("b", "b")
    assert guest.listdir(".") == ["tmp", "b"]


@pytest.mark.parametrize(("old", "new", "errno"), [
    ("none", "x", "ENOENT"), ("d", "d/e/x", "EINVAL"), ("d", "d/x", "EINVAL"), ("d", "f", "ENOTDIR"),
    ("f", "d/e", "EISDIR"), ("d/e", "full", "ENOTEMPTY"), ("f", "new/", "ENOTDIR"), ("f/", "x", "ENOTDIR"),
    (".", "x", "EBUSY"), ("d", "tmp/..", "EBUSY"), ("d/e", "d", "ENOTEMPTY"),
    ("full/x", "full", "ENOTEMPTY"), ("f", "no/x", "ENOENT"), ("tmp", "f/x", "ENOTDIR"),
])  # fmt: skip
def test_a_rename_that_does_not_fit_changes_nothing(guest, old, new, errno):
    guest.mkdir("d")
    guest.mkdir("d/e")
    guest.mkdir("full")
    put(guest, "full/x")
    put(guest, "f", b"abc")
    with refused(errno):
        guest.rename(old, new)
    assert [guest.listdir(each) for each in (".", "d", "d/e", "full")] == [["tmp", "d", "full", "f"], ["e"], [], ["x"]]


def test_nothing_is_put_into_a_directory_that_was_removed(guest):
    guest.mkdir("d")
    put(guest, "f")
    fd = guest.open("d", "d")
    guest.rmdir("d")
    for act in (lambda: guest.open("x", "w", at=fd), lambda: guest.mkdir("x", at=fd)):
        with refused("ENOENT"):
            act()
    assert guest.path_rename(3, *guest.path("f"), fd, *guest.path("x", at=32 << 10)) == Errno.ENOENT
    assert [name for name, _ in guest.page(fd)[0]] == [".", ".."]


def test_timestamps_are_kept_and_can_be_set(guest):
    put(guest, "f", b"abc")
    before = guest.stat("f")
    guest.need(guest.path_filestat_set_times(3, 0, *guest.path("f"), 5, 7, layout.SET_ATIM | layout.SET_MTIM))
    assert (guest.stat("f")["atim"], guest.stat("f")["mtim"]) == (5, 7)
    guest.need(guest.fd_filestat_set_times(guest.open("f"), 0, 0, layout.SET_MTIM_NOW))
    assert guest.stat("f")["atim"] == 5
    assert guest.stat("f")["mtim"] >= before["mtim"]
    flags = layout.SET_ATIM | layout.SET_ATIM_NOW
    assert guest.path_filestat_set_times(3, 0, *guest.path("f"), 0, 0, flags) == Errno.EINVAL
    assert guest.path_filestat_set_times(3, 0, *guest.path("f"), 0, 0, 16) == Errno.EINVAL


# -- listing ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("length", [24 + 7, 64, 100, 4096])
def test_pages_of_any_size_list_every_entry_once(guest, length):
    names = [f"file-{number:02}" for number in range(20)]
    for name in names:
        put(guest, f"tmp/{name}")
    assert guest.listdir("tmp", length) == names


def test_the_last_entry_is_cut_off_at_the_end_of_the_buffer(guest):
    put(guest, "tmp/some-name")
    fd = guest.open("tmp", "d")
    entries, cookie, used = guest.page(fd, length=24 + 1 + 24 + 2 + 30)
    assert [name for name, _ in entries] == [".", ".."]
    assert used == 24 + 1 + 24 + 2 + 30
    assert guest.page(fd, cookie)[0] == [("some-name", layout.REGULAR_TYPE)]
    assert guest.page(fd, cookie + 1)[0] == []
    assert guest.page(fd, -1)[0] == []


def test_removing_entries_between_pages_skips_none_of_the_others(guest):
    names = [f"{number:02}" for number in range(30)]
    for name in names:
        put(guest, f"tmp/{name}")
    fd, cookie, seen = guest.open("tmp", "d"), 0, []
    while True:
        entries, cookie, used = guest.page(fd, cookie, 100)
        for name, _ in entries:
            if name not in (".", ".."):
                seen.append(name)
                guest.unlink(f"tmp/{name}")
        if used < 100:
            break
    assert seen == names


def test_entries_that_come_and_go_between_pages_disturb_none_of_the_others(guest):
    names = [f"{number:02}" for number in range(40)]
    for name in names:
        put(guest, f"tmp/{name}")
    fd, cookie, seen, turn = guest.open("tmp", "d"), 0, [], 0
    while True:
        entries, cookie, used = guest.page(fd, cookie, 100)
        seen += [name for name, _ in entries]
        if used < 100:
            break
        # One that was told, one that was not, one that comes, and one that goes and comes back: at the end.
        guest.unlink(f"tmp/{seen[-1]}")
        if turn < 3:
            guest.unlink(f"tmp/{names[-1 - turn]}")
            put(guest, f"tmp/new-{turn}")
            guest.rename(f"tmp/{names[30 + turn]}", f"tmp/{names[30 + turn]}-renamed")
        turn += 1
    stayed = [*names[:30], *names[33:-3]]
    come = [name for turn in range(3) for name in (f"new-{turn}", f"{names[30 + turn]}-renamed")]
    assert seen == [".", "..", *stayed, *come]


def test_a_cookie_is_good_for_any_descriptor_of_a_directory(guest):
    for name in "abcdef":
        put(guest, f"tmp/{name}")
    _, cookie, _ = guest.page(guest.open("tmp", "d"), length=4 * 25 + 3)
    assert [name for name, _ in guest.page(guest.open("tmp", "d"), cookie)[0]] == ["c", "d", "e", "f"]


def test_what_comes_and_goes_without_end_in_a_listed_directory_leaves_nothing_behind(guest):
    guest.listdir("tmp")
    for _ in range(2000):
        put(guest, "tmp/f")
        guest.unlink("tmp/f")
    directory = guest.state.tree.root.find(b"tmp")
    assert len(directory._order or ()) < 200
    put(guest, "tmp/last")
    assert guest.listdir("tmp") == ["last"]


def test_a_listing_into_a_bad_buffer_faults(guest):
    assert guest.fd_readdir(3, -8, 4096, 0, RESULT) == Errno.EFAULT
    assert guest.fd_readdir(3, CONTENT, -1, 0, RESULT) == Errno.EFAULT
    assert guest.fd_readdir(3, CONTENT, 4096, 0, -2) == Errno.EFAULT
    assert guest.fd_readdir(0, CONTENT, 4096, 0, RESULT) == Errno.EBADF


# -- hostile paths and limits -----------------------------------------------------------------------------------------


@pytest.mark.parametrize(("path", "errno"), [
    ("", "ENOENT"), ("/etc/passwd", "EPERM"), ("/", "EPERM"), ("..", "EPERM"),
    ("../tmp", "EPERM"), ("tmp/../../tmp", "EPERM"), ("tmp/../..", "EPERM"), ("a\0b", "EINVAL"),
    ("\0", "EINVAL"), ("x" * 256, "ENAMETOOLONG"), ("a/" * 2049, "ENAMETOOLONG"), ("api://input\0", "EINVAL"),
])  # fmt: skip
def test_malformed_and_escaping_paths_are_refused(guest, path, errno):
    for act in (guest.open, guest.mkdir, guest.unlink, guest.rmdir, guest.stat):
        with refused(errno):
            act(path)


def test_paths_cannot_climb_above_the_directory_they_start_from(guest):
    guest.mkdir("tmp/d")
    put(guest, "tmp/secret")
    fd = guest.open("tmp/d", "d")
    with refused("EPERM"):
        guest.open("../secret", at=fd)
    guest.mkdir("e", at=fd)
    assert guest.stat("e/..", at=fd)["ino"] == guest.fstat(fd)["ino"]


def test_a_path_is_any_text_and_nothing_else(guest):
    guest.open("café \n", "w")
    assert guest.listdir(".") == ["tmp", "café \n"]
    for act in (guest.open, guest.unlink, guest.readlink, lambda path: guest.symlink(path, "link")):
        with refused("EILSEQ"):
            act(b"caf\xe9")


def test_a_path_outside_of_memory_faults(guest):
    assert guest.path_create_directory(3, -4, 8) == Errno.EFAULT
    assert guest.path_create_directory(3, 0, -1) == Errno.ENAMETOOLONG
    pointer, length = guest.path("f")
    assert guest.path_open(3, 0, pointer, length, 1, -1, -1, 0, -2) == Errno.EFAULT
    assert guest.listdir(".") == ["tmp"]


def test_content_beyond_the_quota_is_refused_and_leaves_the_file_as_it_was(make_guest):
    guest = make_guest(limits={"scratch_bytes": 3 * NODE_BYTES})
    fd = guest.open("f", "w+")
    guest.write(fd, b"x" * NODE_BYTES)
    with refused("ENOSPC"):
        guest.write(fd, b"y")
    guest.seek(fd, 1 << 60, SET)
    with refused("ENOSPC"):
        guest.write(fd, b"y")
    assert guest.fd_filestat_set_size(fd, 1 << 62) == Errno.ENOSPC
    assert guest.fd_allocate(fd, (1 << 63) - 2, 1) == Errno.ENOSPC
    assert guest.stat("f")["size"] == NODE_BYTES
    guest.need(guest.fd_filestat_set_size(fd, NODE_BYTES - 1))
    guest.seek(fd, 0, END)
    assert guest.write(fd, b"y") == 1


def test_names_count_against_the_quota(make_guest):
    guest = make_guest(limits={"scratch_bytes": 3 * NODE_BYTES})
    guest.mkdir("a")
    guest.open("b", "w")
    for act in (lambda: guest.mkdir("c"), lambda: guest.open("c", "w")):
        with refused("ENOSPC"):
            act()
    guest.rmdir("a")
    guest.mkdir("c")


def test_the_quota_is_whole_again_when_all_is_removed(guest):
    put(guest, "tmp/f", b"x" * 100)
    guest.mkdir("d")
    guest.unlink("tmp/f")
    guest.rmdir("tmp")
    guest.rmdir("d")
    assert guest.state.tree.quota.used_bytes == 0


def test_open_files_are_limited(make_guest):
    guest = make_guest(limits={"open_files": 2})
    first = guest.open("f", "w")
    guest.open("api://input")
    for act in (lambda: guest.open("f"), lambda: guest.open("tmp", "d"), lambda: guest.open("new", "w")):
        with refused("EMFILE"):
            act()
    guest.need(guest.fd_close(first))
    assert guest.open("f") == first


# -- descriptors ------------------------------------------------------------------------------------------------------


def test_the_lowest_free_number_is_given(guest):
    assert [guest.open(name, "w") for name in "abc"] == [4, 5, 6]
    guest.need(guest.fd_close(5))
    guest.need(guest.fd_close(0))
    assert [guest.open(name, "w") for name in "def"] == [0, 5, 7]


def test_a_closed_descriptor_is_bad(guest):
    fd = guest.open("f", "w")
    guest.need(guest.fd_close(fd))
    assert guest.fd_close(fd) == Errno.EBADF
    assert guest.fd_fdstat_get(fd, RESULT) == Errno.EBADF
    assert guest.fd_filestat_get(fd, RESULT) == Errno.EBADF
    assert guest.fd_sync(fd) == Errno.EBADF


def test_renumbering_replaces_what_the_number_stood_for(guest):
    fd = guest.open("f", "w")
    guest.need(guest.fd_renumber(fd, 1))
    guest.write(1, b"into the file")
    assert get(guest, "f") == b"into the file"
    assert guest.context.output.size == 0
    assert guest.fd_close(fd) == Errno.EBADF
    assert guest.fd_renumber(1, 99) == guest.fd_renumber(99, 1) == Errno.EBADF
    assert guest.fd_renumber(1, 1) == Errno.SUCCESS
    guest.write(1, b"!")


def test_a_preopened_directory_can_be_renumbered_and_replaced(guest):
    guest.mkdir("tmp/d")
    fd = guest.open("tmp", "d")
    guest.need(guest.fd_renumber(3, fd))
    assert guest.fd_prestat_get(3, RESULT) == Errno.EBADF
    guest.need(guest.fd_prestat_get(fd, RESULT))
    assert guest.listdir(".", at=fd) == ["tmp"]
    below = guest.open("tmp", "d", at=fd)
    guest.need(guest.fd_renumber(below, fd))
    assert guest.listdir(".", at=fd) == ["d"]
    assert guest.fd_prestat_get(fd, RESULT) == Errno.EBADF


def test_the_root_is_the_only_preopened_directory(guest):
    guest.need(guest.fd_prestat_get(3, RESULT))
    assert layout.PRESTAT.unpack(guest.memory.read(RESULT, 8)) == (0, 1)
    guest.need(guest.fd_prestat_dir_name(3, CONTENT, 1))
    assert guest.memory.read(CONTENT, 1) == b"/"
    assert guest.fd_prestat_dir_name(3, CONTENT, 0) == Errno.ENAMETOOLONG
    fd = guest.open("tmp", "d")
    for other, errno in ((0, Errno.ENOTDIR), (fd, Errno.ENOTDIR), (99, Errno.EBADF), (-1, Errno.EBADF)):
        assert guest.fd_prestat_get(other, RESULT) == Errno.EBADF
        assert guest.fd_prestat_dir_name(other, CONTENT, 1) == errno
    guest.need(guest.fd_close(3))
    assert guest.open("x", "w", at=fd) == 3
    assert guest.fd_prestat_get(3, RESULT) == Errno.EBADF


def test_calls_without_files_build_no_tree(guest):
    guest.need(guest.fd_prestat_get(3, RESULT))
    guest.need(guest.fd_fdstat_get(3, RESULT))
    guest.write(1, b"x")
    assert guest.state._tree is None


def test_a_call_is_freed_at_its_end_without_the_collector(make_guest):
    guest = make_guest()
    guest.mkdir("d")
    put(guest, "d/f", b"x" * 1000)
    guest.open("d/f")
    guest.page(guest.open("d", "d"))
    tree = weakref.ref(guest.state.tree.root)
    gc.disable()
    try:
        del guest
        assert tree() is None
    finally:
        gc.enable()


def test_a_very_deep_tree_is_walked_renamed_and_freed(make_guest):
    guest = make_guest()
    fd = 3
    for _ in range(20_000):
        guest.mkdir("d", at=fd)
        deeper = guest.open("d", "d", at=fd)
        if fd != 3:
            guest.need(guest.fd_close(fd))
        fd = deeper
    assert guest.path_rename(3, *guest.path("d"), fd, *guest.path("x", at=32 << 10)) == Errno.EINVAL
    guest.rename("d", "tmp/d")
    tree = weakref.ref(guest.state.tree.root)
    del guest
    assert tree() is None
