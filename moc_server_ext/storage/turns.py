"""Turns at the one writer: of the threads that wait for it, one does the work of all.

Owns who leads, who waits and who is woken. What the work is, and that each piece of it gets an outcome of its own, is
the caller's.
"""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Callable, Sequence
from typing import Final, Generic, Protocol, TypeVar

BATCH_MAX: Final = 64
BATCH_BYTES_MAX: Final = 4 << 20
_GLANCE_SECONDS: Final = 0.05


class Weighed(Protocol):
    """A piece of work."""

    @property
    def weight(self) -> int:
        """About how many bytes it writes."""
        ...


Work = TypeVar("Work", bound=Weighed)


class _Turn(Generic[Work]):
    """The place of one thread."""

    __slots__ = ("leads", "wake", "work")

    def __init__(self, work: Work) -> None:
        self.work = work
        self.leads = False
        self.wake = threading.Lock()
        self.wake.acquire()


class Turns(Generic[Work]):
    """Has work done in the order in which it comes, by one thread at a time. Thread-safe.

    Parameters
    ----------
    run
        Does some pieces of work together. What it raises goes to the thread that called it and to no other, so that it
        must keep the outcome of each piece with the piece.
    """

    def __init__(self, run: Callable[[Sequence[Work]], None]) -> None:
        self._run = run
        self._mutex = threading.Lock()
        self._is_led = False
        self._waiting: deque[_Turn[Work]] = deque()

    def take(self, work: Work, is_interrupted: Callable[[], bool]) -> bool:
        """Return once `work` was run, by this thread or by another.

        No exception must come to this thread from outside meanwhile, such as that of a signal.

        Parameters
        ----------
        is_interrupted
            Asked now and then on the main thread, while the work has not been begun: whether to give it up.

        Returns
        -------
        bool
            False: it was given up, and never run.
        """
        turn = _Turn(work)
        with self._mutex:
            if self._is_led:
                self._waiting.append(turn)
            else:
                self._is_led = turn.leads = True
        if not turn.leads and not self._wait(turn, is_interrupted):
            return False
        if turn.leads:
            self._lead(turn)
        return True

    def _wait(self, turn: _Turn[Work], is_interrupted: Callable[[], bool]) -> bool:
        if threading.current_thread() is not threading.main_thread():
            turn.wake.acquire()
            return True
        while not turn.wake.acquire(timeout=_GLANCE_SECONDS):
            if is_interrupted() and self._give_up(turn):
                return False
        return True

    def _give_up(self, turn: _Turn[Work]) -> bool:
        with self._mutex:
            # Not among them any more: it is being run, or this thread is about to be told to lead.
            if turn not in self._waiting:
                return False
            self._waiting.remove(turn)
            return True

    def _lead(self, turn: _Turn[Work]) -> None:
        batch = [turn]
        weight = turn.work.weight
        with self._mutex:
            while self._waiting and len(batch) < BATCH_MAX and weight < BATCH_BYTES_MAX:
                weight += self._waiting[0].work.weight
                batch.append(self._waiting.popleft())
        try:
            self._run([each.work for each in batch])
        finally:
            with self._mutex:
                following = self._waiting.popleft() if self._waiting else None
                if following is None:
                    self._is_led = False
                else:
                    following.leads = True
            for each in batch[1:]:
                each.wake.release()
            if following is not None:
                following.wake.release()
