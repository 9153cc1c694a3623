"""One task of a run, as a description, and the function that carries it out, pure but for what it is given.

Every executor runs :func:`run_task`, so that all of them give identical bytes.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Final, overload

from ..errors import CancelledError, GuestExitError, MocError, TaskFailedError
from ..model import CallResult
from .planner import Split
from .shuffle import Groups, group_lines, sorted_lines

RunFunction = Callable[[str, bytes], CallResult]
"""Runs the function of a stage (``map``, ``combine``, ``reduce``) in posix mode on an input."""

ReadSource = Callable[[int, int], bytes]
"""Reads bytes ``[start, stop)`` of the run's source."""

_STDERR_KEPT: Final = 4096


@dataclass(frozen=True, slots=True)
class MapTask:
    """Run the map function over one split, group its lines by key, and combine them.

    Parameters
    ----------
    map, combine
        Names of the functions, for messages; without `combine` the mapped lines stay as they are.
    """

    index: int
    split: Split
    map: str
    combine: str | None


@dataclass(frozen=True, slots=True)
class ReduceTask:
    """Run the reduce function over sorted lines."""

    index: int
    lines: bytes
    reduce: str


@overload
def run_task(task: MapTask, run_function: RunFunction, read: ReadSource) -> Groups: ...
@overload
def run_task(task: ReduceTask, run_function: RunFunction, read: ReadSource) -> bytes: ...
def run_task(task: MapTask | ReduceTask, run_function: RunFunction, read: ReadSource) -> Groups | bytes:
    """Carry a task out: a map task gives lines by key, a reduce task gives its output.

    Raises
    ------
    TaskFailedError
        The guest failed, or ended with a non-zero exit code; names stage, task and function.
    CancelledError
        The run was cancelled.
    """
    if isinstance(task, ReduceTask):
        return _run("reduce", task.reduce, task.index, task.lines, run_function)
    content = read(task.split.start, task.split.stop)
    groups = group_lines(_run("map", task.map, task.index, content, run_function))
    if task.combine is None:
        return groups
    return group_lines(_run("combine", task.combine, task.index, sorted_lines(groups), run_function))


def _run(stage: str, function: str, index: int, content: bytes, run_function: RunFunction) -> bytes:
    try:
        result = run_function(stage, content)
    except CancelledError:
        raise
    except MocError as error:
        raise TaskFailedError(stage, function, index, error) from error
    if result.exit_code:
        tail = result.stderr[-_STDERR_KEPT:].decode(errors="replace")
        raise TaskFailedError(stage, function, index, GuestExitError(function, result.exit_code, stderr=tail))
    return result.output
