"""Started calls: handles that wait, are awaited and cancelled, over a platform whose calls end when they are told."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Iterator

import pytest

from moc_server_ext.abc import CallStreams
from moc_server_ext.client.client import Client
from moc_server_ext.client.started import CallHandle
from moc_server_ext.errors import CancelledError, GuestExitError, InvalidInputError, TrapError
from moc_server_ext.model import CallRequest, CallResult, CallState

WAIT_SECONDS = 60


class Held:
    """A platform whose calls go on until they are released or cancelled."""

    def __init__(self) -> None:
        self.requests: list[CallRequest] = []
        self.released = threading.Event()
        self.begun = threading.Event()
        self.failure: Exception | None = None
        self.result = CallResult("c7", 3, None, b"")
        self._cancelled = False

    def call_sync(self, request: CallRequest, streams: CallStreams | None = None) -> CallResult:
        self.requests.append(request)
        if streams is not None and streams.begun is not None:
            streams.begun("", self.cancel)
            streams.begun("c7", self.cancel)
        self.begun.set()
        assert self.released.wait(WAIT_SECONDS)
        if self._cancelled:
            raise CancelledError(request.function)
        if self.failure is not None:
            raise self.failure
        return self.result

    def cancel(self) -> None:
        self._cancelled = True
        self.released.set()

    def close(self) -> None:
        pass


@pytest.fixture
def held() -> Iterator[Held]:
    platform = Held()
    yield platform
    platform.cancel()


@pytest.fixture
def client(held: Held) -> Client:
    return Client(held, origin="server x")


def ended(handle: CallHandle) -> CallHandle:
    with pytest.raises((CancelledError, TrapError)):
        handle.wait(WAIT_SECONDS)
    return handle


def test_a_started_call_goes_on_and_gives_its_result_as_often_as_it_is_asked(client, held):
    handle = client.start("f", 1, mode="direct")
    assert held.begun.wait(WAIT_SECONDS)
    assert (handle.state, handle.call_id, repr(handle)) == (CallState.RUNNING, "c7", "<call of 'f': running>")
    with pytest.raises(TimeoutError, match=r"'f' has not ended after 0\.01 s; it goes on"):
        handle.wait(0.01)
    held.released.set()
    assert handle.wait() is handle.wait() is held.result
    assert (handle.state, repr(handle)) == (CallState.DONE, "<call of 'f': done>")
    handle.cancel()
    assert handle.state is CallState.DONE
    assert held.requests[0].arguments == ("1",)


def test_a_cancelled_call_says_so(client, held):
    handle = client.start("f")
    assert held.begun.wait(WAIT_SECONDS)
    handle.cancel()
    assert ended(handle).state is CallState.CANCELLED
    assert repr(handle) == "<call of 'f': cancelled>"


def test_a_failed_call_raises_its_error_from_the_handle(client, held):
    held.failure = TrapError("f", "unreachable")
    held.released.set()
    handle = client.start("f")
    assert ended(handle).state is CallState.FAILED


def test_a_wrong_argument_starts_nothing(client, held):
    with pytest.raises(InvalidInputError):
        client.start("f", b"bytes")
    assert held.requests == []


def test_closing_the_client_cancels_what_it_started(client, held):
    handle = client.start("f")
    assert held.begun.wait(WAIT_SECONDS)
    client.close()
    assert ended(handle).state is CallState.CANCELLED


def test_who_wants_to_know_is_told_of_the_end_once(client, held):
    told: list[CallState] = []
    handle = client.start("f")
    handle.when_ended(lambda each: told.append(each.state))
    assert told == []
    held.released.set()
    handle.wait()
    handle.when_ended(lambda each: told.append(each.state))
    assert told == [CallState.DONE, CallState.DONE]


def test_awaiting_leaves_the_loop_free_and_several_may_wait(client, held):
    async def work() -> list[CallResult]:
        handle = client.start("f")
        waiting = [asyncio.ensure_future(_result(handle)) for _ in range(2)]
        impatient = asyncio.ensure_future(_result(handle))
        await asyncio.sleep(0)
        impatient.cancel()
        with pytest.raises(asyncio.CancelledError):
            await impatient
        held.released.set()
        return await asyncio.gather(*waiting)

    assert asyncio.run(work()) == [held.result, held.result]


async def _result(handle: CallHandle) -> CallResult:
    return await handle


def test_cancelling_the_task_of_an_asynchronous_call_cancels_the_guest(client, held):
    async def work() -> None:
        task = asyncio.ensure_future(client.call_async("f", 1))
        await asyncio.to_thread(held.begun.wait, WAIT_SECONDS)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task

    asyncio.run(work())
    assert held.released.wait(WAIT_SECONDS)


def test_a_functions_asynchronous_twin_gives_what_it_is_called_for(client, held):
    held.functions = _Known()
    held.released.set()
    assert asyncio.run(client.functions["f"].call_async(1, 2)) == 3
    assert held.requests[-1].arguments == ("1", "2")
    held.result = CallResult("c", None, 4, b"")
    with pytest.raises(GuestExitError):
        asyncio.run(client.functions["f"].call_async(b"input"))
    assert held.requests[-1].input == b"input"


class _Known:
    def get(self, name):
        from moc_server_ext.model import Declaration, FunctionRecord

        return FunctionRecord(name, "0" * 64, 1, "application/wasm", Declaration(), {}, 0.0)
