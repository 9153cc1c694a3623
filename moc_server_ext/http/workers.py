"""The storage threads: blocking operations run on them, bounded in number and in how many requests may wait.

Calls of functions need none: they run on the event loop.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Any, TypeVar

from ..errors import OverloadedError, UnavailableError

T = TypeVar("T")


class Workers:
    """Runs blocking operations off the event loop.

    Parameters
    ----------
    threads
        How many there are.
    waiting
        How many requests may wait beyond those that run.
    """

    def __init__(self, threads: int, *, waiting: int = 256) -> None:
        self._pool = ThreadPoolExecutor(threads, thread_name_prefix="moc_storage")
        self._capacity = threads + waiting
        self._work: set[Future[Any]] = set()
        self._closed = False

    async def run(self, operation: Callable[[], T], *, admitted: bool = False) -> T:
        """Run `operation` on one of the threads and wait for it; called on the event loop's thread.

        A place is given back when the thread is done, not when the one who waits is gone. Cancelling the
        wait drops an operation that has not begun; one that has begun goes on.

        Parameters
        ----------
        admitted
            Whether it continues something that has begun, which is not refused in the middle.

        Raises
        ------
        OverloadedError
            Too many requests wait already. `operation` was not started.
        UnavailableError
            This is closed. `operation` was not started.
        """
        if not admitted and len(self._work) >= self._capacity:
            raise OverloadedError()
        return await asyncio.wrap_future(self._submit(operation))

    def begin(self, operation: Callable[[], object]) -> None:
        """Run `operation`, which is never refused and whose end nobody waits for; dropped once this is closed."""
        if not self._closed:
            self._submit(operation)

    def _submit(self, operation: Callable[[], T]) -> Future[T]:
        if self._closed:
            raise UnavailableError("The server is shutting down.")
        future = self._pool.submit(operation)
        self._work.add(future)
        future.add_done_callback(self._work.discard)
        return future

    @property
    def busy(self) -> bool:
        """Whether some operation is still running on its thread."""
        return any(future.running() for future in tuple(self._work))

    def close(self) -> None:
        """Take nothing new and drop what waits; what runs is not waited for."""
        self._closed = True
        self._pool.shutdown(wait=False, cancel_futures=True)
