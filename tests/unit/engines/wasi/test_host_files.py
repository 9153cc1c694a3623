"""Host directories, as a guest meets them through the functions of WASI."""

from __future__ import annotations

import os
import socket
from collections.abc import Iterator
from pathlib import Path

import pytest

from moc_server_ext.engines.wasi import layout
from moc_server_ext.engines.wasi.hostfs import linux
from moc_server_ext.errors import InvalidInputError
from moc_server_ext.guest_api.errno import Errno, GuestErrno
from moc_server_ext.model import Mount

ROOT = 3


@pytest.fixture
def root(tmp_path: Path) -> Path:
    (tmp_path / "secret").write_text("not for guests")
    (tmp_path / "root" / "inner").mkdir(parents=True)
    (tmp_path / "root" / "file").write_bytes(b"content")
    return tmp_path / "root"


@pytest.fixture
def guest(make_guest, root: Path) -> Iterator:
    made = make_guest(mounts=(Mount(str(root), "/"),))
    yield made
    made.state.close_all()


@pytest.fixture
def reader(make_guest, root: Path) -> Iterator:
    made = make_guest(mounts=(Mount(str(root), "/", read_only=True),))
    yield made
    made.state.close_all()


def refused(act, *args, **kwargs) -> Errno:
    with pytest.raises(GuestErrno) as refusal:
        act(*args, **kwargs)
    return refusal.value.number


def symlink(guest, content: str, path: str) -> Errno:
    return guest.path_symlink(*guest.path(content), ROOT, *guest.path(path, at=32 << 10))


def link(guest, old: str, new: str) -> Errno:
    return guest.path_link(ROOT, 0, *guest.path(old), ROOT, *guest.path(new, at=32 << 10))


def open_in(directory: Path) -> list[str]:
    """What this process has open beneath a directory."""
    found = []
    for name in os.listdir("/proc/self/fd"):
        try:
            target = os.readlink(f"/proc/self/fd/{name}")
        except FileNotFoundError:
            continue  # That of the listing itself.
        if target.startswith(str(directory)):
            found.append(target)
    return found


# -- what is mounted --------------------------------------------------------------------------------------------------


def test_mounts_are_preopened_in_their_order_with_the_one_called_root_first(make_guest, root):
    mounts = (Mount(str(root), "data"), Mount(str(root / "inner"), "/"), Mount(str(root), "."))
    guest = make_guest(mounts=mounts)
    names = []
    for fd in (3, 4, 5):
        assert guest.fd_prestat_get(fd, 64) == 0
        length = guest.memory.read_u32(68)
        assert guest.fd_prestat_dir_name(fd, 128, length) == 0
        names.append(guest.memory.read(128, length))
    assert names == [b"/", b"data", b"."]
    assert guest.listdir(".") == []
    assert guest.read(guest.open("file", at=4), 100) == b"content"
    guest.state.close_all()


def test_beside_a_mount_the_private_tree_is_still_the_root(make_guest, root):
    guest = make_guest(mounts=(Mount(str(root), "/data"),))
    guest.write(guest.open("tmp/private", "w"), b"x")
    assert not (root / "tmp").exists()
    assert guest.path_rename(3, *guest.path("tmp/private"), 4, *guest.path("moved", at=32 << 10)) == Errno.EXDEV
    assert guest.path_rename(4, *guest.path("file"), 3, *guest.path("moved", at=32 << 10)) == Errno.EXDEV
    guest.state.close_all()


def test_a_directory_that_is_gone_ends_the_call_and_leaves_nothing_open(make_guest, root, tmp_path):
    with pytest.raises(InvalidInputError, match=r"'.*gone' cannot be mounted as '/x': No such file or directory"):
        make_guest(mounts=(Mount(str(root), "/data"), Mount(str(tmp_path / "gone"), "/x")))
    assert open_in(root) == []


def test_all_that_was_opened_is_closed_with_the_call(guest, root):
    guest.open("file")
    guest.open("inner", "d")
    guest.open("inner/new", "w")
    assert len(open_in(root)) == 4
    guest.state.close_all()
    assert open_in(root) == []


def test_open_files_are_bounded_by_the_limit_of_the_call(make_guest, root):
    guest = make_guest(mounts=(Mount(str(root), "/"),), limits={"open_files": 5})
    for _ in range(5):
        guest.open("file")
    assert refused(guest.open, "file") == Errno.EMFILE
    assert len(open_in(root)) == 6
    guest.state.close_all()


# -- paths ------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("content", "path"),
    [
        (None, "../secret"),
        (None, "inner/../../secret"),
        (None, "inner/../../root/file"),
        (None, "./.././secret"),
        ("../secret", "link"),
        ("..", "link/secret"),
        ("inner/../../secret", "link"),
        ("/etc/passwd", "link"),
        ("/", "link/etc/passwd"),
        ("../root/file", "link"),
    ],
)
def test_no_path_and_no_link_leads_outside(guest, root, content, path):
    if content is not None:
        (root / "link").symlink_to(content)
    assert refused(guest.open, path) == Errno.EPERM
    assert refused(guest.open, path, "w") == Errno.EPERM
    assert refused(guest.stat, path) == Errno.EPERM
    assert (root.parent / "secret").read_text() == "not for guests"


def test_links_inside_are_followed_where_the_guest_asks_for_it(guest, root):
    (root / "inner" / "up").symlink_to("../file")
    (root / "way").symlink_to("inner")
    assert guest.read(guest.open("way/up"), 100) == b"content"
    assert guest.stat("way/up")["size"] == 7
    assert guest.path_filestat_get(ROOT, 0, *guest.path("way"), 64) == 0
    assert guest.memory.read(64 + 16, 1)[0] == layout.SYMBOLIC_LINK_TYPE
    assert guest.path_open(ROOT, 0, *guest.path("way/up"), 0, layout.RIGHT_READ, 0, 0, 64) == Errno.ELOOP
    assert guest.listdir("way/") == ["up"]


def test_links_that_lead_round_end_in_eloop(guest, root):
    (root / "a").symlink_to("b")
    (root / "b").symlink_to("a")
    assert refused(guest.open, "a") == Errno.ELOOP
    for number in range(50):
        (root / f"chain{number}").symlink_to(f"chain{number + 1}" if number < 49 else "file")
    assert guest.read(guest.open("chain10"), 7) == b"content"
    assert refused(guest.open, "chain9") == Errno.ELOOP


def test_links_that_multiply_are_given_up_soon(guest, root):
    way = "inner/../" * 400
    for number in range(39):
        (root / f"long{number}").symlink_to(f"{way}long{number + 1}")
    (root / "long39").symlink_to("file")
    assert refused(guest.open, "long0") == Errno.ELOOP
    assert open_in(root) == [str(root)]


def test_a_deep_path_takes_few_descriptors_and_finds_its_way_back(guest, root, monkeypatch):
    deep = os.open(root, os.O_RDONLY)
    for _ in range(200):
        os.mkdir("d", dir_fd=deep)
        inner = os.open("d", os.O_RDONLY, dir_fd=deep)
        os.close(deep)
        deep = inner
    os.close(deep)
    most, close = 0, os.close

    def closing(fd: int) -> None:
        nonlocal most
        most = max(most, len(open_in(root)))
        close(fd)

    monkeypatch.setattr(os, "close", closing)
    assert guest.stat("d/" * 200 + "../" * 200 + "file")["size"] == 7
    monkeypatch.undo()
    assert 30 < most < 50
    assert open_in(root) == [str(root)]


def test_nothing_absolute_is_put_into_links_or_told_from_them(guest, root):
    assert symlink(guest, "/etc/passwd", "new") == Errno.EPERM
    (root / "link").symlink_to("/etc/passwd")
    assert guest.path_readlink(ROOT, *guest.path("link"), 256, 100, 64) == Errno.EPERM
    assert symlink(guest, "../beyond", "new") == 0
    assert os.readlink(root / "new") == "../beyond"
    assert guest.path_readlink(ROOT, *guest.path("new"), 256, 4, 64) == 0
    assert guest.memory.read(256, guest.result()) == b"../b"


@pytest.mark.parametrize("path", ["file/", "file/.", "file/..", "file/x"])
def test_a_file_is_no_directory_on_the_way(guest, path):
    assert refused(guest.open, path) == Errno.ENOTDIR
    assert refused(guest.stat, path) == Errno.ENOTDIR


def test_a_slash_at_the_end_makes_and_removes_nothing_but_directories(guest, root):
    (root / "link").symlink_to("file")
    (root / "way").symlink_to("inner")
    (root / "dangling").symlink_to("none")
    assert refused(guest.open, "new/", "w") == Errno.EISDIR
    assert refused(guest.unlink, "file/") == Errno.ENOTDIR
    assert refused(guest.unlink, "link/") == Errno.ENOTDIR
    assert refused(guest.unlink, "way/") == Errno.EISDIR
    assert refused(guest.rmdir, "way/") == Errno.ENOTDIR
    assert refused(guest.rename, "file", "new/") == Errno.ENOTDIR
    assert refused(guest.rename, "way/", "new") == Errno.ENOTDIR
    assert link(guest, "file", "new/") == Errno.ENOENT
    assert symlink(guest, "x", "new/") == Errno.ENOENT
    assert refused(guest.mkdir, "dangling/") == Errno.EEXIST
    assert sorted(os.listdir(root)) == ["dangling", "file", "inner", "link", "way"]
    guest.mkdir("new/")
    guest.rename("new/", "moved/")
    guest.rmdir("moved/")
    assert sorted(os.listdir(root)) == ["dangling", "file", "inner", "link", "way"]


# -- pipes, devices, sockets ------------------------------------------------------------------------------------------


def test_what_is_neither_file_nor_directory_is_told_of_and_never_opened(guest, root):
    os.mkfifo(root / "pipe")
    with socket.socket(socket.AF_UNIX) as listening:
        here = os.getcwd()
        os.chdir(root)
        try:
            listening.bind("socket")  # The names of sockets are short.
        finally:
            os.chdir(here)
        for name, filetype in (("pipe", layout.UNKNOWN_TYPE), ("socket", 6)):
            assert refused(guest.open, name) == Errno.ENXIO
            assert refused(guest.open, name, "w") == Errno.ENXIO
            assert refused(guest.open, name, "a") == Errno.ENXIO
            assert guest.stat(name)["filetype"] == filetype
        guest.unlink("pipe")


def test_devices_are_not_opened(make_guest):
    guest = make_guest(mounts=(Mount("/dev", "/dev"),))
    assert refused(guest.open, "null", at=4) == Errno.ENXIO
    assert refused(guest.open, "zero", "w", at=4) == Errno.ENXIO
    assert guest.stat("null", at=4)["filetype"] == 2
    guest.state.close_all()


def test_the_magic_links_of_proc_lead_nowhere(make_guest, root):
    guest = make_guest(mounts=(Mount("/proc/self", "/proc"),))
    with open(root / "file") as opened:
        for path in (f"fd/{opened.fileno()}", "root/etc/passwd", "cwd/x", "exe"):
            assert refused(guest.open, path, at=4) in (Errno.EPERM, Errno.ENOENT)
    guest.state.close_all()


# -- read-only mounts -------------------------------------------------------------------------------------------------


def test_nothing_can_be_changed_through_a_read_only_mount(reader, root):
    before = (root / "file").stat()
    (root / "way").symlink_to("file")
    for mode in ("w", "a", "r+", "x"):
        assert refused(reader.open, "new" if mode == "x" else "file", mode) == Errno.EROFS
    truncating = reader.path_open(ROOT, 1, *reader.path("file"), layout.OPEN_TRUNCATE, layout.RIGHT_READ, 0, 0, 64)
    assert truncating == Errno.EROFS
    assert refused(reader.mkdir, "new") == Errno.EROFS
    assert refused(reader.rmdir, "inner") == Errno.EROFS
    assert refused(reader.unlink, "file") == Errno.EROFS
    assert refused(reader.rename, "file", "new") == Errno.EROFS
    assert link(reader, "file", "new") == Errno.EROFS
    assert symlink(reader, "file", "new") == Errno.EROFS
    assert reader.path_filestat_set_times(ROOT, 1, *reader.path("file"), 1, 1, 5) == Errno.EROFS
    inner = reader.open("inner", "d")
    assert refused(reader.open, "new", "w", at=inner) == Errno.EROFS
    assert reader.fd_filestat_set_times(inner, 1, 1, 5) == Errno.EROFS
    file = reader.open("file")
    assert reader.read(file, 100) == b"content"
    assert reader.fd_filestat_set_times(file, 1, 1, 5) == Errno.EROFS
    assert reader.fd_filestat_set_size(file, 0) == Errno.EINVAL
    assert refused(reader.write, file, b"x") == Errno.EBADF
    after = (root / "file").stat()
    assert (after.st_size, after.st_mtime_ns) == (before.st_size, before.st_mtime_ns)
    assert sorted(os.listdir(root)) == ["file", "inner", "way"]


def test_what_could_not_be_done_anyway_is_said_before_that_it_is_read_only(reader):
    assert refused(reader.unlink, "none") == Errno.ENOENT
    assert refused(reader.mkdir, "inner") == Errno.EEXIST
    assert refused(reader.unlink, "inner") == Errno.EISDIR


def test_a_file_of_a_read_only_mount_gets_no_second_name_where_it_could_be_written(make_guest, root, tmp_path):
    (tmp_path / "mine").mkdir()
    guest = make_guest(mounts=(Mount(str(root), "/theirs", read_only=True), Mount(str(tmp_path / "mine"), "/mine")))
    assert guest.path_link(4, 0, *guest.path("file"), 5, *guest.path("got", at=32 << 10)) == Errno.EROFS
    assert guest.path_rename(4, *guest.path("file"), 5, *guest.path("got", at=32 << 10)) == Errno.EROFS
    guest.state.close_all()


# -- files ------------------------------------------------------------------------------------------------------------


def test_reading_scatters_into_memory_and_writing_lands_in_the_file(guest, root):
    fd = guest.open("file", "r+")
    assert guest.fd_read(fd, *guest.vectors((65536, 3), (65636, 0), (65736, 50)), 64) == 0
    assert guest.result() == 7
    assert guest.memory.read(65536, 3) + guest.memory.read(65736, 4) == b"content"
    guest.write(fd, b" and more")
    assert (root / "file").read_bytes() == b"content and more"
    assert guest.fd_pread(fd, *guest.vectors((65536, 4)), 8, 64) == 0
    assert guest.memory.read(65536, guest.result()) == b"and "
    assert guest.seek(fd, -4, 2) == 12
    assert guest.read(fd, 100) == b"more"
    assert guest.read(fd, 100) == b""
    assert guest.fd_seek(fd, -1, 0, 64) == Errno.EINVAL
    assert guest.fd_read(fd, *guest.vectors(), 64) == 0
    assert guest.result() == 0


def test_a_read_beyond_the_memory_of_the_guest_moves_nothing(guest):
    fd = guest.open("file")
    assert guest.fd_read(fd, *guest.vectors(((1 << 20) - 2, 100)), 64) == Errno.EFAULT
    assert guest.read(fd, 100) == b"content"


def test_appending_goes_to_the_end_that_others_moved(guest, root):
    fd = guest.open("file", "a")
    guest.write(fd, b"1")
    with open(root / "file", "ab") as other:
        other.write(b"2")
    guest.write(fd, b"3")
    assert (root / "file").read_bytes() == b"content123"
    assert guest.seek(fd, 0, 1) == 10
    assert guest.fd_fdstat_set_flags(fd, 0) == 0
    guest.seek(fd, 0, 0)
    guest.write(fd, b"C")
    assert (root / "file").read_bytes() == b"Content123"
    assert guest.fd_fdstat_set_flags(fd, layout.FLAG_SYNC) == Errno.EINVAL


def test_flags_of_synchronous_writing_reach_the_host(guest, root):
    import fcntl

    for flags, expected in ((layout.FLAG_SYNC, os.O_SYNC), (layout.FLAG_DSYNC, os.O_DSYNC)):
        fd = guest.open("file", "r+", flags=flags)
        [name] = [each for each in os.listdir("/proc/self/fd") if _is(each, root / "file")]
        assert fcntl.fcntl(int(name), fcntl.F_GETFL) & expected == expected
        guest.fd_close(fd)


def _is(name: str, path: Path) -> bool:
    try:
        return os.readlink(f"/proc/self/fd/{name}") == str(path)
    except FileNotFoundError:
        return False


def test_making_room_grows_a_file_and_cutting_shrinks_it(guest, root):
    fd = guest.open("file", "r+")
    try:
        linux.allocate(os.open(root / "file", os.O_RDWR), 0, 1)
    except OSError:
        pytest.skip("this file system makes no room")
    assert guest.fd_allocate(fd, 0, 100) == 0
    assert (root / "file").stat().st_size == 100
    assert guest.fd_filestat_set_size(fd, 3) == 0
    assert (root / "file").read_bytes() == b"con"
    assert guest.fd_sync(fd) == guest.fd_datasync(fd) == guest.fd_advise(fd, 0, 0, 4) == 0
    assert guest.fd_allocate(guest.open("file"), 0, 1) == Errno.EBADF


def test_times_are_set_to_the_nanosecond_and_the_other_one_stays(guest, root):
    before = (root / "file").stat()
    assert guest.path_filestat_set_times(ROOT, 1, *guest.path("file"), 0, 1_234_567_890_123_456_789, 4) == 0
    after = (root / "file").stat()
    assert (after.st_mtime_ns, after.st_atime_ns) == (1_234_567_890_123_456_789, before.st_atime_ns)
    assert guest.stat("file")["mtim"] == 1_234_567_890_123_456_789
    (root / "link").symlink_to("file")
    assert guest.path_filestat_set_times(ROOT, 0, *guest.path("link"), 5, 5, 5) == 0
    assert (root / "link").lstat().st_mtime_ns == 5
    assert (root / "file").stat().st_mtime_ns == 1_234_567_890_123_456_789


def test_inodes_tell_files_apart_and_names_of_one_file_together(guest, root):
    assert link(guest, "file", "again") == 0
    one, other, inner = guest.stat("file"), guest.stat("again"), guest.stat("inner")
    assert one["ino"] == other["ino"] != inner["ino"]
    assert one["nlink"] == 2
    assert one["dev"] == inner["dev"]
    assert one["ino"] != (root / "file").stat().st_ino


def test_a_file_that_is_not_there_for_this_process_is_not_for_the_guest(guest, root):
    (root / "inner").chmod(0)
    if os.access(root / "inner", os.R_OK):
        pytest.skip("root may read everything")
    assert refused(guest.open, "inner", "d") == Errno.EACCES


# -- directories ------------------------------------------------------------------------------------------------------


def test_a_large_directory_is_listed_whole_in_small_pages(guest, root):
    for number in range(3000):
        (root / "inner" / f"entry{number}").touch()
    assert sorted(guest.listdir("inner", length=512)) == sorted(f"entry{number}" for number in range(3000))


def test_entries_that_stay_are_listed_once_while_others_come_and_go(guest, root):
    for number in range(600):
        (root / "inner" / f"entry{number}").touch()
    fd, cookie, seen = guest.open("inner", "d"), 0, []
    gone = iter(range(0, 600, 3))
    for turn in range(10_000):
        entries, cookie, used = guest.page(fd, cookie, 400)
        seen += [name for name, _ in entries]
        if used < 400:
            break
        (root / "inner" / f"entry{next(gone)}").unlink(missing_ok=True)
        (root / "inner" / f"new{turn}").touch()
    stayed = {name for name in os.listdir(root / "inner") if name.startswith("entry")}
    assert len(seen) == len(set(seen))
    assert stayed <= set(seen)


def test_two_readers_of_one_descriptor_do_not_disturb_one_another(guest, root):
    for number in range(200):
        (root / "inner" / f"entry{number}").touch()
    fd = guest.open("inner", "d")
    first, cookie, _ = guest.page(fd, 0, 600)
    guest.page(fd, 0, 60_000)
    rest, _, _ = guest.page(fd, cookie, 60_000)
    assert len({name for name, _ in first + rest}) == 202


@pytest.mark.parametrize("cookie", [(1 << 63) - 1, 1 << 63, (1 << 64) - 1])
def test_a_cookie_that_nobody_gave_out_harms_nothing(guest, cookie):
    fd = guest.open("inner", "d")
    assert guest.fd_readdir(fd, 4096, 512, cookie, 64) in (0, Errno.EINVAL)
    assert guest.listdir("inner") == []


def test_the_directory_above_the_mounted_one_is_not_told_of(guest, root):
    fd = guest.open(".", "d")
    guest.fd_readdir(fd, 4096, 4096, 0, 64)
    page, inodes = guest.memory.read(4096, guest.result()), {}
    while page:
        _, inode, length, _ = layout.DIRENT.unpack_from(page)
        inodes[page[24 : 24 + length]] = inode
        page = page[24 + length :]
    assert inodes[b".."] == inodes[b"."] == guest.fstat(fd)["ino"]
    assert inodes[b"file"] == guest.stat("file")["ino"]


def test_a_directory_that_was_removed_while_it_is_open_takes_nothing_in(guest, root):
    fd = guest.open("inner", "d")
    (root / "inner").rmdir()
    assert refused(guest.open, "new", "w", at=fd) == Errno.ENOENT
    assert guest.listdir(".") == ["file"]
