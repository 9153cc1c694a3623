"""The runs noun: starts plans in the background, tells how far they are, keeps their outputs for a while.

Implements ``abc.Runs`` for one process. Runs live in memory: a restart forgets them, their sinks stay.
"""

from __future__ import annotations

import logging
import secrets
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Final, Protocol

from ..abc import Buffers
from ..errors import (
    CancelledError,
    ConflictError,
    InvalidInputError,
    MocError,
    NotFoundError,
    OverloadedError,
    PlanError,
    RunNotFoundError,
    UnavailableError,
    from_json,
)
from ..model import BufferRecord, CallRequest, CallResult, MapReduce, Mode, RunRecord, RunState, parse_name
from ..observers import Observers
from ..scope import CallScope
from .executors.threads import MAX_THREADS, ThreadsExecutor
from .mapreduce import execute

RUNS_KEPT: Final = 100
RUNS_AT_ONCE: Final = 8
OUTPUT_BYTES_KEPT: Final = 256 << 20
SINK_CONTENT_TYPE: Final = "text/plain"

_CANCEL_WAIT_SECONDS = 5.0

_log = logging.getLogger(__name__)


class PreparedFunction(Protocol):
    """A stage's function, resolved once for all tasks of the stage."""

    def run(self, input: bytes, *, scope: CallScope) -> CallResult:
        """Run it once; it ends when `scope` is cancelled."""
        ...


Prepare = Callable[[CallRequest], PreparedFunction]


@dataclass(slots=True)
class _Output:
    """Where a finished run's output is: here, or in the sink as it was written."""

    content: bytes | None
    sink: BufferRecord | None


class RunTable:
    """The runs of one cluster; implements ``abc.Runs``. Thread-safe.

    The last 100 runs are kept. Outputs that went to no sink are kept up to 256 MiB together, and the newest always.

    Parameters
    ----------
    prepare
        Resolves a stage's function.
    observers
        Are told when a run has ended.
    """

    def __init__(self, buffers: Buffers, prepare: Prepare, observers: Observers) -> None:
        self._buffers = buffers
        self._prepare = prepare
        self._observers = observers
        self._lock = threading.Lock()
        self._runs: dict[str, _Run] = {}
        self._closed = False

    def start(self, plan: MapReduce) -> RunRecord:
        """Begin a run in the background and return at once.

        Raises
        ------
        FunctionNotFoundError, BufferNotFoundError, InvalidInputError
            The plan names something that is not there or cannot be. Nothing was started.
        OverloadedError
            Too many runs are under way. Nothing was started.
        """
        if plan.sink is not None:
            parse_name(plan.sink, "buffer name")
        if plan.split_bytes < 1 or plan.partitions < 1 or not 0 <= plan.threads <= MAX_THREADS:
            raise InvalidInputError(
                f"A plan needs split_bytes and partitions of at least 1 and 0 to {MAX_THREADS} threads; it has "
                f"split_bytes={plan.split_bytes}, partitions={plan.partitions}, threads={plan.threads}."
            )
        source = self._buffers.stat(plan.source)
        stages = {"map": plan.map, "combine": plan.combine, "reduce": plan.reduce}
        functions = {
            stage: self._prepare(CallRequest(name, mode=Mode.POSIX))
            for stage, name in stages.items()
            if name is not None
        }
        run = _Run(plan, source, functions, self._buffers, ended=self._ended)
        with self._lock:
            if self._closed:
                raise UnavailableError("The cluster is closed and starts no further runs.")
            if sum(each.state is RunState.RUNNING for each in self._runs.values()) >= RUNS_AT_ONCE:
                raise OverloadedError()
            # Inside the lock, so that close() finds no run that has not begun, and first, so that a thread that cannot
            # be had leaves no run behind.
            run.start()
            self._runs[run.run_id] = run
            self._forget()
        return run.record()

    def get(self, run_id: str) -> RunRecord:
        """Tell how far a run is."""
        return self._find(run_id).record()

    def output(self, run_id: str) -> bytes:
        """Give the output of a finished run.

        Raises
        ------
        ConflictError
            The run has not ended, or its sink holds something else by now.
        NotFoundError
            The output was let go of.
        MocError
            The run's own error, if it failed; PlanError if it was cancelled.
        """
        run = self._find(run_id)
        record = run.record()
        if record.state is RunState.RUNNING:
            raise ConflictError(f"Run {run_id!r} is still running: {record.tasks_done} of {record.tasks_total} tasks.")
        if record.state is RunState.CANCELLED:
            raise PlanError(f"Run {run_id!r} was cancelled; it has no output.", run_id=run_id)
        if record.error is not None:
            raise from_json(record.error)
        content, sink = run.output.content, run.output.sink
        if sink is not None:
            content = self._buffers.read(sink.name)
            if self._buffers.stat(sink.name) != sink:
                raise ConflictError(
                    f"Buffer {sink.name!r}, the sink of run {run_id!r}, was replaced since.", buffer=sink.name
                )
        if content is None:
            raise NotFoundError(
                f"The output of run {run_id!r} ({record.output_bytes:,} bytes) is no longer kept. "
                "Run it again with a sink: `moc mapreduce … -o NAME`.",
                run_id=run_id,
            )
        return content

    def list(self) -> Sequence[RunRecord]:
        """List the recent runs, newest first."""
        with self._lock:
            runs = list(self._runs.values())
        return [run.record() for run in reversed(runs)]

    def cancel(self, run_id: str) -> RunRecord:
        """End a run; one that has ended stays as it is.

        Waits for its guests to end, which takes a slice of their time, but not for a sink that is being written.
        """
        run = self._find(run_id)
        run.cancel()
        run.join(_CANCEL_WAIT_SECONDS)
        return run.record()

    def close(self, grace_seconds: float = _CANCEL_WAIT_SECONDS) -> None:
        """Cancel all runs, wait for their end and start no more; idempotent."""
        with self._lock:
            self._closed = True
            runs = list(self._runs.values())
        for run in runs:
            run.cancel()
        end = time.monotonic() + grace_seconds
        for run in runs:
            run.join(max(0.0, end - time.monotonic()))

    def _find(self, run_id: str) -> _Run:
        with self._lock:
            run = self._runs.get(run_id)
        if run is None:
            raise RunNotFoundError(run_id[:64])
        return run

    def _forget(self) -> None:
        """Forget the oldest runs that have ended; the lock is held."""
        for run_id, run in list(self._runs.items()):
            if len(self._runs) <= RUNS_KEPT:
                return
            if run.state is not RunState.RUNNING:
                del self._runs[run_id]

    def _ended(self, run: _Run) -> None:
        """Tell who observes, and let go of old outputs if there is a new one."""
        self._observers.run_ended(run.record())
        if run.state is RunState.DONE:
            self._forget_outputs()

    def _forget_outputs(self) -> None:
        with self._lock:
            kept = 0
            for number, run in enumerate(reversed(self._runs.values())):
                content = run.output.content
                kept += len(content or b"")
                if content is not None and number and kept > OUTPUT_BYTES_KEPT:
                    run.output.content = None


class _Run:
    """One run: its thread, its progress and how it ended."""

    def __init__(
        self,
        plan: MapReduce,
        source: BufferRecord,
        functions: Mapping[str, PreparedFunction],
        buffers: Buffers,
        *,
        ended: Callable[[_Run], None],
    ) -> None:
        self.run_id = secrets.token_hex(8)
        self.state = RunState.RUNNING
        self.output = _Output(None, None)
        self._plan = plan
        self._source = source
        self._functions = functions
        self._buffers = buffers
        self._ended = ended
        self._scope = CallScope()
        self._lock = threading.Lock()
        self._cancel_asked = False
        self._stage = "map"
        self._done = 0
        self._total = 0
        self._output_bytes = 0
        self._error: MocError | None = None
        self._began = time.perf_counter()
        self._duration: float | None = None
        # A daemon: an interpreter that ends without close() does not wait for guests.
        self._thread = threading.Thread(target=self._main, name=f"moc_run_{self.run_id}", daemon=True)

    def record(self) -> RunRecord:
        """Tell how far it is."""
        with self._lock:
            seconds = time.perf_counter() - self._began if self._duration is None else self._duration
            return RunRecord(
                run_id=self.run_id,
                plan=self._plan,
                state=self.state,
                stage=self._stage,
                tasks_done=self._done,
                tasks_total=self._total,
                output_bytes=self._output_bytes,
                duration_us=round(seconds * 1e6),
                error=None if self._error is None else self._error.to_json(),
            )

    def start(self) -> None:
        """Begin."""
        self._thread.start()

    def cancel(self) -> None:
        """Ask for its end; idempotent, returns at once."""
        self._cancel_asked = True
        self._scope.cancel()

    def join(self, timeout_seconds: float) -> None:
        """Wait for its end."""
        self._thread.join(timeout_seconds)

    # -- Progress -----------------------------------------------------------------------------------------------------

    def begin(self, stage: str, tasks: int) -> None:
        """Begin a stage of so many tasks."""
        with self._lock:
            self._stage = stage
            self._total += tasks

    def step(self) -> None:
        """Count one task as done."""
        with self._lock:
            self._done += 1

    # -- the run's own thread -----------------------------------------------------------------------------------------

    def _main(self) -> None:
        try:
            content = execute(
                self._plan,
                self._source.size,
                read=self._read,
                run_function=self._run_function,
                executor=ThreadsExecutor(self._plan.threads),
                progress=self,
                stop=self._scope.cancel,
            )
            if self._cancel_asked:
                raise CancelledError(self._plan.map)
            sink = self._plan.sink
            if sink is not None:
                self.output.sink = self._buffers.put(sink, content, SINK_CONTENT_TYPE)
            else:
                self.output.content = content
            self._end(RunState.DONE, output_bytes=len(content))
        except MocError as error:
            if self._cancel_asked or isinstance(error, CancelledError):
                self._end(RunState.CANCELLED)
            else:
                self._end(RunState.FAILED, error)
        except BaseException as error:  # a fault of moc itself must end the run visibly, not leave it running forever
            _log.exception("Run %s failed inside moc", self.run_id)
            self._end(RunState.FAILED, PlanError(f"The run failed inside moc: {type(error).__name__}: {error}"))

    def _end(self, state: RunState, error: MocError | None = None, *, output_bytes: int = 0) -> None:
        with self._lock:
            self._error = error
            self._output_bytes = output_bytes
            self._duration = time.perf_counter() - self._began
            self.state = state
        self._ended(self)

    def _run_function(self, stage: str, content: bytes) -> CallResult:
        return self._functions[stage].run(content, scope=self._scope)

    def _read(self, start: int, stop: int) -> bytes:
        if self._scope.cancelled:
            raise CancelledError(self._plan.map)
        content = self._buffers.read(self._source.name, start, stop)
        # Looked at after reading: what was read before a replacement is the source that was planned.
        if self._buffers.stat(self._source.name) != self._source:
            raise PlanError(
                f"Buffer {self._source.name!r} was replaced while a run read it. Nothing was stored; run it again.",
                buffer=self._source.name,
            )
        return content
