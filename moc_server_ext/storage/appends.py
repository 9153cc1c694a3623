"""Who is appending to what, and who is ending it: many may append at once, and one ends it when none of them does."""

from __future__ import annotations

import contextlib
import threading
from collections import Counter
from collections.abc import Callable, Iterator


class Appends:
    """The turns of those who append to things by name, and of those who end them. Thread-safe.

    Who ends something waits for those who append; who appends never waits, and is refused while something is ended.

    Parameters
    ----------
    refusal
        Makes the error for who comes while a thing is being ended.
    """

    def __init__(self, refusal: Callable[[str], Exception]) -> None:
        self._refusal = refusal
        self._changed = threading.Condition()
        self._appending: Counter[str] = Counter()
        self._ending: set[str] = set()

    @contextlib.contextmanager
    def appending(self, name: str) -> Iterator[None]:
        """Append in the block, beside others who do."""
        with self._changed:
            if name in self._ending:
                raise self._refusal(name)
            self._appending[name] += 1
        try:
            yield
        finally:
            with self._changed:
                self._appending[name] -= 1
                if not self._appending[name]:
                    del self._appending[name]
                    self._changed.notify_all()

    @contextlib.contextmanager
    def ending(self, name: str) -> Iterator[None]:
        """End it in the block, alone: whoever is appending comes to an end before, and nobody begins."""
        with self._changed:
            if name in self._ending:
                raise self._refusal(name)
            self._ending.add(name)
            try:
                self._changed.wait_for(lambda: name not in self._appending)
            except BaseException:
                self._ending.discard(name)
                raise
        try:
            yield
        finally:
            with self._changed:
                self._ending.discard(name)
