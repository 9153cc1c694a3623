"""Where each chunk lies in its array, and how much of the array lies in it."""

from __future__ import annotations

import itertools
import math
from collections.abc import Iterator
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from ..model import ArraySpec


def array_runs(array: ArraySpec) -> Iterator[tuple[str, int]]:
    """Give each chunk's key and the number of the array's bytes in it; the rest of the chunk only fills it.

    Of an array that is contiguous, these are the bytes in C order, one run after the other.
    """
    axes = [
        [min(chunk, length - index * chunk) for index in range(count)]
        for length, chunk, count in zip(array.shape, array.chunks, array.grid, strict=True)
    ]
    for key, lengths in zip(array.chunk_keys(), itertools.product(*axes), strict=True):
        yield key, math.prod(lengths) * array.itemsize


def grid_slices(spec: ArraySpec) -> Iterator[tuple[slice, ...]]:
    """Tell where each chunk lies in the array, in C order of the grid; those at the edges are cut off there."""
    axes = [
        [slice(index * chunk, min((index + 1) * chunk, length)) for index in range(count)]
        for length, chunk, count in zip(spec.shape, spec.chunks, spec.grid, strict=True)
    ]
    return itertools.product(*axes)
