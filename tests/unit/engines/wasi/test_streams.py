"""stdin, stdout and stderr, the doors to the exchange buffers, and what bad lists of vectors do to them."""

from __future__ import annotations

import pytest

from moc_server_ext.engines.wasi import layout
from moc_server_ext.engines.wasi.vectors import MAX_VECTORS
from moc_server_ext.errors import LimitExceededError
from moc_server_ext.guest_api.errno import Errno, GuestErrno

MEMORY_BYTES = 1 << 20
RESULT, CONTENT = 64, 64 << 10
DOORS_IN = ["api://input", "api:/input", "/api://input", "/api:/input", "api://input/0", "tmp/work/api:/input/0",
            "tmp/api://input"]  # fmt: skip
DOORS_OUT = ["api://output", "api:/output", "/api:/output", "home/me/api://output"]


def test_writing_to_stdout_fills_the_output_buffer(guest):
    assert guest.write(1, b"hello ") == 6
    guest.need(guest.fd_write(1, *guest.vectors(guest.put(CONTENT, b"wor"), (0, 0), guest.put(CONTENT + 9, b"ld")), 64))
    assert guest.result() == 5
    assert guest.context.output.getvalue() == b"hello world"


def test_writing_to_stderr_is_captured(guest):
    guest.write(2, b"oh")
    assert bytes(guest.context.stderr) == b"oh"


def test_reading_stdin_scatters_over_all_vectors_and_ends_with_zero(guest):
    guest.need(guest.fd_read(0, *guest.vectors((CONTENT, 5), (CONTENT + 100, 50)), RESULT))
    assert guest.result() == 18
    assert guest.memory.read(CONTENT, 5) + guest.memory.read(CONTENT + 100, 13) == b"line one\nline two\n"
    assert guest.read(0, 10) == b""


def test_a_read_gives_what_the_next_part_has_and_never_waits_for_more(make_guest):
    from moc_server_ext.buffers.exchange import ExchangeBuffer

    guest = make_guest()
    guest.context.input = ExchangeBuffer(limit_bytes=100)
    for part in (b"ab", b"cd", b"ef"):
        guest.context.input.write(part)
    assert [guest.read(0, 5) for _ in range(4)] == [b"ab", b"cd", b"ef", b""]


@pytest.mark.parametrize("door", DOORS_IN)
def test_every_spelling_of_the_input_shares_one_position_with_stdin(guest, door):
    assert guest.read(0, 5) == b"line "
    fd = guest.open(door)
    assert guest.read(fd, 4) == b"one\n"
    assert bytes(guest.context.input.peek()) == b"line two\n"
    assert guest.stat(door)["filetype"] == layout.UNKNOWN_TYPE
    assert guest.stat(door)["ino"] == guest.fstat(fd)["ino"] == guest.fstat(0)["ino"]


@pytest.mark.parametrize("door", DOORS_OUT)
@pytest.mark.parametrize("mode", ["w", "a", "w+"])
def test_every_spelling_of_the_output_writes_to_the_output_buffer(guest, door, mode):
    guest.write(1, b"<")
    guest.write(guest.open(door, mode), b">")
    assert guest.context.output.getvalue() == b"<>"


@pytest.mark.parametrize("path", ["api://Input", "API://input", "api:///input", "api://input/1", "api://output/0",
                                  "api://", "api://inputs", "tmp/api://nothing", "apis://input", "xapi://input",
                                  "api:input"])  # fmt: skip
def test_what_is_nearly_a_door_does_not_exist(guest, path):
    with pytest.raises(GuestErrno, match="ENOENT"):
        guest.open(path)


@pytest.mark.parametrize(("path", "mode", "errno"), [
    ("api://input", "w", "EACCES"), ("api://input", "r+", "EACCES"), ("api://output", "r", "EACCES"),
    ("api://output", "x", "EEXIST"), ("api://input", "d", "ENOTDIR"),
])  # fmt: skip
def test_a_door_opens_in_one_direction(guest, path, mode, errno):
    with pytest.raises(GuestErrno, match=errno):
        guest.open(path, mode)


def test_a_door_cannot_be_removed_renamed_or_replaced(guest):
    guest.open("f", "w")
    for act in (
        lambda: guest.unlink("api://input"),
        lambda: guest.rename("api://input", "g"),
        lambda: guest.rename("f", "api://output"),
        lambda: guest.mkdir("api://input"),
    ):
        with pytest.raises(GuestErrno, match="EPERM"):
            act()


def test_streams_are_neither_terminals_nor_seekable(guest):
    for fd in (0, 1, 2):
        guest.need(guest.fd_fdstat_get(fd, RESULT))
        filetype, _, rights, _ = layout.FDSTAT.unpack(guest.memory.read(RESULT, 24))
        assert filetype == layout.UNKNOWN_TYPE
        assert not rights & (layout.RIGHT_SEEK | layout.RIGHT_TELL)
        assert guest.fd_seek(fd, 0, 1, RESULT) == Errno.ESPIPE
        assert guest.fd_tell(fd, RESULT) == Errno.ESPIPE
        assert guest.fd_pread(fd, *guest.vectors((CONTENT, 1)), 0, RESULT) == Errno.ESPIPE


def test_the_wrong_direction_is_a_bad_descriptor(guest):
    vectors = guest.vectors((CONTENT, 1))
    assert guest.fd_write(0, *vectors, RESULT) == Errno.EBADF
    assert guest.fd_read(1, *vectors, RESULT) == Errno.EBADF
    for fd in (-1, 99, 1 << 30):
        assert guest.fd_read(fd, *vectors, RESULT) == Errno.EBADF


BAD_VECTORS = {
    "beyond the end": (MEMORY_BYTES - 4, 8),
    "far outside": (0xFFFF_0000, 16),
    "wrapping": (0xFFFF_FFFF, 0xFFFF_FFFF),
    "longer than memory": (0, 0xFFFF_FFFF),
}


@pytest.mark.parametrize("bad", BAD_VECTORS.values(), ids=BAD_VECTORS.keys())
def test_a_bad_vector_faults_before_anything_is_moved(guest, bad):
    guest.memory.write(CONTENT, b"keep")
    vectors = guest.vectors((CONTENT, 4), bad)
    assert guest.fd_read(0, *vectors, RESULT) == Errno.EFAULT
    assert guest.fd_write(1, *vectors, RESULT) == Errno.EFAULT
    assert guest.memory.read(CONTENT, 4) == b"keep"
    assert guest.read(0, 100) == b"line one\nline two\n"
    assert guest.context.output.size == 0


@pytest.mark.parametrize("result", [MEMORY_BYTES - 3, -1])
def test_a_bad_result_pointer_faults_before_anything_is_moved(guest, result):
    vectors = guest.vectors((CONTENT, 4))
    assert guest.fd_read(0, *vectors, result) == Errno.EFAULT
    assert guest.fd_write(1, *vectors, result) == Errno.EFAULT
    assert guest.read(0, 4) == b"line"
    assert guest.context.output.size == 0


def test_a_list_of_vectors_outside_of_memory_faults(guest):
    for pointer in (MEMORY_BYTES - 4, -8):
        assert guest.fd_read(0, pointer, 1, RESULT) == Errno.EFAULT
        assert guest.fd_write(1, pointer, 2, RESULT) == Errno.EFAULT


def test_too_many_vectors_are_refused(guest):
    for count in (MAX_VECTORS + 1, -1, 1 << 30):
        assert guest.fd_read(0, 0, count, RESULT) == Errno.EINVAL
        assert guest.fd_write(1, 0, count, RESULT) == Errno.EINVAL


def test_overlapping_vectors_cannot_be_multiplied_into_more_than_the_guests_memory(make_guest):
    guest = make_guest(limits={"memory_bytes": MEMORY_BYTES})
    vectors = guest.vectors(*[(0, MEMORY_BYTES // 2)] * 3)
    assert guest.fd_write(1, *vectors, RESULT) == Errno.EINVAL
    assert guest.context.output.size == 0


def test_an_empty_write_is_no_error_and_writes_nothing(guest):
    assert guest.fd_write(1, *guest.vectors(), RESULT) == Errno.SUCCESS
    assert guest.fd_write(1, *guest.vectors((0, 0)), RESULT) == Errno.SUCCESS
    assert guest.result() == 0


def test_the_output_limit_ends_the_call(make_guest):
    guest = make_guest(limits={"output_bytes": 10, "stderr_bytes": 4})
    guest.write(1, b"0123456789")
    with pytest.raises(LimitExceededError, match="output_bytes = 10"):
        guest.write(1, b"!")
    with pytest.raises(LimitExceededError, match="stderr_bytes = 4"):
        guest.write(2, b"12345")
