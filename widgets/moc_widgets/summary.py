"""Figures over all elements of an array, and the outline of a long line, a block at a time.

The blocks come from :mod:`.elements`; nothing here reads.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any, Final

if TYPE_CHECKING:
    from numpy import ndarray

OUTLINE_POINTS: Final = 1024
"""Into how many pieces a line is cut of which each is shown by its lowest and its highest value."""


class Statistics:
    """Count, range, mean and standard deviation of the elements seen so far.

    Mean and deviation are of the finite ones, joined block by block (Chan, Golub and LeVeque 1979), so that they hold
    also where a sum would lose its digits. Of complex numbers the magnitudes are looked at.
    """

    def __init__(self) -> None:
        self.count = self.nans = self.infinities = 0
        self._low: float | int | None = None
        self._high: float | int | None = None
        self._finite = 0
        self._mean = self._squares = 0.0

    def add(self, block: ndarray[Any, Any]) -> None:
        """Take in a block of elements, of any shape."""
        import numpy

        values = _ordered(block)
        self.count += values.size
        if values.dtype.kind == "f":
            finite = numpy.isfinite(values)
            if not finite.all():
                nans = int(numpy.isnan(values).sum())
                self.nans += nans
                self.infinities += values.size - int(finite.sum()) - nans
                self._widen(values[~numpy.isnan(values)])
                values = values[finite]
            else:
                self._widen(values)
        else:
            self._widen(values)
        if not values.size:
            return
        wide = values.astype("f8")
        with numpy.errstate(over="ignore", invalid="ignore"):
            mean = float(wide.mean())
            squares = float(numpy.square(wide - mean).sum())
        finite_before, self._finite = self._finite, self._finite + values.size
        away = mean - self._mean
        self._squares += squares + away * away * finite_before * values.size / self._finite
        self._mean += away * values.size / self._finite

    def _widen(self, values: ndarray[Any, Any]) -> None:
        if values.size:
            low, high = values.min().item(), values.max().item()
            self._low = low if self._low is None else min(self._low, low)
            self._high = high if self._high is None else max(self._high, high)

    def to_json(self) -> dict[str, str | None]:
        """Give the figures as text: JSON has no NaN, and the front end's integers end at 2**53."""
        deviation = math.sqrt(self._squares / self._finite) if self._finite else None
        return {
            "count": str(self.count),
            "min": _text(self._low),
            "max": _text(self._high),
            "mean": _text(self._mean if self._finite else None),
            "std": _text(deviation),
            "nans": str(self.nans),
            "infinities": str(self.infinities),
        }


class Outline:
    """The lowest and the highest value in each piece of a line of `length` elements; NaN where there is none."""

    def __init__(self, length: int) -> None:
        import numpy

        self._length = length
        self._points = min(length, OUTLINE_POINTS)
        self.low = numpy.full(self._points, numpy.nan)
        self.high = numpy.full(self._points, numpy.nan)

    def add(self, start: int, block: ndarray[Any, Any]) -> None:
        """Take in the elements of the line that begin at `start`."""
        import numpy

        values = _ordered(block).astype("f8")
        first = start * self._points // self._length
        last = (start + len(values) - 1) * self._points // self._length
        # Piece p begins at the first index i with i * points // length == p.
        edges = [max(-(-piece * self._length // self._points) - start, 0) for piece in range(first, last + 1)]
        low, high = numpy.fmin.reduceat(values, edges), numpy.fmax.reduceat(values, edges)
        here = slice(first, last + 1)
        self.low[here] = numpy.fmin(self.low[here], low)
        self.high[here] = numpy.fmax(self.high[here], high)


def _ordered(block: ndarray[Any, Any]) -> ndarray[Any, Any]:
    """Give numbers that can be told which is larger."""
    import numpy

    if block.dtype.kind == "c":
        magnitudes: ndarray[Any, Any] = numpy.abs(block)
        return magnitudes
    return block.view("u1") if block.dtype.kind == "b" else block


def _text(value: float | int | None) -> str | None:
    return None if value is None else str(value)
