"""``buffer: blob: kv: call:`` call by call: how they can be opened, what runtimes ask first, and what is hostile."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from moc_server_ext.cluster import Cluster
from moc_server_ext.engines.wasi import UNSTABLE, layout
from moc_server_ext.guest_api.errno import Errno, GuestErrno
from moc_server_ext.model import Mode, parse_grants

READ, WRITE = layout.RIGHT_READ, layout.RIGHT_WRITE
CREATE, EXCLUSIVE, TRUNCATE = layout.OPEN_CREATE, layout.OPEN_EXCLUSIVE, layout.OPEN_TRUNCATE
RESULT, ALL = 64, (1 << 64) - 1
REGULAR, UNKNOWN = layout.REGULAR_TYPE, layout.UNKNOWN_TYPE


@pytest.fixture
def make(make_guest: Any, cluster: Cluster) -> Iterator[Callable[..., Any]]:
    made = []

    def make(*grants: str, **more: Any) -> Any:
        guest = make_guest(grants=parse_grants(grants or ("buffer", "kv", "blob", "call")), **more)
        guest.context.services = cluster._orchestrator
        made.append(guest)
        return guest

    yield make
    for each in made:
        each.state.close_all()
    for each in cluster.buffers.list():
        cluster.buffers.delete(each.name)
    for key in cluster.kv.list():
        cluster.kv.delete(key)


@pytest.fixture
def guest(make: Callable[..., Any]) -> Any:
    return make()


def refused(act: Callable[[], object]) -> Errno:
    with pytest.raises(GuestErrno) as info:
        act()
    return info.value.number


def open_raw(guest: Any, path: str, rights: int, oflags: int, fdflags: int = 0) -> int:
    guest.need(guest.path_open(3, 1, *guest.path(path), oflags, rights, ALL, fdflags, RESULT))
    return guest.result()


def end(guest: Any) -> None:
    """Do what the engine does when a program has ended by itself."""
    while (waiting := guest.state.before_end(guest.context)) is not None:
        waiting.finish(waiting.run())


# -- ways to open -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("scheme", ["buffer", "kv"])
@pytest.mark.parametrize(
    ("rights", "oflags", "fdflags", "before", "after"),
    [
        (WRITE, CREATE, 0, None, b"new"),
        (WRITE, CREATE | TRUNCATE, 0, b"before", b"new"),
        (WRITE, TRUNCATE, 0, b"before", b"new"),
        (WRITE, 0, 0, b"before", b"newore"),
        (WRITE, CREATE, 0, b"before", b"newore"),
        (WRITE, CREATE, layout.FLAG_APPEND, b"before", b"beforenew"),
        (WRITE, 0, layout.FLAG_APPEND, b"before", b"beforenew"),
        (WRITE, CREATE | TRUNCATE, layout.FLAG_APPEND, b"before", b"new"),
        (READ | WRITE, 0, 0, b"before", b"newore"),
        (READ | WRITE, CREATE | TRUNCATE, 0, b"before", b"new"),
        (READ | WRITE, CREATE, layout.FLAG_APPEND, b"before", b"beforenew"),
        (READ | WRITE, CREATE | EXCLUSIVE, 0, None, b"new"),
        (WRITE, TRUNCATE, 0, None, Errno.ENOENT),
        (WRITE, 0, layout.FLAG_APPEND, None, Errno.ENOENT),
        (READ | WRITE, 0, 0, None, Errno.ENOENT),
        (READ, 0, 0, None, Errno.ENOENT),
        (WRITE, CREATE | EXCLUSIVE, 0, b"before", Errno.EEXIST),
        (READ, TRUNCATE, 0, b"before", Errno.EINVAL),
        (READ, layout.OPEN_DIRECTORY, 0, b"before", Errno.ENOTDIR),
    ],
)
def test_opening_does_what_posix_says(guest, cluster, scheme, rights, oflags, fdflags, before, after):
    store = {"buffer": cluster.buffers.put, "kv": lambda name, content: cluster.kv.set(name.encode(), content)}[scheme]
    read = {"buffer": cluster.buffers.read, "kv": lambda name: cluster.kv.get(name.encode())}[scheme]
    if before is not None:
        store("a", before)
    if isinstance(after, Errno):
        assert refused(lambda: open_raw(guest, f"{scheme}://a", rights, oflags, fdflags)) == after
        return
    fd = open_raw(guest, f"{scheme}://a", rights, oflags, fdflags)
    assert guest.write(fd, b"n") + guest.write(fd, b"ew") == 3
    if before is not None:
        assert read("a") == before, "nothing is seen before it is closed"
    assert guest.fstat(fd)["size"] == len(after)
    guest.need(guest.fd_close(fd))
    assert read("a") == after


@pytest.mark.parametrize("scheme", ["buffer", "kv"])
def test_creating_for_reading_makes_an_empty_one(guest, cluster, scheme):
    fd = open_raw(guest, f"{scheme}://a", READ, CREATE)
    assert guest.read(fd, 10) == b""
    assert refused(lambda: guest.write(fd, b"x")) == Errno.EBADF
    guest.need(guest.fd_close(fd))
    assert guest.stat(f"{scheme}://a")["size"] == 0


def test_a_version_stays_readable_while_the_buffer_is_replaced_and_removed(guest, cluster):
    content = os.urandom(500_000)
    cluster.buffers.put("a", content)
    fd = guest.open("buffer://a")
    assert guest.read(fd, 10) == content[:10]
    cluster.buffers.put("a", b"another")
    cluster.buffers.delete("a")
    assert guest.fstat(fd)["size"] == 500_000
    guest.seek(fd, 400_000, 0)
    assert guest.read(fd, 100) == content[400_000:400_100]


def test_reading_seeking_and_reading_at_offsets_agree_with_the_bytes(guest, cluster):
    content = os.urandom(400_000)
    cluster.buffers.put("a", content)
    fd = guest.open("buffer://a")
    for offset, size in ((0, 1), (399_990, 100), (200_000, 60_000), (65_535, 2), (400_000, 5), (500_000, 5), (0, 64)):
        guest.need(guest.fd_pread(fd, *guest.vectors((64 << 10, size)), offset, RESULT))
        assert guest.memory.read(64 << 10, guest.result()) == content[offset : offset + size]
        assert guest.seek(fd, 0, 1) == 0
    assert guest.fd_pread(fd, *guest.vectors((64 << 10, 1)), -1, RESULT) == Errno.EINVAL
    assert guest.seek(fd, -10, 2) == 399_990
    assert guest.read(fd, 100) == content[-10:]
    assert guest.read(fd, 100) == b""
    assert refused(lambda: guest.seek(fd, -1, 0)) == Errno.EINVAL
    assert refused(lambda: guest.write(fd, b"x")) == Errno.EBADF


def test_a_read_of_64_kib_is_whole_wherever_it_begins(guest, cluster):
    content = os.urandom(900_000)
    cluster.buffers.put("a", content)
    fd = guest.open("buffer://a")
    position = 0
    for size in (1, 65_536, 65_535, 3, 65_536, 65_536, 65_536, 65_536, 65_536, 65_536):
        assert guest.read(fd, size) == content[position : position + size]
        position += size


def test_what_is_written_in_one_go_can_tell_its_end_and_nothing_else(guest):
    fd = guest.open("buffer://a", "w")
    guest.write(fd, b"12345")
    assert guest.seek(fd, 0, 1) == guest.seek(fd, 0, 2) == guest.seek(fd, 5, 0) == 5
    assert refused(lambda: guest.seek(fd, 0, 0)) == Errno.ESPIPE
    assert refused(lambda: guest.read(fd, 1)) == Errno.EBADF
    assert guest.fd_pwrite(fd, *guest.vectors((64 << 10, 1)), 0, RESULT) == Errno.ESPIPE
    assert guest.fd_sync(fd) == guest.fd_datasync(fd) == Errno.EINVAL


def test_a_value_has_a_size_limit_of_its_own(make):
    guest = make(limits={"scratch_bytes": 1 << 40})
    fd = guest.open("kv://a", "w")
    assert guest.fd_filestat_set_size(fd, (64 << 20) + 1) == Errno.EFBIG
    assert guest.fd_allocate(fd, 64 << 20, 1) == Errno.EFBIG
    assert guest.fd_pwrite(fd, *guest.vectors((64 << 10, 1)), 64 << 20, RESULT) == Errno.EFBIG


# -- what runtimes do -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("path", ["buffer:/a/b", "buffer://a/b", "./buffer://a/b", "work/buffer:/a/b"])
def test_a_file_is_read_as_go_and_rust_and_python_do(guest, cluster, path):
    content = os.urandom(70_000)
    cluster.buffers.put("a/b", content)
    assert guest.stat(path)["filetype"] == REGULAR
    fd = guest.open(path, rights=layout.FILE_RIGHTS & ~WRITE)
    guest.need(guest.fd_fdstat_get(fd, RESULT))
    filetype, _, rights, _ = layout.FDSTAT.unpack(guest.memory.read(RESULT, layout.FDSTAT.size))
    assert (filetype, bool(rights & layout.RIGHT_SEEK)) == (REGULAR, True)
    found = guest.fstat(fd)
    assert (found["size"], found["nlink"]) == (70_000, 1)
    assert found["ino"] == guest.stat(path)["ino"]
    assert guest.seek(fd, 0, 1) == 0
    assert guest.fd_advise(fd, 0, 0, 2) == 0
    read = b"".join(iter(lambda: guest.read(fd, 512), b""))
    assert read == content
    guest.need(guest.fd_close(fd))


def test_the_old_wasi_opens_them_too(make, cluster):
    cluster.buffers.put("a", b"old")
    guest = make(module=UNSTABLE)
    assert guest.stat("buffer://a")["size"] == 3
    assert guest.read(guest.open("buffer:/a"), 10) == b"old"


def test_copying_with_times_is_no_failure(guest):
    fd = guest.open("buffer://a", "w")
    assert guest.fd_filestat_set_times(fd, 1, 1, layout.SET_ATIM | layout.SET_MTIM) == 0


def test_what_only_directories_can_is_refused(guest):
    for path in ("buffer://a", "kv://a", "blob://a", "call://a"):
        assert refused(lambda path=path: guest.mkdir(path)) == Errno.EPERM
        assert refused(lambda path=path: guest.rmdir(path)) == Errno.EPERM
        assert refused(lambda path=path: guest.rename(path, "x")) == Errno.EPERM
    assert refused(lambda: guest.unlink("call://a")) == Errno.EPERM


def test_a_call_is_no_file_with_positions(guest):
    fd = guest.open("call://a", "r+")
    assert guest.stat("call://a")["filetype"] == guest.fstat(fd)["filetype"] == UNKNOWN
    assert refused(lambda: guest.seek(fd, 0, 0)) == Errno.ESPIPE
    assert refused(lambda: guest.open("call://a", "w")) == Errno.EACCES
    assert b"opened for writing only" in guest.context.stderr
    assert refused(lambda: guest.open("call://a", "x")) == Errno.EEXIST


# -- who may ----------------------------------------------------------------------------------------------------------


def test_a_deterministic_function_reaches_nothing_that_changes(make, cluster):
    cluster.buffers.put("a", b"")
    guest = make(deterministic=True)
    for path in ("buffer://a", "kv://a", "blob://a"):
        assert refused(lambda path=path: guest.open(path)) == Errno.ENOSYS
        assert refused(lambda path=path: guest.stat(path)) == Errno.ENOSYS


def test_a_direct_call_is_told_that_it_cannot_wait_for_files(make):
    guest = make(mode=Mode.DIRECT)
    for path in ("buffer://a", "kv://a", "blob://a", "call://a"):
        assert refused(lambda path=path: guest.open(path)) == Errno.ENOTSUP
    assert b"buffer:// can be opened in posix mode only" in guest.context.stderr
    assert not guest.context.live


def test_grants_are_for_the_very_name(make, cluster):
    guest = make("buffer:mine-*", "kv:mine/", "blob:abc")
    guest.need(guest.fd_close(guest.open("buffer://mine-1", "w")))
    guest.need(guest.fd_close(guest.open("kv://mine/1", "w")))
    for path in ("buffer://mine", "buffer://Mine-1", "buffer:///mine-1", "kv://mine", "kv:///mine/1", "blob://abcd",
                 "call://mine-1"):  # fmt: skip
        for mode in ("r", "w", "x", "a"):
            assert refused(lambda path=path, mode=mode: guest.open(path, mode)) == Errno.EACCES
        assert refused(lambda path=path: guest.stat(path)) == Errno.EACCES
        assert refused(lambda path=path: guest.unlink(path)) in (Errno.EACCES, Errno.EPERM)


def test_a_call_without_such_grants_is_not_live(make_guest):
    assert not make_guest(grants=parse_grants(["status", "plug:/"])).context.live
    assert make_guest(grants=parse_grants(["kv:a"])).context.live


# -- hostile ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("scheme", ["buffer", "kv", "blob", "call"])
@pytest.mark.parametrize(
    "name", [b"", b"\xff\xfe", b"x" * 4000, b"a\nb", b" a", b"..", b"/", b"\xed\xa0\x80", "é/ü".encode()]
)
@pytest.mark.parametrize("mode", ["r", "w", "r+", "x", "a"])
def test_any_name_is_opened_or_refused_and_never_harms(guest, scheme, name, mode):
    path = scheme.encode() + b"://" + name
    answer = 0
    try:
        answer = guest.fd_close(guest.open(path, mode))
    except GuestErrno as refusal:
        answer = refusal.number
    assert answer in (0, Errno.ENOENT, Errno.EINVAL, Errno.EROFS, Errno.EACCES, Errno.EEXIST, Errno.EILSEQ)
    assert guest.path_unlink_file(3, *guest.path(path)) in (
        0, Errno.ENOENT, Errno.EINVAL, Errno.EROFS, Errno.EPERM, Errno.EILSEQ)  # fmt: skip


@pytest.mark.parametrize("scheme", ["buffer", "kv", "blob", "call"])
def test_names_with_nul_and_paths_beyond_4096_bytes_are_refused(guest, scheme):
    assert refused(lambda: guest.open(f"{scheme}://a\0b")) == Errno.EINVAL
    assert refused(lambda: guest.open(f"{scheme}://" + "x" * 4096)) == Errno.ENAMETOOLONG


def test_a_name_that_no_buffer_can_have_is_refused_at_close_at_the_latest(guest, cluster):
    assert refused(lambda: guest.open("buffer://" + "x" * 513)) == Errno.EINVAL
    assert refused(lambda: guest.open("buffer://" + "x" * 513, "w")) == Errno.EINVAL
    assert b"cannot be a buffer's name" in guest.context.stderr


def test_files_are_counted_and_thousands_can_follow_each_other(make, cluster):
    guest = make(limits={"open_files": 8})
    cluster.buffers.put("a", b"a")
    for _ in range(2000):
        guest.need(guest.fd_close(guest.open("buffer://a")))
    fds = [guest.open("buffer://b", "w") for _ in range(4)]
    fds += [guest.open("kv://b", "w") for _ in range(4)]
    assert refused(lambda: guest.open("buffer://a")) == Errno.EMFILE
    for fd in fds:
        guest.need(guest.fd_close(fd))
    assert guest.state.file_bytes <= 1024


@pytest.mark.parametrize("room", [0, 20_000, 70_000, 300_000])
def test_readers_do_with_what_is_left_of_the_scratch_space(make, cluster, room):
    content = os.urandom(300_000)
    cluster.buffers.put("a", content)
    cluster.buffers.put("b", b"small")
    guest = make(limits={"scratch_bytes": 1024 + room})
    fds = [guest.open("buffer://a") for _ in range(3)] + [guest.open("buffer://b")]
    for fd in fds[:3]:
        assert b"".join(iter(lambda fd=fd: guest.read(fd, 1000), b"")) == content
    assert guest.read(fds[3], 10) == b"small"
    assert guest.state.file_bytes <= 1024 + room
    for fd in fds:
        guest.need(guest.fd_close(fd))
    assert guest.state.file_bytes == 1024


def test_writers_hold_little_more_than_the_scratch_space_allows(make, cluster):
    guest = make(limits={"scratch_bytes": 600_000})
    first, second = guest.open("buffer://a", "w"), guest.open("buffer://b", "w")
    assert guest.write(first, bytes(700_000)) == 700_000
    # As much as a writer always has; more, once the other's part is on its way.
    assert guest.write(second, b"x" * 700_000) == 256 << 10
    guest.need(guest.fd_close(first))
    assert guest.write(second, b"x" * 700_000) == 700_000
    guest.need(guest.fd_close(second))
    assert cluster.buffers.read("b") == b"x" * (700_000 + (256 << 10))
    assert guest.state.file_bytes <= 1024


def test_closing_twice_is_ebadf_and_stores_once(guest, cluster):
    fd = guest.open("buffer://a", "w")
    guest.write(fd, b"once")
    assert guest.fd_close(fd) == 0
    cluster.buffers.delete("a")
    assert guest.fd_close(fd) == Errno.EBADF
    assert not cluster.buffers.list()


def test_renumbering_over_a_writer_stores_what_it_wrote(guest, cluster):
    cluster.buffers.put("b", b"other")
    writer, reader = guest.open("buffer://a", "w"), guest.open("buffer://b")
    guest.write(writer, b"kept")
    guest.need(guest.fd_renumber(reader, writer))
    assert cluster.buffers.read("a") == b"kept"
    assert guest.read(writer, 10) == b"other"
    assert guest.fd_close(reader) == Errno.EBADF


def test_renumbering_a_writer_over_a_stream_leaves_it_open(guest, cluster):
    writer = guest.open("buffer://a", "w")
    guest.need(guest.fd_renumber(writer, 1))
    guest.write(1, b"from stdout")
    end(guest)
    assert cluster.buffers.read("a") == b"from stdout"


def test_a_bad_pointer_changes_nothing(guest, cluster):
    fd = guest.open("buffer://a", "w")
    guest.write(fd, b"good")
    assert guest.fd_write(fd, *guest.vectors((2**32 - 4, 8)), RESULT) == Errno.EFAULT
    assert guest.fd_write(fd, *guest.vectors((64 << 10, 4)), 2**32 - 2) == Errno.EFAULT
    assert guest.path_open(3, 1, *guest.path("buffer://b"), CREATE, WRITE, ALL, 0, 2**32 - 2) == Errno.EFAULT
    guest.need(guest.fd_close(fd))
    assert cluster.buffers.read("a") == b"good"
    assert [each.name for each in cluster.buffers.list()] == ["a"]


def test_several_writers_of_one_buffer_and_the_last_close_wins(guest, cluster):
    first, second = guest.open("buffer://a", "w"), guest.open("buffer://a", "w")
    guest.write(first, b"first")
    guest.write(second, b"second")
    guest.need(guest.fd_close(second))
    guest.need(guest.fd_close(first))
    assert cluster.buffers.read("a") == b"first"


def test_all_that_is_left_open_is_stored_at_the_end_lowest_number_first(guest, cluster):
    for name in "abc":
        guest.write(guest.open(f"buffer://{name}", "w"), name.encode())
    guest.write(guest.open("kv://d", "w"), b"d")
    end(guest)
    assert [cluster.buffers.read(each) for each in "abc"] == [b"a", b"b", b"c"]
    assert cluster.kv.get(b"d") == b"d"


def test_a_call_that_is_over_lets_go_of_what_it_did_not_store(guest, cluster):
    guest.write(guest.open("buffer://a", "w"), bytes(300_000))
    fd = guest.open("buffer://b", "w")
    for _ in range(4):
        guest.write(fd, bytes(200_000))
    guest.write(guest.open("kv://d", "w"), b"d")
    guest.state.close_all()
    assert not cluster.buffers.list()
    assert not cluster.kv.list()
    assert guest.state.file_bytes <= 1024
