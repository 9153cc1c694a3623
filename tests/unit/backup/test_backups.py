"""Backups: what they hold, what they share, what they refuse, and what is found in damaged ones."""

from __future__ import annotations

import json
import os
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from moc_server_ext.errors import BackupError, BackupTargetError, ConflictError, CorruptStorageError, LockedStorageError
from moc_server_ext.model import BackupRecord
from moc_server_ext.storage import Storage
from moc_server_ext.storage.backup.creating import create_backup
from moc_server_ext.storage.backup.layout import find_backups, read_backups
from moc_server_ext.storage.backup.locking import LOCK_FILE, locked
from moc_server_ext.storage.backup.noun import StoredBackups
from moc_server_ext.storage.backup.restoring import MARKER_FILE, restore_backup
from moc_server_ext.storage.backup.verifying import verify_backup
from moc_server_ext.storage.credentials import is_token, token_digest
from moc_server_ext.storage.ownership import OwnerLock
from moc_server_ext.storage.targets.directory import DirectoryTarget
from moc_server_ext.storage.targets.opening import open_target
from moc_server_ext.storage.targets.target import Target

BIG = 300_000


@pytest.fixture
def storage(tmp_path: Path) -> Iterator[Storage]:
    with Storage.open(tmp_path / "storage") as storage:
        yield storage


@pytest.fixture
def target(tmp_path: Path) -> DirectoryTarget:
    return DirectoryTarget(tmp_path / "target")


def fill(storage: Storage, count: int = 3) -> dict[str, bytes]:
    contents = {f"buffer {number}": os.urandom(BIG) for number in range(count)}
    for name, content in contents.items():
        storage.buffers.put(name, content)
    storage.kv.set(b"small", b"value")
    storage.kv.set(b"large", bytes(BIG))
    storage.blobs.put(b"b" * BIG)
    return contents


def check(storage: Storage, contents: dict[str, bytes]) -> None:
    assert {each.name: storage.buffers.read(each.name) for each in storage.buffers.list()} == contents
    assert storage.kv.get(b"small") == b"value"
    assert storage.kv.get(b"large") == bytes(BIG)


def files(target: DirectoryTarget, prefix: str = "") -> dict[str, bytes]:
    return {key: target.get(key) or b"" for key, _ in target.list(prefix)}


def test_a_restored_storage_has_all_and_says_where_it_comes_from(storage, target, tmp_path):
    contents = fill(storage)
    record = create_backup(storage, target)
    assert record.counts == {"blobs": 1, "buffers": 3, "keys": 2, "names": 0}
    assert (record.objects, record.copied_objects) == (5, 5)
    restore_backup(target, tmp_path / "restored")
    with Storage.open(tmp_path / "restored") as restored:
        check(restored, contents)
        assert restored.instance_id != storage.instance_id
        origin = restored.status()["restored_from"]
        assert (origin["instance_id"], origin["backup"]) == (storage.instance_id, record.id)
        assert restored.schedules_held
        restored.take_over()
        assert not restored.schedules_held
        assert "schedules_held" not in restored.status()


def test_tokens_of_the_instance_let_clients_in_and_are_not_in_the_backup(storage, target, tmp_path):
    create_backup(storage, target)
    assert not any(storage.token.encode() in content for content in files(target).values())
    restore_backup(target, tmp_path / "restored")
    with Storage.open(tmp_path / "restored") as restored:
        assert restored.token != storage.token
        assert is_token(storage.token, restored.accepted_tokens())
        assert not is_token("x" * 40, restored.accepted_tokens())
        create_backup(restored, target, adopt=True)
    restore_backup(target, tmp_path / "again")
    with Storage.open(tmp_path / "again") as again:
        assert {token_digest(storage.token), token_digest(restored.token)} <= set(again.token_digests())


def test_the_key_of_the_gateway_comes_along_only_when_asked_for(storage, target, tmp_path):
    (storage.path / "tls").mkdir()
    (storage.path / "tls" / "key.pem").write_text("the secret key")
    (storage.path / "tls" / "cert.pem").write_text("certificate")
    create_backup(storage, target)
    assert not any(b"secret key" in content for content in files(target).values())
    record = create_backup(storage, target, include_tls_key=True)
    assert record.has_tls_key
    restore_backup(target, tmp_path / "restored")
    key = tmp_path / "restored" / "tls" / "key.pem"
    assert (key.read_text(), key.stat().st_mode & 0o777) == ("the secret key", 0o600)


def test_what_the_target_has_is_not_copied_again(storage, target):
    fill(storage)
    first = create_backup(storage, target)
    again = create_backup(storage, target)
    assert (again.copied_objects, again.copied_bytes, again.objects) == (0, 0, first.objects)
    storage.facts.set("last_backup", {"id": again.id, "at": "x" * 100})
    assert create_backup(storage, target).copied_bytes == 0
    storage.buffers.put("one more", os.urandom(BIG))
    more = create_backup(storage, target)
    assert more.copied_objects == 1
    assert [each.number for each in read_backups(target)] == [4, 3, 2, 1]


def test_an_object_that_vanished_from_the_target_is_copied_again(storage, target):
    fill(storage)
    create_backup(storage, target)
    key, _ = next(target.list("objects/"))
    target.delete(key)
    assert verify_backup(target).damage == (f"the object {key.rpartition('/')[2]} is missing",)
    assert create_backup(storage, target).copied_objects == 1
    assert verify_backup(target).damage == ()


def test_only_the_newest_backups_are_kept_with_what_they_need(storage, target, tmp_path):
    contents = fill(storage)
    for number in range(4):
        storage.buffers.put("changing", os.urandom(BIG + number))
        create_backup(storage, target, keep=2)
    contents["changing"] = storage.buffers.read("changing")
    assert [each.number for each in read_backups(target)] == [4, 3]
    assert len(list(target.list("objects/"))) == 5 + 2
    assert len(list(target.list("catalogs/"))) == 2
    for record in read_backups(target):
        assert verify_backup(target, record.id).damage == ()
    restore_backup(target, tmp_path / "restored")
    with Storage.open(tmp_path / "restored") as restored:
        check(restored, contents)


def test_what_a_log_continues_from_is_kept(storage, target):
    base = create_backup(storage, target)
    target.put("log/1/base.json", json.dumps({"backup": base.id, "sequence": 0}).encode())
    for _ in range(2):
        storage.buffers.put("changing", os.urandom(BIG))
        create_backup(storage, target, keep=1)
    assert [each.number for each in read_backups(target)] == [3, 2, 1]


def test_a_damaged_object_in_the_storage_fails_the_backup_and_is_named(storage, target):
    fill(storage)
    create_backup(storage, target)
    storage.buffers.put("bad", os.urandom(BIG))
    newest = max((storage.path / "objects").glob("*/*"), key=lambda path: path.stat().st_mtime_ns)
    newest.write_bytes(bytes(newest.stat().st_size))
    with pytest.raises(CorruptStorageError, match=newest.name):
        create_backup(storage, target)
    newest.unlink()
    with pytest.raises(CorruptStorageError, match="missing"):
        create_backup(storage, target)
    assert len(read_backups(target)) == 1
    assert verify_backup(target).damage == ()
    storage.buffers.delete("bad")
    assert create_backup(storage, target).number == 2


def test_any_flipped_bit_is_found(storage, target, tmp_path):
    fill(storage, 1)
    record = create_backup(storage, target)
    for key, content in files(target).items():
        if key == "moc-target.json":
            continue
        for position in {0, len(content) // 2, len(content) - 1}:
            flipped = bytearray(content)
            flipped[position] ^= 1
            target.put(key, flipped)
            try:
                assert verify_backup(target, record.id).damage, key
            except BackupError:
                assert key.endswith("manifest.json")
        with pytest.raises(BackupError):
            restore_backup(target, tmp_path / "restored", record.id)
        assert not (tmp_path / "restored" / "FORMAT.json").exists()
        target.put(key, content)
    assert verify_backup(target).damage == ()
    restore_backup(target, tmp_path / "restored")


@pytest.mark.parametrize("part", ["objects/", "catalogs/", "backups/"])
def test_a_part_that_is_missing_is_found(storage, target, tmp_path, part):
    fill(storage, 1)
    record = create_backup(storage, target)
    key = next(key for key, _ in target.list(part) if not key.endswith("manifest.json"))
    target.delete(key)
    assert any("missing" in each for each in verify_backup(target).damage)
    with pytest.raises(BackupError, match=record.id):
        restore_backup(target, tmp_path / "restored")


def test_half_a_backup_is_none(storage, target, tmp_path):
    record = create_backup(storage, target)
    target.delete(f"backups/{record.id}/manifest.json")
    with pytest.raises(BackupTargetError, match="no finished backup"):
        restore_backup(target, tmp_path / "restored")
    with pytest.raises(BackupTargetError, match="interrupted"):
        restore_backup(target, tmp_path / "restored", record.id)
    with pytest.raises(BackupTargetError, match="nobody"):
        verify_backup(target, "nobody")
    assert create_backup(storage, target).objects == record.objects


def test_a_newer_format_is_said(storage, target, tmp_path):
    record = create_backup(storage, target)
    key = f"backups/{record.id}/manifest.json"
    target.put(key, json.dumps({**json.loads(target.get(key) or b""), "format": 2}).encode())
    with pytest.raises(BackupError, match="format 2"):
        verify_backup(target)


@pytest.mark.parametrize("content", [None, b"", b"{}", b"[]", b"[" * 100_000, b'{"kind": "moc backup"}', b"\xff"])
def test_what_is_no_target_is_refused_and_stays_as_it_is(storage, target, tmp_path, content):
    target.put("holiday.jpg", b"x")
    if content is not None:
        target.put("moc-target.json", content)
    before = files(target)
    for use in (
        lambda: create_backup(storage, target),
        lambda: create_backup(storage, target, adopt=True),
        lambda: verify_backup(target),
        lambda: read_backups(target),
        lambda: restore_backup(target, tmp_path / "restored"),
    ):
        with pytest.raises(BackupTargetError):
            use()
    assert files(target) == before
    assert not (tmp_path / "restored").exists()


def test_the_target_of_another_instance_is_refused_with_both_ids_unless_it_is_adopted(storage, target, tmp_path):
    create_backup(storage, target)
    with Storage.open(tmp_path / "other") as other:
        with pytest.raises(BackupTargetError) as caught:
            create_backup(other, target)
        assert storage.instance_id in caught.value.message
        assert other.instance_id in caught.value.message
        assert create_backup(other, target, adopt=True).number == 2
        with pytest.raises(BackupTargetError, match=other.instance_id):
            create_backup(storage, target)


@pytest.mark.parametrize("where", [".", "tmp", "backups/deep", ".."])
def test_a_target_inside_or_around_the_storage_is_refused(storage, where):
    with pytest.raises(BackupTargetError, match="in one another"):
        create_backup(storage, DirectoryTarget(storage.path / where))


def test_two_at_once_on_one_target_do_not_mix(storage, target):
    create_backup(storage, target)
    with locked(target, "backup"), pytest.raises(BackupTargetError, match="in use"):
        create_backup(storage, target)
    create_backup(storage, target)
    assert target.get(LOCK_FILE) is None


@pytest.mark.parametrize("expires_at", [0, 4e9, 1e300, -1])
def test_a_lock_of_one_who_is_gone_or_of_a_clock_that_jumped_ends(storage, target, expires_at):
    create_backup(storage, target)
    target.put(LOCK_FILE, json.dumps({"owner": "x", "pid": 1, "expires_at": expires_at}).encode())
    create_backup(storage, target)


@pytest.mark.parametrize("content", [b"", b"null", b"{}", b'{"expires_at": "soon"}'])
def test_a_lock_that_nobody_understands_ends(storage, target, content):
    create_backup(storage, target)
    target.put(LOCK_FILE, content)
    create_backup(storage, target)


def test_whoever_lost_the_lock_finishes_no_backup(storage, target):
    fill(storage)

    def steal(what: str, done: int, total: int) -> None:
        target.put(LOCK_FILE, json.dumps({"owner": "thief", "expires_at": 0}).encode())

    with pytest.raises(BackupTargetError, match="taken by somebody else"):
        create_backup(storage, target, progress=steal)
    assert find_backups(target).manifests == []


def test_the_newest_is_the_last_one_whatever_the_clock_said(storage, target):
    first = create_backup(storage, target)
    body = json.loads(target.get(f"backups/{first.id}/manifest.json") or b"")
    later = "20991231T235959Z-00000000"
    from moc_server_ext.storage.backup.manifest import Manifest

    manifest = Manifest.parse(json.dumps(body).encode(), first.id)
    record = BackupRecord.from_json({**manifest.record.to_json(), "id": later, "number": 1})
    moved = Manifest(record, manifest.catalog_sha256, manifest.objects_sha256, manifest.token_sha256, None)
    target.put(f"backups/{later}/objects.jsonl.gz", target.get(f"backups/{first.id}/objects.jsonl.gz") or b"")
    target.put(f"backups/{later}/manifest.json", moved.dump())
    second = create_backup(storage, target)
    assert read_backups(target)[0].id == second.id


def test_ending_the_work_ends_the_backup_and_the_next_one_goes_on(storage, target):
    fill(storage, 40)
    backups = StoredBackups(storage, target.url)
    work = backups.create()
    next(work)
    work.close()
    assert find_backups(target).manifests == []
    copied = len(list(target.list("objects/")))
    record = create_backup(storage, target)
    assert verify_backup(target).damage == ()
    assert record.objects == 42
    assert copied == 0 or record.copied_objects < 42
    assert find_backups(target).unfinished == []


def test_what_was_backed_up_last_and_what_failed_is_told(storage, target, tmp_path):
    backups = StoredBackups(storage, target.url)
    work = backups.create()
    with pytest.raises(StopIteration) as end:  # noqa: PT012 - what a generator gives
        while True:
            next(work)
    record: BackupRecord = end.value.value
    assert backups.status()["last"]["id"] == record.id
    (tmp_path / "file").write_bytes(b"")
    with pytest.raises(BackupTargetError):
        list(backups.create(str(tmp_path / "file")))
    assert (backups.status()["failures"], backups.status()["last"]["id"]) == (1, record.id)
    assert "file" in backups.status()["failure"]["error"]


def test_one_storage_makes_one_backup_at_a_time(storage, target):
    fill(storage, 40)
    backups = StoredBackups(storage, target.url)
    work = backups.create()
    next(work)
    with pytest.raises(ConflictError):
        next(backups.create())
    work.close()


# -- restore ----------------------------------------------------------------------------------------------------------


def test_a_directory_that_holds_something_is_left_alone(storage, target, tmp_path):
    create_backup(storage, target)
    (tmp_path / "full").mkdir()
    (tmp_path / "full" / "thesis.tex").write_text("x")
    with pytest.raises(ConflictError, match=r"thesis\.tex"):
        restore_backup(target, tmp_path / "full")
    assert [path.name for path in (tmp_path / "full").iterdir()] == ["thesis.tex"]
    with pytest.raises(ConflictError, match="not empty"):
        restore_backup(target, storage.path)
    with pytest.raises(ConflictError, match="no directory"):
        restore_backup(target, tmp_path / "full" / "thesis.tex")


def test_an_interrupted_restore_is_no_storage_and_can_be_run_again(storage, target, tmp_path):
    contents = fill(storage, 40)
    create_backup(storage, target)

    def interrupt(what: str, done: int, total: int) -> None:
        if done > 2 * BIG:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        restore_backup(target, tmp_path / "restored", progress=interrupt)
    assert (tmp_path / "restored" / MARKER_FILE).exists()
    with pytest.raises(Exception, match="no moc storage"):
        Storage.open(tmp_path / "restored")
    restore_backup(target, tmp_path / "restored")
    with Storage.open(tmp_path / "restored") as restored:
        check(restored, contents)


def test_two_restores_into_one_directory_do_not_mix(storage, target, tmp_path):
    create_backup(storage, target)
    (tmp_path / "restored").mkdir()
    lock = OwnerLock(tmp_path / "restored")
    try:
        with pytest.raises(LockedStorageError):
            restore_backup(target, tmp_path / "restored")
    finally:
        lock.release()
    restore_backup(target, tmp_path / "restored")


def test_a_list_that_leads_out_of_the_directory_is_refused(storage, target, tmp_path):
    import gzip
    import hashlib

    from moc_server_ext.storage.backup.manifest import Manifest

    record = create_backup(storage, target)
    manifest = Manifest.parse(target.get(f"backups/{record.id}/manifest.json") or b"", record.id)
    line = json.dumps({"id": "../../../etc/passwd", "size": 1, "sha256": "0" * 64})
    evil = gzip.compress(line.encode() + b"\n")
    target.put(f"backups/{record.id}/objects.jsonl.gz", evil)
    changed = Manifest(
        manifest.record,
        manifest.catalog_sha256,
        hashlib.sha256(evil).hexdigest(),
        manifest.token_sha256,
        None,
    )
    target.put(f"backups/{record.id}/manifest.json", changed.dump())
    with pytest.raises(BackupError, match="something else"):
        restore_backup(target, tmp_path / "restored")


def test_backups_go_on_while_others_write(storage, target, tmp_path):
    stop = threading.Event()
    fill(storage)

    def write() -> None:
        number = 0
        while not stop.is_set():
            number += 1
            with storage.group() as group:
                storage.kv.set(b"pair/a", b"%d" % number * 30_000, group=group)
                storage.kv.set(b"pair/b", b"%d" % number * 30_000, group=group)

    writer = threading.Thread(target=write)
    writer.start()
    try:
        for _ in range(5):
            create_backup(storage, target, keep=2)
    finally:
        stop.set()
        writer.join()
    for number, record in enumerate(read_backups(target)):
        assert verify_backup(target, record.id).damage == ()
        restore_backup(target, tmp_path / f"restored {number}", record.id)
        with Storage.open(tmp_path / f"restored {number}") as restored:
            assert restored.kv.get(b"pair/a") == restored.kv.get(b"pair/b")


def test_any_target_that_is_opened_by_its_text_works(storage, tmp_path):
    target: Target = open_target(str(tmp_path / "t"))
    assert create_backup(storage, target).number == 1
