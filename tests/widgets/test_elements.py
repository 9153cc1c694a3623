"""Elements in blocks and as figures, against NumPy; and the colours that heat maps have."""

from __future__ import annotations

import math
from itertools import pairwise

import numpy
from hypothesis import given
from hypothesis import strategies as st

from moc_widgets import elements as module
from moc_widgets.elements import Elements
from moc_widgets.palette import palette
from moc_widgets.summary import Outline, Statistics


@given(
    shape=st.lists(st.integers(0, 9), max_size=4),
    chunks=st.lists(st.integers(1, 5), min_size=4, max_size=4),
    block_bytes=st.integers(1, 300),
)
def test_blocks_cover_every_element_once_in_order_and_are_small(shape, chunks, block_bytes):
    before, module.BLOCK_BYTES = module.BLOCK_BYTES, block_bytes
    try:
        blocks = list(Elements(numpy.dtype("u2"), shape, chunks[: len(shape)]).blocks())
    finally:
        module.BLOCK_BYTES = before
    seen = numpy.zeros(shape, int)
    for block in blocks:
        seen[block] += 1
        assert seen[block].nbytes // 4 <= max(block_bytes, 2)
    assert (seen == 1).all()


@given(
    values=st.lists(st.floats(width=32), max_size=50),
    cut=st.integers(0, 50),
)
def test_figures_joined_from_parts_are_those_of_the_whole(values, cut):
    array = numpy.array(values, "f4")
    parts = Statistics()
    for part in (array[:cut], array[cut:]):
        if part.size:
            parts.add(part)
    whole = Statistics()
    if array.size:
        whole.add(array)
    one, other = parts.to_json(), whole.to_json()
    for name in ("count", "nans", "infinities"):
        assert one[name] == other[name]
    for name in ("min", "max"):
        # As numbers: of two zeros it is not said which is the less.
        assert (one[name] and float(one[name])) == (other[name] and float(other[name]))
    for name in ("mean", "std"):
        assert (one[name] is None) == (other[name] is None)
        if one[name] is not None:
            assert math.isclose(float(one[name]), float(other[name]), rel_tol=1e-6, abs_tol=1e-6 * float(other["std"]))


@given(length=st.integers(1, 5000), cuts=st.lists(st.integers(1, 4999), max_size=5), seed=st.integers(0, 99))
def test_an_outline_does_not_depend_on_how_the_line_was_cut(length, cuts, seed):
    values = numpy.random.default_rng(seed).normal(size=length)
    values[values > 1] = numpy.nan
    whole, parts = Outline(length), Outline(length)
    whole.add(0, values)
    edges = sorted({0, length, *(each for each in cuts if each < length)})
    for start, stop in pairwise(edges):
        parts.add(start, values[start:stop])
    assert numpy.array_equal(whole.low, parts.low, equal_nan=True)
    assert numpy.array_equal(whole.high, parts.high, equal_nan=True)
    if not numpy.isnan(values).all():
        assert numpy.nanmin(whole.low) == numpy.nanmin(values)
        assert numpy.nanmax(whole.high) == numpy.nanmax(values)


def test_the_colours_grow_lighter_step_by_step_and_never_reach_black_or_white():
    colours = numpy.frombuffer(palette(), "u1").reshape(256, 3) / 255
    linear = numpy.where(colours <= 0.04045, colours / 12.92, ((colours + 0.055) / 1.055) ** 2.4)
    luminance = linear @ [0.2126, 0.7152, 0.0722]
    assert (numpy.diff(luminance) > -0.002).all()
    assert (numpy.diff(luminance[::8]) > 0).all()
    assert luminance[0] > 0.02
    assert luminance[-1] < 0.9
