"""``api://input/N``: the inputs of a call as files, each with one position."""

from __future__ import annotations

import pytest

from moc_server_ext.buffers.exchange import ExchangeBuffer
from moc_server_ext.guest_api.errno import Errno, GuestErrno


@pytest.fixture
def several(make_guest):
    guest = make_guest(b"first")
    guest.context.more_inputs = (ExchangeBuffer(b"second"), ExchangeBuffer(b""))
    return guest


@pytest.mark.parametrize(
    "path", ["api://input/1", "api:/input/1", "/api://input/1", "/api:/input/1", "tmp/work/api:/input/1"]
)
def test_every_spelling_opens_the_input(several, path):
    assert several.read(several.open(path), 100) == b"second"


def test_the_first_input_is_stdin(several):
    assert several.read(several.open("api://input/0"), 2) == b"fi"
    assert several.read(several.open("api://input"), 100) == b"rst"
    assert several.read(0, 100) == b""


def test_whoever_opens_an_input_shares_its_position_also_with_the_guest_api(several):
    one, two = several.open("api://input/1"), several.open("api://input/1")
    assert (several.read(one, 2), several.read(two, 2)) == (b"se", b"co")
    assert bytes(several.context.buffer(several.context.input_handle(1)).peek()) == b"nd"
    several.fd_close(one)
    assert several.read(several.open("api://input/1"), 100) == b"nd"


def test_an_empty_input_is_at_its_end(several):
    assert several.read(several.open("api://input/2"), 100) == b""


@pytest.mark.parametrize("path", ["api://input/3", "api://input/01", "api://input/-1", "api://input/", "api://input/1/",
                                  "api://input/1000000", "api://input/x"])  # fmt: skip
def test_an_input_that_is_not_there_is_no_file(several, path):
    with pytest.raises(GuestErrno) as refusal:
        several.open(path)
    assert refusal.value.number is Errno.ENOENT
    assert several.path_filestat_get(3, 1, *several.path(path), 64) is Errno.ENOENT


@pytest.mark.parametrize("mode", ["w", "r+", "a"])
def test_an_input_cannot_be_written(several, mode):
    with pytest.raises(GuestErrno) as refusal:
        several.open("api://input/1", mode)
    assert refusal.value.number is Errno.EACCES


def test_inputs_are_told_apart_by_their_inodes(several):
    inodes = [several.stat(f"api://input/{index}")["ino"] for index in range(3)]
    assert len(set(inodes)) == 3
    assert several.fstat(several.open("api://input/1"))["ino"] == inodes[1]
