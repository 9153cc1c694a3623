"""Where the bytes of an array lie in its chunks, and the other way round. Pure functions and NumPy, no files.

Boxes are tuples of half-open ranges, one an axis. NumPy is imported where arrays are touched: most of what is stored
has no more than one axis.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from ..arrays.plan import plan_reads
from ..arrays.runs import chunk_index
from ..arrays.selection import select_box
from ..model import ArraySpec
from ..model.arrays import chunk_path

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

Box = tuple[tuple[int, int], ...]


@dataclass(frozen=True, slots=True)
class Run:
    """Bytes of a contiguous array that lie in one chunk.

    Parameters
    ----------
    key
        The chunk, below its array.
    start, stop
        Where they lie in it.
    bytes
        How many bytes of the chunk count; behind them it is filled up.
    """

    key: str
    start: int
    stop: int
    bytes: int


def runs(array: ArraySpec, start: int, stop: int) -> Iterator[Run]:
    """Say where bytes ``[start, stop)`` of a contiguous array lie, in their order."""
    if stop <= start:
        return
    lengths = array.shape
    # All axes before the one that is cut have chunks of 1, all behind it are whole.
    cut = next(
        (
            axis
            for axis, (length, chunk) in enumerate(zip(lengths, array.chunks, strict=True))
            if chunk != 1 and length != 1
        ),
        None,
    )
    if cut is None:
        cut = max((axis for axis, length in enumerate(lengths) if length != 1), default=0)
    inner = math.prod(lengths[cut + 1 :]) * array.itemsize
    row = (lengths[cut] if lengths else 1) * inner
    step = (array.chunks[cut] if lengths else 1) * inner
    pieces = -(-row // step)
    position = start
    while position < stop:
        outer, within = divmod(position, row)
        piece, offset = divmod(within, step)
        size = min(step, row - piece * step)
        taken = min(size - offset, stop - position)
        key = chunk_path(chunk_index(array, outer * pieces + piece))
        yield Run(key, offset, offset + taken, size)
        position += taken


def boxes(shape: Sequence[int], start: int, stop: int) -> Iterator[Box]:
    """Cut elements ``[start, stop)``, counted in C order, into few boxes, in their order."""
    if stop <= start:
        return
    if not shape:
        yield ()
        return
    inner = math.prod(shape[1:])
    first, offset = divmod(start, inner)
    last, rest = divmod(stop, inner)
    if first == last:
        yield from _within(first, boxes(shape[1:], offset, rest))
        return
    if offset:
        yield from _within(first, boxes(shape[1:], offset, inner))
        first += 1
    if first < last:
        yield ((first, last), *((0, length) for length in shape[1:]))
    if rest:
        yield from _within(last, boxes(shape[1:], 0, rest))


def read_box(
    array: ArraySpec, box: Box, read: Callable[[str, int, int], bytes | None], fill: bytes
) -> NDArray[np.generic]:
    """Put the elements of a box together from chunks that hold them as they are.

    Parameters
    ----------
    read
        Gives bytes ``[start, stop)`` of a chunk; None where it has no entry.
    fill
        One element of what a chunk without an entry is made of.
    """
    import numpy as np

    selection = select_box(box)
    dtype = np.dtype(array.dtype).newbyteorder("<")
    result = np.empty(selection.shape, dtype)
    for piece in plan_reads(selection, array.shape, array.chunks, array.itemsize):
        content = read(piece.key, piece.start, piece.stop)
        if content is None:
            result[piece.target] = np.frombuffer(fill, dtype)[0]
        else:
            result[piece.target] = np.ndarray(piece.shape, dtype, content, 0, piece.strides)
    return result


def cut_boxes(array: ArraySpec, bytes_max: int) -> Iterator[tuple[Box, list[tuple[int, ...]]]]:
    """Cut an array into boxes of whole chunks, each of at most `bytes_max` bytes or of one chunk.

    Yields each box with the indices of its chunks. Boxes are as long as can be along the last axes, so that reading
    one from the array's bytes takes few long reads.
    """
    room = max(bytes_max // array.chunk_bytes, 1)
    group: list[int] = []
    for count in reversed(array.grid):
        taken = min(count, room)
        group.append(max(taken, 1))
        room = max(room // max(count, 1), 1) if taken == count else 1
    group.reverse()
    starts = (range(0, count, step) for count, step in zip(array.grid, group, strict=True))
    for corner in itertools.product(*starts):
        counts = [min(step, count - at) for at, step, count in zip(corner, group, array.grid, strict=True)]
        box = tuple(
            (at * chunk, min((at + count) * chunk, length))
            for at, count, chunk, length in zip(corner, counts, array.chunks, array.shape, strict=True)
        )
        indices = itertools.product(*(range(at, at + count) for at, count in zip(corner, counts, strict=True)))
        yield box, list(indices)


def box_runs(array: ArraySpec, box: Box) -> Iterator[tuple[int, int]]:
    """Give the byte ranges of the array's bytes that make up a box, in their order."""
    whole = array.ndim
    while whole and box[whole - 1] == (0, array.shape[whole - 1]):
        whole -= 1
    # The axes from `whole` on are taken entirely, so that the one before gives runs.
    axis = max(whole - 1, 0)
    inner = math.prod(array.shape[axis + 1 :]) * array.itemsize
    strides = [math.prod(array.shape[each + 1 :]) * array.itemsize for each in range(axis)]
    start, stop = box[axis] if box else (0, 1)
    for index in itertools.product(*(range(*each) for each in box[:axis])):
        base = sum(each * stride for each, stride in zip(index, strides, strict=True))
        yield base + start * inner, base + stop * inner


def _within(index: int, inner: Iterator[Box]) -> Iterator[Box]:
    return (((index, index + 1), *box) for box in inner)
