"""The life of runs, with functions in Python in the place of guests."""

from __future__ import annotations

import threading
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field

import pytest

from moc_server_ext.abc import Bytes
from moc_server_ext.errors import (
    BufferNotFoundError,
    ConflictError,
    FunctionNotFoundError,
    InvalidInputError,
    NotFoundError,
    OverloadedError,
    PlanError,
    RunNotFoundError,
    StorageFullError,
    TaskFailedError,
    TrapError,
    UnavailableError,
)
from moc_server_ext.model import BufferRecord, CallRequest, CallResult, MapReduce, RunRecord, RunState
from moc_server_ext.observers import Observers
from moc_server_ext.plans import runs as runs_module
from moc_server_ext.plans.runs import RUNS_AT_ONCE, RUNS_KEPT, RunTable
from moc_server_ext.plans.wait import wait
from moc_server_ext.scope import CallScope

Guest = Callable[[bytes, CallScope], CallResult | bytes]
TEXT = b"b a\nc b\na b\n"


@dataclass
class FakeBuffers:
    """Buffers in a dictionary, which count their versions."""

    content: dict[str, bytes] = field(default_factory=dict)
    version: float = 0.0
    full: bool = False
    records: dict[str, BufferRecord] = field(default_factory=dict)

    def put(
        self,
        name: str,
        content: Bytes,
        content_type: str = "text/plain",
        headers: Mapping[str, str] | None = None,
    ) -> BufferRecord:
        if self.full:
            raise StorageFullError(f"buffer {name!r}")
        self.version += 1
        self.content[name] = bytes(content)
        self.records[name] = BufferRecord(name, len(content), content_type, {}, self.version)
        return self.records[name]

    def stat(self, name: str) -> BufferRecord:
        if name not in self.records:
            raise BufferNotFoundError(name)
        return self.records[name]

    def read(self, name: str, start: int = 0, stop: int | None = None) -> bytes:
        self.stat(name)
        return self.content[name][start:stop]

    def list(self) -> Sequence[BufferRecord]:
        return list(self.records.values())

    def delete(self, name: str) -> None:
        del self.records[name]


class FakeFunction:
    def __init__(self, guest: Guest) -> None:
        self._guest = guest

    def run(self, input: bytes, *, scope: CallScope) -> CallResult:
        result = self._guest(input, scope)
        return result if isinstance(result, CallResult) else CallResult("id", None, 0, result)


def words(text: bytes, scope: CallScope) -> bytes:
    return b"".join(word + b"\t1\n" for word in text.split())


def count(lines: bytes, scope: CallScope) -> bytes:
    totals: dict[bytes, int] = {}
    for line in lines.splitlines():
        key, value = line.split(b"\t")
        totals[key] = totals.get(key, 0) + int(value)
    return b"".join(b"%s\t%d\n" % pair for pair in totals.items())


class Bench:
    """A run table over fakes."""

    def __init__(self) -> None:
        self.buffers = FakeBuffers()
        self.observers = Observers()
        self.buffers.put("text", TEXT)
        self.guests: dict[str, Guest] = {"words": words, "count": count}
        self.runs = RunTable(self.buffers, self.prepare, self.observers)

    def prepare(self, request: CallRequest) -> FakeFunction:
        if request.function not in self.guests:
            raise FunctionNotFoundError(request.function)
        return FakeFunction(self.guests[request.function])

    def run(self, plan: MapReduce) -> RunRecord:
        return wait(self.runs, self.runs.start(plan).run_id)


@pytest.fixture
def bench() -> Bench:
    return Bench()


PLAN = MapReduce("text", "words", reduce="count", split_bytes=1)


def test_a_run_gives_its_output_and_says_how_it_went(bench: Bench) -> None:
    record = bench.run(PLAN)
    assert bench.runs.output(record.run_id) == b"a\t2\nb\t3\nc\t1\n"
    assert (record.state, record.stage, record.tasks_done, record.tasks_total) == (RunState.DONE, "reduce", 4, 4)
    assert record.output_bytes == 12
    assert record.duration_us > 0


def test_without_reduce_the_output_is_the_sorted_pairs(bench: Bench) -> None:
    record = bench.run(MapReduce("text", "words"))
    assert bench.runs.output(record.run_id) == b"a\t1\na\t1\nb\t1\nb\t1\nb\t1\nc\t1\n"


@pytest.mark.parametrize("combine", [None, "count"])
@pytest.mark.parametrize("partitions", [1, 2, 3, 99])
@pytest.mark.parametrize("threads", [1, 4])
def test_the_output_is_the_same_for_all_shapes(
    bench: Bench, combine: str | None, partitions: int, threads: int
) -> None:
    plan = MapReduce("text", "words", combine, "count", split_bytes=4, partitions=partitions, threads=threads)
    assert bench.runs.output(bench.run(plan).run_id) == b"a\t2\nb\t3\nc\t1\n"


def test_a_sink_receives_the_output_in_one_piece(bench: Bench) -> None:
    record = bench.run(MapReduce("text", "words", reduce="count", sink="counts"))
    assert bench.buffers.content["counts"] == b"a\t2\nb\t3\nc\t1\n"
    assert bench.runs.output(record.run_id) == b"a\t2\nb\t3\nc\t1\n"


def test_the_source_may_be_the_sink(bench: Bench) -> None:
    bench.run(MapReduce("text", "words", reduce="count", sink="text"))
    assert bench.buffers.content["text"] == b"a\t2\nb\t3\nc\t1\n"


def test_the_output_of_a_replaced_sink_is_a_conflict(bench: Bench) -> None:
    record = bench.run(MapReduce("text", "words", sink="counts"))
    bench.buffers.put("counts", b"other")
    with pytest.raises(ConflictError, match="was replaced"):
        bench.runs.output(record.run_id)


@pytest.mark.parametrize(
    ("plan", "error"),
    [
        (MapReduce("nope", "words"), BufferNotFoundError),
        (MapReduce("text", "nope"), FunctionNotFoundError),
        (MapReduce("text", "words", reduce="nope"), FunctionNotFoundError),
        (MapReduce("text", "words", combine="nope"), FunctionNotFoundError),
        (MapReduce("text", "words", sink=" "), InvalidInputError),
        (MapReduce("text", "words", partitions=0), InvalidInputError),
        (MapReduce("text", "words", split_bytes=0), InvalidInputError),
        (MapReduce("text", "words", threads=10_000), InvalidInputError),
    ],
)
def test_a_plan_that_cannot_run_is_refused_before_it_starts(
    bench: Bench, plan: MapReduce, error: type[Exception]
) -> None:
    with pytest.raises(error):
        bench.runs.start(plan)
    assert bench.runs.list() == []


def test_a_task_that_exits_non_zero_fails_the_run_with_its_stderr(bench: Bench) -> None:
    bench.guests["words"] = lambda text, scope: CallResult("id", None, 3, b"", b"bad line 7\n")
    record = bench.run(MapReduce("text", "words", sink="counts"))
    assert record.state is RunState.FAILED
    with pytest.raises(TaskFailedError, match=r"Task 0 of stage 'map'.*'words'.*exit code 3") as caught:
        bench.runs.output(record.run_id)
    assert "bad line 7" in caught.value.explain()
    assert "counts" not in bench.buffers.records


@pytest.mark.parametrize("stage", ["combine", "reduce"])
def test_a_guest_that_traps_fails_the_run_and_names_its_stage(bench: Bench, stage: str) -> None:
    def trap(text: bytes, scope: CallScope) -> bytes:
        raise TrapError("bad", "unreachable", backtrace=["inner"])

    bench.guests["bad"] = trap
    names = {"combine": "count", "reduce": "count", stage: "bad"}
    record = bench.run(MapReduce("text", "words", **names))
    with pytest.raises(TaskFailedError, match=f"stage '{stage}'.*'bad'.*unreachable") as caught:
        bench.runs.output(record.run_id)
    assert isinstance(caught.value.cause, TrapError)
    assert "inner" in caught.value.explain()


def test_a_full_disk_fails_the_run(bench: Bench) -> None:
    bench.buffers.full = True
    record = bench.run(MapReduce("text", "words", sink="counts"))
    assert record.state is RunState.FAILED
    with pytest.raises(StorageFullError):
        bench.runs.output(record.run_id)


def test_a_fault_of_ours_ends_the_run_and_is_logged(bench: Bench, caplog: pytest.LogCaptureFixture) -> None:
    def fail(text: bytes, scope: CallScope) -> bytes:
        raise ZeroDivisionError("ours")

    bench.guests["words"] = fail
    record = bench.run(PLAN)
    with pytest.raises(PlanError, match="inside moc: ZeroDivisionError: ours"):
        bench.runs.output(record.run_id)
    assert "failed inside moc" in caplog.text


def test_a_source_that_is_replaced_under_a_run_fails_it(bench: Bench) -> None:
    def replace(text: bytes, scope: CallScope) -> bytes:
        bench.buffers.put("text", TEXT)
        return b""

    bench.guests["words"] = replace
    record = bench.run(MapReduce("text", "words", split_bytes=1, threads=1))
    with pytest.raises(PlanError, match="'text' was replaced"):
        bench.runs.output(record.run_id)


class Blocked:
    """A guest that runs until its scope is cancelled."""

    def __init__(self) -> None:
        self.began = threading.Event()

    def __call__(self, text: bytes, scope: CallScope) -> bytes:
        self.began.set()
        while not scope.cancelled:
            threading.Event().wait(0.001)
        return b""


def test_cancelling_ends_a_run_that_is_under_way_and_stores_nothing(bench: Bench) -> None:
    guest = bench.guests["words"] = Blocked()
    run_id = bench.runs.start(MapReduce("text", "words", sink="counts")).run_id
    assert guest.began.wait(60)
    with pytest.raises(ConflictError, match="still running"):
        bench.runs.output(run_id)
    assert bench.runs.cancel(run_id).state is RunState.CANCELLED
    assert "counts" not in bench.buffers.records
    with pytest.raises(PlanError, match="was cancelled"):
        bench.runs.output(run_id)


def test_cancelling_a_run_that_has_ended_leaves_it_as_it_is(bench: Bench) -> None:
    record = bench.run(PLAN)
    assert bench.runs.cancel(record.run_id) == record


def test_a_keyboard_interrupt_while_waiting_cancels_the_run(bench: Bench) -> None:
    bench.guests["words"] = Blocked()
    run_id = bench.runs.start(PLAN).run_id

    def interrupt(record: RunRecord) -> None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        wait(bench.runs, run_id, interrupt)
    assert bench.runs.get(run_id).state is RunState.CANCELLED


def test_progress_is_told_with_each_change_up_to_the_end(bench: Bench) -> None:
    seen: list[RunRecord] = []
    wait(bench.runs, bench.runs.start(PLAN).run_id, seen.append)
    assert seen[-1].state is RunState.DONE
    steps = [(each.state, each.stage, each.tasks_done, each.tasks_total) for each in seen]
    assert len(set(steps)) == len(steps)


def test_unknown_runs_are_not_found(bench: Bench) -> None:
    for ask in (bench.runs.get, bench.runs.output, bench.runs.cancel):
        with pytest.raises(RunNotFoundError):
            ask("nope")


def test_the_oldest_runs_are_forgotten(bench: Bench) -> None:
    ids = [bench.run(PLAN).run_id for _ in range(RUNS_KEPT + 2)]
    assert [each.run_id for each in bench.runs.list()] == ids[:1:-1]
    with pytest.raises(RunNotFoundError):
        bench.runs.get(ids[0])


def test_old_outputs_are_let_go_of_and_the_newest_stays(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(runs_module, "OUTPUT_BYTES_KEPT", 5)
    old, new = bench.run(PLAN).run_id, bench.run(PLAN).run_id
    assert bench.runs.output(new) == b"a\t2\nb\t3\nc\t1\n"
    with pytest.raises(NotFoundError, match=r"no longer kept.*-o NAME"):
        bench.runs.output(old)


def test_only_so_many_runs_are_under_way_at_once(bench: Bench) -> None:
    bench.guests["words"] = Blocked()
    for _ in range(RUNS_AT_ONCE):
        bench.runs.start(PLAN)
    with pytest.raises(OverloadedError):
        bench.runs.start(PLAN)
    bench.runs.close()


def test_closing_cancels_all_runs_and_refuses_further_ones(bench: Bench) -> None:
    bench.guests["words"] = Blocked()
    run_id = bench.runs.start(PLAN).run_id
    bench.runs.close()
    assert bench.runs.get(run_id).state is RunState.CANCELLED
    with pytest.raises(UnavailableError, match="closed"):
        bench.runs.start(PLAN)
    bench.runs.close()
