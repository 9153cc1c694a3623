"""How the storage grows: a sample of its size at most every hour, and what follows from the samples."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any, Final

from ..errors import MocError
from .facts import Facts

_FACT: Final = "sizes"
_EVERY_SECONDS: Final = 3600.0
_SAMPLES_MAX: Final = 400
_DAY_SECONDS: Final = 86_400.0


class Sizes:
    """The history of one storage's size: pairs of a time (seconds since the epoch) and bytes. Thread-safe."""

    def __init__(self, facts: Facts, now: Callable[[], float] = time.time) -> None:
        self._facts = facts
        self._now = now

    def growth(self, size: int, free: int) -> dict[str, Any]:
        """Take a sample if the last one is old enough, and tell how fast the storage grows.

        Parameters
        ----------
        size, free
            Bytes that it takes on the disk now, and bytes that are left there.

        Returns
        -------
        dict
            ``bytes_per_day``, None before there are samples of an hour; ``since``, when the oldest sample is of;
            ``days_left`` until the disk is full at that growth, None when it does not grow.
        """
        now = self._now()
        samples = self._samples()
        # A clock that was set back begins a new history, rather than end the sampling until it has caught up.
        if samples and samples[-1][0] > now:
            samples = []
        if not samples or now - samples[-1][0] >= _EVERY_SECONDS:
            samples = [*samples, (now, size)][-_SAMPLES_MAX:]
            try:
                self._facts.set(_FACT, samples)
            except MocError:
                # A full or read-only disk has none to add; its status must be told nevertheless.
                samples = samples[:-1]
        if not samples or now - samples[0][0] < _EVERY_SECONDS:
            return {"bytes_per_day": None, "since": samples[0][0] if samples else None, "days_left": None}
        since, first = samples[0]
        per_day = round((size - first) / (now - since) * _DAY_SECONDS)
        return {
            "bytes_per_day": per_day,
            "since": since,
            "days_left": round(free / per_day, 1) if per_day > 0 else None,
        }

    def _samples(self) -> list[tuple[float, int]]:
        stored = self._facts.get(_FACT)
        return [(float(when), int(size)) for when, size in stored] if isinstance(stored, list) else []
