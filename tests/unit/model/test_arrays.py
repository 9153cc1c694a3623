"""Arrays as they are told about."""

from __future__ import annotations

import itertools

import numpy as np
import pytest

from moc_server_ext.errors import InvalidInputError
from moc_server_ext.model import (
    CHUNK_BYTES,
    ArraySpec,
    array_headers,
    parse_array,
    parse_array_headers,
    parse_dtype,
    parse_shape,
)
from moc_server_ext.model.arrays import ITEM_BYTES


def test_data_types_have_numpys_names_sizes_and_codes():
    for name, size in ITEM_BYTES.items():
        dtype = np.dtype(name)
        assert (dtype.name, dtype.itemsize) == (name, size)
        assert parse_dtype(name) == parse_dtype(dtype.str) == parse_dtype(dtype.str[1:]) == name


@pytest.mark.parametrize(
    ("text", "told"),
    [(">f4", "'<f4'"), ("float3", "'float32'"), ("O", "no data type"), ("<U5", "no data type"), ("f5", "no data type")],
)
def test_other_data_types_are_refused_in_words(text, told):
    with pytest.raises(InvalidInputError) as error:
        parse_dtype(text)
    assert told in error.value.message


@pytest.mark.parametrize(
    ("value", "shape"),
    [("[120, 180]", (120, 180)), ("120,180", (120, 180)), (" 7 ", (7,)), ("7,", (7,)), ("[]", ()), ((), ()),
     ([np.int64(3), 0], (3, 0))],
)  # fmt: skip
def test_shapes_are_read_from_lists_and_text(value, shape):
    assert parse_shape(value) == shape


@pytest.mark.parametrize(
    "value",
    ["", "x", "[1, [2]]", "[1.5]", "[true]", "-1", "[-1]", [-1], [2**63], [1] * 33, "{}", [None], "[" * 9999, 7],
)
def test_what_is_no_shape_is_refused(value):
    with pytest.raises(InvalidInputError):
        parse_shape(value)


@pytest.mark.parametrize(
    ("shape", "chunks"),
    [([2**40, 2**40], None), ([2**62], None), ([0, 2**62], None), ([4, 4], [4]), ([4], [0]), ([4], [2**61])],
)
def test_what_does_not_fit_is_refused(shape, chunks):
    with pytest.raises(InvalidInputError):
        parse_array("float64", shape, chunks)


@pytest.mark.parametrize(
    "shape", [(), (0,), (5,), (3, 4), (2, 10**9), (1, 2, 10**8, 3), (10**7, 3), (0, 5), (1,) * 32, (3,) * 20]
)
def test_default_chunks_are_runs_of_the_bytes_and_not_too_large(shape):
    array = parse_array("float64", shape)
    assert array.is_contiguous
    assert array.chunk_bytes <= CHUNK_BYTES


@pytest.mark.parametrize("shape", [(), (1,), (5,), (4, 3), (2, 1, 3), (1, 4, 2)])
def test_contiguous_means_that_the_chunks_one_after_the_other_are_the_array(shape):
    elements = np.arange(np.prod(shape, dtype=int)).reshape(shape)
    for chunks in itertools.product(*(range(1, length + 2) for length in shape)):
        array = parse_array("int64", shape, chunks)
        padded = np.full([count * chunk for count, chunk in zip(array.grid, chunks, strict=True)], -1)
        padded[tuple(map(slice, shape))] = elements
        runs = []
        in_order = True
        for index in np.ndindex(array.grid):
            cut = tuple(slice(i * c, (i + 1) * c) for i, c in zip(index, chunks, strict=True))
            flat = padded[cut].reshape(-1)
            inside = flat != -1
            # What only fills a chunk comes behind its elements.
            in_order = in_order and not (np.diff(inside.astype(int)) > 0).any()
            runs += flat[inside].tolist()
        is_run = in_order and runs == list(range(elements.size))
        assert array.is_contiguous <= is_run
        if all(chunk <= length for chunk, length in zip(chunks, shape, strict=True)):
            assert array.is_contiguous == is_run
        assert len(list(array.chunk_keys())) == int(np.prod(array.grid))


def test_a_description_survives_json_and_headers():
    array = parse_array("<f4", "120,180", "[1,90]", dimension_names=["lat", None], attributes={"units": "K"})
    assert ArraySpec.from_json(array.to_json()) == array
    assert parse_array_headers(array_headers(array)) == parse_array("float32", (120, 180), (1, 90))
    assert parse_array_headers({}) is None
    with pytest.raises(InvalidInputError, match="Moc-Shape"):
        parse_array_headers({"moc-dtype": "int8"})


@pytest.mark.parametrize("attributes", [{"moc": 1}, {"x": float("nan")}, {"x": object()}])
def test_attributes_are_json_and_leave_mocs_own_alone(attributes):
    with pytest.raises(InvalidInputError):
        parse_array("int8", (1,), attributes=attributes)
