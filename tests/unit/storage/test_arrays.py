"""Arrays in the storage: damage that is named, chunks written by threads, files that readers keep."""

from __future__ import annotations

import gc
import itertools
import os
import threading
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from moc_server_ext.errors import (
    BufferNotFoundError,
    ConflictError,
    CorruptStorageError,
    InvalidInputError,
    NoBytesError,
    StorageError,
)
from moc_server_ext.model import parse_array
from moc_server_ext.storage import Storage
from moc_server_ext.storage.chunk_files import ChunkFile
from moc_server_ext.testing.blobs import patterned

ARRAY = parse_array("uint8", [4, 100_000], [1, 100_000])
GRIDDED = parse_array("uint8", [300, 400], [200, 350])
SMALL = parse_array("int16", [100, 10], [7, 10])
CONTENT = {array: patterned(array.nbytes) for array in (ARRAY, GRIDDED, SMALL)}


def object_files(storage: Storage) -> set[Path]:
    storage.collect(ignore_grace=True)
    return set((storage.path / "objects").glob("*/*"))


def file_of(storage: Storage, name: str, key: str) -> Path:
    chunk = storage.buffers.chunk_files(name).chunks[key]
    assert isinstance(chunk, ChunkFile)
    return storage.path / chunk.file


@pytest.mark.parametrize("array", [ARRAY, GRIDDED])
@pytest.mark.parametrize("damage", ["flip", "cut", "unlink"])
def test_a_damaged_chunk_is_an_error_that_names_buffer_and_chunk(storage: Storage, array, damage: str) -> None:
    storage.buffers.put("some/array", CONTENT[array], array=array)
    key = "c/1/0"
    file = file_of(storage, "some/array", key)
    if damage == "flip":
        content = bytearray(file.read_bytes())
        content[1] ^= 1
        file.write_bytes(content)
    elif damage == "cut":
        os.truncate(file, 1000)
    else:
        file.unlink()
    for read in (
        lambda: storage.buffers.read("some/array"),
        lambda: b"".join(storage.buffers.parts("some/array")),
        lambda: storage.zarr.read(f"buffers/some%2Farray/{key}"),
    ):
        with pytest.raises(CorruptStorageError, match=f"{key}"):
            read()
    with pytest.raises(CorruptStorageError, match="some/array"):
        storage.buffers.read("some/array")
    assert storage.buffers.read("some/array", 0, 100) == CONTENT[array][:100]


@pytest.mark.parametrize("array", [ARRAY, GRIDDED, SMALL])
def test_a_chunk_that_is_missing_is_an_error_that_names_it_and_never_fill_values(storage: Storage, array) -> None:
    storage.buffers.put("x", CONTENT[array], array=array)
    key = list(array.chunk_keys())[-1]
    lose(storage, f"buffers/x/{key}")
    with pytest.raises(CorruptStorageError, match=f"chunk '{key}' of buffer 'x'.*missing"):
        storage.buffers.read("x", 0, 10)
    with pytest.raises(CorruptStorageError, match=f"buffers/x/{key}"):
        storage.zarr.read(f"buffers/x/{key}")
    assert storage.zarr.read("buffers/x/c/1000/0") is None, "it is none of the array's"


def test_a_chunk_of_another_size_is_an_error(storage: Storage) -> None:
    storage.buffers.put("x", CONTENT[SMALL], array=SMALL)
    store = storage.zarr_store()
    store._writable.set("buffers/x/c/3/0", b"short")
    with pytest.raises(CorruptStorageError, match=r"'c/3/0'.*5 bytes, and 140"):
        storage.buffers.read("x")


def lose(storage: Storage, key: str) -> None:
    """Remove a row of the catalog, which moc itself never does."""
    with storage._catalog.writing(), storage._catalog.transaction("test") as connection:
        connection.execute("DELETE FROM entries WHERE key = ?", (key,))
    storage._versions.forget_all()


@pytest.mark.parametrize("array", [ARRAY, GRIDDED, SMALL, parse_array("float64", []), parse_array("int8", [0, 5])])
def test_chunks_that_threads_write_appear_as_a_whole_at_the_commit(storage: Storage, array) -> None:
    import numpy as np

    content = np.frombuffer(patterned(array.nbytes), array.dtype).reshape(array.shape)
    storage.buffers.put("x", b"before")
    indices = list(itertools.product(*map(range, array.grid)))
    with storage.buffers.write_array("x", array, "text/x", {"A": "1"}, origin={"run_id": "1"}) as writer:

        def write(index: tuple[int, ...]) -> None:
            box = tuple(
                slice(each * chunk, (each + 1) * chunk) for each, chunk in zip(index, array.chunks, strict=True)
            )
            writer.write_chunk(index, content[box].tobytes())

        with ThreadPoolExecutor(4) as pool:
            list(pool.map(write, [*indices, *indices]))
        assert storage.buffers.read("x") == b"before"
        record = writer.commit()
    assert storage.buffers.stat("x") == record
    assert (record.array, record.content_type, record.headers) == (array, "text/x", {"a": "1"})
    assert storage.buffers.read("x") == content.tobytes()
    assert list((storage.path / "tmp").iterdir()) == []
    with pytest.raises(StorageError, match="has ended"):
        writer.commit()


def test_an_array_writer_refuses_what_is_no_chunk_and_a_commit_without_all_of_them(storage: Storage) -> None:
    with storage.buffers.write_array("x", GRIDDED) as writer:
        for index, content in (((2, 0), b""), ((0,), b""), ((0, -1), b""), ((0, 0), b"1"), ((1, 1), bytes(70_001))):
            with pytest.raises(InvalidInputError):
                writer.write_chunk(index, content)
        writer.write_chunk((1, 1), bytes(100 * 50))
        writer.write_chunk((0, 0), bytes(70_000))
        with pytest.raises(InvalidInputError, match=r"2 of the 4 chunks .* 'c/0/1'"):
            writer.commit()
    assert list(storage.buffers.list()) == []
    assert list((storage.path / "tmp").iterdir()) == []
    with pytest.raises(StorageError, match="has ended"):
        writer.write_chunk((0, 0), bytes(70_000))
    assert list((storage.path / "tmp").iterdir()) == []


def test_files_of_a_replaced_array_stay_until_its_last_reader_has_let_go(storage: Storage) -> None:
    storage.buffers.put("x", CONTENT[ARRAY], array=ARRAY)
    before = object_files(storage)
    _, kept = storage.buffers.open("x")
    _, dropped = storage.buffers.open("x")
    storage.buffers.put("x", b"bytes")
    assert object_files(storage) == before
    assert kept.read() == CONTENT[ARRAY]
    kept.close()
    assert object_files(storage) == before
    assert dropped.read(5, 9) == CONTENT[ARRAY][5:9]
    del dropped
    gc.collect()
    assert object_files(storage) == set()


def test_files_that_were_kept_for_a_reader_go_at_the_next_opening(path: Path) -> None:
    with Storage.open(path) as storage:
        storage.buffers.put("x", CONTENT[ARRAY], array=ARRAY)
        _, content = storage.buffers.open("x")
        storage.buffers.delete("x")
        assert len(object_files(storage)) == 4
    with Storage.open(path, grace_seconds=0) as storage:
        assert object_files(storage) == set()
    content.close()


def test_many_small_chunks_are_read_as_of_one_moment_too(storage: Storage) -> None:
    array = parse_array("uint8", [50, 60_000], [1, 60_000])
    storage.buffers.put("x", patterned(array.nbytes), array=array)
    _, content = storage.buffers.open("x")
    storage.buffers.put("x", bytes(array.nbytes), array=array)
    assert content.read() == patterned(array.nbytes)
    content.close()
    assert storage.buffers.read("x") == bytes(array.nbytes)


def test_of_several_that_append_at_once_all_come_to_it(storage: Storage) -> None:
    array = parse_array("int64", [0, 3], [4, 3])
    storage.buffers.put("x", b"", array=array)

    def append(number: int) -> None:
        storage.buffers.append("x", number.to_bytes(8, "little") * 3, parse_array("int64", [1, 3]))

    with ThreadPoolExecutor(4) as pool:
        list(pool.map(append, range(40)))
    content = storage.buffers.read("x")
    rows = [content[at : at + 24] for at in range(0, len(content), 24)]
    assert sorted(rows) == sorted(number.to_bytes(8, "little") * 3 for number in range(40))


def test_what_is_appended_while_the_buffer_is_replaced_is_refused(storage: Storage) -> None:
    storage.buffers.put("x", CONTENT[SMALL], array=SMALL)
    staged, go_on = threading.Event(), threading.Event()
    real = storage.buffers._writes.grow_array

    def grow(*arguments: object) -> None:
        staged.set()
        assert go_on.wait(60)
        real(*arguments)  # type: ignore[arg-type]

    storage.buffers._writes.grow_array = grow  # type: ignore[method-assign]
    with ThreadPoolExecutor(1) as pool:
        appended = pool.submit(storage.buffers.append, "x", bytes(20), parse_array("int16", [1, 10]))
        assert staged.wait(60)
        storage.buffers.put("x", CONTENT[SMALL], array=SMALL)
        go_on.set()
        with pytest.raises(ConflictError, match="'x' was changed"):
            appended.result()
    assert storage.buffers.read("x") == CONTENT[SMALL]
    assert list((storage.path / "tmp").iterdir()) == []


def test_chunk_files_lead_to_the_chunks_by_path(storage: Storage) -> None:
    storage.buffers.put("x", CONTENT[ARRAY], array=ARRAY)
    listed = storage.buffers.chunk_files("x")
    assert listed.chunks.keys() == set(ARRAY.chunk_keys())
    assert b"".join((storage.path / chunk.file).read_bytes() for chunk in listed.chunks.values()) == CONTENT[ARRAY]
    assert storage.buffers.chunk_files("x").etag == listed.etag
    storage.buffers.put("x", CONTENT[ARRAY], array=ARRAY)
    assert storage.buffers.chunk_files("x").etag != listed.etag
    storage.buffers.put("x", CONTENT[SMALL], array=SMALL)
    assert storage.buffers.chunk_files("x").chunks == {}
    with pytest.raises(BufferNotFoundError):
        storage.buffers.chunk_files("missing")


def staged(storage: Storage, number: int, content: bytes) -> str:
    name = f"{number:032x}"
    (storage.path / "staging" / name).write_bytes(content)
    return name


def test_staged_files_become_the_chunks_of_an_array(storage: Storage) -> None:
    for array in (ARRAY, SMALL):
        size = array.chunk_bytes
        content = CONTENT[array] + bytes(-len(CONTENT[array]) % size)
        files = {
            key: staged(storage, number, content[number * size : (number + 1) * size])
            for number, key in enumerate(array.chunk_keys())
        }
        record = storage.buffers.adopt("x", files, array, "text/x", {"A": "1"}, origin={"call_id": "1"})
        assert storage.buffers.stat("x") == record
        assert storage.buffers.read("x") == CONTENT[array]
        assert list((storage.path / "staging").iterdir()) == []
    assert {each.stat().st_mode & 0o777 for each in object_files(storage)} <= {0o600}


@pytest.mark.parametrize(
    "wrong",
    ["missing", "short", "long", "link", "second name", "directory", "pipe", "name", "path", "twice", "too few", "key"],
)
def test_what_is_no_plain_file_of_the_right_size_is_not_taken_over(storage: Storage, wrong: str) -> None:
    storage.buffers.put("x", b"before")
    secret = storage.path / "token"
    files = {key: staged(storage, number, bytes(100_000)) for number, key in enumerate(ARRAY.chunk_keys())}
    path = storage.path / "staging" / files["c/2/0"]
    if wrong not in ("name", "path", "twice", "too few", "key", "short", "long"):
        path.unlink()
    match wrong:
        case "short":
            path.write_bytes(bytes(99_999))
        case "long":
            path.write_bytes(bytes(100_001))
        case "link":
            path.symlink_to(secret)
        case "second name":
            other = storage.path.parent / "other"
            other.write_bytes(bytes(100_000))
            os.link(other, path)
        case "directory":
            path.mkdir()
        case "pipe":
            os.mkfifo(path)
        case "name":
            files["c/2/0"] = "x" * 32
        case "path":
            files["c/2/0"] = "../token"
        case "twice":
            files["c/2/0"] = files["c/1/0"]
        case "too few":
            del files["c/2/0"]
        case "key":
            files["c/9/0"] = files.pop("c/2/0")
    with pytest.raises(InvalidInputError):
        storage.buffers.adopt("x", files, ARRAY)
    assert storage.buffers.read("x") == b"before"
    assert secret.exists()
    assert object_files(storage) == set()


def test_files_left_in_the_staging_directory_go_when_the_storage_is_opened(path: Path) -> None:
    with Storage.open(path) as storage:
        staged(storage, 1, b"left")
    with Storage.open(path):
        assert list((path / "staging").iterdir()) == []


@pytest.mark.parametrize("origin", [{"call_id": 7}, {7: "call"}, {"call_id": "x" * 5000}])
def test_an_origin_is_a_few_texts(storage: Storage, origin) -> None:
    with pytest.raises(InvalidInputError, match="origin"):
        storage.buffers.put("x", b"1", origin=origin)
    assert list(storage.buffers.list()) == []


def test_chunks_that_are_no_runs_have_a_largest_size(storage: Storage) -> None:
    with pytest.raises(InvalidInputError, match="at most"):
        storage.buffers.put("x", b"", array=parse_array("uint8", [1 << 20, 1 << 20], [1 << 19, 1 << 19]))


def test_a_slice_of_a_remembered_buffer_asks_neither_the_catalog_nor_opens_a_file(
    storage: Storage, monkeypatch: pytest.MonkeyPatch
) -> None:
    storage.buffers.put("x", CONTENT[ARRAY], array=ARRAY)
    storage.buffers.read("x", 0, 10)

    def refuse(*arguments: object) -> None:
        raise AssertionError("not remembered")

    monkeypatch.setattr(storage._catalog, "_borrow", refuse)
    monkeypatch.setattr(storage._objects, "open", refuse)
    assert storage.buffers.read("x", 10, 20) == CONTENT[ARRAY][10:20]


def test_an_array_of_a_type_that_moc_does_not_know_has_no_bytes(storage: Storage) -> None:
    document = b'{"zarr_format":3,"node_type":"array","shape":[2],"data_type":"string","attributes":{}}'
    storage.buffers.put_zarr("x", [("zarr.json", document)])
    assert (storage.buffers.stat("x").array, storage.buffers.stat("x").size > 0) == (None, True)
    with pytest.raises(NoBytesError, match="no data type"):
        storage.buffers.read("x")
