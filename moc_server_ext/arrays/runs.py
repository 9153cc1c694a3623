"""Chunks that are runs of an array's bytes: how much of the array lies in each, in the order of the bytes."""

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
