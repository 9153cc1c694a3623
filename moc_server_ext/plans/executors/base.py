"""What an executor is: it carries out tasks somewhere, several at once."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Protocol, TypeVar

Task = TypeVar("Task")
Result = TypeVar("Result")


class Executor(Protocol):
    """Carries out the tasks of one stage."""

    def run(
        self,
        tasks: Sequence[Task],
        work: Callable[[Task], Result],
        *,
        done: Callable[[], None],
        stop: Callable[[], None],
    ) -> list[Result]:
        """Apply `work` to every task and give the results in the order of the tasks; blocks.

        Parameters
        ----------
        done
            Called once after each task that succeeded, from any thread.
        stop
            Called once when a task failed, to end those that still run; no further task begins.

        Raises
        ------
        BaseException
            The first failure. By then no task runs any more.
        """
        ...
