"""Work beside the kernel's main thread: one piece at a time, and the newest asked for wins."""

from __future__ import annotations

import contextvars
import threading
from collections.abc import Callable

IsObsolete = Callable[[], bool]
Work = Callable[[IsObsolete], None]


class Lane:
    """Does what it is given on a thread of its own, which lives only while there is work. Thread-safe.

    New work takes the place of what waits, and what runs learns through its argument that nobody wants it any more; it
    should end soon then. What work raises is the affair of the thread's excepthook: work answers for its own errors.
    """

    def __init__(self, name: str) -> None:
        self._name = name
        self._lock = threading.Lock()
        self._newest = 0
        self._next: tuple[int, Work] | None = None
        self._is_busy = False

    def put(self, work: Work) -> None:
        """Do `work` as soon as what runs has ended; returns at once."""
        with self._lock:
            self._newest += 1
            self._next = self._newest, work
            if self._is_busy:
                return
            self._is_busy = True
        # What is sent from the thread belongs to the cell that is answered now.
        context = contextvars.copy_context()
        threading.Thread(target=context.run, args=(self._run,), name=self._name, daemon=True).start()

    def stop(self) -> None:
        """Tell what runs that nobody wants it any more, and forget what waits; returns at once."""
        with self._lock:
            self._newest += 1
            self._next = None

    def _run(self) -> None:
        while True:
            with self._lock:
                if self._next is None:
                    self._is_busy = False
                    return
                number, work = self._next
                self._next = None
            try:
                work(lambda number=number: number != self._newest)  # type: ignore[misc]
            except BaseException:
                with self._lock:
                    self._is_busy = False
                raise
