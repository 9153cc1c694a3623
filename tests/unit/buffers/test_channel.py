"""Channels: a writer and a reader at the same time, each of whom waits for the other."""

from __future__ import annotations

import asyncio
import hashlib
import random
import threading

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from moc_server_ext.buffers.channel import Channel
from moc_server_ext.errors import CancelledError, ExchangeBufferError, InvalidInputError

CAPACITY = 16


class ChannelAgainstModel(RuleBasedStateMachine):
    """Any order of writing and reading, held against one string of unread bytes."""

    def __init__(self) -> None:
        super().__init__()
        self.channel = Channel(CAPACITY)
        self.unread = b""
        self.written = 0
        self.closed = self.failed = False

    @precondition(lambda self: not self.failed and not self.closed)
    @rule(part=st.binary(max_size=CAPACITY + 4))
    def write(self, part):
        self.channel.write(part)
        self.unread += part
        self.written += len(part)

    @precondition(lambda self: self.closed and not self.failed)
    @rule()
    def write_after_the_end(self):
        with pytest.raises(ExchangeBufferError):
            self.channel.write(b"x")

    @precondition(lambda self: not self.failed)
    @rule(share=st.floats(0, 1))
    def read_some(self, share):
        part = bytes(self.channel.peek())
        assert self.unread.startswith(part)
        assert bool(part) == bool(self.unread)
        count = int(len(part) * share)
        self.channel.advance(count)
        self.unread = self.unread[count:]

    @precondition(lambda self: not self.failed)
    @rule()
    def take(self):
        part = self.channel.take()
        assert self.unread.startswith(part)
        self.unread = self.unread[len(part) :]

    @rule()
    def close(self):
        self.channel.close()
        self.closed = True

    @precondition(lambda self: not (self.closed and not self.unread))
    @rule()
    def fail(self):
        self.channel.fail(CancelledError("f"))
        self.failed = True

    @precondition(lambda self: self.failed)
    @rule()
    def use_after_failure(self):
        for use in (self.channel.peek, self.channel.take, lambda: self.channel.write(b"x")):
            with pytest.raises(CancelledError):
                use()

    @invariant()
    def it_tells_how_it_is(self):
        channel = self.channel
        assert channel.size == self.written
        assert channel.ready == (bool(self.unread) or self.closed or self.failed)
        assert channel.full == (len(self.unread) >= CAPACITY and not self.failed)
        if not self.failed:
            assert channel.ended == (self.closed and not self.unread)


TestChannelAgainstModel = ChannelAgainstModel.TestCase
TestChannelAgainstModel.settings = settings(max_examples=60, stateful_step_count=30, deadline=None)


def test_a_failure_after_the_end_changes_nothing():
    channel = Channel()
    channel.write(b"all")
    channel.close()
    assert channel.take() == b"all"
    channel.fail(CancelledError("f"))
    assert channel.take() == b""


def test_a_write_beyond_the_limit_raises_and_writes_nothing():
    channel = Channel()
    channel.bound(4, lambda found: InvalidInputError(f"{found} bytes"))
    channel.write(b"abc")
    with pytest.raises(InvalidInputError, match="5 bytes"):
        channel.write(b"de")
    channel.write(b"d")
    assert (channel.take(), channel.take()) == (b"abc", b"d")


@pytest.mark.parametrize(
    "wake", [lambda each: each.write(b"x"), Channel.close, lambda each: each.fail(InvalidInputError("x"))]
)
def test_a_reader_that_waits_is_woken(wake):
    async def scenario():
        channel = Channel()
        waiting = asyncio.ensure_future(channel.readable())
        await asyncio.sleep(0)
        assert not waiting.done()
        wake(channel)
        await asyncio.wait_for(waiting, 10)

    asyncio.run(scenario())


@pytest.mark.parametrize("wake", [Channel.take, lambda each: each.fail(InvalidInputError("x"))])
def test_a_writer_that_waits_is_woken(wake):
    async def scenario():
        channel = Channel(4)
        channel.write(b"12345")
        waiting = asyncio.ensure_future(channel.writable())
        await asyncio.sleep(0)
        assert not waiting.done()
        wake(channel)
        await asyncio.wait_for(waiting, 10)

    asyncio.run(scenario())


def test_one_who_stops_waiting_leaves_the_others_waiting():
    async def scenario():
        channel = Channel()
        first, second = (asyncio.ensure_future(channel.readable()) for _ in range(2))
        await asyncio.sleep(0)
        first.cancel()
        await asyncio.sleep(0)
        channel.write(b"x")
        await asyncio.wait_for(second, 10)
        assert first.cancelled()

    asyncio.run(scenario())


def test_two_threads_pass_megabytes_through_a_few_kilobytes():
    channel = Channel(8 << 10)
    draw = random.Random(3)
    parts = [draw.randbytes(draw.randrange(1, 4000)) for _ in range(2000)]
    held = 0
    received = hashlib.sha256()

    async def write():
        nonlocal held
        for part in parts:
            await channel.writable()
            channel.write(part)
            held = max(held, channel._held)
        channel.close()

    async def read():
        while not channel.ended:
            await channel.readable()
            part = channel.peek()[: draw.randrange(1, 3000)]
            received.update(part)
            channel.advance(len(part))

    writer = threading.Thread(target=lambda: asyncio.run(write()))
    reader = threading.Thread(target=lambda: asyncio.run(read()))
    for each in (writer, reader):
        each.start()
    for each in (writer, reader):
        each.join(60)
        assert not each.is_alive()
    assert received.digest() == hashlib.sha256(b"".join(parts)).digest()
    assert held < (8 << 10) + 4000
