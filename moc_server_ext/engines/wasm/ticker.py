"""The clock of a ``wasmtime.Engine``: one thread that advances its epoch while guests run, and sleeps while none does.

What happens at a tick (yielding, timeouts, cancelling) is the guest's business.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from typing import Final

TICK_SECONDS: Final = 0.002
_LINGER_TICKS: Final = 100
# Longer than a guest that runs in one go is left alone.
_CLOSING_TICKS: Final = 20


class Ticker:
    """Calls `advance` every 2 ms while at least one guest runs.

    The thread starts with the first guest. It lingers for 0.2 s after the last one, so that a burst of short calls does
    not wake it each time, and then waits without a timer. Guests that may be suspended are counted (:meth:`enter`);
    those that run in one go say that they do (:meth:`touch`), at their start and whenever a tick comes to them.

    Parameters
    ----------
    advance
        Advances the epoch; must be quick.
    """

    def __init__(self, advance: Callable[[], object]) -> None:
        self._advance = advance
        self._lock = threading.Lock()
        self._wake = threading.Event()
        self._running = 0
        self._awake = False
        self._touched = False
        self._closed = False
        self._thread: threading.Thread | None = None

    def enter(self) -> None:
        """Count one more running guest."""
        with self._lock:
            self._running += 1
        if not self._awake:
            self._rouse()

    def leave(self) -> None:
        """Count one running guest less."""
        with self._lock:
            self._running -= 1

    def touch(self) -> None:
        """Tick for a while from now on; takes no lock."""
        self._touched = True
        if not self._awake:
            self._rouse()

    def close(self) -> None:
        """End the thread once no guest runs any more; idempotent."""
        self._closed = True
        self._wake.set()

    def _rouse(self) -> None:
        with self._lock:
            if self._awake:
                return
            self._awake = True
            if self._thread is None:
                self._thread = threading.Thread(target=self._tick, name="moc_epoch", daemon=True)
                self._thread.start()
        self._wake.set()

    def _tick(self) -> None:
        idle = 0
        while True:
            time.sleep(TICK_SECONDS)
            self._advance()
            idle = 0 if self._running or self._touched else idle + 1
            self._touched = False
            if idle < _LINGER_TICKS and not (self._closed and idle >= _CLOSING_TICKS):
                continue
            with self._lock:
                if self._running:
                    continue
                if self._closed:
                    self._thread = None
                    self._awake = False
                    return
                self._wake.clear()
                self._awake = False
                # Whoever touches says so first and looks then whether the clock runs; here it is the other way round.
                if self._touched:
                    self._awake = True
                    continue
            self._wake.wait()
            idle = 0
