"""Open logs when things go wrong: killed appenders, damaged and missing parts, sealing that fails, shared files."""

from __future__ import annotations

import errno
import itertools
import os
import random
import sqlite3
import subprocess
import sys
from pathlib import Path

import pytest

from moc_server_ext.errors import ConflictError, CorruptStorageError, LogNotFoundError, StorageFullError
from moc_server_ext.storage import Storage, files, open_logs
from moc_server_ext.testing.blobs import patterned

SIZES = (1, 3_000, 65_536, 65_537, 200_000)
KILLS = 12


def part_of(number: int) -> bytes:
    """Give what the appender appends as its n-th part."""
    return b"%08d" % number + patterned(SIZES[number % len(SIZES)])


def content_of(count: int) -> bytes:
    return b"".join(map(part_of, range(count)))


def object_files(path: Path) -> set[str]:
    return {each.name for each in (path / "objects").glob("*/*")}


def test_every_part_that_was_acknowledged_is_there_after_many_kills(tmp_path: Path) -> None:
    path, chance, count = tmp_path / "storage", random.Random(), 0
    for _ in range(KILLS):
        child = subprocess.Popen([sys.executable, __file__, str(path), str(count)], stdout=subprocess.PIPE)
        with child:
            assert child.stdout is not None
            assert child.stdout.readline() == b"open\n"
            lines = [child.stdout.readline() for _ in range(chance.randrange(1, 8))]
            try:
                child.wait(timeout=chance.uniform(0, 0.05))
            except subprocess.TimeoutExpired:
                child.kill()
            lines += child.stdout.read().splitlines(keepends=True)
            assert child.wait() == -9
        acknowledged = [int(line) for line in lines if line.endswith(b"\n")]
        assert acknowledged == list(range(count, count + len(acknowledged)))
        count += len(acknowledged)
        with Storage.open(path) as storage:
            record = storage.buffers.log("x")
            # The part that was on its way is there as a whole, or not at all.
            assert record.parts in (count, count + 1)
            assert record.size == len(content_of(record.parts))
            assert list(storage.buffers.list()) == []
            count = record.parts
    with Storage.open(path, grace_seconds=0) as storage:
        assert storage.buffers.seal_log("x").size == len(content_of(count))
        assert storage.buffers.read("x") == content_of(count)
        assert list(storage.buffers.logs()) == []
        storage.collect()
        assert len(object_files(path)) == 1


@pytest.mark.parametrize("size", [1_000, 100_000])
def test_a_damaged_part_is_found_when_the_log_is_sealed(tmp_path: Path, size: int) -> None:
    path = tmp_path / "storage"
    with Storage.open(path) as storage:
        storage.buffers.put("x", b"before")
        storage.buffers.append_log("x", b"1" * size)
        storage.buffers.append_log("x", b"2")
    for file in (path / "objects").glob("*/*"):
        file.write_bytes(b"1" * (size - 1) + b"!")
    with sqlite3.connect(path / "catalog.sqlite3") as catalog:
        catalog.execute("UPDATE parts SET inline = CAST('?' || substr(inline, 2) AS BLOB) WHERE size = 1000")
    catalog.close()
    with Storage.open(path) as storage:
        with pytest.raises(CorruptStorageError, match="log of buffer 'x'"):
            storage.buffers.seal_log("x")
        assert storage.buffers.read("x") == b"before"
        assert storage.buffers.log("x").size == size + 1
        assert list((path / "tmp").iterdir()) == []


def test_a_missing_part_is_found_when_the_log_is_sealed(tmp_path: Path) -> None:
    path = tmp_path / "storage"
    with Storage.open(path) as storage:
        for _ in range(3):
            storage.buffers.append_log("x", b"123")
    with sqlite3.connect(path / "catalog.sqlite3") as catalog:
        assert catalog.execute("DELETE FROM parts WHERE key = 'x/0000000000000003'").rowcount == 1
    catalog.close()
    with Storage.open(path) as storage, pytest.raises(CorruptStorageError, match="byte 3 is missing"):
        storage.buffers.seal_log("x")


def test_a_log_that_cannot_be_sealed_for_want_of_room_stays_and_is_sealed_later(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "storage"
    with Storage.open(path) as storage:
        content = patterned(300_000)
        storage.buffers.append_log("x", content)

        def full(*arguments: object) -> int:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

        with monkeypatch.context() as context:
            context.setattr(files.os, "fsync", full)
            with pytest.raises(StorageFullError):
                storage.buffers.seal_log("x")
        assert list((path / "tmp").iterdir()) == []
        assert storage.buffers.append_log("x", b"!") == 300_001
        storage.buffers.seal_log("x")
        assert storage.buffers.read("x") == content + b"!"


def test_a_log_has_a_bounded_number_of_parts(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(open_logs, "PARTS_MAX", 3)
    with Storage.open(tmp_path / "storage") as storage:
        for _ in range(3):
            storage.buffers.append_log("x", b"1")
        with pytest.raises(ConflictError, match="3 parts"):
            storage.buffers.append_log("x", b"1")
        storage.buffers.seal_log("x")
        assert storage.buffers.append_log("x", b"1") == 1


def test_an_abandoned_log_leaves_no_files(tmp_path: Path) -> None:
    path = tmp_path / "storage"
    with Storage.open(path, grace_seconds=0) as storage:
        log = storage.buffers.open_log("x")
        log.append(patterned(100_000))
        assert len(object_files(path)) == 1
        log.abandon()
        storage.collect()
        assert object_files(path) == set()
        with pytest.raises(LogNotFoundError):
            log.append(patterned(100_000))
        assert object_files(path) == set()
        assert list((path / "tmp").iterdir()) == []


def test_the_file_of_a_copied_buffer_stays_as_long_as_one_of_them_refers_to_it(tmp_path: Path) -> None:
    path, content = tmp_path / "storage", patterned(200_000)
    with Storage.open(path, grace_seconds=0) as storage:
        buffers = storage.buffers
        buffers.put("a", content)
        buffers.copy("a", "b")
        buffers.rename("b", "c")
        assert len(object_files(path)) == 1
        buffers.put("a", b"replaced")
        storage.collect()
        assert buffers.read("c") == content
    with Storage.open(path, grace_seconds=0) as storage:
        assert storage.buffers.read("c") == content
        storage.buffers.delete("c")
        storage.collect()
        assert object_files(path) == set()


def main(path: str, first: str) -> None:
    storage = Storage.open(Path(path))
    log = (
        storage.buffers.open_log("x")
        if first == "0" and not storage.buffers.logs()
        else storage.buffers.resume_log("x")
    )
    os.write(1, b"open\n")
    for number in itertools.count(int(first)):
        log.append(part_of(number))
        os.write(1, b"%d\n" % number)


if __name__ == "__main__":
    main(*sys.argv[1:])
