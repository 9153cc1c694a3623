"""Object files that may still be read although nothing refers to them any more: who keeps them, and until when.

A reader of several files looks them up in the catalog first and opens them later, one by one. What it has looked up is
*pinned*: the collector leaves the files until the last reader has let go, or was dropped. Known only to the process
that owns the storage.
"""

from __future__ import annotations

import contextlib
import threading
import weakref
from collections import Counter, deque
from collections.abc import Callable, Iterable, Iterator


class Pin:
    """Object files that one reader keeps; let go by :meth:`close`, or when it is dropped."""

    __slots__ = ("__weakref__", "_close")

    def __init__(self, let_go: Callable[[tuple[str, ...]], None], object_ids: tuple[str, ...]) -> None:
        self._close = weakref.finalize(self, let_go, object_ids)
        # Nobody collects any more by then.
        self._close.atexit = False

    def close(self) -> None:
        """Let go; idempotent."""
        self._close()


class Pins:
    """Which object files are kept for readers. Thread-safe."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._turn = 0
        self._looking: set[int] = set()
        self._pinned: Counter[str] = Counter()
        # A dropped reader is noticed wherever garbage is collected, perhaps by a thread that holds the lock: it leaves
        # a note instead of waiting.
        self._let_go: deque[tuple[str, ...]] = deque()

    @contextlib.contextmanager
    def looking(self) -> Iterator[None]:
        """Look objects up in the catalog and :meth:`pin` them, in the block: what is found there is not removed."""
        with self._lock:
            turn = self._turn
            self._turn += 1
            self._looking.add(turn)
        try:
            yield
        finally:
            with self._lock:
                self._looking.discard(turn)

    def pin(self, object_ids: Iterable[str]) -> Pin:
        """Keep objects for a reader; inside of :meth:`looking`."""
        ids = tuple(object_ids)
        with self._lock:
            self._tidy()
            self._pinned.update(ids)
        return Pin(self._let_go.append, ids)

    def turn(self) -> int:
        """Give what tells those who look already from those who begin to look later."""
        with self._lock:
            return self._turn

    def looked(self, turn: int) -> bool:
        """Tell whether all who looked before `turn` have ended: what they found, and want to keep, is pinned now."""
        with self._lock:
            return min(self._looking, default=turn) >= turn

    def is_pinned(self, object_id: str) -> bool:
        """Tell whether a reader keeps an object."""
        with self._lock:
            self._tidy()
            return object_id in self._pinned

    def kept(self) -> int:
        """Tell how many objects are kept for readers."""
        with self._lock:
            self._tidy()
            return len(self._pinned)

    def _tidy(self) -> None:
        while self._let_go:
            for object_id in self._let_go.popleft():
                if self._pinned[object_id] > 1:
                    self._pinned[object_id] -= 1
                else:
                    del self._pinned[object_id]
