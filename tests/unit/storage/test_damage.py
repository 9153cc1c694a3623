from __future__ import annotations

import hashlib
import os
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

from moc_server_ext.errors import CorruptStorageError
from moc_server_ext.storage import Storage

LARGE = bytes(range(256)) * 400
BLOB_ID = hashlib.sha256(LARGE).hexdigest()


def flip(file: Path) -> None:
    content = bytearray(file.read_bytes())
    content[50_000] ^= 1
    file.write_bytes(content)


def cut(file: Path) -> None:
    os.truncate(file, 50_000)


KINDS: dict[str, tuple[Callable[[Storage], object], Callable[[Storage], bytes], str]] = {
    "blob": (
        lambda storage: storage.blobs.put(LARGE),
        lambda storage: storage.blobs.read(BLOB_ID),
        f"blob '{BLOB_ID}'",
    ),
    "buffer": (
        lambda storage: storage.buffers.put("topics", LARGE),
        lambda storage: storage.buffers.read("topics"),
        "buffer 'topics'",
    ),
    "value": (
        lambda storage: storage.kv.set(b"answer", LARGE),
        lambda storage: storage.kv.get(b"answer"),
        "the value of key 'answer'",
    ),
}


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize(
    ("damage", "found"), [(flip, "checksum"), (cut, "ends at byte 50000"), (Path.unlink, "is missing")]
)
def test_a_damaged_file_is_noticed_and_the_thing_named(
    storage: Storage, path: Path, kind: str, damage: Callable[[Path], None], found: str
) -> None:
    put, read, what = KINDS[kind]
    put(storage)
    (file,) = (path / "objects").glob("*/*")
    damage(file)
    with pytest.raises(CorruptStorageError, match=f"{what}.*{found}"):
        read(storage)


def test_a_slice_beyond_the_end_of_a_cut_file_is_noticed(storage: Storage, path: Path) -> None:
    storage.buffers.put("b", LARGE)
    (file,) = (path / "objects").glob("*/*")
    cut(file)
    assert storage.buffers.read("b", 0, 100) == LARGE[:100]
    with pytest.raises(CorruptStorageError, match="ends at byte 50000"):
        storage.buffers.read("b", 49_990, 50_010)


def test_putting_a_blob_again_mends_its_lost_file(storage: Storage, path: Path) -> None:
    blob_id = storage.blobs.put(LARGE).blob_id
    shutil.rmtree(path / "objects" / blob_id[:2])
    with pytest.raises(CorruptStorageError, match=blob_id):
        storage.blobs.read(blob_id)
    storage.blobs.put(LARGE)
    assert storage.blobs.read(blob_id) == LARGE


def test_a_flipped_bit_in_the_catalog_is_noticed(path: Path) -> None:
    with Storage.open(path) as storage:
        storage.kv.set(b"k", b"needle" * 100)
    catalog = path / "catalog.sqlite3"
    content = catalog.read_bytes()
    assert content.count(b"needle") == 100
    catalog.write_bytes(content.replace(b"needle", b"noodle", 1))
    with Storage.open(path) as storage, pytest.raises(CorruptStorageError, match=r"the value of key 'k'.*checksum"):
        storage.kv.get(b"k")


def test_files_that_nothing_refers_to_go_when_the_last_owner_did_not_close(path: Path) -> None:
    with Storage.open(path) as storage:
        storage.buffers.put("b", LARGE)
        storage.kv.set(b"k", LARGE)
        blob_id = storage.blobs.put(LARGE).blob_id
    kept = set((path / "objects").glob("*/*"))
    strays = {path / "objects" / name[:2] / name for name in ("ab" * 16, "cd" * 32)}
    foreign = path / "objects" / "ab" / "notes.txt"
    for stray in (*strays, foreign):
        stray.parent.mkdir(exist_ok=True)
        stray.write_bytes(b"stray")
    (path / "tmp" / "half").write_bytes(b"half")
    Storage.open(path).close()
    assert not list((path / "tmp").iterdir())
    assert strays <= set((path / "objects").glob("*/*")), "a clean end needs no sweep"

    # SQLite's log is what a process that was killed leaves behind.
    (path / "catalog.sqlite3-wal").touch()
    with Storage.open(path) as storage:
        assert set((path / "objects").glob("*/*")) == {*kept, foreign}
        assert storage.buffers.read("b") == storage.kv.get(b"k") == storage.blobs.read(blob_id) == LARGE
