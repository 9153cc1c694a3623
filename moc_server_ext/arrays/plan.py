"""Which bytes of which chunks a selection needs, and where they go. Pure arithmetic over a regular chunk grid.

Chunks are C-order runs of elements of one size, also at the edges of the array, where a chunk is filled up (Zarr's
regular grid).
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Final

from ..model.arrays import chunk_path
from .selection import Run, Selection

GAP_BYTES: Final = 1 << 20
"""So much between two parts of a chunk is not worth reading."""


@dataclass(frozen=True, slots=True)
class Piece:
    """One read: a range of bytes of a chunk, and what of it goes where.

    Parameters
    ----------
    key
        The chunk's key below the array, such as ``c/0/1``.
    start, stop
        Bytes ``[start, stop)`` of the chunk, from the first element that is wanted to the last.
    is_whole
        Whether that is all of the array that lies in the chunk. At the edges a chunk has more bytes than that.
    shape, strides
        The wanted elements, as a view of those bytes; strides in bytes.
    target
        Where they go in the selection's result, one slice for each axis of the array.
    """

    key: str
    start: int
    stop: int
    is_whole: bool
    shape: tuple[int, ...]
    strides: tuple[int, ...]
    target: tuple[slice, ...]


@dataclass(frozen=True, slots=True)
class _Part:
    """The indices of a run that lie in one chunk: from `first`, counted inside of the chunk, in steps upwards."""

    chunk: int
    first: int
    step: int
    count: int
    begin: int
    direction: int
    is_full: bool

    def target(self, index: int, count: int) -> slice:
        """Give the place in the result of `count` indices from the `index`-th one of this part."""
        begin = self.begin + self.direction * index
        if self.direction > 0:
            return slice(begin, begin + count)
        end = begin - count
        return slice(begin, end if end >= 0 else None, -1)


def plan_reads(
    selection: Selection, shape: Sequence[int], chunks: Sequence[int], itemsize: int, *, gap_bytes: int = GAP_BYTES
) -> Iterator[Piece]:
    """Give the reads that a selection needs, chunk after chunk in C order; no chunk that it does not need.

    Parameters
    ----------
    shape, chunks
        Shape of the array, and of a chunk.
    itemsize
        Bytes of an element.
    gap_bytes
        Parts of a chunk that lie further apart are read on their own.
    """
    if selection.is_empty:
        return
    strides = _strides(chunks, itemsize)
    parts = [list(_parts(*each)) for each in zip(selection.runs, shape, chunks, strict=True)]
    for each in itertools.product(*parts):
        key = chunk_path(part.chunk for part in each)
        yield from _pieces(key, each, strides, itemsize, gap_bytes)


def _strides(chunks: Sequence[int], itemsize: int) -> tuple[int, ...]:
    return tuple(itemsize * math.prod(chunks[axis + 1 :]) for axis in range(len(chunks)))


def _parts(run: Run, end: int, size: int) -> Iterator[_Part]:
    """Cut the indices of a run at the borders of chunks of `size`; upwards, whichever way the run goes.

    The axis ends at `end`.
    """
    step = abs(run.step)
    direction = 1 if run.step > 0 else -1
    lowest = run.start if run.step > 0 else run.start + (run.count - 1) * run.step
    done = 0
    while done < run.count:
        chunk, first = divmod(lowest + done * step, size)
        count = min(run.count - done, (size - 1 - first) // step + 1)
        begin = done if run.step > 0 else run.count - 1 - done
        is_full = count == min(size, end - chunk * size)
        yield _Part(chunk, first, step, count, begin, direction, is_full)
        done += count


def _pieces(
    key: str, parts: tuple[_Part, ...], strides: tuple[int, ...], itemsize: int, gap_bytes: int
) -> Iterator[Piece]:
    is_whole = all(part.is_full for part in parts)
    steps = tuple(part.step * stride for part, stride in zip(parts, strides, strict=True))
    # Bytes from the first to the last wanted element of what lies inside of one index of an axis.
    inner = [itemsize] * len(parts)
    for axis in reversed(range(len(parts) - 1)):
        inner[axis] = inner[axis + 1] + (parts[axis + 1].count - 1) * steps[axis + 1]
    split = 0
    while not is_whole and split < len(parts) and (parts[split].count == 1 or steps[split] - inner[split] >= gap_bytes):
        split += 1
    shape = tuple(1 if axis < split else part.count for axis, part in enumerate(parts))
    extent = itemsize + sum((count - 1) * step for count, step in zip(shape, steps, strict=True))
    for indices in itertools.product(*(range(part.count) for part in parts[:split])):
        at = (*indices, *itertools.repeat(0, len(parts) - split))
        start = sum((part.first + part.step * i) * s for part, i, s in zip(parts, at, strides, strict=True))
        target = tuple(part.target(i, count) for part, i, count in zip(parts, at, shape, strict=True))
        yield Piece(key, start, start + extent, is_whole, shape, steps, target)
