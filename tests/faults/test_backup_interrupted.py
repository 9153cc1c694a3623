"""Backups that are killed, that run out of room, whose store fails in the middle, or that run while garbage goes."""

from __future__ import annotations

import os
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from moc_server_ext.errors import BackupTargetError, CorruptStorageError
from moc_server_ext.storage import Storage
from moc_server_ext.storage.backup.creating import create_backup
from moc_server_ext.storage.backup.layout import find_backups, read_backups
from moc_server_ext.storage.backup.restoring import restore_backup
from moc_server_ext.storage.backup.verifying import verify_backup
from moc_server_ext.storage.targets.directory import DirectoryTarget
from moc_server_ext.storage.targets.opening import open_target
from s3_store import S3Store, s3_store
from support import clean_environment

BIG = 200_000
DEADLINE_SECONDS = 120


@pytest.fixture
def store(monkeypatch: pytest.MonkeyPatch) -> Iterator[S3Store]:
    with s3_store(monkeypatch) as store:
        yield store


@pytest.fixture
def storage(tmp_path: Path) -> Iterator[Storage]:
    with Storage.open(tmp_path / "storage") as storage:
        for number in range(12):
            storage.buffers.put(f"buffer {number}", os.urandom(BIG))
        yield storage


def wait_for(what: str, happened) -> None:
    deadline = time.monotonic() + DEADLINE_SECONDS
    while not happened():
        assert time.monotonic() < deadline, what
        time.sleep(0.005)


@pytest.mark.parametrize("after", [1, 5, 20])
def test_a_killed_backup_harms_nothing_and_the_next_one_goes_on(tmp_path, after):
    with Storage.open(tmp_path / "storage") as storage:
        for number in range(60):
            storage.buffers.put(f"buffer {number}", os.urandom(BIG))
    target = DirectoryTarget(tmp_path / "target")
    command = [sys.executable, "-m", "moc_server_ext.cli", "--storage", str(tmp_path / "storage"), "backup", "create"]
    backup = subprocess.Popen([*command, str(tmp_path / "target")], env=clean_environment(), stderr=subprocess.PIPE)
    try:
        wait_for("objects", lambda: len(list(target.list("objects/"))) >= after or backup.poll() is not None)
    finally:
        backup.kill()
        backup.communicate()
    with Storage.open(tmp_path / "storage") as storage:
        create_backup(storage, target)
    assert verify_backup(target).damage == ()
    assert find_backups(target).unfinished == []


def test_a_store_that_fails_at_any_request_leaves_only_whole_backups(storage, store):
    target = open_target(store.target("here"))
    create_backup(storage, target)
    tried = 0
    while True:
        storage.buffers.put("changing", os.urandom(BIG))
        begun = len(store.requests)
        store.fault = lambda method, path, number, last=begun + tried: 403 if number > last else None
        try:
            create_backup(storage, target, keep=3)
        except BackupTargetError as error:
            assert "403" in error.message or "Injected" in error.message  # noqa: PT017 - until it goes through
        else:
            break
        finally:
            store.fault = lambda method, path, number: None
        for record in read_backups(target):
            assert verify_backup(target, record.id).damage == (), tried
        # Nobody released the lock: its process says that it is still there.
        target.delete("lock.json")
        tried += 2 + tried // 4
    assert tried > 9
    target.delete("lock.json")
    create_backup(storage, target, keep=1)
    assert len(read_backups(target)) == 1
    assert verify_backup(target).damage == ()
    assert find_backups(target).unfinished == []


def test_a_store_that_fails_now_and_then_is_asked_again(storage, store, tmp_path):
    store.fault = lambda method, path, number: 503 if number % 4 == 0 else None
    target = open_target(store.target())
    record = create_backup(storage, target, keep=1)
    assert verify_backup(target).damage == ()
    restore_backup(target, tmp_path / "restored")
    with Storage.open(tmp_path / "restored") as restored:
        assert len(restored.buffers.list()) == record.counts["buffers"] == 12


def test_a_full_target_is_told_and_holds_only_whole_backups(storage, small_disk):
    target = DirectoryTarget(small_disk / "target")
    create_backup(storage, target)
    for number in range(12):
        storage.buffers.put(f"buffer {number}", os.urandom(BIG))
    with pytest.raises(BackupTargetError, match="No space left"):
        create_backup(storage, target)
    assert [each.number for each in read_backups(target)] == [1]
    assert verify_backup(target).damage == ()
    assert len(storage.buffers.list()) == 12


def test_backups_under_load_have_all_that_they_refer_to(storage, tmp_path):
    target = DirectoryTarget(tmp_path / "target")
    stop = threading.Event()
    failed: list[BaseException] = []

    def write(thread: int) -> None:
        try:
            for number in range(10_000):
                if stop.is_set():
                    return
                storage.buffers.put(f"{thread}/{number % 5}", os.urandom(BIG))
                if number % 3 == 0:
                    storage.buffers.delete(f"{thread}/{number % 5}")
        except BaseException as error:
            failed.append(error)

    writers = [threading.Thread(target=write, args=(number,)) for number in range(3)]
    for each in writers:
        each.start()
    try:
        for _ in range(6):
            create_backup(storage, target, keep=3)
    finally:
        stop.set()
        for each in writers:
            each.join()
    assert not failed
    records = read_backups(target)
    assert [each.number for each in records] == [6, 5, 4]
    for each in records:
        assert verify_backup(target, each.id).damage == ()
    restore_backup(target, tmp_path / "restored", records[-1].id)
    with Storage.open(tmp_path / "restored") as restored:
        for each in restored.buffers.list():
            assert len(restored.buffers.read(each.name)) == BIG


def test_an_object_replaced_by_another_of_the_same_size_fails_the_backup(storage, tmp_path):
    target = DirectoryTarget(tmp_path / "target")
    first, second = sorted((storage.path / "objects").glob("*/*"))[:2]
    first.write_bytes(second.read_bytes())
    with pytest.raises(CorruptStorageError, match=first.name):
        create_backup(storage, target)
    assert read_backups(target) == []
