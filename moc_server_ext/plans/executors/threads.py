"""Tasks on threads of this process, which share one queue. The interpreter's lock is free while guests run."""

from __future__ import annotations

import threading
from collections.abc import Callable, Sequence
from typing import Final

from ...resources import processors
from .base import Result, Task

MAX_THREADS: Final = 256


class ThreadsExecutor:
    """Carries out tasks on `threads` threads that live as long as a stage; 0 is one per processor."""

    def __init__(self, threads: int = 0) -> None:
        self.threads = threads or processors()

    def run(
        self,
        tasks: Sequence[Task],
        work: Callable[[Task], Result],
        *,
        done: Callable[[], None],
        stop: Callable[[], None],
    ) -> list[Result]:
        """See :class:`.base.Executor`."""
        results: dict[int, Result] = {}
        failures: list[BaseException] = []
        lock = threading.Lock()
        numbered = enumerate(tasks)

        def serve() -> None:
            while True:
                with lock:
                    if failures:
                        return
                    index, task = next(numbered, (-1, None))
                if index < 0 or task is None:
                    return
                try:
                    results[index] = work(task)
                    done()
                except BaseException as error:  # whatever it is, the stage ends with it, in the caller's thread
                    fail(error)
                    return

        def fail(error: BaseException) -> None:
            with lock:
                failures.append(error)
                first = len(failures) == 1
            if first:
                stop()

        count = min(self.threads, len(tasks))
        helpers: list[threading.Thread] = []
        try:
            for number in range(count):
                helper = threading.Thread(target=serve, name=f"moc_task_{number}", daemon=True)
                helper.start()
                helpers.append(helper)
        except RuntimeError as error:  # the system gives no further thread
            fail(error)
        for helper in helpers:
            helper.join()
        if failures:
            raise failures[0]
        return [results[index] for index in range(len(tasks))]
