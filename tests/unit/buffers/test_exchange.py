"""Exchange buffers: parts, limits, and what reading consumes."""

from __future__ import annotations

import pytest

from moc_server_ext.buffers.exchange import ExchangeBuffer
from moc_server_ext.errors import ExchangeBufferError, InvalidInputError


def drain(buffer: ExchangeBuffer) -> list[bytes]:
    parts = []
    while part := bytes(buffer.peek()):
        parts.append(part)
        buffer.advance(len(part))
    return parts


def open_buffer(limit: int = 1 << 30) -> ExchangeBuffer:
    return ExchangeBuffer(limit_bytes=limit, exceeded=lambda found: InvalidInputError(f"{found} bytes"))


def test_parts_come_out_as_they_went_in():
    buffer = open_buffer()
    for part in (b"one", b"", b"two"):
        buffer.write(part)
    assert drain(buffer) == [b"one", b"two"]
    assert buffer.getvalue() == b"onetwo"


def test_peeking_consumes_nothing_and_advancing_only_what_was_said():
    buffer = ExchangeBuffer(b"abcdef")
    assert bytes(buffer.peek()) == b"abcdef"
    buffer.advance(2)
    assert bytes(buffer.peek()) == b"cdef"
    assert buffer.size == 6


def test_a_write_beyond_the_limit_raises_and_leaves_the_buffer_as_it_was():
    buffer = open_buffer(limit=4)
    buffer.write(b"abc")
    with pytest.raises(InvalidInputError, match="5 bytes"):
        buffer.write(b"de")
    assert buffer.getvalue() == b"abc"
    buffer.write(b"d")
    assert buffer.getvalue() == b"abcd"


def test_a_closed_buffer_takes_nothing():
    buffer = open_buffer()
    buffer.close()
    with pytest.raises(ExchangeBufferError, match="closed"):
        buffer.write(b"x")


def test_a_hundred_thousand_tiny_writes_keep_their_bytes_in_few_parts():
    buffer = open_buffer()
    expected = bytearray()
    for number in range(100_000):
        part = b"%d" % (number % 10)
        buffer.write(part)
        expected += part
    parts = drain(buffer)
    assert b"".join(parts) == expected == buffer.getvalue()
    assert len(parts) < 1100


def test_tiny_writes_while_the_last_part_is_read_lose_nothing():
    buffer = open_buffer()
    seen = bytearray()
    for number in range(5000):
        buffer.write(b"%d." % number)
        if number % 3 == 0:
            part = buffer.peek()
            seen += part[:1]
            buffer.advance(1)
    seen += b"".join(drain(buffer))
    assert seen == buffer.getvalue()


def test_a_part_that_the_writer_made_is_never_changed():
    buffer = open_buffer()
    for _ in range(1024):
        buffer.write(b".")
    mine = bytearray(b"mine")
    buffer.write(mine)
    buffer.write(b"more")
    assert mine == b"mine"
