"""The storage as a Zarr v3 hierarchy, opened by the real zarr-python (imported late: it takes long and warns)."""

from __future__ import annotations

import json
from pathlib import Path
from urllib.parse import unquote_to_bytes

import pytest
from hypothesis import given
from hypothesis import strategies as st

from moc_server_ext.storage import Storage
from moc_server_ext.storage.keyvalue import end_of_prefix
from moc_server_ext.storage.ownership import FORMAT
from moc_server_ext.storage.zarr_layout import bytes_of_node, name_of_node, node_name
from moc_server_ext.testing.buffers import NAMES

CONTENTS = {name: name.encode() * (number * 1000) for number, name in enumerate(NAMES)}


@pytest.mark.filterwarnings("ignore")
def test_a_zarr_library_opens_every_blob_buffer_and_value(storage: Storage) -> None:
    import zarr
    from zarr.core.buffer import default_buffer_prototype
    from zarr.storage import MemoryStore

    blobs = {storage.blobs.put(content, "text/x").blob_id: content for content in (b"", b"small", b"l" * 100_000)}
    for name, content in CONTENTS.items():
        storage.buffers.put(name, content, "text/plain", {"etag": "7"})
    values = {b"empty": b"", b"\xff/\0": b"binary", b"large": b"v" * 70_000, b"zarr.json": b"z"}
    for key, value in values.items():
        storage.kv.set(key, value)

    make = default_buffer_prototype().buffer.from_bytes
    copied = {key: storage.zarr.read(key) for key in storage.zarr.list_prefix()}
    root = zarr.open_group(
        MemoryStore({key: make(value) for key, value in copied.items() if value is not None}), mode="r", zarr_format=3
    )

    assert dict(root.attrs)["moc"] == {"format": FORMAT, "instance_id": storage.instance_id}
    assert sorted(root.group_keys()) == ["blobs", "buffers", "kv"]
    assert {name: array[:].tobytes() for name, array in root["blobs"].arrays()} == blobs
    assert root["blobs"][next(iter(blobs))].attrs["content_type"] == "text/x"
    buffers = dict(root["buffers"].arrays())
    assert {name_of_node(node): array[:].tobytes() for node, array in buffers.items()} == CONTENTS
    assert {(array.dtype.name, array.attrs["content_type"]) for array in buffers.values()} == {("uint8", "text/plain")}
    assert buffers["a%2Fb"].attrs["headers"] == {"etag": "7"}
    assert {unquote_to_bytes(node): array[:].tobytes() for node, array in root["kv"].arrays()} == values


def test_the_chunk_of_a_blob_is_the_blob_byte_for_byte(storage: Storage, path: Path) -> None:
    content = bytes(range(256)) * 1000
    blob_id = storage.blobs.put(content).blob_id
    assert storage.zarr.read(f"blobs/{blob_id}/c/0") == content
    assert (path / "objects" / blob_id[:2] / blob_id).read_bytes() == content
    document = json.loads(storage.zarr.read(f"blobs/{blob_id}/zarr.json") or b"")
    assert document["shape"] == [len(content)]
    assert document["codecs"] == [{"name": "bytes"}]


def test_ranges_and_sizes_by_key(storage: Storage) -> None:
    storage.buffers.put("b", bytes(range(100)))
    storage.kv.set(b"k", bytes(range(100)))
    for key in ("buffers/b/c/0", "kv/k/c/0"):
        assert storage.zarr.size(key) == 100
        assert storage.zarr.read(key, 10, 13) == b"\x0a\x0b\x0c"
    assert storage.zarr.size("kv/k/zarr.json") == len(storage.zarr.read("kv/k/zarr.json") or b"")


@pytest.mark.parametrize(
    "key",
    [
        "", "/", "nothing", "kv", "kv/", "kv//c/0", "kv/k", "kv/k/c/1", "kv/%6B/c/0", "kv/%/c/0", "kv/\xff/c/0",
        "kv/k/zarr.json/", "kv/e/c/0", "buffers/e/c/0", "buffers/../kv/zarr.json", "/zarr.json", "buffers/b/c/0/",
        "a" * 100_000, "\0", "\ud800",
    ],
)  # fmt: skip
def test_a_key_that_is_none_is_absent(storage: Storage, key: str) -> None:
    storage.kv.set(b"k", b"v")
    storage.kv.set(b"e", b"")
    storage.buffers.put("b", b"1")
    storage.buffers.put("e", b"")
    assert storage.zarr.read(key) is None
    assert storage.zarr.size(key) is None


def test_listings_by_prefix_and_directory(storage: Storage) -> None:
    storage.kv.set(b"k", b"v")
    storage.kv.set(b"l", b"v")
    storage.buffers.put("a", b"1")
    storage.buffers.put("a/b", b"")
    everything = set(storage.zarr.list_prefix())
    assert everything == {
        "zarr.json", "blobs/zarr.json", "buffers/zarr.json", "kv/zarr.json",
        "buffers/a/zarr.json", "buffers/a/c/0", "buffers/a%2Fb/zarr.json",
        "kv/k/zarr.json", "kv/k/c/0", "kv/l/zarr.json", "kv/l/c/0",
    }  # fmt: skip
    prefixes = ("", "z", "b", "buffers/a", "buffers/a/", "k", "kv/", "kv/k", "kv/l/c/0", "kvx")
    for prefix in (*prefixes, "\x7f", "é", "\U0010ffff", "\ud800"):
        assert set(storage.zarr.list_prefix(prefix)) == {key for key in everything if key.startswith(prefix)}, prefix
    assert storage.zarr.list_dir() == {"zarr.json", "blobs", "buffers", "kv"}
    assert storage.zarr.list_dir("kv/") == {"zarr.json", "k", "l"}
    assert storage.zarr.list_dir("buffers/a/") == {"zarr.json", "c"}


def test_a_listing_of_more_than_one_page_is_complete(storage: Storage) -> None:
    with storage.group() as group:
        for number in range(1200):
            storage.kv.set(b"%d" % number, b"v", group=group)
            storage.buffers.put(f"{number}", b"v", group=group)
    keys = list(storage.zarr.list_prefix())
    assert len(keys) == len(set(keys)) == 4 + 4 * 1200


@given(st.text(min_size=1))
def test_any_text_makes_a_node_name_that_zarr_allows_and_comes_back(name: str) -> None:
    try:
        name.encode()
    except UnicodeEncodeError:
        return
    node = node_name(name)
    assert name_of_node(node) == name
    assert node.isascii()
    assert "/" not in node
    assert not node.startswith((".", "__"))
    assert node not in ("", "zarr.json")


@given(st.binary(min_size=1))
def test_any_bytes_make_a_node_name_and_come_back(name: bytes) -> None:
    assert bytes_of_node(node_name(name)) == name


@given(st.binary(max_size=4), st.binary(max_size=6))
def test_the_end_of_a_prefix_parts_the_keys_that_begin_with_it(prefix: bytes, key: bytes) -> None:
    end = end_of_prefix(prefix)
    assert key.startswith(prefix) == (key >= prefix and (end is None or key < end))
