"""poll_oneoff: clocks that ring, descriptors that are always ready, and its end with the call's time."""

from __future__ import annotations

import threading
import time

import pytest

from moc_server_ext.engines.wasi import PREVIEW1, UNSTABLE, layout
from moc_server_ext.engines.wasi.poll import MAX_SUBSCRIPTIONS
from moc_server_ext.errors import CancelledError, LimitExceededError
from moc_server_ext.guest_api.errno import Errno

RESULT, SUBSCRIPTIONS, EVENTS = 64, 1024, 256 << 10
REALTIME, MONOTONIC = 0, 1
HOUR_NS = 3600 * 10**9


@pytest.fixture(params=[PREVIEW1, UNSTABLE], ids=["preview1", "unstable"])
def poll(request, make_guest):
    def poll(*subscriptions, deterministic=False, guest=None):
        guest = guest or make_guest(b"input", module=request.param, deterministic=deterministic)
        content = b""
        for userdata, tag, *rest in subscriptions:
            if tag == layout.EVENT_CLOCK:
                fields = (*rest[:2], 0, rest[2])
                if request.param is PREVIEW1:
                    content += layout.SUBSCRIPTION_PREVIEW1.pack(userdata, tag, *fields)
                else:
                    content += layout.SUBSCRIPTION_UNSTABLE.pack(userdata, tag, 4242, *fields)
            elif request.param is PREVIEW1:
                content += layout.SUBSCRIPTION_PREVIEW1.pack(userdata, tag, rest[0], 0, 0, 0)
            else:
                content += layout.SUBSCRIPTION_UNSTABLE.pack(userdata, tag, rest[0], 0, 0, 0, 0)
        guest.memory.write(SUBSCRIPTIONS, content)
        errno = guest.poll_oneoff(SUBSCRIPTIONS, EVENTS, len(subscriptions), RESULT)
        if errno:
            return errno
        return [layout.EVENT.unpack(guest.memory.read(EVENTS + 32 * each, 32)) for each in range(guest.result())]

    poll.make = lambda **limits: make_guest(module=request.param, limits=limits)
    return poll


def test_a_sleep_lasts_at_least_as_long_as_was_asked_for(poll):
    before = time.monotonic_ns()
    assert poll((7, layout.EVENT_CLOCK, MONOTONIC, 20_000_000, 0)) == [(7, 0, layout.EVENT_CLOCK, 0, 0)]
    assert time.monotonic_ns() - before >= 20_000_000


def test_the_first_of_several_clocks_rings_alone(poll):
    events = poll((1, layout.EVENT_CLOCK, MONOTONIC, HOUR_NS, 0), (2, layout.EVENT_CLOCK, REALTIME, 1000, 0))
    assert [event[0] for event in events] == [2]


def test_an_absolute_time_in_the_past_rings_at_once(poll):
    assert poll((1, layout.EVENT_CLOCK, REALTIME, 10**18, 1)) == [(1, 0, layout.EVENT_CLOCK, 0, 0)]


def test_an_absolute_time_is_waited_for(poll):
    until = time.monotonic_ns() + 20_000_000
    assert len(poll((1, layout.EVENT_CLOCK, MONOTONIC, until, 1))) == 1
    assert time.monotonic_ns() >= until


def test_a_ready_descriptor_does_not_wait_for_the_clock(poll):
    events = poll(
        (1, layout.EVENT_CLOCK, MONOTONIC, HOUR_NS, 0), (2, layout.EVENT_FD_READ, 0), (3, layout.EVENT_FD_WRITE, 1)
    )
    assert events == [(2, 0, layout.EVENT_FD_READ, 5, 0), (3, 0, layout.EVENT_FD_WRITE, 0, 0)]


def test_the_end_of_input_is_told_as_a_hangup(poll):
    guest = poll.make()
    assert poll((1, layout.EVENT_FD_READ, 0), guest=guest) == [(1, 0, layout.EVENT_FD_READ, 0, layout.EVENT_HANGUP)]


def test_errors_of_one_subscription_are_its_event(poll):
    events = poll(
        (1, layout.EVENT_FD_READ, 99),
        (2, layout.EVENT_CLOCK, 77, 0, 0),
        (3, layout.EVENT_CLOCK, 0, 0, 2),
        (4, layout.EVENT_CLOCK, 2, 0, 0),
    )
    assert [event[:2] for event in events] == [(1, Errno.EBADF), *((number, Errno.EINVAL) for number in (2, 3, 4))]


def test_malformed_polls_are_refused(poll):
    assert poll() == Errno.EINVAL
    assert poll((1, 9, 0)) == Errno.EINVAL
    guest = poll.make()
    assert guest.poll_oneoff(SUBSCRIPTIONS, EVENTS, MAX_SUBSCRIPTIONS + 1, RESULT) == Errno.EINVAL
    assert guest.poll_oneoff(SUBSCRIPTIONS, EVENTS, -1, RESULT) == Errno.EINVAL
    assert guest.poll_oneoff(-8, EVENTS, 1, RESULT) == Errno.EFAULT
    assert guest.poll_oneoff(SUBSCRIPTIONS, -8, 1, RESULT) == Errno.EFAULT
    assert guest.poll_oneoff(SUBSCRIPTIONS, EVENTS, 1, -2) == Errno.EFAULT


def test_a_sleep_ends_with_the_calls_time(poll):
    guest = poll.make(timeout_seconds=0.02)
    with pytest.raises(LimitExceededError, match="timeout_seconds"):
        poll((1, layout.EVENT_CLOCK, MONOTONIC, (1 << 64) - 1, 0), guest=guest)


def test_a_sleep_ends_when_the_call_is_cancelled(poll):
    guest = poll.make()
    canceller = threading.Timer(0.01, guest.context.cancel)
    canceller.start()
    with pytest.raises(CancelledError):
        poll((1, layout.EVENT_CLOCK, MONOTONIC, HOUR_NS, 0), guest=guest)
    canceller.join()


def test_a_deterministic_function_sleeps_without_waiting(make_guest, poll):
    guest = make_guest(deterministic=True, module=poll.make().module)
    assert len(poll((1, layout.EVENT_CLOCK, MONOTONIC, HOUR_NS, 0), guest=guest)) == 1
    guest.need(guest.clock_time_get(REALTIME, 0, RESULT))
    assert guest.memory.read_u64(RESULT) == 10**18 + HOUR_NS + 1000
