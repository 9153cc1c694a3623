"""How many calls begin, how many wait, whose turn it is, and how much memory their guests hold."""

from __future__ import annotations

import asyncio
import threading

import pytest

from moc_server_ext.admission import Admission, Place
from moc_server_ext.errors import MemoryBudgetError, OverloadedError, UnavailableError


def make(places: int = 1, queued: int = 8, memory_bytes: int = 1000) -> Admission:
    return Admission(places, queued, memory_bytes=memory_bytes)


def test_a_place_is_given_back_after_a_failure() -> None:
    admission = make()
    with pytest.raises(KeyError), admission.enter("a"):
        raise KeyError
    with admission.enter("a"):
        assert (admission.running, admission.active) == (1, 1)
    assert (admission.running, admission.active) == (0, 0)


def test_a_call_beyond_places_and_queue_is_refused_at_once() -> None:
    admission = make(queued=0)
    with admission.enter("a"), pytest.raises(OverloadedError, match="busy"):
        admission.enter("a")
    assert admission.refused == 1


def test_a_queued_call_that_waits_too_long_is_refused() -> None:
    admission = make()
    with admission.enter("a"), pytest.raises(OverloadedError):
        admission.enter("a", wait_seconds=0.01)
    assert admission.queued == 0


def test_a_queued_call_runs_when_a_place_is_free() -> None:
    admission = make()
    ran = threading.Event()

    def wait_for_a_place() -> None:
        with admission.enter("a"):
            ran.set()

    thread = threading.Thread(target=wait_for_a_place)
    with admission.enter("a"):
        thread.start()
        assert not ran.is_set()
    thread.join()
    assert ran.is_set()
    assert admission.wait_idle(1)


def test_closing_refuses_those_who_wait() -> None:
    admission = make()
    refusals: list[UnavailableError] = []

    def wait_for_a_place() -> None:
        try:
            admission.enter("a").leave()
        except UnavailableError as error:
            refusals.append(error)

    thread = threading.Thread(target=wait_for_a_place)
    with admission.enter("a"):
        thread.start()
        while not admission.queued:
            pass
        admission.close()
        thread.join()  # At once: nobody has left.
    assert ["closed" in str(each) for each in refusals] == [True]
    with pytest.raises(UnavailableError, match="closed"):
        admission.enter("a")


def test_a_call_that_waits_for_something_lets_another_begin() -> None:
    admission = make()
    with admission.enter("a") as waiting:
        waiting.suspend()
        with admission.enter("b"):
            assert (admission.running, admission.active) == (2, 1)
            waiting.resume()
            assert admission.active == 2
            waiting.resume()
            assert admission.active == 2
    waiting.suspend()
    waiting.resume()
    assert (admission.running, admission.active) == (0, 0)


def test_callers_take_turns() -> None:
    async def scenario() -> list[str]:
        admission = make(queued=2000)
        order: list[str] = []

        async def call(caller: str) -> None:
            with await admission.admit(caller):
                order.append(caller)

        first = await admission.admit("a")
        calls = [asyncio.create_task(call("a")) for _ in range(1000)]
        await asyncio.sleep(0)
        calls += [asyncio.create_task(call("b")), asyncio.create_task(call("c"))]
        await asyncio.sleep(0)
        assert admission.queued == 1000
        first.leave()
        await asyncio.gather(*calls)
        return order

    order = asyncio.run(scenario())
    # Neither of the two waits for any of the thousand.
    assert set(order[:2]) == {"b", "c"}


def test_callers_who_queue_take_turns() -> None:
    async def scenario() -> list[str]:
        admission = make(queued=2000)
        order: list[str] = []

        async def call(caller: str) -> None:
            with await admission.admit(caller):
                order.append(caller)
                await asyncio.sleep(0)

        firsts = [await admission.admit("a"), await admission.admit("b")]
        calls = [asyncio.create_task(call("a")) for _ in range(1000)]
        await asyncio.sleep(0)
        calls += [asyncio.create_task(call("b")) for _ in range(3)]
        await asyncio.sleep(0)
        assert admission.queued == 1003
        for each in firsts:
            each.leave()
        await asyncio.gather(*calls)
        return order

    assert asyncio.run(scenario())[:8].count("b") == 3


def test_a_cancelled_wait_leaves_the_queue_and_keeps_no_place() -> None:
    async def scenario() -> None:
        admission = make()
        first = await admission.admit("a")
        waiting = [asyncio.create_task(admission.admit("a")) for _ in range(2)]
        await asyncio.sleep(0)
        waiting[0].cancel()
        with pytest.raises(asyncio.CancelledError):
            await waiting[0]
        assert admission.queued == 1
        first.leave()
        # Granted, and cancelled before it came to know.
        waiting[1].cancel()
        with pytest.raises(asyncio.CancelledError):
            await waiting[1]
        assert (admission.running, admission.active) == (0, 0)

    asyncio.run(scenario())


def test_an_asynchronous_wait_ends_in_time() -> None:
    async def scenario() -> None:
        admission = make()
        with await admission.admit("a"):
            with pytest.raises(OverloadedError):
                await admission.admit("a", wait_seconds=0.01)
            assert admission.queued == 0

    asyncio.run(scenario())


def test_who_grows_beyond_the_budget_ends() -> None:
    admission = make(places=3)
    first, second = admission.enter("a"), admission.enter("b")
    first.hold(600, "f")
    with pytest.raises(MemoryBudgetError, match=r"'g' was ended.*1,000 bytes"):
        second.hold(600, "g")
    second.leave()
    assert admission.held_bytes == 600
    first.hold(500, "f")  # Shrinking is no growing.
    first.leave()
    assert admission.held_bytes == 0


def test_calls_queue_while_the_memory_is_spent() -> None:
    admission = make(places=3)
    holder = admission.enter("a")
    holder.hold(1000, "f")
    assert not holder.has_room
    with pytest.raises(OverloadedError):
        admission.enter("b", wait_seconds=0.01)
    entered: list[Place] = []
    thread = threading.Thread(target=lambda: entered.append(admission.enter("b")))
    thread.start()
    while not admission.queued:
        pass
    holder.leave()
    thread.join()
    assert entered[0].has_room
