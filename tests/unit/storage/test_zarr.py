"""The Zarr store over the storage beyond zarr's own suites: what may be written, groups of writes, what is missing."""

from __future__ import annotations

import json
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest

from moc_server_ext.errors import CorruptStorageError, InvalidInputError, ReadOnlyKeyError, StorageError
from moc_server_ext.model import parse_array
from moc_server_ext.storage import Storage
from moc_server_ext.testing.blobs import patterned

pytestmark = pytest.mark.filterwarnings("ignore")

ARRAY = parse_array("int32", [40, 30], [10, 30])


@pytest.fixture(scope="module")
def zarr() -> Any:
    return pytest.importorskip("zarr")


def test_arrays_that_zarr_writes_are_buffers(storage: Storage, zarr: Any) -> None:
    import numpy as np

    content = np.arange(300 * 70, dtype="float32").reshape(300, 70)
    group = zarr.open_group(storage.zarr_store("buffers"), mode="r+")
    for name, options in {
        "plain": {"compressors": None},
        "packed": {},
        "sharded": {"shards": (200, 60)},
        "big": {"compressors": None, "serializer": zarr.codecs.BytesCodec(endian="big")},
    }.items():
        array = group.create_array(
            name, shape=content.shape, dtype="float32", chunks=(100, 30), attributes={"units": "K"}, **options
        )
        array[...] = content
        record = storage.buffers.stat(name)
        assert record.array is not None
        assert (record.array.dtype, record.array.shape, record.array.attributes) == (
            "float32",
            (300, 70),
            {"units": "K"},
        )
        assert (record.size, record.content_type, record.created_at) == (
            content.nbytes,
            "application/octet-stream",
            0.0,
        )
        assert storage.buffers.read(name) == b"".join(storage.buffers.parts(name)) == content.tobytes()
        for start, stop in ((0, 0), (3, 17), (29_999, 60_003), (83_999, None), (90_000, None)):
            assert storage.buffers.read(name, start, stop) == content.tobytes()[start:stop]
    assert [each.name for each in storage.buffers.list()] == ["big", "packed", "plain", "sharded"]
    with pytest.raises(InvalidInputError, match="encoded"):
        storage.buffers.append("packed", bytes(280), parse_array("float32", [1, 70]))


def test_zarr_reads_what_moc_stored_and_goes_on_writing_it(storage: Storage, zarr: Any) -> None:
    import numpy as np

    content = np.frombuffer(patterned(ARRAY.nbytes), "int32").reshape(ARRAY.shape)
    storage.buffers.put("a/b", content.tobytes(), "text/x", {"k": "v"}, array=ARRAY)
    array = zarr.open_array(storage.zarr_store("buffers/a%2Fb"), mode="r+")
    assert (array[...] == content).all()
    array[5:15] = 7
    array.attrs["units"] = "K"
    record = storage.buffers.stat("a/b")
    assert (record.content_type, record.headers) == ("text/x", {"k": "v"})
    assert record.array is not None
    assert record.array.attributes == {"units": "K"}
    assert storage.buffers.read("a/b") == array[...].tobytes()


def test_chunks_that_zarr_leaves_out_are_fill_values_and_others_are_not(storage: Storage, zarr: Any) -> None:
    import numpy as np

    storage.buffers.put("x", patterned(ARRAY.nbytes), array=ARRAY)
    array = zarr.open_array(storage.zarr_store("buffers/x"), mode="r+")
    array[:10] = 0
    assert storage.zarr.size("buffers/x/c/0/0") is None, "zarr removes a chunk of fill values"
    expected = np.frombuffer(patterned(ARRAY.nbytes), "int32").reshape(ARRAY.shape).copy()
    expected[:10] = 0
    assert storage.buffers.read("x") == expected.tobytes()
    array.resize((60, 30))
    assert storage.buffers.read("x") == expected.tobytes() + bytes(20 * 30 * 4)
    (large,) = [storage.buffers.put("y", patterned(400_000), array=parse_array("uint8", [400_000]))]
    assert large.size == 400_000
    for file in (storage.path / "objects").glob("*/*"):
        file.unlink()
    with pytest.raises(CorruptStorageError, match="is missing"):
        zarr.open_array(storage.zarr_store("buffers/y"), mode="r")[...]


@pytest.mark.parametrize("fill", [7, -1])
def test_missing_chunks_of_zarrs_own_arrays_are_made_of_their_fill_value(
    storage: Storage, zarr: Any, fill: int
) -> None:
    import numpy as np

    for name, chunks in (("runs", (3,)), ("boxes", (2, 3))):
        shape = (7,) if name == "runs" else (5, 7)
        array = zarr.create_array(
            storage.zarr_store(f"buffers/{name}"),
            shape=shape,
            chunks=chunks,
            dtype="int16",
            fill_value=fill,
            compressors=None,
        )
        assert storage.buffers.read(name) == np.full(shape, fill, "int16").tobytes()
        array[2:3] = 9
        assert storage.buffers.read(name) == array[...].tobytes()
        assert storage.buffers.read(name, 1, 9) == array[...].tobytes()[1:9]


@pytest.mark.parametrize(
    "key", ["zarr.json", "x", "blobs/x/zarr.json", "kv/k/c/0", "buffers", "buffers/zarr.json", "buffers/x"]
)
def test_only_keys_below_a_buffer_are_written(storage: Storage, zarr: Any, key: str) -> None:
    keys = storage.zarr_store()._writable
    storage.kv.set(b"k", b"v")
    before = {each: storage.zarr.read(each) for each in storage.zarr.list_prefix()}
    with pytest.raises(ReadOnlyKeyError, match=key):
        keys.set(key, b"1")
    for prefix in ("", "blobs/", "kv/"):
        with pytest.raises(ReadOnlyKeyError):
            keys.delete_below(prefix)
    assert {each: storage.zarr.read(each) for each in storage.zarr.list_prefix()} == before


@pytest.mark.parametrize(
    "key",
    ["buffers/a b/c", "buffers/ä/c", "buffers/%61/c", "buffers/../c", "buffers//c", "buffers/" + "x" * 513 + "/c",
     "buffers/x/../c", "buffers/x//c", "buffers/x/", "buffers/x/\0", "buffers/x/\ud800", "buffers/x/" + "c" * 9000],
)  # fmt: skip
def test_what_cannot_be_a_key_below_a_buffer_is_refused(storage: Storage, zarr: Any, key: str) -> None:
    with pytest.raises(InvalidInputError):
        storage.zarr_store()._writable.set(key, b"1")
    assert storage.zarr.list("buffers") == ["buffers/zarr.json"]


def test_all_buffers_can_be_removed_through_the_store_and_their_group_stays(storage: Storage, zarr: Any) -> None:
    import asyncio

    for name in ("a", "zebra", "zarr.json", "z"):
        storage.buffers.put(name, b"1" * 70_000)
    asyncio.run(storage.zarr_store("buffers").clear())
    assert storage.zarr.list("buffers") == ["buffers/zarr.json"]
    assert list(storage.buffers.list()) == []
    storage.collect(ignore_grace=True)
    assert list((storage.path / "objects").glob("*/*")) == []


def test_a_group_of_writes_is_seen_by_itself_and_by_others_when_it_ends(storage: Storage, zarr: Any) -> None:
    import numpy as np

    storage.buffers.put("old", b"1" * 100_000)
    with storage.zarr_group("buffers") as store:
        group = zarr.open_group(store, mode="r+")
        array = group.create_array("new", shape=(8, 40_000), chunks=(1, 40_000), dtype="int32", compressors=None)

        def write(row: int) -> None:
            array[row] = row + 1

        with ThreadPoolExecutor(4) as pool:
            list(pool.map(write, range(8)))
        del group["old"]
        assert sorted(group.array_keys()) == ["new"]
        assert (group["new"][:, 0] == np.arange(8) + 1).all()
        assert [each.name for each in storage.buffers.list()] == ["old"]
        assert storage.buffers.read("old") == b"1" * 100_000
    assert [each.name for each in storage.buffers.list()] == ["new"]
    assert storage.buffers.read("new") == np.repeat(np.arange(8, dtype="int32") + 1, 40_000).tobytes()
    assert list((storage.path / "tmp").iterdir()) == []
    with pytest.raises(StorageError, match="has ended"):
        array[0] = 1
    assert list((storage.path / "tmp").iterdir()) == []


def test_a_group_of_writes_that_raises_leaves_nothing(storage: Storage, zarr: Any) -> None:
    storage.buffers.put("old", b"1" * 100_000)
    before = {each: storage.zarr.read(each) for each in storage.zarr.list_prefix()}

    def write() -> None:
        with storage.zarr_group("buffers") as store:
            zarr.create_array(store, name="new", shape=(4, 50_000), dtype="int32", compressors=None)[...] = 1
            store._writable.delete_below("buffers/old/")
            raise InterruptedError

    with pytest.raises(InterruptedError):
        write()
    assert {each: storage.zarr.read(each) for each in storage.zarr.list_prefix()} == before
    assert list((storage.path / "tmp").iterdir()) == []
    assert len(list((storage.path / "objects").glob("*/*"))) == 1


def test_the_metadata_of_buffers_and_of_groups_is_consolidated_and_that_of_the_root_is_not(
    storage: Storage, zarr: Any
) -> None:
    group = zarr.open_group(storage.zarr_store("buffers"), mode="r+").create_group("g")
    group.create_group("deeper").create_array("t", shape=(2,), dtype="int8")
    group.create_array("x", shape=(2,), dtype="int8")
    storage.buffers.put("b", b"1")
    found = {
        key: json.loads(storage.zarr.consolidated(f"{key}zarr.json") or b"") for key in ("", "buffers/", "buffers/g/")
    }
    assert "consolidated_metadata" not in found[""]
    below = ["g", "g/deeper", "g/deeper/t", "g/x"]
    assert list(found["buffers/"]["consolidated_metadata"]["metadata"]) == ["b", *below]
    assert list(found["buffers/g/"]["consolidated_metadata"]["metadata"]) == ["deeper", "deeper/t", "x"]
    assert storage.zarr.consolidated("buffers/b/zarr.json") == storage.zarr.read("buffers/b/zarr.json")
    assert storage.zarr.consolidated("buffers/nothing/zarr.json") is None
    assert storage.zarr.consolidated("buffers/b/c/0") == b"1"


def test_pages_of_keys_come_in_bytewise_order_and_leave_none_out(storage: Storage) -> None:
    names = [b"k", b"k-", b"k.", b"k/", b"k0", b"K", b"\xff", b".", b"__a", b"zarr.json", b"~", b"_", b"a b", b"%"]
    for number, name in enumerate(names):
        storage.kv.set(name, b"v" * (number % 2))
    for name in ("b", "b-", "b/", "B"):
        storage.buffers.put(name, b"1")
    storage.zarr_store()._writable.set("buffers/b/température/c/0", b"1")
    everything = sorted(storage.zarr.list_prefix())
    assert len(everything) == len(set(everything))
    assert storage.zarr.list() == everything
    prefixes = (
        "",
        "b",
        "buffers/b",
        "buffers/b/t",
        "kv",
        "kv/",
        "kv/k",
        "kv/k%",
        "kv/%",
        "kv/%F",
        "kv/k/c",
        "kv/_",
        "zz",
    )
    for prefix in prefixes:
        expected = [key for key in everything if key.startswith(prefix)]
        for limit in (1, 3, 1000):
            found: list[str] = []
            while page := storage.zarr.list(prefix, limit=limit, after=found[-1] if found else None):
                assert len(page) <= limit
                found += page
            assert found == expected, (prefix, limit)
    assert storage.zarr.list("kv/", after="zz") == []
    assert storage.zarr.list("kv/", after="a") == [key for key in everything if key.startswith("kv/")]
    with pytest.raises(InvalidInputError):
        storage.zarr.list(limit=0)


def test_a_value_that_is_replaced_gets_another_identity(storage: Storage) -> None:
    seen = set()
    for content in (b"1", b"2", b"1" * 100_000, b"1" * 100_000):
        storage.buffers.put("x", content)
        size, identity = storage.zarr.stat("buffers/x/c/0") or (0, "")
        assert size == len(content)
        seen.add(identity)
    assert len(seen) == 4
    assert storage.zarr.stat("buffers/x/c/1") is None


def test_opening_a_storage_and_its_byte_buffers_loads_neither_numpy_nor_zarr(tmp_path: Any) -> None:
    program = (
        "import sys; from pathlib import Path; from moc_server_ext.storage import Storage\n"
        "with Storage.open(Path(sys.argv[1])) as storage:\n"
        "    storage.buffers.put('x', b'1' * 100_000); storage.buffers.read('x'); storage.buffers.list()\n"
        "print(sorted({'numpy', 'zarr'} & set(sys.modules)))"
    )
    run = subprocess.run(
        [sys.executable, "-c", program, str(tmp_path / "storage")], capture_output=True, text=True, timeout=120
    )
    assert run.stdout == "[]\n", run.stderr
