"""Find bytes in a long content that is read in parts, forward or backward, around its end if need be."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Final

PART_BYTES: Final = 4 << 20

Read = Callable[[int, int], bytes]


@dataclass(frozen=True, slots=True)
class Match:
    """Where a pattern was found: bytes ``[start, start + length)``.

    Parameters
    ----------
    wrapped
        The search went past the end (or, backward, the beginning) of the content to find it.
    """

    start: int
    length: int
    wrapped: bool


def find(
    read: Read,
    size: int,
    pattern: bytes,
    start: int,
    *,
    forward: bool,
    on_part: Callable[[int], bool],
    part_bytes: int = PART_BYTES,
) -> Match | None:
    """Find the next match that begins at or after `start`; backward, the last one that begins before it.

    Every place is looked at once, so that the only match is found again when the search began on it.

    Parameters
    ----------
    read
        Gives bytes ``[start, stop)`` of the content.
    on_part
        Told how many bytes have been looked through; ends the search, without a match, when it gives False.
    """
    if not pattern:
        raise ValueError("nothing to look for")
    overlap, done = len(pattern) - 1, 0
    start = min(max(start, 0), size)
    ranges = ((start, size, False), (0, start, True)) if forward else ((0, start, False), (start, size, True))
    for first, last, wrapped in ranges:
        for low, high in _parts(first, last, part_bytes, forward=forward):
            content = read(low, min(high + overlap, size))
            at = content.find(pattern) if forward else content.rfind(pattern)
            if at >= 0:
                return Match(low + at, len(pattern), wrapped)
            done += high - low
            if not on_part(done):
                return None
    return None


def _parts(first: int, last: int, part_bytes: int, *, forward: bool) -> Iterator[tuple[int, int]]:
    """Cut ``[first, last)``, where matches may begin, into parts in the order in which they are looked through."""
    if forward:
        yield from ((low, min(low + part_bytes, last)) for low in range(first, last, part_bytes))
    else:
        yield from ((max(high - part_bytes, first), high) for high in range(last, first, -part_bytes))
