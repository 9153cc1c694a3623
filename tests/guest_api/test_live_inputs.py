"""An input that comes while the guest runs: whole for who asks for its size first, piece by piece for others."""

from __future__ import annotations

import asyncio

import pytest

from core_guests import Program
from moc_server_ext.abc import CallStreams
from moc_server_ext.buffers.channel import CAPACITY_BYTES, Channel
from moc_server_ext.cluster import Cluster
from moc_server_ext.errors import UnavailableError
from moc_server_ext.guest_api.errno import Errno
from moc_server_ext.model import CallRequest, CallResult, Mode

REQUEST = CallRequest("guest", mode=Mode.DIRECT, entry="run")


def asks_first(program: Program) -> bytes:
    """Make the guest that everybody wrote in 2020: size, memory, bytes."""
    return program.wasm(
        f"(local.set $size {program.call('read_exchange_buffer', 1, 0, 0)})",
        "(if (i32.lt_s (local.get $size) (i32.const 0)) (then (return (local.get $size))))",
        "(drop (memory.grow (i32.shr_u (local.get $size) (i32.const 16))))",
        "(drop (call $read_exchange_buffer (i32.const 1) (i32.const 65536) (local.get $size)))",
        "(drop (call $write_exchange_buffer (i32.const 2) (i32.const 65536) (local.get $size)))",
        program.call("read_exchange_buffer", 1, 0, 0),
    )


def by_pieces(program: Program) -> bytes:
    """Make the guest that copies 1,000 bytes at a time, and tells how many reads gave something."""
    return program.wasm(
        f"(loop $more (local.set $size {program.call('read_exchange_buffer', 1, 1024, 1000)})",
        "(if (i32.gt_s (local.get $size) (i32.const 0)) (then",
        "(drop (call $write_exchange_buffer (i32.const 2) (i32.const 1024) (local.get $size)))",
        "(local.set $id (i32.add (local.get $id) (i32.const 1))) (br $more))))",
        "(return (local.get $id))",
    )


async def fed(moc: Cluster, parts: list[bytes], **limits: int) -> CallResult:
    """Call the guest, and feed it as a door does: each part when there is room for it."""
    channel = Channel()
    request = CallRequest(REQUEST.function, mode=Mode.DIRECT, entry=REQUEST.entry, limits=limits)
    calling = asyncio.ensure_future(moc.call(request, input=channel))
    for part in parts:
        room = asyncio.ensure_future(channel.writable())
        await asyncio.wait((room, calling), return_when=asyncio.FIRST_COMPLETED)
        room.cancel()
        if calling.done():
            break
        channel.write(part)
    channel.close()
    return await calling


PARTS = [bytes([each]) * 100_000 for each in range(20)]


def test_a_guest_that_asks_for_the_size_gets_all_of_it(moc: Cluster, program: Program) -> None:
    moc.functions.put("guest", asks_first(program))
    assert sum(map(len, PARTS)) > 4 * CAPACITY_BYTES
    result = asyncio.run(fed(moc, PARTS))
    assert (result.result, result.output) == (0, b"".join(PARTS))


def test_a_guest_that_does_not_ask_works_on_what_there_is(moc: Cluster, program: Program) -> None:
    moc.functions.put("guest", by_pieces(program))
    result = asyncio.run(fed(moc, PARTS))
    assert (result.result, result.output) == (2000, b"".join(PARTS))


def test_an_input_without_end_is_not_kept_beyond_the_limit(moc: Cluster, program: Program) -> None:
    moc.functions.put("guest", asks_first(program))
    result = asyncio.run(fed(moc, PARTS * 10, scratch_bytes=500_000))
    assert result.result == -Errno.ENOSPC


def test_an_input_that_breaks_off_ends_who_waits_for_its_size(moc: Cluster, program: Program) -> None:
    moc.functions.put("guest", asks_first(program))

    async def broken() -> CallResult:
        channel = Channel()
        calling = asyncio.ensure_future(moc.call(REQUEST, input=channel))
        channel.write(b"a beginning")
        await asyncio.sleep(0)
        channel.fail(UnavailableError("The client went away."))
        return await calling

    with pytest.raises(UnavailableError, match="went away"):
        asyncio.run(broken())


def test_parts_from_an_iterator_are_put_together(moc: Cluster, program: Program) -> None:
    moc.functions.put("guest", asks_first(program))
    result = moc.call_sync(REQUEST, CallStreams(source=iter(PARTS)))
    assert (result.result, result.output) == (0, b"".join(PARTS))


def test_parts_from_an_iterator_are_fetched_when_they_are_read(moc: Cluster, program: Program) -> None:
    moc.functions.put("guest", by_pieces(program))
    result = moc.call_sync(REQUEST, CallStreams(source=iter(PARTS)))
    assert (result.result, result.output) == (2000, b"".join(PARTS))
