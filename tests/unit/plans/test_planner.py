"""How a source is cut."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from moc_server_ext.errors import InvalidInputError
from moc_server_ext.plans.planner import MAX_SPLITS, Split, split_lines


def cut(text: bytes, split_bytes: int) -> list[bytes]:
    splits = split_lines(lambda start, stop: text[start:stop], len(text), split_bytes)
    return [text[each.start : each.stop] for each in splits]


def test_splits_end_behind_a_newline() -> None:
    assert cut(b"aa\nbb\ncc\n", 4) == [b"aa\nbb\n", b"cc\n"]


def test_a_split_that_ends_at_a_newline_is_not_longer_than_asked_for() -> None:
    assert cut(b"aa\nbb\ncc\n", 3) == [b"aa\n", b"bb\n", b"cc\n"]


def test_a_last_line_without_newline_belongs_to_the_last_split() -> None:
    assert cut(b"aa\nbb", 1) == [b"aa\n", b"bb"]


def test_a_line_longer_than_a_probe_stays_whole() -> None:
    long = b"x" * 200_000 + b"\n"
    assert cut(long + b"y\n", 10) == [long, b"y\n"]


def test_an_empty_source_is_one_empty_split() -> None:
    assert split_lines(lambda start, stop: b"", 0, 10) == [Split(0, 0)]


def test_too_many_splits_are_refused_with_a_size_that_works() -> None:
    with pytest.raises(InvalidInputError, match="at least 3 bytes"):
        split_lines(lambda start, stop: b"", 2 * MAX_SPLITS + 1, 1)


@given(st.lists(st.sampled_from([b"a", b"bb", b"\n", b"\0"])).map(b"".join), st.integers(1, 10))
def test_splits_are_the_source_in_whole_lines(text: bytes, split_bytes: int) -> None:
    parts = cut(text, split_bytes)
    assert b"".join(parts) == text
    assert all(part.endswith(b"\n") and len(part) >= split_bytes for part in parts[:-1])
