"""Basic indexing: what it means is what NumPy says."""

from __future__ import annotations

import numpy
import pytest

from moc_server_ext.arrays.selection import Run, parse_selection, select_box


def test_what_is_not_named_is_taken_whole():
    assert parse_selection((slice(1, 3),), (5, 4)).runs == (Run(1, 1, 2), Run(0, 1, 4))


def test_integers_of_any_kind_are_integers():
    for one in (1, numpy.int8(1), numpy.uint64(1), numpy.array(1)):
        assert parse_selection(one, (5,)).runs == (Run(1, 1, 1),)


def test_an_ellipsis_that_stands_for_nothing_gives_an_array():
    assert parse_selection((0, ...), (5,)).is_scalar is False
    assert parse_selection(0, (5,)).is_scalar is True
    assert parse_selection((), ()).is_scalar is True


@pytest.mark.parametrize(
    ("index", "shape"),
    [(5, (5,)), (-6, (5,)), (10**30, (5,)), (0, (0,)), ((0, 7), (2, 3)), ((0, 0, 0), (2, 3)), (0, ()),
     ((..., ...), (2, 3))],
)  # fmt: skip
def test_an_index_that_is_outside_is_refused_in_numpys_words(index, shape):
    with pytest.raises(IndexError) as ours:
        parse_selection(index, shape)
    with pytest.raises(IndexError) as theirs:
        numpy.empty(shape)[index]
    if index != 10**30:  # NumPy says there that it does not fit into a machine word.
        assert str(ours.value) == str(theirs.value)


@pytest.mark.parametrize("index", [True, numpy.True_, [0, 1], numpy.array([0]), numpy.zeros(3, bool), "a", 1.0, b"a"])
def test_an_index_that_is_not_basic_is_refused_and_says_what_to_do(index):
    with pytest.raises(IndexError, match="to_numpy"):
        parse_selection(index, (5,))
    with pytest.raises(IndexError, match="to_numpy"):
        parse_selection((slice(None), index), (5, 5))


def test_a_slice_that_is_none_is_refused_as_python_does():
    with pytest.raises(ValueError, match="step cannot be zero"):
        parse_selection(slice(None, None, 0), (5,))
    with pytest.raises(TypeError, match="__index__"):
        parse_selection(slice("a", None), (5,))


@pytest.mark.parametrize("box", [(), ((1, 3),), ((0, 5), (2, 2)), ((4, 5), (0, 4), (1, 2))])
def test_a_box_selects_what_slices_select(box):
    assert select_box(box) == parse_selection((*(slice(*each) for each in box), ...), (5, 4, 3)[: len(box)])
