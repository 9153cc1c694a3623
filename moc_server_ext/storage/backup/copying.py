"""Many objects at a time, with bounded memory, and an end at once when one fails or somebody interrupts."""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Final, TypeVar

from ...abc import Bytes

Item = TypeVar("Item")
Result = TypeVar("Result")
Progress = Callable[[str, int, int], None]
"""Told what is being done, how many bytes of it are done, and how many there are."""

_AT_ONCE: Final = 4


class StoppedError(Exception):
    """The work was ended, because of an error elsewhere."""


class Work:
    """Work on many things that all ends when one of them fails: its parts ask whether it goes on."""

    def __init__(self, what: str, total: int, progress: Progress | None) -> None:
        self._what = what
        self._total = total
        self._progress = progress
        self._lock = threading.Lock()
        self._done = 0
        self._stopped = threading.Event()

    def watched(self, parts: Iterable[Bytes]) -> Iterator[Bytes]:
        """Give `parts` as they are, counting them; StoppedError once the work is ended."""
        for part in parts:
            if self._stopped.is_set():
                raise StoppedError
            yield part
            with self._lock:
                self._done += len(part)

    def run(self, items: Iterable[Item], do: Callable[[Item], Result]) -> Iterator[Result]:
        """Do each of `items`, several at once; results come in order, and the first failure ends it all.

        Progress is told by the thread that takes the results.
        """
        waiting: deque[Future[Result]] = deque()
        with ThreadPoolExecutor(_AT_ONCE, thread_name_prefix="moc_backup") as pool:
            try:
                for item in items:
                    waiting.append(pool.submit(do, item))
                    if len(waiting) >= 4 * _AT_ONCE:
                        yield self._next(waiting)
                while waiting:
                    yield self._next(waiting)
            except BaseException:
                self._stopped.set()
                pool.shutdown(wait=True, cancel_futures=True)
                raise

    def _next(self, waiting: deque[Future[Result]]) -> Result:
        future = waiting.popleft()
        while True:
            try:
                # In small steps: progress is told of a large object as well, and Ctrl-C is heard.
                result = future.result(timeout=0.2)
            except TimeoutError:
                if future.done():
                    raise
                self._tell()
                continue
            self._tell()
            return result

    def _tell(self) -> None:
        if self._progress is not None:
            self._progress(self._what, self._done, self._total)
