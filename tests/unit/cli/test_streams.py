"""Writing through to streams that take less than they were given, or nothing any more."""

import io

import pytest

from moc_server_ext.cli.show import write_through
from moc_server_ext.cli.streams import StreamBuffer


class Narrow(io.RawIOBase):
    """Takes three bytes at a time, as an unbuffered pipe may."""

    def __init__(self):
        self.taken = b""

    def writable(self):
        return True

    def write(self, content):
        self.taken += bytes(content[:3])
        return min(3, len(content))


class Gone(Narrow):
    def write(self, content):
        raise BrokenPipeError


def test_a_stream_that_takes_only_a_part_gets_the_rest():
    stream = Narrow()
    write_through(stream, b"0123456789")
    assert stream.taken == b"0123456789"


def test_output_goes_on_at_once_and_nothing_is_kept():
    stream = Narrow()
    buffer = StreamBuffer(stream)
    buffer.write(b"a line\nand more")
    assert stream.taken == b"a line\nand more"
    assert buffer.getvalue() == b""
    assert buffer.in_line
    buffer.write(b"\n")
    assert not buffer.in_line


def test_a_reader_that_went_away_is_remembered():
    buffer = StreamBuffer(Gone())
    with pytest.raises(BrokenPipeError):
        buffer.write(b"x")
    assert buffer.broken
