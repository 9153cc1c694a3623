"""Arrays out of chunks: always what NumPy gives, from no chunk and no bytes that were not needed."""

from __future__ import annotations

import itertools
import math
import threading

import numpy
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from moc_server_ext.arrays.reader import ArrayReader
from moc_server_ext.errors import CorruptStorageError
from moc_server_ext.model.arrays import ArraySpec

DTYPES = ["bool", "int8", "uint16", "int32", "float16", "float64", "complex128"]


class Chunks:
    """The chunks of an array in memory, which remember what was read of them."""

    def __init__(self, array: numpy.ndarray, chunks: tuple[int, ...]) -> None:
        self.spec = ArraySpec(array.dtype.name, array.shape, chunks)
        self.stored: dict[str, bytes] = {}
        self.reads: list[tuple[str, int, int]] = []
        grid = [range(math.ceil(size / chunk)) for size, chunk in zip(array.shape, chunks, strict=True)]
        for index in itertools.product(*grid):
            full = numpy.zeros(chunks, array.dtype)
            part = array[tuple(slice(i * c, (i + 1) * c) for i, c in zip(index, chunks, strict=True))]
            full[tuple(slice(size) for size in part.shape)] = part
            self.stored["/".join(["c", *map(str, index)])] = full.tobytes()

    def read(self, chunk_key: str, start: int, stop: int) -> bytes:
        self.reads.append((chunk_key, start, stop))
        return self.stored[chunk_key][start:stop]

    def read_whole(self, chunk_key: str) -> bytes:
        return self.read(chunk_key, 0, len(self.stored[chunk_key]))


@st.composite
def arrays_with_chunks(draw: st.DrawFn) -> tuple[numpy.ndarray, tuple[int, ...]]:
    shape = draw(hnp.array_shapes(min_dims=0, max_dims=4, min_side=0, max_side=9))
    chunks = tuple(draw(st.integers(1, 11)) for _ in shape)
    size = math.prod(shape)
    return (numpy.arange(size) * 7 + 1).astype(draw(st.sampled_from(DTYPES))).reshape(shape), chunks


def same(found: object, expected: object) -> None:
    assert type(found) is type(expected)
    assert numpy.asarray(found).dtype == numpy.asarray(expected).dtype
    numpy.testing.assert_array_equal(found, expected)


@given(st.data())
@settings(max_examples=300, deadline=None)
def test_any_basic_selection_is_what_numpy_gives_from_the_needed_chunks_only(data):
    array, chunks = data.draw(arrays_with_chunks())
    index = data.draw(hnp.basic_indices(array.shape, allow_newaxis=True))
    source = Chunks(array, chunks)
    same(ArrayReader(source.spec, source).read(index), array[index])
    # The chunks of the elements that are wanted, by looking at each element.
    numbers = numpy.arange(array.size).reshape(array.shape)[index].reshape(-1)
    wanted = {
        "/".join(["c", *(str(i // c) for i, c in zip(numpy.unravel_index(n, array.shape), chunks, strict=True))])
        for n in numbers
    }
    assert sorted({key for key, _, _ in source.reads}) == sorted(wanted)


@given(st.data())
@settings(max_examples=100, deadline=None)
def test_blocks_make_up_the_array(data):
    array, chunks = data.draw(arrays_with_chunks())
    source = Chunks(array, chunks)
    whole = numpy.zeros_like(array)
    for slices, block in ArrayReader(source.spec, source).blocks():
        same(block, array[(*slices, ...)])
        whole[slices] = block
    numpy.testing.assert_array_equal(whole, array)
    assert len(source.reads) == len(source.stored) == len({key for key, _, _ in source.reads})


def test_of_a_large_chunk_only_the_needed_bytes_are_read():
    array = numpy.arange(1000 * 1000, dtype="float64").reshape(1000, 1000)
    source = Chunks(array, (1000, 1000))
    same(ArrayReader(source.spec, source).read((10, slice(5, 8))), array[10, 5:8])
    assert source.reads == [("c/0/0", 8 * 10_005, 8 * 10_008)]


def test_parts_that_lie_far_apart_are_read_on_their_own():
    array = numpy.arange(4 * 300_000, dtype="float64").reshape(4, 300_000)
    source = Chunks(array, (4, 300_000))
    same(ArrayReader(source.spec, source).read((slice(None, None, -3), slice(7, 9))), array[::-3, 7:9])
    assert sorted(source.reads) == [("c/0/0", 56, 72), ("c/0/0", 8 * 900_007, 8 * 900_009)]


def test_several_threads_give_the_same():
    array = numpy.arange(3_000_000, dtype="int32").reshape(300, 10_000)
    source = Chunks(array, (7, 3000))
    same(ArrayReader(source.spec, source, threads=4).read((slice(None, None, -2), ...)), array[::-2])


def test_32_dimensions_are_read():
    array = numpy.arange(2**6).reshape((2,) * 6 + (1,) * 26)
    source = Chunks(array, (1, 2) * 3 + (1,) * 26)
    same(ArrayReader(source.spec, source).read((..., 0)), array[..., 0])


def test_a_chunk_of_the_wrong_size_is_damage_that_names_it():
    source = Chunks(numpy.arange(10), (4,))
    source.stored["c/1"] = b"short"
    with pytest.raises(CorruptStorageError, match=r"'x'.*c/1 has 5 bytes"):
        ArrayReader(source.spec, source, what="buffer 'x'").read()


def test_what_a_read_raises_on_another_thread_ends_the_reading():
    array = numpy.zeros((2000, 200))
    source = Chunks(array, (1, 200))
    begun = threading.Semaphore(0)

    def read_whole(chunk_key: str) -> bytes:
        begun.release()
        if chunk_key == "c/3/0":
            raise CorruptStorageError("buffer 'x'", "its chunk c/3/0 is missing")
        return source.stored[chunk_key]

    source.read_whole = read_whole
    with pytest.raises(CorruptStorageError, match="c/3/0"):
        ArrayReader(source.spec, source, threads=2).read()
    assert begun._value < 2000
