"""Where ``wasi_unstable`` differs from preview 1, it answers as programs of its time expect."""

from __future__ import annotations

import pytest

from moc_server_ext.engines.wasi import UNSTABLE, layout
from moc_server_ext.guest_api.errno import Errno

RESULT = 64


@pytest.fixture
def old_guest(make_guest):
    return make_guest(module=UNSTABLE)


def test_whence_counts_from_the_current_position(old_guest):
    fd = old_guest.open("f", "w+")
    old_guest.write(fd, b"0123456789")
    assert old_guest.seek(fd, 4, 2) == 4
    assert old_guest.seek(fd, 1, 0) == 5
    assert old_guest.seek(fd, -1, 1) == 9
    assert old_guest.fd_seek(fd, 0, 3, RESULT) == Errno.EINVAL


def test_filestat_is_eight_bytes_shorter_with_a_narrow_link_count(old_guest):
    fd = old_guest.open("f", "w+")
    old_guest.write(fd, b"0123456789")
    old_guest.memory.write(RESULT + 56, b"untouched")
    for found in (old_guest.stat("f"), old_guest.fstat(fd)):
        assert (found["filetype"], found["nlink"], found["size"]) == (layout.REGULAR_TYPE, 1, 10)
        assert found["mtim"] > 10**18
    assert old_guest.memory.read(RESULT + 56, 9) == b"untouched"
    assert old_guest.memory.read_u64(RESULT + 24) == 10
