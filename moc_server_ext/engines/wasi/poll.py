"""``poll_oneoff``: waits for clocks, and for the call's streams where they are live.

What the guest asked is copied out of its memory before it is left, and looked at again when something has happened.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Coroutine
from struct import Struct
from typing import Any, NamedTuple

from ...guest_api.context import CallContext
from ...guest_api.errno import Errno, GuestErrno
from ...guest_api.registry import Wait
from . import layout
from .layout import CLOCK_MONOTONIC, CLOCK_REALTIME, U64
from .modules import PREVIEW1, UNSTABLE
from .state import WasiState

MAX_SUBSCRIPTIONS = 1024
_Start = Callable[[], Coroutine[Any, Any, Any]]


class _Alarm(NamedTuple):
    """A clock that is waited for, and for how long from now."""

    userdata: int
    remaining_ns: int


class _Stream(NamedTuple):
    """A descriptor that is asked about, for reading or for writing."""

    userdata: int
    tag: int
    fd: int


@PREVIEW1.function("poll_oneoff", waits=True)
def poll_oneoff(call: CallContext, subscriptions: int, events: int, count: int, result: int) -> int | Wait:
    """Wait until the first of some clocks and descriptors is ready."""
    return _poll(call, subscriptions, events, count, result, layout.SUBSCRIPTION_PREVIEW1)


@UNSTABLE.function("poll_oneoff", waits=True)
def poll_oneoff_unstable(call: CallContext, subscriptions: int, events: int, count: int, result: int) -> int | Wait:
    """Wait until the first of some clocks and descriptors is ready, with the subscriptions of snapshot 0."""
    return _poll(call, subscriptions, events, count, result, layout.SUBSCRIPTION_UNSTABLE)


def _poll(call: CallContext, subscriptions: int, events: int, count: int, result: int, layout_: Struct) -> int | Wait:
    if not 1 <= count <= MAX_SUBSCRIPTIONS:
        raise GuestErrno(Errno.EINVAL)
    content = call.memory.read(subscriptions, count * layout_.size)
    call.memory.check(events, count * layout.EVENT.size)
    call.memory.check(result, 4)
    state: WasiState = call.wasi
    ready: list[bytes] = []
    alarms: list[_Alarm] = []
    streams: list[_Stream] = []
    for fields in layout_.iter_unpack(content):
        userdata, tag = fields[0], fields[1]
        if tag == layout.EVENT_CLOCK:
            clock, timeout, _, flags = fields[-4:]
            try:
                alarms.append(_Alarm(userdata, _remaining_ns(state, clock, timeout, flags)))
            except GuestErrno as refusal:
                ready.append(layout.EVENT.pack(userdata, refusal.number, tag, 0, 0))
        elif tag in (layout.EVENT_FD_READ, layout.EVENT_FD_WRITE):
            stream = _Stream(userdata, tag, fields[2] & layout.U32)
            if _waits(call, stream) is None:
                ready.append(_descriptor_event(call, stream))
            else:
                streams.append(stream)
        else:
            raise GuestErrno(Errno.EINVAL)
    # What is ready now does not wait for a clock, but a clock that has already rung is told along with it.
    wait_ns = min((alarm.remaining_ns for alarm in alarms), default=None)
    if ready or wait_ns == 0:
        wait_ns = 0
    elif wait_ns is not None and not streams and state.clock.skip(wait_ns):
        return _tell(call, events, result, [], alarms, wait_ns)

    def finish(passed: bool) -> int:
        happened = ready + [_descriptor_event(call, each) for each in streams if _waits(call, each) is None]
        return _tell(call, events, result, happened, alarms, (wait_ns or 0) if passed else 0)

    if wait_ns == 0:
        return finish(True)
    return Wait(lambda: _first_of(wait_ns, [start for each in streams if (start := _waits(call, each))]), finish)


def _tell(
    call: CallContext, events: int, result: int, happened: list[bytes], alarms: list[_Alarm], passed_ns: int
) -> int:
    rung = [
        layout.EVENT.pack(alarm.userdata, 0, layout.EVENT_CLOCK, 0, 0)
        for alarm in alarms
        if alarm.remaining_ns <= passed_ns
    ]
    happened = happened + rung
    call.memory.write(events, b"".join(happened))
    call.memory.write_u32(result, len(happened))
    return 0


async def _first_of(wait_ns: int | None, starts: list[_Start]) -> bool:
    """Wait for a time or for the first of some streams; tell whether the time has passed."""
    seconds = None if wait_ns is None else wait_ns / 1e9
    if not starts:
        end = time.monotonic() + (seconds or 0)
        # A loop's clock may ring a little early.
        while (left := end - time.monotonic()) > 0:
            await asyncio.sleep(left)
        return True
    tasks = [asyncio.ensure_future(start()) for start in starts]
    try:
        done, _ = await asyncio.wait(tasks, timeout=seconds, return_when=asyncio.FIRST_COMPLETED)
    finally:
        for task in tasks:
            task.cancel()
    return not done


def _remaining_ns(state: WasiState, clock: int, timeout: int, flags: int) -> int:
    if clock not in (CLOCK_REALTIME, CLOCK_MONOTONIC) or flags & ~layout.SUBSCRIPTION_ABSOLUTE:
        raise GuestErrno(Errno.EINVAL)
    if not flags:
        return timeout
    return max(0, timeout - state.clock.read(clock == CLOCK_MONOTONIC))


def _waits(call: CallContext, stream: _Stream) -> _Start | None:
    """Tell what must be waited for before a descriptor is ready; None if it is now."""
    descriptor = call.wasi.descriptors.get(stream.fd)
    if descriptor is None or not call.live:
        return None
    start: _Start | None
    start = descriptor.wait_to_read(call) if stream.tag == layout.EVENT_FD_READ else descriptor.wait_to_write(call)
    return start


def _descriptor_event(call: CallContext, stream: _Stream) -> bytes:
    descriptor = call.wasi.descriptors.get(stream.fd)
    if descriptor is None:
        return layout.EVENT.pack(stream.userdata, Errno.EBADF, stream.tag, 0, 0)
    if stream.tag == layout.EVENT_FD_WRITE:
        return layout.EVENT.pack(stream.userdata, 0, stream.tag, 0, 0)
    size = descriptor.readable_bytes(call)
    return layout.EVENT.pack(stream.userdata, 0, stream.tag, size & U64, 0 if size else layout.EVENT_HANGUP)
