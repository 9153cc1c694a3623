"""What an index means: integers, slices, ``...`` and ``None`` over a shape, as NumPy's basic indexing has them."""

from __future__ import annotations

import operator
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Final

_VALID: Final = (
    "only integers, slices (`:`), ellipsis (`...`) and numpy.newaxis (`None`) are valid indices of a stored array; "
    "read it with to_numpy() first to index by lists, arrays or booleans"
)


@dataclass(frozen=True, slots=True)
class Run:
    """Indices along one axis: ``start``, ``start + step`` and so on, `count` of them; all lie in the axis."""

    start: int
    step: int
    count: int


@dataclass(frozen=True, slots=True)
class Selection:
    """A selection of an array.

    Parameters
    ----------
    runs
        The indices along each axis of the array; an integer index is a run of one.
    shape
        Shape of the result, without the axes of integer indices and with those of ``None``.
    is_scalar
        Whether the result is a scalar, and not an array without dimensions.
    """

    runs: tuple[Run, ...]
    shape: tuple[int, ...]
    is_scalar: bool

    @property
    def counts(self) -> tuple[int, ...]:
        """How many indices there are along each axis of the array."""
        return tuple(each.count for each in self.runs)

    @property
    def is_empty(self) -> bool:
        """Whether it selects nothing."""
        return 0 in self.counts


def parse_selection(index: Any, shape: Sequence[int]) -> Selection:
    """Read what stands between the brackets of ``array[…]``, for an array of `shape`.

    Raises
    ------
    IndexError
        An index lies outside, there are too many, or it is none of basic indexing.
    TypeError, ValueError
        A slice is none, as Python has it.
    """
    given = index if isinstance(index, tuple) else (index,)
    ndim = len(shape)
    # Not `in` or `count`, which compare, and an array among the indices compares with everything.
    ellipses = sum(1 for each in given if each is Ellipsis)
    used = sum(1 for each in given if each is not Ellipsis and each is not None)
    if ellipses > 1:
        raise IndexError("an index can only have a single ellipsis ('...')")
    if used > ndim:
        raise IndexError(f"too many indices for array: array is {ndim}-dimensional, but {used} were indexed")
    if not ellipses:
        given = (*given, Ellipsis)
    runs: list[Run] = []
    result: list[int] = []
    for each in given:
        if each is Ellipsis:
            for size in shape[len(runs) : len(runs) + ndim - used]:
                runs.append(Run(0, 1, size))
                result.append(size)
        elif each is None:
            result.append(1)
        elif isinstance(each, slice):
            start, stop, step = each.indices(shape[len(runs)])
            runs.append(Run(start, step, len(range(start, stop, step))))
            result.append(runs[-1].count)
        else:
            runs.append(_single(each, len(runs), shape[len(runs)]))
    return Selection(tuple(runs), tuple(result), is_scalar=not result and not ellipses)


def select_box(box: Sequence[tuple[int, int]]) -> Selection:
    """Select half-open ranges, one an axis, that all lie in the array."""
    runs = tuple(Run(start, 1, stop - start) for start, stop in box)
    return Selection(runs, tuple(run.count for run in runs), is_scalar=False)


def _single(index: Any, axis: int, size: int) -> Run:
    # A boolean is an integer to Python and a mask to NumPy.
    if isinstance(index, bool) or type(index).__name__ in ("bool", "bool_"):
        raise IndexError(_VALID)
    try:
        number = operator.index(index)
    except TypeError:
        raise IndexError(_VALID) from None
    if not -size <= number < size:
        raise IndexError(f"index {number} is out of bounds for axis {axis} with size {size}")
    return Run(number % size, 1, 1)
