"""Timing two things side by side, so that their ratio holds while the machine's speed drifts."""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Comparison:
    """One line of the report.

    Parameters
    ----------
    ours_us, theirs_us
        Medians in microseconds.
    ratio
        Median of the ratios ours/theirs, round by round.
    goal
        What the ratio should be at most; None where there is no goal.
    """

    subject: str
    peer: str
    ours_us: float
    theirs_us: float
    ratio: float
    goal: float | None

    @property
    def met(self) -> str:
        """Say whether the goal is met."""
        return "–" if self.goal is None else "yes" if self.ratio <= self.goal else "**no**"


@dataclass(frozen=True, slots=True)
class Measurement:
    """One line of the report's second table: a figure with a goal of its own.

    Parameters
    ----------
    goal
        In words; empty where there is none.
    is_met
        None where there is no goal.
    """

    subject: str
    measured: str
    goal: str = ""
    is_met: bool | None = None

    @property
    def met(self) -> str:
        """Say whether the goal is met."""
        return "–" if self.is_met is None else "yes" if self.is_met else "**no**"


def _time_us(function: Callable[[], object], count: int) -> float:
    begin = time.perf_counter_ns()
    for _ in range(count):
        function()
    return (time.perf_counter_ns() - begin) / count / 1000


def compare(
    subject: str,
    ours: Callable[[], object],
    peer: str,
    theirs: Callable[[], object],
    *,
    goal: float | None = None,
    rounds: int = 15,
    count: int = 200,
) -> Comparison:
    """Time both in turn, `rounds` times, `count` calls each, after one round that does not count."""
    _time_us(ours, max(1, count // 4))
    _time_us(theirs, max(1, count // 4))
    pairs = [(_time_us(ours, count), _time_us(theirs, count)) for _ in range(rounds)]
    return Comparison(
        subject,
        peer,
        statistics.median(a for a, _ in pairs),
        statistics.median(b for _, b in pairs),
        statistics.median(a / b for a, b in pairs),
        goal,
    )
