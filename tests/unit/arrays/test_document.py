"""Metadata documents: what is plain is read by moc itself, all else is left to zarr."""

from __future__ import annotations

import json
import warnings

import numpy
import pytest

from moc_server_ext.arrays.document import array_document, own_facts, parse_document, stored_array, with_facts
from moc_server_ext.errors import InvalidInputError
from moc_server_ext.model import parse_array
from moc_server_ext.model.arrays import ITEM_BYTES


def document(**changes):
    spec = parse_array("int32", (4, 5), (2, 5), dimension_names=("y", None), attributes={"unit": "K"})
    return {**json.loads(array_document(spec, {"whole": True})), **changes}


@pytest.mark.parametrize("dtype", ITEM_BYTES)
def test_what_is_written_is_read_and_zarr_reads_it_too(dtype):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        import zarr
        from zarr.core.buffer import default_buffer_prototype
        from zarr.storage import MemoryStore
    spec = parse_array(dtype, (4, 5), (2, 5), dimension_names=("y", "x"), attributes={"unit": "K"})
    content = array_document(spec, {"whole": True, "main": "x"})
    found = stored_array(parse_document(content))
    assert found is not None
    assert (found.spec, found.is_plain, found.fill) == (spec, True, bytes(spec.itemsize))
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
        {"data_type": "<i4"},
        {"shape": None},
        {"shape": [4]},
        {"chunk_grid": None},
        {"chunk_grid": {"name": "rectilinear"}},
        {"chunk_grid": {"name": "regular"}},
        {"dimension_names": 5},
        {"attributes": {"limit": {"of": [float("inf")]}}},
    ],
)
def test_what_is_not_understood_has_no_array(changes):
    assert stored_array(document()) is not None
    assert stored_array(document(**changes)) is None


@pytest.mark.parametrize(
    "changes",
    [
        {"chunk_key_encoding": None},
        {"chunk_key_encoding": {"name": "v2"}},
        {"chunk_key_encoding": {"name": "default", "configuration": {"separator": "."}}},
        {"chunk_key_encoding": {"name": "default", "configuration": "."}},
        {"codecs": []},
        {"codecs": [{"name": "bytes", "configuration": {"endian": "big"}}]},
        {"codecs": [{"name": "bytes", "configuration": ["little"]}]},
        {"codecs": [{"name": "bytes"}]},
        {"codecs": [{"name": "bytes", "configuration": {"endian": "little"}}, {"name": "zstd"}]},
        {"codecs": ["bytes"]},
        {"storage_transformers": [{"name": "x"}]},
    ],
)
def test_what_is_not_plain_is_left_to_zarr(changes):
    assert stored_array(document()).is_plain
    assert not stored_array(document(**changes)).is_plain


def test_attributes_that_are_none_are_no_attributes():
    for attributes in ([1], "text", None, 5):
        odd = document(attributes=attributes)
        assert own_facts(odd) == {}
        assert stored_array(odd).spec.attributes == {}
        assert json.loads(with_facts(json.dumps(odd).encode(), {"a": 1}))["attributes"] == {"moc": {"a": 1}}


def test_numbers_that_are_not_finite_are_text_when_read_and_stay_when_a_document_is_made_anew():
    odd = document(
        data_type="float32", fill_value=float("nan"), attributes={"moc": {"whole": True}, "limit": -numpy.inf}
    )
    content = json.dumps({**odd, "consolidated_metadata": {"metadata": {}}}).encode()
    found = stored_array(parse_document(content))
    assert found.is_plain
    assert numpy.isnan(numpy.frombuffer(found.fill, "float32")[0])
    assert found.spec.attributes == {"limit": "-Infinity"}
    again = with_facts(content, None)
    assert b"NaN" in again
    assert b"consolidated" not in again
    assert json.loads(again)["attributes"] == {"limit": -numpy.inf}


@pytest.mark.parametrize(
    ("dtype", "fill", "expected"),
    [("int32", 7, 7), ("float32", "NaN", numpy.nan), ("float64", "-Infinity", -numpy.inf), ("bool", True, True),
     ("complex64", [1.0, "Infinity"], complex(1, numpy.inf)), ("uint8", 255, 255), ("float32", "0x3f800000", 1)],
)  # fmt: skip
def test_chunks_that_were_never_stored_are_of_the_fill_value(dtype, fill, expected):
    spec = parse_array(dtype, (4,))
    found = stored_array({**json.loads(array_document(spec)), "fill_value": fill})
    assert found.is_plain
    numpy.testing.assert_array_equal(numpy.frombuffer(found.fill, dtype)[0], expected)


@pytest.mark.parametrize("fill", ["0x7fc00000", None, "text", {}, [1], 2**40, -1])
def test_a_fill_value_of_another_form_is_left_to_zarr(fill):
    spec = parse_array("uint16", (4,))
    assert not stored_array({**json.loads(array_document(spec)), "fill_value": fill}).is_plain


@pytest.mark.parametrize("content", [b"", b"{", b"[]", b"\xff", b'{"zarr_format": 2}', b"[" * 100_000])
def test_what_is_no_document_of_version_3_is_refused(content):
    with pytest.raises(InvalidInputError, match="version 3"):
        parse_document(content)
