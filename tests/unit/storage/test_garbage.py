"""Object files that nothing refers to: garbage from the commit on, and gone once they are due and nobody keeps them."""

from __future__ import annotations

import errno
import os
import threading
import time
from pathlib import Path

import pytest

from moc_server_ext.errors import ReadOnlyStorageError, StorageFullError
from moc_server_ext.model import parse_array
from moc_server_ext.storage import Storage
from moc_server_ext.storage.garbage import Garbage

LARGE = b"l" * 100_000


def files(path: Path) -> set[str]:
    return {each.name for each in (path / "objects").glob("*/*")}


def rows(storage: Storage) -> set[str]:
    return {each.object_id for each in storage._garbage.list("", 1000)}


def share(storage: Storage, old: bytes, new: bytes) -> None:
    """Make two rows refer to one object."""
    with storage.group() as group:
        group.then(
            "a copy",
            lambda connection: connection.execute(
                "INSERT INTO keyvalues SELECT ?, size, crc32c, object, inline FROM keyvalues WHERE key = ?", (new, old)
            ),
        )


def test_what_is_replaced_or_removed_is_garbage_until_it_is_collected(storage: Storage, path: Path) -> None:
    storage.kv.set(b"k", LARGE)
    storage.buffers.put("b", LARGE)
    old = files(path)
    assert rows(storage) == set()
    storage.kv.set(b"k", LARGE[::-1] + b"2")
    storage.buffers.delete("b")
    assert rows(storage) == old < files(path)
    assert storage.collect().held == {"grace": 2}
    collected = storage.collect(ignore_grace=True)
    assert (collected.objects, collected.bytes, collected.held) == (2, 200_000, {})
    assert rows(storage) == set()
    assert len(files(path)) == 1
    assert storage.kv.get(b"k") == LARGE + b"2"


def test_an_object_that_two_rows_share_goes_with_the_last_of_them(storage: Storage, path: Path) -> None:
    storage.kv.set(b"one", LARGE)
    share(storage, b"one", b"other")
    storage.kv.delete(b"one")
    storage.collect(ignore_grace=True)
    assert storage.kv.get(b"other") == LARGE
    storage.kv.set(b"other", b"small")
    assert rows(storage) == files(path) != set()
    storage.collect(ignore_grace=True)
    assert files(path) == set()


def test_an_object_that_is_referred_to_again_is_no_garbage_any_more(storage: Storage, path: Path) -> None:
    blob = storage.blobs.put(LARGE)
    with storage.group() as group:
        group.then(
            "a removal",
            lambda connection: connection.execute("DELETE FROM entries WHERE object = ?", (blob.blob_id,)),
        )
    assert rows(storage) == {blob.blob_id}
    assert storage.blobs.put(LARGE, "text/plain").blob_id == blob.blob_id
    assert rows(storage) == set()
    storage.collect(ignore_grace=True)
    assert storage.blobs.read(blob.blob_id) == LARGE


def test_a_refused_group_makes_nothing_garbage(storage: Storage) -> None:
    storage.kv.set(b"k", LARGE)

    def refuse(connection: object) -> None:
        raise InterruptedError

    def refused() -> None:
        with storage.group() as group:
            storage.kv.delete(b"k", group=group)
            group.then("a refusal", refuse)

    with pytest.raises(InterruptedError):
        refused()
    assert rows(storage) == set()
    storage.collect(ignore_grace=True)
    assert storage.kv.get(b"k") == LARGE


def test_without_grace_files_go_with_the_commit_and_at_the_opening(path: Path) -> None:
    with Storage.open(path) as storage:
        storage.kv.set(b"k", LARGE)
        storage.kv.delete(b"k")
        assert len(files(path)) == 1
    with Storage.open(path, grace_seconds=0) as storage:
        assert files(path) == set()
        storage.kv.set(b"k", LARGE)
        storage.kv.delete(b"k")
        assert files(path) == set()


def test_files_go_in_the_background_once_they_are_due(path: Path) -> None:
    with Storage.open(path, grace_seconds=0.05) as storage:
        for number in range(3):
            storage.kv.set(b"k", LARGE + bytes(number))
        end = time.monotonic() + 30
        while len(files(path)) > 1 and time.monotonic() < end:
            time.sleep(0.01)
        assert len(files(path)) == 1
        assert storage.kv.get(b"k") == LARGE + bytes(2)


def test_garbage_of_an_earlier_owner_goes_in_the_background_too(path: Path) -> None:
    with Storage.open(path) as storage:
        for number in range(200):
            storage.kv.set(b"%d" % number, LARGE)
        with storage.group() as group:
            for number in range(200):
                storage.kv.delete(b"%d" % number, group=group)
    with Storage.open(path, grace_seconds=0.01):
        end = time.monotonic() + 30
        while files(path) and time.monotonic() < end:
            time.sleep(0.01)
        assert files(path) == set()


def test_a_storage_opens_although_its_garbage_cannot_be_removed_yet(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with Storage.open(path) as storage:
        storage.kv.set(b"k", LARGE)
        storage.kv.delete(b"k")

    def refuse(*arguments: object) -> None:
        raise StorageFullError("the removal of garbage")

    with monkeypatch.context() as patch:
        patch.setattr(Garbage, "forget", refuse)
        with Storage.open(path, grace_seconds=0) as storage:
            assert "disk is full" in storage.status()["garbage"]["failure"]
            assert len(rows(storage)) == 1
    with Storage.open(path, grace_seconds=0) as storage:
        assert rows(storage) == set()


def test_a_dry_run_removes_nothing_and_tells_what_would_go(storage: Storage, path: Path) -> None:
    storage.buffers.put("read", LARGE)
    storage.kv.set(b"k", LARGE)
    _, content = storage.buffers.open("read")
    storage.buffers.delete("read")
    storage.kv.delete(b"k")
    told = storage.collect(ignore_grace=True, dry_run=True)
    assert (told.objects, told.held) == (1, {"reader": 1})
    assert len(files(path)) == 2
    with storage.hold_objects():
        assert storage.collect(ignore_grace=True).held == {"look": 2}
    content.close()
    assert storage.collect(ignore_grace=True).objects == 2


def test_a_look_that_began_after_an_object_went_does_not_keep_it(storage: Storage) -> None:
    storage.kv.set(b"k", LARGE)
    storage.kv.delete(b"k")
    turn = storage._objects.pins.turn()
    with storage.hold_objects():
        assert storage._objects.pins.looked(turn)
        assert not storage._objects.pins.looked(storage._objects.pins.turn())


@pytest.mark.parametrize("years", [-30, 30])
def test_a_clock_that_jumps_while_the_storage_is_open_changes_nothing(
    storage: Storage, monkeypatch: pytest.MonkeyPatch, years: int
) -> None:
    real = time.time
    storage.kv.set(b"k", LARGE)
    storage.kv.delete(b"k")
    monkeypatch.setattr(time, "time", lambda: real() + years * 365 * 86400)
    storage.kv.set(b"k", LARGE)
    storage.kv.delete(b"k")
    assert storage.collect().held == {"grace": 2}


def test_garbage_of_the_future_counts_from_when_it_is_seen(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    real = time.time
    with monkeypatch.context() as patch:
        patch.setattr(time, "time", lambda: real() + 30 * 365 * 86400)
        with Storage.open(path) as storage:
            storage.kv.set(b"k", LARGE)
            storage.kv.delete(b"k")
    with Storage.open(path) as storage:
        oldest = storage._garbage.oldest()
        assert oldest is not None
        assert oldest <= storage._garbage._clock.now()
        assert storage.collect().held == {"grace": 1}


def test_a_file_that_cannot_be_removed_stays_garbage(
    storage: Storage, path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    storage.kv.set(b"k", LARGE)
    storage.kv.delete(b"k")

    def refuse(*arguments: object, **options: object) -> None:
        raise OSError(errno.EIO, os.strerror(errno.EIO))

    with monkeypatch.context() as patch:
        patch.setattr(Path, "unlink", refuse)
        assert storage.collect(ignore_grace=True).held == {"failure": 1}
    assert rows(storage) == files(path) != set()
    assert storage.collect(ignore_grace=True).objects == 1


def test_a_file_that_went_before_its_row_is_taken_for_collected(storage: Storage, path: Path) -> None:
    storage.kv.set(b"k", LARGE)
    storage.kv.delete(b"k")
    (file,) = (path / "objects").glob("*/*")
    file.unlink()
    assert storage.collect(ignore_grace=True).objects == 1
    assert rows(storage) == set()


def test_a_storage_that_may_not_write_collects_nothing(storage: Storage, path: Path) -> None:
    storage.kv.set(b"k", LARGE)
    storage.kv.delete(b"k")
    storage._writer.read_only_reason = "it is damaged"
    assert not storage._collector.make_room()
    with pytest.raises(ReadOnlyStorageError, match="it is damaged"):
        storage.collect(ignore_grace=True)
    assert len(files(path)) == 1
    assert storage.collect(ignore_grace=True, dry_run=True).objects == 1
    storage._writer.read_only_reason = ""


def test_readers_and_writers_and_the_collector_do_not_lose_anything(path: Path) -> None:
    stop = threading.Event()
    failures: list[BaseException] = []

    def read(storage: Storage) -> None:
        try:
            while not stop.is_set():
                content = storage.buffers.read("b")
                assert content == content[:1] * len(content)
                assert storage.kv.get(b"k")[-1:] in b"0123456789"
        except BaseException as error:
            failures.append(error)

    with Storage.open(path, grace_seconds=0) as storage:
        storage.buffers.put("b", b"0" * 100_000)
        storage.kv.set(b"k", LARGE + b"0")
        threads = [threading.Thread(target=read, args=(storage,)) for _ in range(3)]
        for thread in threads:
            thread.start()
        for number in range(150):
            storage.buffers.put("b", b"%d" % (number % 10) * 100_000)
            storage.kv.set(b"k", LARGE + b"%d" % (number % 10))
        stop.set()
        for thread in threads:
            thread.join()
        assert failures == []
        storage.collect()
        assert len(files(path)) == 2


def test_a_full_disk_takes_what_garbage_gives_back_while_a_file_is_written(
    storage: Storage, path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    storage.kv.set(b"k", LARGE)
    storage.kv.delete(b"k")
    (obsolete,) = files(path)
    real = os.write

    def write(descriptor: int, part: bytes) -> int:
        if obsolete in files(path) and "/tmp/" in os.readlink(f"/proc/self/fd/{descriptor}"):
            if len(part) > 1000:
                return real(descriptor, memoryview(part)[:1000])
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        return real(descriptor, part)

    monkeypatch.setattr(os, "write", write)
    storage.buffers.put("b", iter([LARGE, LARGE]))
    assert storage.buffers.read("b") == LARGE * 2
    assert obsolete not in files(path)


def test_files_whose_paths_were_told_stay_for_a_while_also_on_a_full_disk(storage: Storage, path: Path) -> None:
    storage.buffers.put("x", bytes(200_000), array=parse_array("uint8", [2, 100_000], [1, 100_000]))
    told = storage.buffers.chunk_files("x")
    storage.buffers.delete("x")
    assert not storage._collector.make_room()
    assert all((path / each.file).exists() for each in told.chunks.values())
    storage._objects.leases.seconds = 0
    storage._objects.leases._lent.clear()
    assert storage._collector.make_room()
    assert files(path) == set()
