"""Arrays and groups as buffers over HTTP: stored by headers, as a zip file, chunk files or more of it, and read."""

from __future__ import annotations

import json
import os
import secrets
import zipfile

import google_crc32c
import numpy as np
import pytest

from moc_server_ext.model import BufferRecord
from zarr_nodes import group_entries, zip_group, zipped

CUBE = np.arange(4 * 5 * 6, dtype="<f4").reshape(4, 5, 6)
ZIP = {"Content-Type": "application/zip"}
STAGED = {"Content-Type": "application/vnd.moc.staged+json"}


def says(array, chunks=None):
    """Give the headers that tell an array."""
    headers = {"Moc-Dtype": array.dtype.name, "Moc-Shape": json.dumps(array.shape)}
    return headers if chunks is None else {**headers, "Moc-Chunks": json.dumps(chunks)}


def put(gateway, name, array, chunks=None, **headers):
    return gateway.request(
        "PUT", f"buffers/{name}", content=array.tobytes(), headers={**says(array, chunks), **headers}
    )


def put_zipped(gateway, name, entries, method=zipfile.ZIP_STORED):
    content = entries if isinstance(entries, bytes) else zipped(entries, method)
    return gateway.request("PUT", f"buffers/{name}?format=zarr", content=content, headers=ZIP)


def refused(response, *parts, status=400):
    assert response.status_code == status, response.text
    message = response.json()["error"]["message"]
    for each in parts:
        assert each in message
    return True


# -- by headers -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("chunks", [None, (1, 5, 6), (3, 2, 4)])
def test_an_array_is_stored_by_its_headers_and_read_as_bytes_by_range_and_by_chunk(gateway, chunks):
    response = put(gateway, "cube", CUBE, chunks, **{"Moc-Origin": '{"call_id": "7", "function": "f"}'})
    assert response.status_code == 201
    record = BufferRecord.from_json(response.json())
    assert (record.array.dtype, record.array.shape, record.size) == ("float32", (4, 5, 6), CUBE.nbytes)
    assert record.array.chunks == (chunks or (4, 5, 6))
    assert record.origin == {"call_id": "7", "function": "f"}
    for method in ("GET", "HEAD"):
        answer = gateway.request(method, "buffers/cube")
        assert answer.headers["moc-dtype"] == "float32"
        assert answer.headers["moc-shape"] == "[4,5,6]"
        assert json.loads(answer.headers["moc-chunks"]) == list(record.array.chunks)
        assert answer.headers["content-length"] == str(CUBE.nbytes)
        assert BufferRecord.from_json(json.loads(answer.headers["moc-record"])) == record
    assert gateway.request("GET", "buffers/cube").content == CUBE.tobytes()
    part = gateway.request("GET", "buffers/cube", headers={"Range": "bytes=101-302"})
    assert (part.status_code, part.content) == (206, CUBE.tobytes()[101:303])
    first = gateway.request("GET", "zarr/buffers/cube/c/0/0/0").content
    n, m, k = record.array.chunks
    assert first == CUBE[:n, :m, :k].tobytes()


def test_names_of_axes_and_attributes_come_in_headers(gateway):
    labels = {"Moc-Dimension-Names": '["t", null, "\\u00fc"]', "Moc-Attributes": '{"units": "K"}'}
    record = BufferRecord.from_json(put(gateway, "x", CUBE, **labels).json())
    assert record.array.dimension_names == ("t", None, "ü")
    assert record.array.attributes == {"units": "K"}
    document = gateway.request("GET", "zarr/buffers/x/zarr.json").json()
    assert document["dimension_names"] == ["t", None, "ü"]
    assert document["attributes"]["units"] == "K"
    for wrong in ({"Moc-Dimension-Names": '["t"]'}, {"Moc-Attributes": "[]"}, {"Moc-Attributes": '{"moc": 1}'}):
        assert refused(put(gateway, "x", CUBE, **wrong))


@pytest.mark.parametrize("shape", [(), (0,), (3, 0, 2), (1,) * 32])
def test_arrays_without_axes_without_elements_and_with_32_axes(gateway, shape):
    array = np.full(shape, 7, "int16")
    assert put(gateway, "x", array).status_code == 201
    answer = gateway.request("GET", "buffers/x")
    assert (answer.content, answer.headers["moc-shape"]) == (array.tobytes(), json.dumps(shape, separators=(",", ":")))


@pytest.mark.parametrize(
    ("headers", "part"),
    [
        ({"Moc-Dtype": "float32", "Moc-Shape": "[4,5,7]"}, ""),
        ({"Moc-Dtype": "float32", "Moc-Shape": "[4,5,5]"}, ""),
        ({"Moc-Dtype": "float32"}, "Moc-Shape"),
        ({"Moc-Shape": "[480]"}, "Moc-Dtype"),
        ({"Moc-Dtype": "object", "Moc-Shape": "[480]"}, "'object'"),
        ({"Moc-Dtype": ">f4", "Moc-Shape": "[120]"}, "big-endian"),
        ({"Moc-Dtype": "float32", "Moc-Shape": "[-120]"}, "-120"),
        ({"Moc-Dtype": "float32", "Moc-Shape": "[4611686018427387904]"}, "2^63"),
        ({"Moc-Dtype": "float32", "Moc-Shape": "[" + ",".join(["1"] * 33) + "]"}, "32"),
        ({"Moc-Dtype": "float32", "Moc-Shape": "[[120]]"}, "whole numbers"),
        ({"Moc-Dtype": "float32", "Moc-Shape": "[" * 5000}, "shape"),
        ({"Moc-Dtype": "float32", "Moc-Shape": "[120]", "Moc-Chunks": "[0]"}, "chunks"),
        ({"Moc-Dtype": "float32", "Moc-Shape": "[120]", "Moc-Chunks": "[1,1]"}, "chunks"),
        ({"Moc-Dtype": "float32", "Moc-Shape": "[120]", "Moc-Origin": "[]"}, "Moc-Origin"),
        ({"Moc-Dtype": "float32", "Moc-Shape": "[120]", "Moc-Origin": '{"a": 1}'}, "Moc-Origin"),
        ({"Moc-Dtype": "float32", "Moc-Shape": "[120]", "Moc-Origin": json.dumps({"a": "b" * 5000})}, "origin"),
    ],
)
def test_what_is_no_array_is_refused_and_changes_nothing(gateway, headers, part):
    gateway.platform.buffers.put("x", b"before")
    assert refused(gateway.request("PUT", "buffers/x", content=CUBE.tobytes(), headers=headers), part)
    assert gateway.platform.buffers.read("x") == b"before"


def test_a_body_that_breaks_off_or_is_too_long_leaves_what_was_there(gateway):
    gateway.platform.buffers.put("x", b"before")
    large = np.zeros((100, 1000), "float64")
    for content in (large.tobytes()[:-1], large.tobytes() + b"x"):
        parts = (content[each : each + 70_000] for each in range(0, len(content), 70_000))
        assert refused(gateway.request("PUT", "buffers/x", content=parts, headers=says(large)), "'x'")
    assert gateway.platform.buffers.read("x") == b"before"
    assert list((gateway.platform.storage.path / "staging").glob("*")) == []


def test_an_identity_changes_with_every_version(gateway):
    put(gateway, "x", CUBE, (1, 5, 6))
    tags = [gateway.request("HEAD", "buffers/x").headers["etag"]]
    put(gateway, "x", CUBE, (2, 5, 6))
    tags.append(gateway.request("HEAD", "buffers/x").headers["etag"])
    more = gateway.request("POST", "buffers/x/append", content=CUBE.tobytes(), headers=says(CUBE))
    assert more.status_code == 200
    tags.append(gateway.request("HEAD", "buffers/x").headers["etag"])
    assert len(set(tags)) == 3
    assert gateway.request("GET", "buffers/x", headers={"If-None-Match": tags[2]}).status_code == 304
    assert gateway.request("GET", "buffers/x", headers={"If-None-Match": tags[1]}).status_code == 200
    stale = {"Range": "bytes=0-3", "If-Range": tags[1]}
    assert gateway.request("GET", "buffers/x", headers=stale).status_code == 200


# -- more of it -------------------------------------------------------------------------------------------------------


def test_an_array_grows_along_its_first_axis(gateway):
    put(gateway, "x", CUBE, (2, 5, 6))
    for more in (CUBE[:1], CUBE[:3], CUBE[:0]):
        answer = gateway.request("POST", "buffers/x/append", content=more.tobytes(), headers=says(more))
        assert answer.status_code == 200, answer.text
    assert answer.json()["array"]["shape"] == [8, 5, 6]
    expected = np.concatenate([CUBE, CUBE[:1], CUBE[:3]])
    assert gateway.request("GET", "buffers/x").content == expected.tobytes()


def test_what_does_not_fit_an_array_is_not_appended(gateway):
    put(gateway, "x", CUBE)
    gateway.platform.buffers.put("bytes", b"bytes")
    wrong = CUBE[:, :4]
    for address, content, headers, status in [
        ("x", CUBE.tobytes(), {}, 400),
        ("x", CUBE.tobytes()[1:], says(CUBE), 400),
        ("x", wrong.tobytes(), says(wrong), 400),
        ("x", CUBE.astype("f8").tobytes(), says(CUBE.astype("f8")), 400),
        ("bytes", CUBE.tobytes(), says(CUBE), 400),
        ("none", CUBE.tobytes(), says(CUBE), 404),
    ]:
        answer = gateway.request("POST", f"buffers/{address}/append", content=content, headers=headers)
        assert answer.status_code == status, (address, headers, answer.text)
    assert gateway.platform.buffers.read("x") == CUBE.tobytes()


# -- as a zip file ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("method", [zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED])
def test_a_group_is_stored_from_a_zip_file(gateway, method):
    members = {"t": np.arange(12, dtype="int16").reshape(3, 4), "x": np.linspace(0, 1, 4)}
    answer = put_zipped(gateway, "set", group_entries(members), method)
    assert answer.status_code == 201, answer.text
    assert sorted(answer.json()["arrays"]) == ["t", "x"]
    assert refused(gateway.request("GET", "buffers/set"), "'set'", "zarr", status=409)
    head = gateway.request("HEAD", "buffers/set")
    assert head.status_code == 200
    assert sorted(json.loads(head.headers["moc-record"])["arrays"]) == ["t", "x"]
    assert "moc-dtype" not in head.headers
    document = gateway.request("GET", "zarr/buffers/set/zarr.json").json()
    assert sorted(document["consolidated_metadata"]["metadata"]) == ["t", "x"]
    assert gateway.request("GET", "zarr/buffers/set/t/c/0/0").content == members["t"].tobytes()
    above = gateway.request("GET", "zarr/buffers/zarr.json").json()
    assert {"set", "set/t"} <= set(above["consolidated_metadata"]["metadata"])


def test_a_zip_file_replaces_all_that_was_below_the_name(gateway):
    put_zipped(gateway, "x", zip_group({"a": CUBE, "b": CUBE}))
    put_zipped(gateway, "x", zip_group({"b": CUBE}))
    keys = gateway.request("GET", "zarr?prefix=buffers/x/").json()["keys"]
    assert [each for each in keys if each.startswith("buffers/x/a/")] == []
    gateway.request("PUT", "buffers/x", content=b"bytes")
    keys = gateway.request("GET", "zarr?prefix=buffers/x/").json()["keys"]
    assert keys == ["buffers/x/c/0", "buffers/x/zarr.json"]


GOOD = group_entries({"a": np.arange(6).reshape(2, 3)})
ARRAY = json.loads(GOOD["a/zarr.json"])


@pytest.mark.parametrize(
    "entries",
    [
        {},
        {"a/zarr.json": GOOD["a/zarr.json"]},
        {**GOOD, "../zarr.json": b"{}"},
        {**GOOD, "/zarr.json": b"{}"},
        {**GOOD, ".zgroup": b"{}"},
        {**GOOD, "a/c/9/0": GOOD["a/c/0/0"]},
        {**GOOD, "a/c/0/00": GOOD["a/c/0/0"]},
        {**GOOD, "a/c/0": GOOD["a/c/0/0"]},
        {**GOOD, "a/c/0/0": b"short"},
        {**GOOD, "zarr.json": b"{"},
        {**GOOD, "zarr.json": b'{"zarr_format": 2}'},
        {**GOOD, "zarr.json": b"[" * 100_000},
        {**GOOD, "a/zarr.json": json.dumps({**ARRAY, "shape": [2, -3]}).encode()},
        b"no zip file",
        b"",
        zipped(GOOD)[:-5],
        zipped({**GOOD, "b" * 2000: b"x"}),
    ],
)
def test_what_is_no_zipped_zarr_node_is_refused_and_changes_nothing(gateway, entries):
    gateway.platform.buffers.put("x", b"before")
    assert refused(put_zipped(gateway, "x", entries))
    assert gateway.platform.buffers.read("x") == b"before"
    assert gateway.request("GET", "zarr?prefix=buffers/x/").json()["keys"] == ["buffers/x/c/0", "buffers/x/zarr.json"]
    assert list((gateway.platform.storage.path / "staging").glob("*")) == []


def test_a_zip_file_that_is_large_unpacked_is_refused(gateway):
    bomb = {**GOOD, "a/c/0/0": bytes(64 << 20)}
    assert refused(put_zipped(gateway, "x", bomb, zipfile.ZIP_DEFLATED), status=413)
    assert gateway.request("GET", "buffers").json() == {"buffers": []}


@pytest.mark.parametrize(
    ("query", "headers"),
    [
        ("format=zarr", {}),
        ("format=zarr", {"Content-Type": "text/plain"}),
        ("format=tar", ZIP),
        ("format=zarr&format=zarr", ZIP),
        ("format=zarr", {**ZIP, "Moc-Dtype": "int8", "Moc-Shape": "[1]"}),
        ("format=zarr", {**ZIP, "Moc-Headers": "{}"}),
        ("format=zarr", {**ZIP, "Moc-Origin": "x"}),
    ],
)
def test_a_zip_file_has_its_type_and_tells_the_rest_by_itself(gateway, query, headers):
    assert refused(gateway.request("PUT", f"buffers/x?{query}", content=zipped(GOOD), headers=headers))


def test_a_zip_file_without_the_format_is_bytes(gateway):
    assert gateway.request("PUT", "buffers/x", content=zipped(GOOD), headers=ZIP).status_code == 201
    assert gateway.request("GET", "buffers/x").content == zipped(GOOD)


# -- on the same machine ----------------------------------------------------------------------------------------------


@pytest.fixture
def stage(gateway):
    def stage(content):
        name = secrets.token_hex(16)
        (gateway.platform.storage.path / "staging" / name).write_bytes(content)
        return name

    return stage


def test_the_chunks_of_an_array_are_told_as_files_and_small_ones_are_left_to_their_keys(gateway):
    large = np.arange(60_000, dtype="float64").reshape(2, 30_000)
    put(gateway, "large", large, (1, 30_000))
    told = gateway.request("GET", "buffers/large/chunks").json()
    assert told["etag"] == gateway.request("HEAD", "buffers/large").headers["etag"].strip('"')
    assert list(told["chunks"]) == ["c/0/0", "c/1/0"]
    for row, chunk in zip(large, told["chunks"].values(), strict=True):
        content = (gateway.platform.storage.path / chunk["file"]).read_bytes()
        assert (content, chunk["size"]) == (row.tobytes(), row.nbytes)
        assert chunk["crc32c"] == google_crc32c.value(content)
    put(gateway, "small", CUBE)
    assert gateway.request("GET", "buffers/small/chunks").json()["chunks"] == {}
    assert gateway.request("GET", "buffers/none/chunks").status_code == 404
    put_zipped(gateway, "set", zip_group({"a": CUBE}))
    assert gateway.request("GET", "buffers/set/chunks").status_code == 409


def test_staged_files_become_the_chunks_of_an_array(gateway, stage):
    array = np.arange(8, dtype="int32").reshape(4, 2)
    files = {f"c/{n}/0": stage(array[2 * n : 2 * n + 2].tobytes()) for n in range(2)}
    body = {"files": files, "content_type": "application/x-cube"}
    answer = gateway.request("PUT", "buffers/x", json=body, headers={**says(array, (2, 2)), **STAGED})
    assert answer.status_code == 201, answer.text
    assert answer.json()["content_type"] == "application/x-cube"
    assert gateway.request("GET", "buffers/x").content == array.tobytes()
    assert list((gateway.platform.storage.path / "staging").glob("*")) == []


def test_staged_files_that_are_not_what_they_must_be_are_refused_and_change_nothing(gateway, stage, tmp_path):
    staging = gateway.platform.storage.path / "staging"
    gateway.platform.buffers.put("x", b"before")
    array = np.arange(4, dtype="int32")
    outside = tmp_path / "outside"
    outside.write_bytes(array.tobytes())
    link, hard = secrets.token_hex(16), secrets.token_hex(16)
    os.symlink(outside, staging / link)
    os.link(outside, staging / hard)
    os.mkfifo(staging / (fifo := secrets.token_hex(16)))
    for files in (
        {"c/0": link}, {"c/0": hard}, {"c/0": fifo}, {"c/0": "0" * 32}, {"c/0": "../" + "0" * 29},
        {"c/0": str(outside)},
        {"c/0": stage(b"short")}, {}, {"c/1": stage(array.tobytes())}, {"c/0": stage(array.tobytes()).upper() + "0"},
        {"zarr.json": stage(array.tobytes())}, {"c/0": 7}, [], None,
    ):  # fmt: skip
        answer = gateway.request("PUT", "buffers/x", json={"files": files}, headers={**says(array), **STAGED})
        assert refused(answer), files
    for content in (b"", b"[]", b"{}", b"\xff", b"[" * 100_000):
        assert refused(gateway.request("PUT", "buffers/x", content=content, headers={**says(array), **STAGED}))
    assert gateway.platform.buffers.read("x") == b"before"
    assert outside.read_bytes() == array.tobytes()


# -- calls ------------------------------------------------------------------------------------------------------------


def test_a_call_is_told_what_array_its_input_is(gateway):
    seen = []
    gateway.platform.functions.put("f", b"")
    answer = gateway.platform.on_call
    gateway.platform.on_call = lambda request: seen.append(dict(request.input_headers)) or answer(request)
    for headers, told in [
        ({}, {}),
        (says(CUBE), {"moc-dtype": "float32", "moc-shape": "[4,5,6]"}),
        ({"Moc-Dtype": "<f4", "Moc-Shape": "4, 5,6"}, {"moc-dtype": "float32", "moc-shape": "[4,5,6]"}),
        ({"Content-Type": "text/csv"}, {"content-type": "text/csv"}),
        ({"Content-Type": "application/x-www-form-urlencoded"}, {}),
    ]:
        assert gateway.request("POST", "functions/f/call", content=CUBE.tobytes(), headers=headers).status_code == 200
        assert seen.pop() == told
    for headers in (
        {"Moc-Dtype": "float32"},
        {"Moc-Dtype": "float32", "Moc-Shape": "[7]"},
        {"Moc-Dtype": "what", "Moc-Shape": "[120]"},
        {"Moc-Dtype": "float32", "Moc-Shape": "[-1]"},
    ):
        assert refused(gateway.request("POST", "functions/f/call", content=CUBE.tobytes(), headers=headers))
    assert seen == []


@pytest.mark.parametrize("size", [24, 1 << 20], ids=["short", "streamed"])
def test_the_array_that_a_guest_says_its_output_is_comes_in_the_headers(gateway, size):
    from moc_server_ext.model import CallResult

    said = {}
    gateway.platform.functions.put("f", b"")
    gateway.platform.on_call = lambda request: CallResult("1", None, 0, bytes(size), output_headers=said)
    said.update({"moc-dtype": "<f8", "moc-shape": f"[{size // 8}]", "moc-chunks": "[1]", "x-own": "1"})
    answer = gateway.request("POST", "functions/f/call")
    assert (answer.headers["moc-dtype"], answer.headers["moc-shape"]) == ("float64", f"[{size // 8}]")
    assert "x-own" not in answer.headers
    for hostile in (
        {"moc-dtype": "float64"},
        {"moc-shape": "[3]"},
        {"moc-dtype": "object", "moc-shape": "[3]"},
        {"moc-dtype": "float64", "moc-shape": "[-3]"},
        {"moc-dtype": "float64\r\nX-Evil: 1", "moc-shape": "[3]"},
        {"moc-dtype": "float64", "moc-shape": "[3]\r\nX-Evil: 1"},
        {"moc-dtype": "ü" * 100_000, "moc-shape": "[" * 100_000},
    ):
        said.clear()
        said.update(hostile)
        answer = gateway.request("POST", "functions/f/call")
        assert answer.status_code == 200
        assert not {"moc-dtype", "moc-shape", "x-evil"} & answer.headers.keys(), hostile


def test_of_short_output_only_an_array_that_fits_it_comes_in_the_headers(gateway):
    from moc_server_ext.model import CallResult

    gateway.platform.functions.put("f", b"")
    headers = {"moc-dtype": "float64", "moc-shape": "[4]"}
    gateway.platform.on_call = lambda request: CallResult("1", None, 0, bytes(24), output_headers=headers)
    assert "moc-dtype" not in gateway.request("POST", "functions/f/call").headers


def test_a_body_is_stored_compressed_on_request_and_read_by_range(gateway):
    content = CUBE.tobytes()
    assert put(gateway, "cube", CUBE, [1, 5, 6], **{"Moc-Compression": "zstd"}).status_code == 201
    response = gateway.request("GET", "buffers/cube", headers={"Range": "bytes=3-130"})
    assert (response.status_code, response.content) == (206, content[3:131])
    assert gateway.request("GET", "buffers/cube").content == content
    codecs = gateway.request("GET", "zarr/buffers/cube/zarr.json").json()["codecs"]
    assert [codec["name"] for codec in codecs] == ["bytes", "zstd"]


def test_an_unknown_compression_is_refused_and_none_is_taken_for_what_tells_itself_what_it_is(gateway):
    refused(put(gateway, "cube", CUBE, **{"Moc-Compression": "gzip"}), "'gzip'", "'zstd'")
    refused(
        gateway.request("PUT", "buffers/x?format=zarr", content=b"", headers={**ZIP, "Moc-Compression": "zstd"}),
        "Moc-Compression",
    )
    staged = {**STAGED, **says(CUBE, [4, 5, 6]), "Moc-Compression": "zstd"}
    refused(gateway.request("PUT", "buffers/x", content=b"{}", headers=staged), "Moc-Compression")
    assert gateway.request("GET", "buffers").json()["buffers"] == []
