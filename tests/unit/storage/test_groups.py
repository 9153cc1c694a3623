from __future__ import annotations

import sqlite3
import threading
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from moc_server_ext.errors import (
    BufferNotFoundError,
    FunctionNotFoundError,
    InvalidInputError,
    KeyNotFoundError,
    ReadOnlyStorageError,
    StorageError,
)
from moc_server_ext.storage import Storage
from moc_server_ext.storage.ownership import FORMAT

LARGE = b"l" * 100_000


def objects(path: Path) -> int:
    return len(list((path / "objects").glob("*/*"))) + len(list((path / "tmp").iterdir()))


def test_a_group_appears_as_a_whole_when_its_block_ends(storage: Storage) -> None:
    with storage.group() as group:
        storage.kv.set(b"k", LARGE, group=group)
        storage.buffers.put("b", LARGE, group=group)
        record = storage.names.register("f", LARGE, "application/wasm", {}, group=group)
        assert list(storage.kv.list()) == []
        assert list(storage.buffers.list()) == []
        assert storage.names.get("f") is None
    assert storage.kv.get(b"k") == LARGE
    assert storage.buffers.read("b") == LARGE
    assert storage.names.get("f") == record


def test_a_block_that_raises_leaves_nothing(storage: Storage, path: Path) -> None:
    def interrupted() -> None:
        with storage.group() as group:
            storage.kv.set(b"k", LARGE, group=group)
            storage.names.register("f", LARGE, "application/wasm", {}, group=group)
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        interrupted()
    assert list(storage.kv.list()) == []
    assert storage.names.get("f") is None
    assert objects(path) == 0


def test_while_nothing_may_be_written_each_write_says_why_and_reading_goes_on(storage: Storage) -> None:
    storage.kv.set(b"k", LARGE)
    storage._writer.read_only_reason = "it is a standby"
    for write in (lambda: storage.kv.set(b"k", b"v"), lambda: storage.buffers.put("b", LARGE)):
        with pytest.raises(ReadOnlyStorageError, match="it is a standby"):
            write()
    assert storage.kv.get(b"k") == LARGE
    storage._writer.read_only_reason = ""
    storage.kv.set(b"k", b"v")


def test_objects_that_are_held_stay_until_the_end_of_the_block(storage: Storage, path: Path) -> None:
    storage.buffers.put("b", LARGE)
    with storage.hold_objects():
        storage.buffers.put("b", LARGE[::-1] + b"x")
        storage.buffers.delete("b")
        storage.collect(ignore_grace=True)
        assert objects(path) == 2
    storage.collect(ignore_grace=True)
    assert objects(path) == 0


@pytest.mark.parametrize(
    ("error", "act"),
    [
        (BufferNotFoundError, lambda storage, group: storage.buffers.delete("missing", group=group)),
        (KeyNotFoundError, lambda storage, group: storage.kv.delete(b"missing", group=group)),
        (FunctionNotFoundError, lambda storage, group: storage.names.delete("missing", group=group)),
    ],
)
def test_one_refused_write_refuses_its_whole_group(storage: Storage, path: Path, error: type, act: object) -> None:
    def refused() -> None:
        with storage.group() as group:
            storage.kv.set(b"k", LARGE, group=group)
            storage.blobs.put(LARGE, group=group)
            storage.names.register("f", b"f", "application/wasm", {}, group=group)
            act(storage, group)  # type: ignore[operator]

    with pytest.raises(error):
        refused()
    assert list(storage.kv.list()) == []
    assert storage.names.get("f") is None
    assert objects(path) == 0


def test_a_refused_group_does_not_take_away_an_equal_blob_that_was_there(storage: Storage) -> None:
    blob = storage.blobs.put(LARGE, "text/plain")

    def refused() -> None:
        with storage.group() as group:
            storage.blobs.put(LARGE, "text/html", group=group)
            storage.kv.delete(b"missing", group=group)

    with pytest.raises(KeyNotFoundError):
        refused()
    assert storage.blobs.stat(blob.blob_id) == blob
    assert storage.blobs.read(blob.blob_id) == LARGE


def test_an_ended_group_takes_no_more(storage: Storage) -> None:
    with storage.group() as group:
        storage.kv.set(b"k", b"v", group=group)
    with pytest.raises(StorageError, match="has ended"):
        storage.kv.set(b"k", b"w", group=group)
    assert storage.kv.get(b"k") == b"v"


def test_writes_of_one_group_apply_in_their_order(storage: Storage, path: Path) -> None:
    with storage.group() as group:
        for number in range(3):
            storage.kv.set(b"k", LARGE + b"%d" % number, group=group)
            storage.buffers.put("b", LARGE + b"%d" % number, group=group)
        storage.buffers.delete("b", group=group)
    assert storage.kv.get(b"k") == LARGE + b"2"
    assert list(storage.buffers.list()) == []
    storage.collect(ignore_grace=True)
    assert objects(path) == 1


def test_replaced_and_removed_content_leaves_no_file(storage: Storage, path: Path) -> None:
    for content in (LARGE, LARGE * 2, b"small", LARGE, b""):
        storage.buffers.put("b", content)
        storage.kv.set(b"k", content)
        storage.collect(ignore_grace=True)
        assert objects(path) == (2 if len(content) > 65_536 else 0)
    storage.buffers.put("b", LARGE)
    storage.kv.set(b"k", LARGE)
    storage.buffers.delete("b")
    storage.kv.delete(b"k")
    storage.collect(ignore_grace=True)
    assert objects(path) == 0


def test_of_two_who_delete_the_same_thing_one_is_told(storage: Storage) -> None:
    barrier = threading.Barrier(2)

    def delete() -> bool:
        barrier.wait()
        try:
            storage.buffers.delete("b")
        except BufferNotFoundError:
            return False
        return True

    for _ in range(20):
        storage.buffers.put("b", b"1")
        with ThreadPoolExecutor(2) as pool:
            assert sorted(each.result() for each in [pool.submit(delete), pool.submit(delete)]) == [False, True]


def test_headers_that_are_too_large_are_refused_and_nothing_is_stored(storage: Storage, path: Path) -> None:
    with pytest.raises(InvalidInputError, match="headers"):
        storage.buffers.put("b", LARGE, headers={"x": "y" * 70_000})
    assert list(storage.buffers.list()) == []
    assert objects(path) == 0


def test_a_commit_is_flushed_to_the_disk(storage: Storage, path: Path) -> None:
    """The settings that make an acknowledged write survive a power cut, as SQLite itself tells them."""
    writer = storage._catalog._writer
    assert writer.pragma("synchronous") == 2
    assert writer.pragma("journal_mode") == "wal"


def test_the_catalog_opens_with_any_sqlite(path: Path) -> None:
    with Storage.open(path) as storage:
        storage.kv.set(b"k", b"v")
    connection = sqlite3.connect(path / "catalog.sqlite3")
    try:
        assert connection.execute("PRAGMA integrity_check").fetchall() == [("ok",)]
        assert connection.execute("SELECT key, inline FROM keyvalues").fetchall() == [(b"k", b"v")]
    finally:
        connection.close()


def test_status_counts_what_is_stored(storage: Storage, path: Path) -> None:
    storage.names.register("f", LARGE, "application/wasm", {})
    storage.buffers.put("a", b"1")
    storage.buffers.put("b", b"")
    storage.kv.set(b"k", LARGE)
    status = storage.status()
    assert {key: status[key] for key in ("path", "format", "instance_id", "blobs", "buffers", "keys", "names")} == {
        "path": str(path), "format": FORMAT, "instance_id": storage.instance_id,
        "blobs": 1, "buffers": 2, "keys": 1, "names": 1,
    }  # fmt: skip
    assert status["stored_bytes"] > 2 * len(LARGE)
    assert status["free_bytes"] > 0
