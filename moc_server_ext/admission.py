"""Admission: how many calls run at once, and how many may wait for their turn.

Only calls from outside queue here. Calls that guests make draw on their root call's place, and the tasks of plans are
bounded by their executor.
"""

from __future__ import annotations

import queue
import threading
import time
from types import TracebackType

from .errors import OverloadedError, UnavailableError


class Admission:
    """A bounded number of places, and a bounded queue before them.

    Used as a context manager around a call: entering waits for a place, first come, first served. Thread-safe.

    Parameters
    ----------
    places
        Calls that run at once.
    queued
        Calls that may wait; one more is refused at once.
    wait_seconds
        How long one may wait.
    """

    def __init__(self, places: int, queued: int, wait_seconds: float = 60.0) -> None:
        self.places = places
        self.queued = queued
        self._wait_seconds = wait_seconds
        # A queue of tokens, not a semaphore: it is written in C, which makes an uncontended call 1 µs cheaper, and
        # waiting for it can be interrupted by Ctrl-C.
        self._tokens: queue.SimpleQueue[None] = queue.SimpleQueue()
        for _ in range(places):
            self._tokens.put(None)
        self._waiting: set[object] = set()
        self._lock = threading.Lock()
        self._closed = False
        #: How many calls were refused because there was too much work, since the start.
        self.refused = 0

    @property
    def running(self) -> int:
        """Calls that have a place now."""
        return self.places - self._tokens.qsize()

    @property
    def waiting(self) -> int:
        """Calls that wait for a place now."""
        return len(self._waiting)

    def __enter__(self) -> None:
        self.check_open()
        try:
            self._tokens.get_nowait()
        except queue.Empty:
            self._wait()
            if self._closed:
                self._tokens.put(None)
                self.check_open()

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self._tokens.put(None)

    def _wait(self) -> None:
        ticket = object()
        self._waiting.add(ticket)
        try:
            if len(self._waiting) > self.queued:
                raise self._refusal()
            self._tokens.get(timeout=self._wait_seconds)
        except queue.Empty:
            raise self._refusal() from None
        finally:
            self._waiting.discard(ticket)

    def _refusal(self) -> OverloadedError:
        with self._lock:
            self.refused += 1
        return OverloadedError()

    def close(self) -> None:
        """Refuse all further calls, those that wait included; idempotent, returns at once."""
        self._closed = True

    def wait_idle(self, timeout_seconds: float) -> bool:
        """Wait until no call runs; tell whether that came to pass in the time."""
        end = time.monotonic() + timeout_seconds
        held = 0
        try:
            for _ in range(self.places):
                self._tokens.get(timeout=max(0.0, end - time.monotonic()))
                held += 1
        except queue.Empty:
            return False
        finally:
            for _ in range(held):
                self._tokens.put(None)
        return True

    def check_open(self) -> None:
        """Refuse what would begin after :meth:`close`."""
        if self._closed:
            raise UnavailableError("The cluster is closed and takes no further calls.")
