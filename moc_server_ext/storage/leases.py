"""Leases: object files that stay for a time because somebody outside of this process was told where they lie.

Whoever reads a file by its path holds nothing that the owner could see. So the pin of what was told is kept for as long
as the grace period, also when a full disk or a quota lets garbage go without grace.
"""

from __future__ import annotations

import threading
import time
from collections import OrderedDict
from typing import Final

from .pins import Pin

_LEASES_MAX: Final = 1024


class Leases:
    """The leases of one storage. Thread-safe.

    Attributes
    ----------
    seconds
        How long each lasts, from the last time that it was lent.
    """

    def __init__(self) -> None:
        self.seconds = 0.0
        # Reentrant: a pin that is dropped while it is held may be the last thing that keeps others.
        self._lock = threading.RLock()
        self._lent: OrderedDict[int, tuple[float, Pin]] = OrderedDict()

    def lend(self, pin: Pin) -> None:
        """Keep what a reader has pinned for a time beyond the reader; beyond a thousand, the oldest ends early."""
        with self._lock:
            self._lent.pop(id(pin), None)
            self._lent[id(pin)] = (time.monotonic() + self.seconds, pin)
            if len(self._lent) > _LEASES_MAX:
                self._lent.popitem(last=False)

    def expire(self) -> None:
        """Let go of what was lent long ago; before each collection."""
        now = time.monotonic()
        with self._lock:
            while self._lent and next(iter(self._lent.values()))[0] <= now:
                self._lent.popitem(last=False)
