"""From what observers are told to Jupyter events: on the event loop, bounded in number and in time."""

from __future__ import annotations

import asyncio
import logging
import threading
import time
from collections import deque
from collections.abc import Callable, Mapping
from functools import partial
from pathlib import Path
from typing import Any, Final, Protocol

from ...model import CallRecord, RunRecord

CALL_STARTED: Final = "urn:my-own-cluster:event:call_started:v1"
CALL_ENDED: Final = "urn:my-own-cluster:event:call_ended:v1"
RUN_ENDED: Final = "urn:my-own-cluster:event:run_ended:v1"
SCHEMA_FILES: Final[Mapping[str, Path]] = {
    schema_id: Path(__file__).with_name(f"{schema_id.split(':')[-2]}.yaml")
    for schema_id in (CALL_STARTED, CALL_ENDED, RUN_ENDED)
}

_QUEUED_MAX = 1000
# An event costs a tenth of a millisecond and more where somebody listens: at most a tenth of the loop's time is spent.
_SLICE_SECONDS = 0.002
_PAUSE_SECONDS = 0.018

_log = logging.getLogger(__name__)


class EventLog(Protocol):
    """Jupyter's event logger, as far as it is used here."""

    def register_event_schema(self, schema: Any) -> None:
        """Make a schema known; once."""
        ...

    def emit(self, *, schema_id: str, data: dict[str, Any]) -> Any:
        """Tell an event to all who listen; on the event loop's thread."""
        ...


class EventEmitter:
    """Emits events of calls and runs; an ``abc.Observer``.

    What it is told waits for the event loop, in order. When a thousand events wait, further ones are left out, and the
    next one that is told has their number.

    Parameters
    ----------
    loop
        Where events are emitted; it runs.
    """

    def __init__(self, log: EventLog, loop: asyncio.AbstractEventLoop) -> None:
        self._events = log
        self._loop = loop
        self._lock = threading.Lock()
        self._waiting: deque[tuple[str, Callable[[], dict[str, Any]], int]] = deque()
        self._left_out = 0
        self._scheduled = False
        self._closed = False
        self._failed = False

    def register_schemas(self) -> None:
        """Make the schemas known to the log; once for a log."""
        for path in SCHEMA_FILES.values():
            self._events.register_event_schema(path)

    # -- observer, on any thread --------------------------------------------------------------------------------------

    def hears(self, schema_id: str) -> bool:
        """Tell whether an event would reach anybody; a log that does not tell is taken to listen."""
        log: Any = self._events
        try:
            # What Jupyter's logger looks at before it does anything: most servers have no subscriber most of the time.
            return bool(
                log.handlers or log._modified_listeners.get(schema_id) or log._unmodified_listeners.get(schema_id)
            )
        except AttributeError:
            return True

    def hears_starts(self) -> bool:
        """Tell whether anybody wants to know of calls that begin."""
        return self.hears(CALL_STARTED)

    def call_started(self, record: CallRecord) -> None:
        """Tell of a call that begins."""
        self._put(CALL_STARTED, partial(call_started, record))

    def call_ended(self, record: CallRecord) -> None:
        """Tell of a call that has ended."""
        self._put(CALL_ENDED, partial(call_ended, record))

    def run_ended(self, record: RunRecord) -> None:
        """Tell of a run that has ended."""
        self._put(RUN_ENDED, partial(run_ended, record))

    def _put(self, schema_id: str, data: Callable[[], dict[str, Any]]) -> None:
        if not self.hears(schema_id):
            return
        with self._lock:
            if self._closed:
                return
            if len(self._waiting) >= _QUEUED_MAX:
                self._left_out += 1
                return
            self._waiting.append((schema_id, data, self._left_out))
            self._left_out = 0
            if self._scheduled:
                return
            self._scheduled = True
        self._loop.call_soon_threadsafe(self._emit_some)

    # -- on the event loop --------------------------------------------------------------------------------------------

    def _emit_some(self) -> None:
        end = time.perf_counter() + _SLICE_SECONDS
        while time.perf_counter() < end:
            with self._lock:
                if not self._waiting:
                    self._scheduled = False
                    return
                schema_id, data, left_out = self._waiting.popleft()
            self._emit(schema_id, {**data(), "left_out": left_out})
        self._loop.call_later(_PAUSE_SECONDS, self._emit_some)

    def _emit(self, schema_id: str, data: dict[str, Any]) -> None:
        try:
            self._events.emit(schema_id=schema_id, data=data)
        except Exception:  # whoever listens, or a schema that somebody modified: the next event may pass
            if not self._failed:
                self._failed = True
                _log.exception("An event could not be emitted; this is logged once")

    def close(self) -> None:
        """Emit no more; idempotent. What waits is dropped."""
        with self._lock:
            self._closed = True
            self._waiting.clear()


def call_started(record: CallRecord) -> dict[str, Any]:
    """Give the fields of an event, all but `left_out`."""
    return {
        "call_id": record.call_id,
        "function": record.function,
        "mode": record.mode.value,
        "caller": record.caller,
        "started_at": record.started_at,
    }


def call_ended(record: CallRecord) -> dict[str, Any]:
    """Give the fields of an event, all but `left_out`."""
    return {
        **call_started(record),
        "state": record.state.value,
        "duration_us": record.duration_us,
        "exit_code": record.exit_code,
        "input_bytes": record.input_bytes,
        "output_bytes": record.output_bytes,
        "error_code": _code(record.error),
    }


def run_ended(record: RunRecord) -> dict[str, Any]:
    """Give the fields of an event, all but `left_out`."""
    plan = record.plan
    return {
        "run_id": record.run_id,
        "source": plan.source,
        "map": plan.map,
        "combine": plan.combine,
        "reduce": plan.reduce,
        "sink": plan.sink,
        "state": record.state.value,
        "stage": record.stage,
        "tasks_done": record.tasks_done,
        "tasks_total": record.tasks_total,
        "output_bytes": record.output_bytes,
        "duration_us": record.duration_us,
        "error_code": _code(record.error),
    }


def _code(error: Mapping[str, Any] | None) -> str | None:
    return None if error is None else str(error["code"])
