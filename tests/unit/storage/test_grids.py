"""Boxes of arrays out of their chunks: always what NumPy gives."""

from __future__ import annotations

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from moc_server_ext.arrays.runs import array_runs, chunk_index, chunk_run, filled_chunk, grid_slices
from moc_server_ext.model import parse_array
from moc_server_ext.model.arrays import ArraySpec
from moc_server_ext.storage.grids import read_box

FILL = -5


@st.composite
def arrays(draw: st.DrawFn) -> ArraySpec:
    shape = draw(st.lists(st.integers(1, 6), max_size=4))
    return parse_array("int16", shape, [draw(st.integers(1, 8)) for _ in shape])


@given(st.data())
@settings(max_examples=200, deadline=None)
def test_a_box_is_what_numpy_gives_and_chunks_that_are_not_there_are_fill_values(data: st.DataObject) -> None:
    array = data.draw(arrays())
    elements = np.arange(array.elements, dtype="<i2").reshape(array.shape)
    chunks: dict[str, bytes] = {}
    expected = elements.copy()
    for key, slices in zip(array.chunk_keys(), grid_slices(array), strict=True):
        if data.draw(st.booleans()):
            chunks[key] = filled_chunk(array, elements[(*slices, ...)])
            assert len(chunks[key]) == array.chunk_bytes
        else:
            expected[slices] = FILL
    box = []
    for length in array.shape:
        start = data.draw(st.integers(0, length - 1))
        box.append((start, data.draw(st.integers(start + 1, length))))

    def read(key: str, start: int, stop: int) -> bytes | None:
        return chunks[key][start:stop] if key in chunks else None

    found = read_box(array, tuple(box), read, np.int16(FILL).tobytes())
    np.testing.assert_array_equal(found, expected[tuple(slice(*each) for each in box)])


@given(arrays())
@settings(max_examples=100, deadline=None)
def test_every_chunk_has_a_number_and_all_its_bytes_are_the_arrays(array: ArraySpec) -> None:
    found = list(array_runs(array))
    assert [key for key, _ in found] == list(array.chunk_keys())
    assert found == [chunk_run(array, chunk_index(array, number)) for number in range(len(found))]
    assert sum(size for _, size in found) == array.nbytes
