"""Waiting for a run, over any ``abc.Runs``: in process or through HTTP."""

from __future__ import annotations

import time
from collections.abc import Callable

from ..abc import Runs
from ..model import RunRecord, RunState

_FIRST_PAUSE_SECONDS = 0.001
_LONGEST_PAUSE_SECONDS = 0.1


def wait(runs: Runs, run_id: str, on_progress: Callable[[RunRecord], None] | None = None) -> RunRecord:
    """Wait until a run has ended, and give its last record; ``runs.output`` then gives its output or raises its error.

    The pauses between two looks grow from 1 ms to 0.1 s, so that a short run is not waited for longer than it takes.

    Parameters
    ----------
    on_progress
        Called with each record that differs from the one before.

    Raises
    ------
    KeyboardInterrupt
        Ctrl-C was pressed; the run was cancelled.
    """
    pause = _FIRST_PAUSE_SECONDS
    last: tuple[RunState, str, int, int] | None = None
    try:
        while True:
            record = runs.get(run_id)
            seen = (record.state, record.stage, record.tasks_done, record.tasks_total)
            if on_progress is not None and seen != last:
                on_progress(record)
            last = seen
            if record.state is not RunState.RUNNING:
                return record
            time.sleep(pause)
            pause = min(2 * pause, _LONGEST_PAUSE_SECONDS)
    except KeyboardInterrupt:
        runs.cancel(run_id)
        raise
