"""The read-only Zarr store over a hierarchy: what zarr-python asks of a store, with few questions to the hierarchy."""

from __future__ import annotations

import asyncio
import pickle
import warnings

import numpy
import pytest

with warnings.catch_warnings():
    warnings.simplefilter("ignore")
    import zarr
    from zarr.abc.store import OffsetByteRequest, RangeByteRequest, SuffixByteRequest
    from zarr.core.buffer import default_buffer_prototype

from moc_server_ext.arrays.hierarchy_store import HierarchyStore

PROTOTYPE = default_buffer_prototype()


class Hierarchy:
    """A hierarchy in memory that counts what it is asked."""

    def __init__(self, values: dict[str, bytes]) -> None:
        self.values = values
        self.lists = 0

    def list(self, prefix="", *, limit=1000, after=None):
        self.lists += 1
        keys = sorted(key for key in self.values if key.startswith(prefix) and (after is None or key > after))
        return keys[:limit]

    def size(self, key):
        return len(self.values[key]) if key in self.values else None

    def read_whole(self, key):
        return self.read(key)

    def read(self, key, start=0, stop=None):
        return self.values[key][start:stop] if key in self.values else None


@pytest.fixture
def hierarchy() -> Hierarchy:
    store: dict = {}
    root = zarr.create_group(zarr.storage.MemoryStore(store))
    root.create_array("buffers/a%2Fb", data=numpy.arange(20).reshape(4, 5), chunks=(2, 5), compressors=None)
    root.create_array("buffers/c", data=numpy.arange(3))
    return Hierarchy({key: value.to_bytes() for key, value in store.items()})


def collected(keys):
    async def collect():
        return [key async for key in keys]

    return asyncio.run(collect())


def test_zarr_reads_arrays_and_groups_through_it(hierarchy):
    root = zarr.open_group(HierarchyStore(hierarchy), mode="r")
    assert sorted(name for name, _ in root["buffers"].members()) == ["a%2Fb", "c"]
    numpy.testing.assert_array_equal(root["buffers/a%2Fb"][1:3], numpy.arange(20).reshape(4, 5)[1:3])
    numpy.testing.assert_array_equal(zarr.open_array(HierarchyStore(hierarchy, "/buffers/c/"), mode="r")[:], range(3))


def test_parts_of_values_are_given(hierarchy):
    hierarchy.values = {"x/key": b"0123456789", "x/empty": b""}
    store = HierarchyStore(hierarchy, "x")

    def get(key, part=None):
        found = asyncio.run(store.get(key, PROTOTYPE, part))
        return None if found is None else found.to_bytes()

    assert get("key") == b"0123456789"
    assert get("key", RangeByteRequest(2, 5)) == b"234"
    assert get("key", OffsetByteRequest(8)) == b"89"
    assert get("key", SuffixByteRequest(3)) == b"789"
    assert get("key", SuffixByteRequest(99)) == b"0123456789"
    assert (get("empty"), get("none"), get("none", SuffixByteRequest(1))) == (b"", None, None)
    assert [asyncio.run(store.exists(key)) for key in ("key", "none")] == [True, False]
    assert asyncio.run(store.getsize("key")) == 10
    with pytest.raises(FileNotFoundError):
        asyncio.run(store.getsize("none"))
    several = asyncio.run(store.get_partial_values(PROTOTYPE, [("key", RangeByteRequest(0, 1)), ("none", None)]))
    assert [None if each is None else each.to_bytes() for each in several] == [b"0", None]


def test_a_directory_is_listed_without_all_that_is_below_it():
    values = {f"{group}/{number:05}": b"" for group in ("a", "a-", "b") for number in range(5000)}
    hierarchy = Hierarchy({"r/zarr.json": b"", **{f"r/{key}": b"" for key in values}, "rest": b""})
    store = HierarchyStore(hierarchy, "r")
    assert collected(store.list_dir("")) == ["a-", "a", "b", "zarr.json"]
    assert hierarchy.lists <= 5
    assert len(collected(store.list_dir("a/"))) == len(collected(store.list_dir("a"))) == 5000
    assert len(collected(store.list())) == 15001
    assert collected(store.list_prefix("a-/0000")) == [f"a-/0000{number}" for number in range(10)]
    assert collected(store.list_dir("none")) == []
    assert asyncio.run(store.is_empty("none"))
    assert not asyncio.run(store.is_empty("a"))


def test_it_cannot_be_written_and_says_what_to_do(hierarchy):
    store = HierarchyStore(hierarchy)
    value = PROTOTYPE.buffer.from_bytes(b"")
    for write in (
        lambda: asyncio.run(store.set("key", value)),
        lambda: asyncio.run(store.set_if_not_exists("key", value)),
        lambda: asyncio.run(store.delete("zarr.json")),
        lambda: asyncio.run(store.delete_dir("buffers")),
        lambda: asyncio.run(store.clear()),
        lambda: store.with_read_only(False),
        lambda: zarr.create_group(store, path="new"),
    ):
        with pytest.raises((ValueError, NotImplementedError)):
            write()
    with pytest.raises(ValueError, match=r"moc\.buffers"):
        asyncio.run(store.set("key", value))
    assert "key" not in hierarchy.values
    assert store.read_only
    assert store.with_read_only(True) == store


def test_stores_of_the_same_place_are_equal_and_none_is_pickled(hierarchy):
    assert HierarchyStore(hierarchy, "a") == HierarchyStore(hierarchy, "/a/")
    assert HierarchyStore(hierarchy, "a") != HierarchyStore(hierarchy, "b")
    assert HierarchyStore(hierarchy) != HierarchyStore(Hierarchy({}))
    assert repr(HierarchyStore(hierarchy, "a")) == "HierarchyStore('a')"
    with pytest.raises(TypeError, match="zarr_url"):
        pickle.dumps(HierarchyStore(hierarchy))
