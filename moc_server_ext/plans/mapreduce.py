"""A map-reduce plan from its source to its output, on whatever executor.

It knows neither storage nor engine: it reads the source and runs functions through what it is given.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Protocol

from ..model import MapReduce
from .executors.base import Executor
from .planner import split_lines
from .shuffle import cut, merge
from .task import MapTask, ReadSource, ReduceTask, RunFunction, run_task


class Progress(Protocol):
    """Told how far a run is; from any thread."""

    def begin(self, stage: str, tasks: int) -> None:
        """Begin a stage of so many tasks."""
        ...

    def step(self) -> None:
        """Count one task as done."""
        ...


def execute(
    plan: MapReduce,
    size: int,
    *,
    read: ReadSource,
    run_function: RunFunction,
    executor: Executor,
    progress: Progress,
    stop: Callable[[], None],
) -> bytes:
    """Carry a plan out and give its output.

    Between the stages, the lines that all map tasks gave are in memory at once.

    Parameters
    ----------
    size
        Bytes of the source.
    stop
        Ends the guests that run, after a failure.

    Raises
    ------
    TaskFailedError
        The first task that failed; no task runs any more.
    CancelledError
        The run was cancelled.
    """

    def run_map(task: MapTask) -> dict[bytes, bytes]:
        return run_task(task, run_function, read)

    def run_reduce(task: ReduceTask) -> bytes:
        return run_task(task, run_function, read)

    splits = split_lines(read, size, plan.split_bytes)
    progress.begin("map", len(splits))
    maps = [MapTask(index, split, plan.map, plan.combine) for index, split in enumerate(splits)]
    pairs = merge(executor.run(maps, run_map, done=progress.step, stop=stop))
    if plan.reduce is None:
        return b"".join([lines for _, lines in pairs])
    ranges = cut(pairs, plan.partitions)
    del pairs
    progress.begin("reduce", len(ranges))
    reduces = [ReduceTask(index, lines, plan.reduce) for index, lines in enumerate(ranges)]
    return b"".join(executor.run(reduces, run_reduce, done=progress.step, stop=stop))
