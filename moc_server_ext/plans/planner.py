"""The planner: cuts a source into splits that end at the ends of lines.

Pure over a function that reads ranges; it reads only around the cuts.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

from ..errors import InvalidInputError

MAX_SPLITS: Final = 100_000

_PROBE_BYTES: Final = 64 << 10


@dataclass(frozen=True, slots=True)
class Split:
    """Bytes ``[start, stop)`` of the source: whole lines, of which the source's last may lack its newline."""

    start: int
    stop: int


def split_lines(read: Callable[[int, int], bytes], size: int, split_bytes: int) -> list[Split]:
    """Cut a source of `size` bytes into splits of at least `split_bytes`, each ending behind a newline.

    A split is as much longer as its last line needs. An empty source is one empty split, because a program at the end
    of an empty pipe runs, too.

    Raises
    ------
    InvalidInputError
        There would be more than 100,000 splits.
    """
    if size > split_bytes * MAX_SPLITS:
        raise InvalidInputError(
            f"A split of {split_bytes:,} bytes cuts the source of {size:,} bytes into more than {MAX_SPLITS:,} tasks. "
            f"Choose a split of at least {-(-size // MAX_SPLITS):,} bytes.",
            split_bytes=split_bytes,
        )
    splits: list[Split] = []
    start = 0
    while start < size:
        stop = _line_end(read, start + split_bytes - 1, size)
        splits.append(Split(start, stop))
        start = stop
    return splits or [Split(0, 0)]


def _line_end(read: Callable[[int, int], bytes], position: int, size: int) -> int:
    """Give the position behind the first newline at or after `position`, or `size`."""
    while position < size:
        probe = read(position, min(position + _PROBE_BYTES, size))
        newline = probe.find(b"\n")
        if newline >= 0:
            return position + newline + 1
        position += len(probe)
    return size
