"""``poll_oneoff``: the one WASI function that waits.

Descriptors are in memory and always ready, so the only thing to wait for is a clock. What the guest asked is copied out
of its memory before it is left; the sleep happens outside of it, in short steps, so that it ends with the call.
"""

from __future__ import annotations

import time
from struct import Struct
from typing import NamedTuple

from ...guest_api.context import CallContext
from ...guest_api.errno import Errno, GuestErrno
from ...guest_api.registry import Work
from . import layout
from .layout import CLOCK_MONOTONIC, U64
from .modules import PREVIEW1, UNSTABLE
from .process import require_clock
from .state import WasiState

MAX_SUBSCRIPTIONS = 1024
_STEP_SECONDS = 0.05


class _Alarm(NamedTuple):
    """A clock that is waited for, and for how long from now."""

    userdata: int
    remaining_ns: int


@PREVIEW1.function("poll_oneoff", waits=True)
def poll_oneoff(call: CallContext, subscriptions: int, events: int, count: int, result: int) -> Work:
    """Wait until the first of some clocks and descriptors is ready."""
    return _poll(call, subscriptions, events, count, result, layout.SUBSCRIPTION_PREVIEW1)


@UNSTABLE.function("poll_oneoff", waits=True)
def poll_oneoff_unstable(call: CallContext, subscriptions: int, events: int, count: int, result: int) -> Work:
    """Wait until the first of some clocks and descriptors is ready, with the subscriptions of snapshot 0."""
    return _poll(call, subscriptions, events, count, result, layout.SUBSCRIPTION_UNSTABLE)


def _poll(call: CallContext, subscriptions: int, events: int, count: int, result: int, layout_: Struct) -> Work:
    if not 1 <= count <= MAX_SUBSCRIPTIONS:
        raise GuestErrno(Errno.EINVAL)
    content = call.memory.read(subscriptions, count * layout_.size)
    call.memory.check(events, count * layout.EVENT.size)
    call.memory.check(result, 4)
    state: WasiState = call.wasi
    ready: list[bytes] = []
    alarms: list[_Alarm] = []
    for fields in layout_.iter_unpack(content):
        userdata, tag = fields[0], fields[1]
        if tag == layout.EVENT_CLOCK:
            clock, timeout, _, flags = fields[-4:]
            try:
                alarms.append(_Alarm(userdata, _remaining_ns(state, clock, timeout, flags)))
            except GuestErrno as refusal:
                ready.append(layout.EVENT.pack(userdata, refusal.number, tag, 0, 0))
        elif tag in (layout.EVENT_FD_READ, layout.EVENT_FD_WRITE):
            ready.append(_descriptor_event(call, userdata, tag, fields[2] & layout.U32))
        else:
            raise GuestErrno(Errno.EINVAL)

    def run() -> int:
        # What is ready now does not wait for a clock, but a clock that has already rung is told along with it.
        waited_ns = 0 if ready else min(alarm.remaining_ns for alarm in alarms)
        if waited_ns and not state.clock.skip(waited_ns):
            _sleep(call, waited_ns)
        rung = [
            layout.EVENT.pack(alarm.userdata, 0, layout.EVENT_CLOCK, 0, 0)
            for alarm in alarms
            if alarm.remaining_ns <= waited_ns
        ]
        happened = ready + rung
        call.memory.write(events, b"".join(happened))
        call.memory.write_u32(result, len(happened))
        return 0

    return Work(run)


def _remaining_ns(state: WasiState, clock: int, timeout: int, flags: int) -> int:
    require_clock(clock)
    if flags & ~layout.SUBSCRIPTION_ABSOLUTE:
        raise GuestErrno(Errno.EINVAL)
    if not flags:
        return timeout
    return max(0, timeout - state.clock.read(clock == CLOCK_MONOTONIC))


def _descriptor_event(call: CallContext, userdata: int, tag: int, fd: int) -> bytes:
    descriptor = call.wasi.descriptors.get(fd)
    if descriptor is None:
        return layout.EVENT.pack(userdata, Errno.EBADF, tag, 0, 0)
    if tag == layout.EVENT_FD_WRITE:
        return layout.EVENT.pack(userdata, 0, tag, 0, 0)
    size = descriptor.readable_bytes(call)
    return layout.EVENT.pack(userdata, 0, tag, size & U64, 0 if size else layout.EVENT_HANGUP)


def _sleep(call: CallContext, duration_ns: int) -> None:
    until = time.monotonic() + duration_ns / 1e9
    while (remaining := until - time.monotonic()) > 0:
        # Read once: another thread may cancel the call between two looks, which moves its deadline into the past.
        left = call.deadline - time.monotonic()
        if left <= 0:
            raise call.overdue()
        time.sleep(min(remaining, _STEP_SECONDS, left))
