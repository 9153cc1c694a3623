"""The shuffle: groups lines by key, merges the groups of all splits, and cuts them into ranges for the reducers.

A line's key is what stands before its first TAB, or the whole line. Keys are in bytewise order and the lines of a key
in source order, as ``LC_ALL=C sort -s -t<TAB> -k1,1`` puts them. Because the ranges are cut between keys, the outputs
of the reducers, one after the other, are the output: the same for every number of ranges.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence
from typing import Final

Groups = dict[bytes, bytes]
"""Lines by key, each line with its newline; in the order of their first appearance."""

_SAMPLE: Final = 4096


def group_lines(text: bytes) -> Groups:
    """Group the lines of one task's output; a missing newline at the end is added."""
    lines = text.split(b"\n")
    if not lines[-1]:
        lines.pop()
    # Equal lines need no order among themselves, so where lines repeat (counts of words without a combiner), counting
    # them, which is done in C, halves the work.
    sample = lines[:_SAMPLE]
    if 2 * len(set(sample)) > len(sample):
        return _join(_collect(lines))
    repeats = Counter(lines)
    distinct = _collect(repeats)
    mixed = {line for group in distinct.values() if len(group) > 1 for line in group}
    ordered = _collect(line for line in lines if line in mixed) if mixed else {}
    groups: Groups = {}
    for key, group in distinct.items():
        if len(group) == 1:
            groups[key] = (group[0] + b"\n") * repeats[group[0]]
        else:
            groups[key] = b"\n".join([*ordered[key], b""])
    return groups


def merge(parts: Iterable[Groups]) -> list[tuple[bytes, bytes]]:
    """Merge the groups of all splits, in the order of the splits, into pairs of key and lines, sorted by key."""
    merged: dict[bytes, list[bytes]] = {}
    for part in parts:
        for key, lines in part.items():
            if key in merged:
                merged[key].append(lines)
            else:
                merged[key] = [lines]
    return [(key, b"".join(merged[key])) for key in sorted(merged)]


def sorted_lines(groups: Groups) -> bytes:
    """Give the lines in bytewise order of their keys."""
    return b"".join([groups[key] for key in sorted(groups)])


def cut(pairs: Sequence[tuple[bytes, bytes]], partitions: int) -> list[bytes]:
    """Cut sorted pairs between keys into at most `partitions` ranges of about the same size.

    There is always one range, which is empty when there are no pairs; otherwise none is empty.
    """
    left = sum(len(lines) for _, lines in pairs)
    ranges: list[bytes] = []
    current: list[bytes] = []
    size = 0
    for _, lines in pairs:
        current.append(lines)
        size += len(lines)
        # A range takes its share of what the ranges before it have left, so that one big key does not make the
        # ranges behind it small; the last one takes all.
        if size * (partitions - len(ranges)) >= left:
            ranges.append(b"".join(current))
            left -= size
            current, size = [], 0
    return ranges or [b""]


def _collect(lines: Iterable[bytes]) -> dict[bytes, list[bytes]]:
    groups: dict[bytes, list[bytes]] = {}
    for line in lines:
        key = line.partition(b"\t")[0]
        if key in groups:
            groups[key].append(line)
        else:
            groups[key] = [line]
    return groups


def _join(groups: dict[bytes, list[bytes]]) -> Groups:
    return {key: b"\n".join([*lines, b""]) for key, lines in groups.items()}
