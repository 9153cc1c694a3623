"""Metadata documents: what is plain is read by moc itself, all else is left to zarr."""

from __future__ import annotations

import json
import warnings

import numpy
import pytest

from moc_server_ext.arrays.document import own_facts, parse_document, plain_array, plain_document
from moc_server_ext.errors import InvalidInputError
from moc_server_ext.model import parse_array
from moc_server_ext.model.arrays import ITEM_BYTES


def document(**changes):
    spec = parse_array("int32", (4, 5), (2, 5), dimension_names=("y", None), attributes={"unit": "K"})
    return {**json.loads(plain_document(spec, {"whole": True})), **changes}


@pytest.mark.parametrize("dtype", ITEM_BYTES)
def test_what_is_written_is_read_and_zarr_reads_it_too(dtype):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        import zarr
        from zarr.core.buffer import default_buffer_prototype
        from zarr.storage import MemoryStore
    spec = parse_array(dtype, (4, 5), (2, 5), dimension_names=("y", "x"), attributes={"unit": "K"})
    content = plain_document(spec, {"whole": True, "main": "x"})
    found = plain_array(parse_document(content))
    assert found is not None
    assert (found.spec, found.fill) == (spec, None)
    assert own_facts(json.loads(content)) == {"whole": True, "main": "x"}
    opened = zarr.open_array(
        MemoryStore({"zarr.json": default_buffer_prototype().buffer.from_bytes(content)}), mode="r"
    )
    assert (opened.dtype, opened.shape, opened.chunks, opened.compressors) == (dtype, (4, 5), (2, 5), ())
    assert opened[0, 0] == numpy.zeros((), dtype)


@pytest.mark.parametrize(
    "changes",
    [
        {"node_type": "group"},
        {"data_type": "string"},
        {"data_type": {"name": "numpy.datetime64"}},
        {"shape": None},
        {"shape": [4]},
        {"chunk_grid": {"name": "rectilinear"}},
        {"chunk_grid": {"name": "regular"}},
        {"chunk_key_encoding": {"name": "v2"}},
        {"chunk_key_encoding": {"name": "default", "configuration": {"separator": "."}}},
        {"codecs": []},
        {"codecs": [{"name": "bytes", "configuration": {"endian": "big"}}]},
        {"codecs": [{"name": "bytes"}]},
        {"codecs": [{"name": "bytes", "configuration": {"endian": "little"}}, {"name": "zstd"}]},
        {"codecs": ["bytes"]},
        {"storage_transformers": [{"name": "x"}]},
    ],
)
def test_what_is_not_plain_is_left_to_zarr(changes):
    assert plain_array(document()) is not None
    assert plain_array(document(**changes)) is None


@pytest.mark.parametrize(
    ("dtype", "fill", "expected"),
    [("int32", 7, 7), ("float32", "NaN", numpy.nan), ("float64", "-Infinity", -numpy.inf), ("bool", True, True),
     ("complex64", [1.0, "Infinity"], complex(1, numpy.inf)), ("uint8", 255, 255)],
)  # fmt: skip
def test_chunks_that_were_never_stored_are_of_the_fill_value(dtype, fill, expected):
    spec = parse_array(dtype, (4,))
    found = plain_array({**json.loads(plain_document(spec, {})), "fill_value": fill})
    assert found is not None
    numpy.testing.assert_array_equal(numpy.frombuffer(found.fill, dtype)[0], expected)


@pytest.mark.parametrize("fill", ["0x7fc00000", None, "text", {}, [1], 2**40, -1])
def test_a_fill_value_of_another_form_is_left_to_zarr(fill):
    spec = parse_array("uint16", (4,))
    assert plain_array({**json.loads(plain_document(spec, {})), "fill_value": fill}) is None


@pytest.mark.parametrize("content", [b"", b"{", b"[]", b"\xff", b'{"zarr_format": 2}', b"[" * 100_000])
def test_what_is_no_document_of_version_3_is_refused(content):
    with pytest.raises(InvalidInputError, match="version 3"):
        parse_document(content)
