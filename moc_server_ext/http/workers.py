"""Worker threads for blocking operations, bounded in number and in how many requests may wait for them."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Any, TypeVar

from ..errors import OverloadedError, UnavailableError
from .routes import Lane

T = TypeVar("T")


class Workers:
    """Runs blocking operations off the event loop.

    Parameters
    ----------
    threads
        How many threads each lane has.
    waiting
        How many requests may wait in a lane beyond those that run.
    """

    def __init__(self, threads: Mapping[Lane, int], *, waiting: int = 256) -> None:
        self._pools = {
            lane: ThreadPoolExecutor(count, thread_name_prefix=f"moc-http-{lane}") for lane, count in threads.items()
        }
        self._capacity = {lane: count + waiting for lane, count in threads.items()}
        self._work: dict[Lane, set[Future[Any]]] = {lane: set() for lane in threads}
        self._closed = False

    async def run(self, lane: Lane, operation: Callable[[], T], *, admitted: bool = False) -> T:
        """Run `operation` on a thread of `lane` and wait for it; called on the event loop's thread.

        A place in the lane is given back when the thread is done, not when the one who waits is gone. Cancelling the
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
        if not admitted and len(self._work[lane]) >= self._capacity[lane]:
            raise OverloadedError()
        return await asyncio.wrap_future(self._submit(lane, operation))

    def begin(self, lane: Lane, operation: Callable[[], object]) -> None:
        """Run `operation`, which is never refused and whose end nobody waits for; dropped once this is closed."""
        if not self._closed:
            self._submit(lane, operation)

    def _submit(self, lane: Lane, operation: Callable[[], T]) -> Future[T]:
        if self._closed:
            raise UnavailableError("The server is shutting down.")
        future = self._pools[lane].submit(operation)
        self._work[lane].add(future)
        future.add_done_callback(self._work[lane].discard)
        return future

    @property
    def busy(self) -> bool:
        """Whether some operation is still running on its thread."""
        return any(future.running() for work in self._work.values() for future in tuple(work))

    def close(self) -> None:
        """Take nothing new and drop what waits; what runs is not waited for."""
        self._closed = True
        for pool in self._pools.values():
            pool.shutdown(wait=False, cancel_futures=True)
