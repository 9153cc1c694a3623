# ruff: noqa: D102 - methods are documented by the protocols that they implement
"""Time and random bytes as a guest sees them: the machine's, or made up for deterministic functions.

A function that declares itself deterministic gets a clock that stands at 2001-09-09T01:46:40Z (10⁹ s) when its call
starts and moves on by one microsecond at each reading, and by the whole time of a sleep, which does not wait. Its
random bytes are the SHA-512 of its blob id and a counter, in counter mode. Both depend on the module alone, so that the
same call gives the same bytes on any machine, at any time.
"""

from __future__ import annotations

import hashlib
import os
import time
from typing import Protocol

_EPOCH_NS = 1_000_000_000 * 1_000_000_000
_STEP_NS = 1_000


class Clock(Protocol):
    """Readings in nanoseconds."""

    resolution_ns: int

    def now(self) -> int:
        """Give the time since the epoch, for timestamps of files."""
        ...

    def read(self, monotonic: bool) -> int:
        """Give the time since the epoch, or since some point that stays."""
        ...

    def skip(self, duration_ns: int) -> bool:
        """Let `duration_ns` pass without waiting and tell True; or tell False, and whoever sleeps must wait."""
        ...


class SystemClock:
    """The machine's clock."""

    __slots__ = ()

    resolution_ns = 1

    def now(self) -> int:
        return time.time_ns()

    def read(self, monotonic: bool) -> int:
        return time.monotonic_ns() if monotonic else time.time_ns()

    def skip(self, duration_ns: int) -> bool:
        return False


class CountingClock:
    """A clock that only its own reading moves."""

    __slots__ = ("_passed_ns",)

    resolution_ns = _STEP_NS

    def __init__(self) -> None:
        self._passed_ns = 0

    def now(self) -> int:
        return _EPOCH_NS + self._passed_ns

    def read(self, monotonic: bool) -> int:
        self._passed_ns += _STEP_NS
        return _EPOCH_NS + self._passed_ns

    def skip(self, duration_ns: int) -> bool:
        self._passed_ns += duration_ns
        return True


class RandomSource(Protocol):
    """Random bytes."""

    def take(self, count: int) -> bytes:
        """Give the next `count` bytes."""
        ...


class SystemRandom:
    """The operating system's random bytes."""

    __slots__ = ()

    def take(self, count: int) -> bytes:
        return os.urandom(count)


class SeededRandom:
    """Bytes that follow from a seed alone.

    Parameters
    ----------
    seed
        Any bytes.
    """

    __slots__ = ("_counter", "_rest", "_seed")

    def __init__(self, seed: bytes) -> None:
        self._seed = hashlib.sha512(seed)
        self._counter = 0
        self._rest = b""

    def take(self, count: int) -> bytes:
        blocks = [self._rest]
        missing = count - len(self._rest)
        while missing > 0:
            block = self._seed.copy()
            block.update(self._counter.to_bytes(8, "little"))
            blocks.append(block.digest())
            self._counter += 1
            missing -= 64
        content = b"".join(blocks)
        self._rest = content[count:]
        return content[:count]


SYSTEM_CLOCK = SystemClock()
SYSTEM_RANDOM = SystemRandom()
