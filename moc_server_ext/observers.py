"""Who is told what happens in a cluster: observers of calls and runs. What they do with it is theirs."""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable
from typing import Any

from .abc import Observer
from .model import CallRecord, RunRecord

_log = logging.getLogger(__name__)


class Observers:
    """The observers of one cluster, told one after another. Thread-safe."""

    def __init__(self) -> None:
        # Replaced, never changed: who tells them looks at one of them without a lock.
        self._all: tuple[Observer, ...] = ()
        self._of_starts: tuple[tuple[Observer, Callable[[], bool]], ...] = ()
        self._failed: set[Observer] = set()
        self._lock = threading.Lock()

    @property
    def any(self) -> bool:
        """Whether anybody is told at all."""
        return bool(self._all)

    @property
    def of_starts(self) -> bool:
        """Whether somebody wants to know when a call begins."""
        return any(wants() for _, wants in self._of_starts)

    def subscribe(self, observer: Observer, *, starts: bool | Callable[[], bool] = True) -> Callable[[], None]:
        """Tell `observer` from now on; calling what is given back ends it, and is idempotent.

        Parameters
        ----------
        starts
            Whether it is told when calls begin, too; a function is asked each time, on whatever thread.
        """
        with self._lock:
            self._all = (*self._all, observer)
            if starts:
                wants = starts if callable(starts) else _always
                self._of_starts = (*self._of_starts, (observer, wants))

        def unsubscribe() -> None:
            with self._lock:
                self._all = tuple(each for each in self._all if each is not observer)
                self._of_starts = tuple(each for each in self._of_starts if each[0] is not observer)
                self._failed.discard(observer)

        return unsubscribe

    def call_started(self, record: CallRecord) -> None:
        """Tell of a call that begins."""
        for each, wants in self._of_starts:
            if wants():
                self._tell(each, each.call_started, record)

    def call_ended(self, record: CallRecord) -> None:
        """Tell all of a call that has ended."""
        for each in self._all:
            self._tell(each, each.call_ended, record)

    def run_ended(self, record: RunRecord) -> None:
        """Tell all of a run that has ended."""
        for each in self._all:
            self._tell(each, each.run_ended, record)

    def _tell(self, observer: Observer, method: Callable[[Any], None], record: CallRecord | RunRecord) -> None:
        try:
            method(record)
        except Exception:  # an observer looks on: whatever is wrong with it is not the call's end
            if observer not in self._failed:
                self._failed.add(observer)
                _log.exception("%s cannot take what it is told; this is logged once", type(observer).__name__)


def _always() -> bool:
    return True
