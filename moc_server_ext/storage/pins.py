"""Object files that were replaced and may still be read: who keeps them, and when they go.

A reader of several files looks them up in the catalog first and opens them later, one by one. What it has looked up is
*pinned*: a writer that replaces it leaves the files until the last reader has let go, or was dropped. Known only to the
process that owns the storage: what is left when it dies is swept at the next opening.
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
        # The sweep at the next opening does it as well, and the catalog is closed by then.
        self._close.atexit = False

    def close(self) -> None:
        """Let go; idempotent."""
        self._close()


class Pins:
    """Which object files are kept for readers. Thread-safe.

    Parameters
    ----------
    remove
        Removes the file of an object that nobody reads any more; must not fail.
    """

    def __init__(self, remove: Callable[[str], object]) -> None:
        self._remove = remove
        self._lock = threading.Lock()
        self._turn = 0
        self._looking: set[int] = set()
        self._pinned: Counter[str] = Counter()
        self._retired: dict[str, int] = {}
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
            self._tidy()

    def pin(self, object_ids: Iterable[str]) -> Pin:
        """Keep objects for a reader; inside of :meth:`looking`."""
        ids = tuple(object_ids)
        with self._lock:
            self._pinned.update(ids)
        return Pin(self._release, ids)

    def retire(self, object_ids: Iterable[str]) -> None:
        """Remove objects that the catalog refers to no more: at once, or when their last reader has let go.

        Called after the commit, so that whoever begins to look from now on does not find them.
        """
        with self._lock:
            for object_id in object_ids:
                self._retired[object_id] = self._turn
            self._turn += 1
        self._tidy()

    def kept(self) -> int:
        """Tell how many objects are kept for readers."""
        self._tidy()
        return len(self._pinned)

    def close(self) -> None:
        """Remove what is kept for readers that have not let go: with the storage closed they cannot go on."""
        with self._lock:
            gone = list(self._retired)
            self._retired.clear()
        for object_id in gone:
            self._remove(object_id)

    def _release(self, object_ids: tuple[str, ...]) -> None:
        self._let_go.append(object_ids)
        self._tidy(wait=False)

    def _tidy(self, *, wait: bool = True) -> None:
        while self._lock.acquire(blocking=wait):
            try:
                gone = self._collect()
            finally:
                self._lock.release()
            for object_id in gone:
                self._remove(object_id)
            # Noted while the lock was held, by somebody who could not wait for it.
            if not self._let_go:
                return
            wait = False

    def _collect(self) -> list[str]:
        while self._let_go:
            for object_id in self._let_go.popleft():
                if self._pinned[object_id] > 1:
                    self._pinned[object_id] -= 1
                else:
                    del self._pinned[object_id]
        if not self._retired:
            return []
        # Whoever began to look before an object was retired may have seen it, and not have come to pin it.
        oldest = min(self._looking, default=self._turn)
        gone = [each for each, turn in self._retired.items() if turn <= oldest and each not in self._pinned]
        for object_id in gone:
            del self._retired[object_id]
        return gone
