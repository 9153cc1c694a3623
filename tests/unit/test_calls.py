"""The table of calls: what it tells of calls that run and that ended, and how it ends them."""

from __future__ import annotations

import asyncio
import logging
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from moc_server_ext import model
from moc_server_ext.abc import CallStreams
from moc_server_ext.buffers.exchange import ExchangeBuffer
from moc_server_ext.calls import CALLS_KEPT, STDERR_BYTES_KEPT, CallTable
from moc_server_ext.cluster import Cluster
from moc_server_ext.engines.wasm.text import wat_to_wasm
from moc_server_ext.errors import CallNotFoundError, CancelledError, ConflictError, GuestError, TrapError
from moc_server_ext.guest_api.context import CallContext
from moc_server_ext.model import CallRecord, CallRequest, CallResult, CallState, Invocation, MapReduce, Mode, RunRecord
from moc_server_ext.observers import Observers
from support import ROOT

SPIN = wat_to_wasm('(module (memory (export "memory") 1) (func (export "_start") (loop (br 0))))')
TRAP = wat_to_wasm('(module (memory (export "memory") 1) (func (export "_start") unreachable))')
START = wat_to_wasm('(module (memory (export "memory") 1) (func (export "_start")))')
ADD = wat_to_wasm('(module (func (export "add") (param i32 i32) (result i32) (i32.add (local.get 0) (local.get 1))))')
SECRET = "do-not-tell-this"


def make_context(function: str = "f", content: bytes = b"input", caller: str = "me") -> CallContext:
    invocation = Invocation(function, "0" * 64, Mode.POSIX, "_start", arguments=(SECRET,), caller=caller)
    return CallContext(invocation, ExchangeBuffer(content))


def result_of(context: CallContext) -> CallResult:
    return CallResult(context.call_id, None, 3, context.output.getvalue(), bytes(context.stderr), 42)


class Recorder:
    """Keeps what it is told."""

    def __init__(self) -> None:
        self.told: list[tuple[str, Any]] = []
        self.began = threading.Event()

    def call_started(self, record: CallRecord) -> None:
        self.told.append(("started", record))
        self.began.set()

    def call_ended(self, record: CallRecord) -> None:
        self.told.append(("ended", record))

    def run_ended(self, record: RunRecord) -> None:
        self.told.append(("run", record))


class Broken(Recorder):
    def call_started(self, record: CallRecord) -> None:
        raise ValueError("no")

    call_ended = run_ended = call_started  # type: ignore[assignment]


@pytest.fixture
def observers() -> Observers:
    return Observers()


@pytest.fixture
def table(observers: Observers) -> CallTable:
    return CallTable(observers)


@pytest.fixture
def cluster(tmp_path: Path) -> Iterator[Cluster]:
    with Cluster.open(tmp_path / "storage", cache_directory=tmp_path / "cache") as cluster:
        for name, module in {"spin": SPIN, "trap": TRAP, "start": START, "add": ADD}.items():
            cluster.functions.put(name, module)
        yield cluster


# -- the table --------------------------------------------------------------------------------------------------------


def test_a_call_that_runs_is_told_as_far_as_it_is(table):
    context = make_context(content=b"12345")
    with table.track(context):
        context.output.write(b"abc")
        context.write_stderr(b"warning")
        record = table.get(context.call_id)
        assert (record.state, record.function, record.mode, record.caller) == (CallState.RUNNING, "f", Mode.POSIX, "me")
        assert (record.input_bytes, record.output_bytes, record.stderr) == (5, 3, b"warning")
        assert (record.result, record.exit_code, record.error) == (None, None, None)
        assert table.get(context.call_id).duration_us >= record.duration_us
    assert table.get(context.call_id).state is not CallState.RUNNING


def test_calls_are_listed_running_and_ended_those_that_began_last_first(table):
    first, second, third = make_context(), make_context(), make_context()
    with table.track(first):
        with table.track(second) as tracked:
            tracked.done(result_of(second))
        with table.track(third):
            assert [each.call_id for each in table.list()] == [third.call_id, second.call_id, first.call_id]
            assert [each.state for each in table.list(limit=2)] == [CallState.RUNNING, CallState.DONE]
            assert table.list(limit=0) == []
    assert [each.call_id for each in table.list(limit=1)] == [third.call_id]


def test_a_call_that_is_done_keeps_its_result_and_sizes_but_not_its_output(table):
    context = make_context()
    with table.track(context) as tracked:
        context.output.write(b"output")
        result = result_of(context)
        assert tracked.done(result) is result
    record = table.get(context.call_id)
    assert (record.state, record.exit_code, record.duration_us, record.output_bytes) == (CallState.DONE, 3, 42, 6)
    text = str(record.to_json())
    assert "output'" not in text.replace("output_bytes'", "")
    assert SECRET not in text


def test_a_call_that_fails_keeps_its_error_as_json(table):
    context = make_context()
    error = TrapError("f", "unreachable")
    with pytest.raises(TrapError), table.track(context):
        raise error
    record = table.get(context.call_id)
    assert (record.state, record.error) == (CallState.FAILED, error.to_json())


@pytest.mark.parametrize("kind", [KeyboardInterrupt, asyncio.CancelledError, lambda: CancelledError("f")])
def test_whoever_interrupts_a_call_it_is_cancelled(table, kind):
    context = make_context()
    error = kind()
    with pytest.raises(type(error)), table.track(context):
        raise error
    record = table.get(context.call_id)
    assert (record.state, record.error["code"]) == (CallState.CANCELLED, "cancelled")


def test_a_fault_inside_moc_is_a_failure_without_its_text_and_is_logged(table, caplog):
    context = make_context()
    with pytest.raises(ZeroDivisionError), table.track(context):
        raise ZeroDivisionError(SECRET)
    record = table.get(context.call_id)
    assert (record.state, record.error["code"]) == (CallState.FAILED, "internal")
    assert SECRET not in str(record.error)
    assert SECRET in caplog.text
    assert context.call_id in caplog.text


def test_only_the_end_of_a_long_stderr_is_kept(table):
    context = make_context()
    with table.track(context) as tracked:
        context.write_stderr(b"begin" + b"x" * 10_000 + b"end")
        assert len(table.get(context.call_id).stderr) == STDERR_BYTES_KEPT
        tracked.done(result_of(context))
    kept = table.get(context.call_id).stderr
    assert (len(kept), kept[-4:]) == (STDERR_BYTES_KEPT, b"xend")


def test_the_last_thousand_that_ended_are_known_and_all_that_run(table):
    running = make_context("long")
    table.begin(running)
    contexts = [make_context() for _ in range(CALLS_KEPT + 5)]
    for context in contexts:
        table.begin(context)
        table.end(context, result_of(context))
    for known in (running, *contexts[5:]):
        assert table.get(known.call_id).call_id == known.call_id
    for forgotten in contexts[:5]:
        with pytest.raises(CallNotFoundError):
            table.get(forgotten.call_id)


def test_an_unknown_id_is_not_found_and_not_repeated_at_length(table):
    for method in (table.get, table.cancel):
        with pytest.raises(CallNotFoundError) as caught:
            method("x" * 10_000)
        assert len(str(caught.value)) < 200


def test_two_calls_never_have_one_id(table):
    context = make_context()
    table.begin(context)
    with pytest.raises(ConflictError), table.track(context):
        pass
    assert table.get(context.call_id).state is CallState.RUNNING
    table.end(context, result_of(context))
    with pytest.raises(ConflictError):
        table.begin(context)
    assert table.get(context.call_id).state is CallState.DONE


def test_what_has_ended_stays_as_it_is(table):
    context = make_context()
    table.begin(context)
    table.end(context, result_of(context))
    record = table.get(context.call_id)
    table.end(context, TrapError("f", "late"))
    assert table.cancel(context.call_id) == table.get(context.call_id) == record


def test_a_record_survives_its_json():
    record = CallRecord(
        "id", "f", Mode.DIRECT, "me", CallState.FAILED, 1.5, 2, (1, float("inf")), None, 3, 4, b"x", {"code": "c"}
    )
    assert CallRecord.from_json(record.to_json()) == record
    assert CallRecord.from_json({**record.to_json(), "new_in_a_later_version": 1}) == record


# -- observers --------------------------------------------------------------------------------------------------------


def test_observers_are_told_of_begin_and_end_until_they_unsubscribe(table, observers):
    recorder, ends = Recorder(), Recorder()
    unsubscribe = observers.subscribe(recorder)
    observers.subscribe(ends, starts=False)
    for _ in range(2):
        context = make_context()
        with table.track(context) as tracked:
            tracked.done(result_of(context))
        unsubscribe()
        unsubscribe()
    assert [(kind, record.state) for kind, record in recorder.told] == [
        ("started", CallState.RUNNING),
        ("ended", CallState.DONE),
    ]
    assert [kind for kind, _ in ends.told] == ["ended", "ended"]


def test_an_observer_that_does_not_want_to_know_of_a_beginning_is_asked_again_at_the_next(table, observers):
    recorder, answers = Recorder(), [False, True, True]
    observers.subscribe(recorder, starts=lambda: answers.pop(0))
    for _ in range(2):
        context = make_context()
        with table.track(context) as tracked:
            tracked.done(result_of(context))
    assert [kind for kind, _ in recorder.told] == ["ended", "started", "ended"]


def test_an_observer_that_raises_is_logged_once_and_hurts_neither_the_call_nor_the_others(table, observers, caplog):
    recorder = Recorder()
    observers.subscribe(Broken())
    observers.subscribe(recorder)
    for _ in range(3):
        context = make_context()
        with table.track(context) as tracked:
            tracked.done(result_of(context))
        assert table.get(context.call_id).state is CallState.DONE
    assert len(recorder.told) == 6
    assert len([each for each in caplog.records if each.levelno >= logging.ERROR]) == 1


# -- a cluster --------------------------------------------------------------------------------------------------------


def test_a_cluster_lists_its_calls_whichever_way_they_end(cluster):
    direct = cluster.call_sync(CallRequest("add", ("1", "2"), caller="somebody"))
    with pytest.raises(GuestError):
        cluster.call_sync(CallRequest("trap"))
    record = cluster.calls.get(direct.call_id)
    assert (record.result, record.mode, record.caller) == (3, Mode.DIRECT, "somebody")
    assert record.duration_us == direct.duration_us
    assert abs(time.time() - record.started_at) < 600


def test_streamed_input_and_output_are_counted_too(cluster):
    cluster.functions.put("uppercase", (ROOT / "samples/c/uppercase/uppercase.wasm").read_bytes())
    taken: list[bytes] = []
    result = cluster.call_sync(CallRequest("uppercase"), CallStreams(iter([b"ab", b"", b"cde"]), taken.append))
    assert (b"".join(taken), result.output) == (b"ABCDE", b"")
    record = cluster.calls.get(result.call_id)
    assert (record.input_bytes, record.output_bytes) == (5, 5)


def test_cancelling_a_call_ends_its_guest_and_tells_so(cluster):
    recorder = Recorder()
    cluster.subscribe(recorder)
    errors: list[BaseException] = []

    def call() -> None:
        try:
            cluster.call_sync(CallRequest("spin"))
        except CancelledError as error:
            errors.append(error)

    thread = threading.Thread(target=call)
    thread.start()
    assert recorder.began.wait(60)
    call_id = recorder.told[0][1].call_id
    now = cluster.activity()
    assert (now.running, now.waiting, now.queued, now.refused) == (1, 0, 0, 0)
    assert cluster.calls.cancel(call_id).state is CallState.CANCELLED
    assert cluster.calls.cancel(call_id).state is CallState.CANCELLED
    thread.join(60)
    assert len(errors) == 1
    assert cluster.activity().running == 0


def test_the_tasks_of_a_run_are_not_listed_but_its_end_is_told(cluster):
    recorder = Recorder()
    cluster.subscribe(recorder)
    cluster.buffers.put("lines", b"a\nb\n")
    run = cluster.runs.start(MapReduce("lines", "start"))
    deadline = time.monotonic() + 30
    while not recorder.told:
        assert time.monotonic() < deadline
        time.sleep(0.005)
    assert [(kind, record.run_id, record.state) for kind, record in recorder.told] == [
        ("run", run.run_id, model.RunState.DONE)
    ]
