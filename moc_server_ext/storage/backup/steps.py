"""Long work as a generator: its steps as they come, then its result. Ending the generator ends the work."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Generator
from concurrent.futures import Future
from queue import SimpleQueue
from typing import Final, TypeVar

from ...model.backups import BackupProgress
from .copying import Progress, StoppedError

Result = TypeVar("Result")

_EVERY_SECONDS: Final = 0.1


def in_steps(work: Callable[[Progress], Result]) -> Generator[BackupProgress, None, Result]:
    """Run `work` on a thread of its own, and give what it tells of its progress; raises what it raises."""
    steps: SimpleQueue[BackupProgress | None] = SimpleQueue()
    stopped = threading.Event()
    outcome: Future[Result] = Future()
    told = float("-inf")

    def tell(stage: str, done: int, total: int) -> None:
        nonlocal told
        if stopped.is_set():
            raise StoppedError
        if time.monotonic() - told >= _EVERY_SECONDS:
            told = time.monotonic()
            steps.put(BackupProgress(stage, done, total))

    def run() -> None:
        try:
            outcome.set_result(work(tell))
        except BaseException as error:
            outcome.set_exception(error)
        finally:
            steps.put(None)

    thread = threading.Thread(target=run, name="moc_backup", daemon=True)
    thread.start()
    try:
        while (step := steps.get()) is not None:
            yield step
    finally:
        stopped.set()
        thread.join()
    return outcome.result()
