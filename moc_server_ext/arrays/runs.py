"""Where each chunk lies in its array, how much of the array lies in it, and what fills it up behind that.

Chunks of a regular grid all have one shape; at the edges of the array only a part of them counts. Which chunks a range
of bytes or a selection needs is for others.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Any

from ..model.arrays import chunk_path

if TYPE_CHECKING:
    import numpy

    from ..model import ArraySpec


def counting_shape(array: ArraySpec, index: Sequence[int]) -> tuple[int, ...]:
    """Tell how many elements of a chunk count along each axis."""
    return tuple(
        min(chunk, length - each * chunk) for each, chunk, length in zip(index, array.chunks, array.shape, strict=True)
    )


def chunk_index(array: ArraySpec, number: int) -> tuple[int, ...]:
    """Give the index of the chunk with this number, counted in C order of the grid."""
    index = []
    for count in reversed(array.grid):
        number, each = divmod(number, count)
        index.append(each)
    return tuple(reversed(index))


def chunk_run(array: ArraySpec, index: Sequence[int]) -> tuple[str, int]:
    """Give a chunk's key and the number of the array's bytes in it; the rest of the chunk only fills it."""
    return chunk_path(index), math.prod(counting_shape(array, index)) * array.itemsize


def array_runs(array: ArraySpec) -> Iterator[tuple[str, int]]:
    """Give what :func:`chunk_run` gives of each chunk, in C order of the grid.

    Of an array that is contiguous, these are the bytes in C order, one run after the other.
    """
    for index in itertools.product(*map(range, array.grid)):
        yield chunk_run(array, index)


def grid_slices(array: ArraySpec) -> Iterator[tuple[slice, ...]]:
    """Tell where each chunk lies in the array, in C order of the grid; those at the edges are cut off there."""
    axes = [
        [slice(index * chunk, min((index + 1) * chunk, length)) for index in range(count)]
        for length, chunk, count in zip(array.shape, array.chunks, array.grid, strict=True)
    ]
    return itertools.product(*axes)


def filled_chunk(array: ArraySpec, content: numpy.ndarray[Any, Any]) -> bytes:
    """Give the bytes of a chunk of which `content` is what counts, with zeros behind its elements."""
    import numpy

    little = numpy.dtype(array.dtype).newbyteorder("<")
    if content.shape == array.chunks:
        return numpy.ascontiguousarray(content, little).tobytes()
    chunk = numpy.zeros(array.chunks, little)
    chunk[tuple(slice(length) for length in content.shape)] = content
    return chunk.tobytes()
