from __future__ import annotations

import hashlib
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from moc_server_ext.errors import FunctionNotFoundError, InvalidInputError
from moc_server_ext.storage import Storage


def test_registering_stores_the_blob_and_points_the_name_to_it(storage: Storage) -> None:
    record = storage.names.register("f", b"\0asm", "application/wasm", {"limits": {"x": 1}})
    assert record.blob_id == hashlib.sha256(b"\0asm").hexdigest()
    assert (record.name, record.size, record.content_type) == ("f", 4, "application/wasm")
    assert record.attributes == {"limits": {"x": 1}}
    assert storage.names.get("f") == record
    assert storage.blobs.read(record.blob_id) == b"\0asm"
    assert storage.blobs.stat(record.blob_id).content_type == "application/wasm"


def test_registering_again_replaces_and_the_old_blob_stays(storage: Storage) -> None:
    old = storage.names.register("f", b"old", "application/wasm", {"n": 1})
    new = storage.names.register("f", b"new", "application/wasm", {"n": 2})
    assert storage.names.list() == [new]
    assert storage.blobs.read(old.blob_id) == b"old"


def test_registering_the_same_again_is_acknowledged_with_its_new_attributes(storage: Storage) -> None:
    storage.names.register("f", b"same", "application/wasm", {"n": 1})
    storage.names.register("f", b"same", "application/wasm", {"n": 2})
    record = storage.names.get("f")
    assert record is not None
    assert record.attributes == {"n": 2}


def test_names_are_listed_sorted(storage: Storage) -> None:
    for name in ("b", "a", "ä", "a/b", "B"):
        storage.names.register(name, b"x", "application/wasm", {})
    assert [record.name for record in storage.names.list()] == sorted(["b", "a", "ä", "a/b", "B"])


def test_a_deleted_name_is_gone_and_its_blob_stays(path: Path) -> None:
    with Storage.open(path) as storage:
        record = storage.names.register("f", b"x", "application/wasm", {})
        storage.names.delete("f")
        assert storage.names.get("f") is None
    with Storage.open(path) as storage:
        assert storage.names.get("f") is None
        assert storage.blobs.read(record.blob_id) == b"x"


def test_deleting_an_unknown_name_suggests_the_nearest(storage: Storage) -> None:
    storage.names.register("uppercase", b"x", "application/wasm", {})
    with pytest.raises(FunctionNotFoundError, match="Did you mean 'uppercase'"):
        storage.names.delete("upercase")


@pytest.mark.parametrize("name", ["", " f", "f\n", "x" * 513])
def test_what_cannot_be_a_name_is_refused_and_nothing_is_stored(storage: Storage, name: str) -> None:
    with pytest.raises(InvalidInputError):
        storage.names.register(name, b"x", "application/wasm", {})
    assert storage.names.list() == []
    assert storage.status()["blobs"] == 0


def test_later_changes_of_the_attributes_do_not_reach_the_record(storage: Storage) -> None:
    attributes = {"list": [1]}
    storage.names.register("f", b"x", "application/wasm", attributes)
    attributes["list"].append(2)
    record = storage.names.get("f")
    assert record is not None
    assert record.attributes == {"list": [1]}


def test_memory_and_catalog_agree_after_many_threads(path: Path) -> None:
    def work(thread: int) -> None:
        for number in range(20):
            storage.names.register(f"n{number % 5}", b"%d" % thread, "application/wasm", {"by": thread})

    with Storage.open(path) as storage:
        with ThreadPoolExecutor(4) as pool:
            list(pool.map(work, range(4)))
        in_memory = storage.names.list()
    with Storage.open(path) as storage:
        assert storage.names.list() == in_memory
        assert len(in_memory) == 5
