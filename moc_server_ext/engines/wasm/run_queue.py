"""The run queue: guests that compute, and the worker threads that give each of them a slice in turn.

Round-robin by caller, then by call: a guest that computes for minutes delays nobody by more than its slices. One worker
a processor: guests run outside of the interpreter's lock.
"""

from __future__ import annotations

import contextlib
import os
import threading
from collections import OrderedDict, deque
from typing import Final, Protocol

_NICENESS: Final = 5


class Turn(Protocol):
    """What waits in the queue."""

    @property
    def caller(self) -> str:
        """Whose turn it is."""
        ...

    def take(self) -> bool:
        """Run for a slice, on a worker's thread; tell whether it wants another one. Never raises."""
        ...


class RunQueue:
    """Turns by caller, and the threads that take them. Thread-safe.

    Parameters
    ----------
    workers
        How many threads; they start with the first turn, and end with :meth:`close`.
    """

    def __init__(self, workers: int) -> None:
        self._workers = workers
        self._changed = threading.Condition()
        self._queues: OrderedDict[str, deque[Turn]] = OrderedDict()
        self._threads: list[threading.Thread] = []
        self._idle = 0
        self._closed = False

    def put(self, turn: Turn) -> None:
        """Add a turn, behind the others of its caller."""
        with self._changed:
            self._queues.setdefault(turn.caller, deque()).append(turn)
            if self._idle:
                self._changed.notify()
            elif len(self._threads) < self._workers and not self._closed:
                thread = threading.Thread(target=self._work, name="moc_worker", daemon=True)
                self._threads.append(thread)
                thread.start()

    def remove(self, turn: Turn) -> bool:
        """Take a turn out that no worker has begun; False if one has, or it is not there."""
        with self._changed:
            queue = self._queues.get(turn.caller)
            if queue is None or turn not in queue:
                return False
            queue.remove(turn)
            if not queue:
                del self._queues[turn.caller]
            return True

    def close(self) -> None:
        """End the workers after the slices that they run; what is queued stays there. Idempotent."""
        with self._changed:
            self._closed = True
            self._changed.notify_all()
        for thread in self._threads:
            thread.join()

    def _next(self) -> Turn | None:
        with self._changed:
            while not self._queues and not self._closed:
                self._idle += 1
                self._changed.wait()
                self._idle -= 1
            if self._closed:
                return None
            caller, queue = self._queues.popitem(last=False)
            turn = queue.popleft()
            if queue:
                # Behind all others: each caller's turn comes once a round.
                self._queues[caller] = queue
            return turn

    def _work(self) -> None:
        # On Linux this is the thread's own: the event loop goes before guests that compute, who lose next to nothing.
        with contextlib.suppress(OSError):
            os.setpriority(os.PRIO_PROCESS, threading.get_native_id(), _NICENESS)
        while (turn := self._next()) is not None:
            if turn.take():
                self.put(turn)
            # Whoever waits for the next one holds none: with a turn goes all that its call has.
            del turn
