"""Grouping, merging and cutting, against a plain stable sort."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from moc_server_ext.plans.shuffle import cut, group_lines, merge, sorted_lines

LINE = st.lists(st.sampled_from([b"a", b"b", b"\t", b"\0", b"\xff", b" "]), max_size=4).map(b"".join)
TEXT = st.tuples(st.lists(LINE, max_size=40), st.booleans()).map(
    lambda each: b"\n".join([*each[0], b""] if each[1] else each[0])
)


def plain_sort(text: bytes) -> bytes:
    lines = text.split(b"\n")
    if lines[-1] == b"":
        lines.pop()
    return b"".join(line + b"\n" for line in sorted(lines, key=lambda line: line.split(b"\t")[0]))


@given(TEXT)
def test_grouped_lines_are_a_stable_sort_by_key(text: bytes) -> None:
    assert sorted_lines(group_lines(text)) == plain_sort(text)


def test_lines_that_repeat_keep_the_order_of_those_that_differ() -> None:
    text = b"k\t1\n" * 3 + b"k\t2\n" + b"j\t1\n" * 5 + b"k\t1\n"
    assert sorted_lines(group_lines(text)) == plain_sort(text)


@given(st.lists(TEXT, max_size=4))
def test_merging_keeps_the_order_of_the_splits(texts: list[bytes]) -> None:
    whole = b"".join(plain_sort_input(text) for text in texts)
    assert b"".join(lines for _, lines in merge(map(group_lines, texts))) == plain_sort(whole)


def plain_sort_input(text: bytes) -> bytes:
    return text if not text or text.endswith(b"\n") else text + b"\n"


@given(TEXT, st.integers(1, 60))
def test_ranges_are_whole_key_groups_and_together_everything(text: bytes, partitions: int) -> None:
    pairs = merge([group_lines(text)])
    ranges = cut(pairs, partitions)
    assert b"".join(ranges) == b"".join(lines for _, lines in pairs)
    assert 1 <= len(ranges) <= partitions
    keys = [{line.split(b"\t")[0] for line in part.split(b"\n")[:-1]} for part in ranges]
    assert sum(map(len, keys)) == len(pairs)


def test_ranges_are_about_equal_behind_a_big_key() -> None:
    pairs = [(b"a", b"a" * 900), *((bytes([98 + n]), bytes([98 + n]) * 10) for n in range(9))]
    assert [len(part) for part in cut(pairs, 4)] == [900, 30, 30, 30]


def test_no_pairs_are_one_empty_range() -> None:
    assert cut([], 5) == [b""]
