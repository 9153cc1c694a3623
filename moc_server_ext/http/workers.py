"""Worker threads for blocking operations, bounded in number and in how many requests may wait for them."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Any, TypeVar

from ..errors import OverloadedError
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

    async def run(self, lane: Lane, operation: Callable[[], T]) -> T:
        """Run `operation` on a thread of `lane` and wait for it; called on the event loop's thread.

        A place in the lane is given back when the thread is done, not when the one who waits is gone. Cancelling the
        wait drops an operation that has not begun; one that has begun goes on.

        Raises
        ------
        OverloadedError
            Too many requests wait already. `operation` was not started.
        """
        work = self._work[lane]
        if len(work) >= self._capacity[lane]:
            raise OverloadedError()
        future = self._pools[lane].submit(operation)
        work.add(future)
        future.add_done_callback(work.discard)
        return await asyncio.wrap_future(future)

    @property
    def busy(self) -> bool:
        """Whether some operation is still running on its thread."""
        return any(future.running() for work in self._work.values() for future in tuple(work))

    def close(self) -> None:
        """Take nothing new and drop what waits; what runs is not waited for."""
        for pool in self._pools.values():
            pool.shutdown(wait=False, cancel_futures=True)
