"""The calls noun: what runs, and how the last calls ended. Implements ``abc.Calls`` for one process.

It keeps records, never inputs or outputs, and runs nothing itself. Only calls from outside are listed: those that
guests make are part of their root call, and the tasks of a run are told by the run.
"""

from __future__ import annotations

import asyncio
import heapq
import logging
import threading
import time
from collections.abc import Iterable, Sequence
from itertools import chain
from types import TracebackType
from typing import Final, Self

from .errors import CallNotFoundError, CancelledError, ConflictError, InternalError, MocError
from .guest_api.context import CallContext
from .model import CallRecord, CallResult, CallState
from .observers import Observers

CALLS_KEPT: Final = 1000
STDERR_BYTES_KEPT: Final = 4 << 10

_CANCEL_WAIT_SECONDS = 1.0
# Ctrl-C and a coroutine that is cancelled end a call as `cancel` does.
_INTERRUPTIONS = (KeyboardInterrupt, SystemExit, GeneratorExit, asyncio.CancelledError)

_log = logging.getLogger(__name__)


class CallTable:
    """The calls of one cluster. Thread-safe.

    All that run are known, and the last 1,000 that ended.

    Parameters
    ----------
    observers
        Are told when a call begins and when it has ended.
    """

    def __init__(self, observers: Observers) -> None:
        self._observers = observers
        self._lock = threading.Lock()
        self._running: dict[str, _Running] = {}
        self._ended: dict[str, _Ended] = {}

    # -- for whoever runs calls ---------------------------------------------------------------------------------------

    def track(self, context: CallContext) -> TrackedCall:
        """Give what lists a call while its ``with`` block runs; see :class:`TrackedCall`."""
        return TrackedCall(self, context)

    def begin(self, context: CallContext) -> None:
        """List a call as running.

        Raises
        ------
        ConflictError
            A call that runs, or that ended of late, has this id already. Nothing was listed.
        """
        call_id = context.call_id
        running = _Running(context)
        with self._lock:
            if call_id in self._running or call_id in self._ended:
                raise ConflictError(f"There is a call with the id {call_id!r} already.", call_id=call_id)
            self._running[call_id] = running
        if self._observers.of_starts:
            self._observers.call_started(running.record())

    def end(self, context: CallContext, outcome: CallResult | MocError) -> None:
        """List a call as ended; idempotent: what has ended stays as it is."""
        call_id = context.call_id
        running = self._running.get(call_id)
        if running is None:
            return
        ended = _Ended(running, outcome)
        with self._lock:
            if self._running.pop(call_id, None) is None:
                return
            self._ended[call_id] = ended
            if len(self._ended) > CALLS_KEPT:
                del self._ended[next(iter(self._ended))]
            waited_for = running.over
        if waited_for is not None:
            waited_for.set()
        if self._observers.any:
            self._observers.call_ended(ended.record())

    # -- the noun -----------------------------------------------------------------------------------------------------

    def get(self, call_id: str) -> CallRecord:
        """Tell how a call is.

        Raises
        ------
        CallNotFoundError
            No call has this id, or it is forgotten.
        """
        with self._lock:
            found = self._running.get(call_id) or self._ended.get(call_id)
        if found is None:
            raise CallNotFoundError(call_id[:64])
        return found.record()

    def list(self, *, limit: int = 1000) -> Sequence[CallRecord]:
        """List up to `limit` calls, running and ended, those that began last first."""
        with self._lock:
            running, ended = list(self._running.values()), list(self._ended.values())
        # Told of those that are asked for only: thousands may run.
        both: Iterable[_Running | _Ended] = chain(running, ended)
        newest = heapq.nlargest(max(limit, 0), both, key=lambda each: each.started_at)
        return [each.record() for each in newest]

    def cancel(self, call_id: str) -> CallRecord:
        """End a call and tell how it is then; one that has ended stays as it is.

        Waits for its end, but no longer than a second: a guest ends within milliseconds, work that a host function does
        for it is done first.

        Raises
        ------
        CallNotFoundError
            No call has this id, or it is forgotten.
        """
        with self._lock:
            running = self._running.get(call_id)
            if running is not None and running.over is None:
                running.over = threading.Event()
        if running is not None and running.over is not None:
            running.context.cancel()
            running.over.wait(_CANCEL_WAIT_SECONDS)
        return self.get(call_id)


class TrackedCall:
    """Lists one call while its ``with`` block runs, whichever way that ends.

    The block hands what the call gave to :meth:`done`; an exception that leaves it is the call's end otherwise.
    """

    __slots__ = ("_context", "_result", "_table")

    def __init__(self, table: CallTable, context: CallContext) -> None:
        self._table = table
        self._context = context
        self._result: CallResult | None = None

    def __enter__(self) -> Self:
        self._table.begin(self._context)
        return self

    def done(self, result: CallResult) -> CallResult:
        """Take what the call gave, and give it back."""
        self._result = result
        return result

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        context = self._context
        outcome: CallResult | MocError
        if isinstance(error, MocError):
            outcome = error
        elif self._result is not None and error is None:
            outcome = self._result
        elif isinstance(error, _INTERRUPTIONS):
            outcome = CancelledError(context.invocation.function)
        else:
            # A fault of ours. The door logs it as well, but may not know which call it was.
            _log.error("Call %s failed inside moc", context.call_id, exc_info=error)
            outcome = InternalError(context.call_id)
        self._table.end(context, outcome)


class _Running:
    """A call that runs."""

    __slots__ = ("_began_ns", "context", "over", "started_at")

    def __init__(self, context: CallContext) -> None:
        self.context = context
        #: Set when the call is over; made by the first who waits for that, under the table's lock.
        self.over: threading.Event | None = None
        self.started_at = time.time()
        self._began_ns = time.perf_counter_ns()

    def record(self) -> CallRecord:
        """Tell how it is now."""
        context = self.context
        invocation = context.invocation
        return CallRecord(
            call_id=context.call_id,
            function=invocation.function,
            mode=invocation.mode,
            caller=invocation.caller,
            state=CallState.RUNNING,
            started_at=self.started_at,
            duration_us=self.elapsed_us(),
            input_bytes=context.input_bytes,
            output_bytes=context.output.size,
            stderr=bytes(context.stderr[-STDERR_BYTES_KEPT:]),
        )

    def elapsed_us(self) -> int:
        return (time.perf_counter_ns() - self._began_ns) // 1000


class _Ended:
    """How a call ended: no more than a record needs, which few ever ask for."""

    __slots__ = ("_call_id", "_caller", "_duration_us", "_error", "_exit_code", "_function", "_input_bytes", "_mode",
                 "_output_bytes", "_result", "_state", "_stderr", "started_at")  # fmt: skip

    def __init__(self, running: _Running, outcome: CallResult | MocError) -> None:
        context = running.context
        invocation = context.invocation
        self.started_at = running.started_at
        self._call_id = context.call_id
        # Not the invocation, whose arguments may be large.
        self._function, self._mode, self._caller = invocation.function, invocation.mode, invocation.caller
        self._input_bytes = context.input_bytes
        self._output_bytes = context.output.size
        self._stderr = bytes(context.stderr[-STDERR_BYTES_KEPT:]) if context.stderr else b""
        if isinstance(outcome, CallResult):
            self._state, self._duration_us, self._error = CallState.DONE, outcome.duration_us, None
            self._result, self._exit_code = outcome.result, outcome.exit_code
        else:
            self._state = CallState.CANCELLED if isinstance(outcome, CancelledError) else CallState.FAILED
            self._duration_us, self._error = running.elapsed_us(), outcome.to_json()
            self._result = self._exit_code = None

    def record(self) -> CallRecord:
        """Tell how it ended."""
        return CallRecord(
            call_id=self._call_id,
            function=self._function,
            mode=self._mode,
            caller=self._caller,
            state=self._state,
            started_at=self.started_at,
            duration_us=self._duration_us,
            result=self._result,
            exit_code=self._exit_code,
            input_bytes=self._input_bytes,
            output_bytes=self._output_bytes,
            stderr=self._stderr,
            error=self._error,
        )
