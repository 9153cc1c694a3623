"""What the check of a storage finds, what it may do about it, and how a damaged storage opens."""

from __future__ import annotations

import hashlib
import json
import os
import subprocess
import sys
import tarfile
from collections.abc import Callable, Generator
from pathlib import Path
from typing import Any

import apsw
import numpy as np
import pytest

from moc_server_ext.errors import (
    CorruptStorageError,
    LockedStorageError,
    ReadOnlyStorageError,
    StorageFormatError,
)
from moc_server_ext.model import CheckReport
from moc_server_ext.storage import Storage
from moc_server_ext.storage.sizes import Sizes

LARGE = bytes(range(256)) * 400
OTHER = LARGE[::-1]
EXAMPLES = Path(__file__).parents[2] / "storage_formats"


def finished(check: Generator[Any, None, CheckReport]) -> CheckReport:
    while True:
        try:
            next(check)
        except StopIteration as end:
            report: CheckReport = end.value
            return report


def fill(storage: Storage) -> None:
    storage.blobs.put(LARGE)
    storage.names.register("f", OTHER, "application/wasm", {})
    storage.buffers.put("topics", LARGE + b"1")
    storage.buffers.put("empty", b"")
    storage.kv.set(b"\x00key", LARGE + b"2")
    storage.kv.set(b"small", b"v")


def file_of(path: Path, content: bytes) -> Path:
    (found,) = (each for each in (path / "objects").glob("*/*") if each.read_bytes() == content)
    return found


def flip(file: Path) -> None:
    content = bytearray(file.read_bytes())
    content[50_000] ^= 1
    file.write_bytes(content)


def replace_by_another(file: Path) -> None:
    file.write_bytes(bytes(len(file.read_bytes())))


THINGS = {
    f"blob '{hashlib.sha256(LARGE).hexdigest()}'": LARGE,
    "buffer 'topics'": LARGE + b"1",
    "the value of key '\\x00key'": LARGE + b"2",
}


def test_a_sound_storage_is_found_sound_and_that_is_remembered(storage: Storage) -> None:
    fill(storage)
    report = finished(storage.fsck())
    assert report.is_sound
    assert not report.findings
    assert report.objects == 4
    assert report.object_bytes == 4 * len(LARGE) + 2
    assert CheckReport.from_json(json.loads(json.dumps(report.to_json()))) == report
    assert storage.status()["last_check"]["sound"]


@pytest.mark.parametrize("thing", THINGS)
@pytest.mark.parametrize(
    ("damage", "kind", "seen_quickly"),
    [
        (flip, "object_changed", False),
        (replace_by_another, "object_changed", False),
        (lambda file: os.truncate(file, 50_000), "object_cut", True),
        (Path.unlink, "object_missing", True),
    ],
)
def test_a_damaged_object_file_is_found_and_the_thing_named(
    storage: Storage, path: Path, thing: str, damage: Callable[[Path], None], kind: str, seen_quickly: bool
) -> None:
    fill(storage)
    damage(file_of(path, THINGS[thing]))
    (finding,) = finished(storage.fsck()).findings
    assert (finding.kind, finding.what) == (kind, thing)
    quick = finished(storage.fsck(quick=True))
    assert quick.is_sound != seen_quickly


def test_what_is_damaged_goes_only_when_it_is_asked_for_and_all_else_stays(storage: Storage, path: Path) -> None:
    fill(storage)
    for content in (LARGE, OTHER, LARGE + b"1"):
        flip(file_of(path, content))
    for repair in (False, True):
        assert len(finished(storage.fsck(repair=repair)).findings) == 3
    report = finished(storage.fsck(remove_damaged=True))
    assert report.is_sound
    assert {each.repaired for each in report.findings} == {"it was removed"}
    assert storage.names.list() == []
    assert [each.name for each in storage.buffers.list()] == ["empty"]
    assert storage.kv.get(b"\x00key") == LARGE + b"2"
    assert finished(storage.fsck(repair=True)).is_sound


def test_files_that_nothing_refers_to_are_told_and_removed_on_request(storage: Storage, path: Path) -> None:
    fill(storage)
    strays = [path / "objects" / name[:2] / name for name in ("ab" * 16, "cd" * 32)]
    for each in strays:
        each.parent.mkdir(exist_ok=True)
        each.write_bytes(b"stray")
    report = finished(storage.fsck())
    assert [each.kind for each in report.findings] == ["orphan", "orphan"]
    assert not report.is_sound
    assert all(each.exists() for each in strays)
    assert finished(storage.fsck(repair=True)).is_sound
    assert not any(each.exists() for each in strays)
    assert not finished(storage.fsck()).findings


def change_catalog(path: Path, sql: str) -> None:
    connection = apsw.Connection(str(path / "catalog.sqlite3"))
    connection.execute(sql).fetchall()
    connection.close()


@pytest.mark.parametrize(
    ("sql", "kind", "what"),
    [
        ("DELETE FROM entries WHERE key GLOB 'blobs/*/zarr.json'", "document_missing", "blob"),
        ("DELETE FROM entries WHERE key = 'buffers/topics/c/0'", "bytes_missing", "buffer 'topics'"),
        ("DELETE FROM entries WHERE key GLOB 'blobs/?*/*'", "name_without_blob", "function 'f'"),
        ("UPDATE keyvalues SET inline = x'00' WHERE key = CAST('small' AS BLOB)", "content_changed", "the value of"),
    ],
)
def test_rows_that_do_not_fit_together_are_found(path: Path, sql: str, kind: str, what: str) -> None:
    with Storage.open(path) as storage:
        fill(storage)
    change_catalog(path, sql)
    with Storage.open(path) as storage:
        findings = [each for each in finished(storage.fsck()).findings if each.kind != "orphan"]
        assert findings
        assert {each.kind for each in findings} == {kind}
        assert all(each.what.startswith(what) for each in findings)
        assert finished(storage.fsck(remove_damaged=True)).is_sound
        assert finished(storage.fsck()).is_sound


def test_an_array_whose_chunk_is_lost_is_found_and_one_with_a_fill_value_is_not(path: Path) -> None:
    with Storage.open(path) as storage:
        store = storage.zarr_store("buffers")
        import zarr

        sparse = zarr.create_array(store, name="sparse", shape=(100,), chunks=(10,), dtype="<i4", fill_value=7)
        sparse[:10] = np.arange(10)
        assert finished(storage.fsck()).is_sound


def test_writes_go_on_during_a_check_and_are_no_orphans(storage: Storage) -> None:
    fill(storage)
    check = storage.fsck(repair=True)
    next(check)
    storage.buffers.put("later", OTHER + b"3")
    storage.buffers.put("topics", OTHER + b"4")
    assert not finished(check).findings
    assert storage.buffers.read("later") == OTHER + b"3"


def test_a_check_that_is_ended_holds_nothing_back(storage: Storage, path: Path) -> None:
    fill(storage)
    check = storage.fsck()
    next(check)
    check.close()
    old = file_of(path, LARGE + b"1")
    storage.buffers.delete("topics")
    finished(storage.fsck(repair=True))
    assert not old.exists()


# -- opening ----------------------------------------------------------------------------------------------------------


def test_a_lost_object_file_makes_the_storage_read_only_until_it_is_back(path: Path) -> None:
    with Storage.open(path) as storage:
        fill(storage)
    lost = file_of(path, LARGE + b"1")
    lost.rename(path.parent / "kept")
    with Storage.open(path) as storage:
        assert "buffer 'topics'" in storage.status()["read_only"]
        assert storage.kv.get(b"small") == b"v"
        for write in (lambda: storage.kv.set(b"k", b"v"), lambda: storage.buffers.put("b", LARGE)):
            with pytest.raises(ReadOnlyStorageError, match="moc fsck"):
                write()
        assert not finished(storage.fsck()).is_sound
        assert storage.read_only_reason
        (path.parent / "kept").rename(lost)
        assert finished(storage.fsck()).is_sound
        storage.kv.set(b"k", b"v")


def test_removing_what_is_damaged_makes_a_read_only_storage_writable_again(path: Path) -> None:
    with Storage.open(path) as storage:
        fill(storage)
    for content in (LARGE, LARGE + b"1", LARGE + b"2"):
        file_of(path, content).unlink()
    with Storage.open(path) as storage:
        assert "3 object files are missing" in storage.read_only_reason
        assert finished(storage.fsck(remove_damaged=True)).is_sound
        storage.kv.set(b"k", b"v")
    with Storage.open(path) as storage:
        assert not storage.read_only_reason


def test_the_catalog_of_another_storage_is_refused(tmp_path: Path) -> None:
    for name in ("one", "two"):
        with Storage.open(tmp_path / name) as storage:
            fill(storage)
    (tmp_path / "one" / "catalog.sqlite3").rename(tmp_path / "two" / "catalog.sqlite3")
    with pytest.raises(CorruptStorageError, match="belongs to the storage"):
        Storage.open(tmp_path / "two")


def test_a_catalog_of_the_future_is_refused_and_not_touched(path: Path) -> None:
    Storage.open(path).close()
    change_catalog(path, "PRAGMA user_version = 99")
    before = (path / "catalog.sqlite3").read_bytes()
    with pytest.raises(StorageFormatError, match="99"):
        Storage.open(path)
    assert (path / "catalog.sqlite3").read_bytes() == before


def test_a_directory_of_somebody_else_is_read_with_the_log_of_a_killed_owner(path: Path) -> None:
    script = (
        "import os, pathlib, sys; from moc_server_ext.storage import Storage\n"
        "storage = Storage.open(pathlib.Path(sys.argv[1])); storage.kv.set(b'k', b'in the log'); os._exit(9)"
    )
    subprocess.run([sys.executable, "-c", script, str(path)], check=False)
    assert (path / "catalog.sqlite3-wal").stat().st_size
    if os.geteuid():
        path.chmod(0o500)
    else:
        for each in (path, *path.rglob("*")):
            each.chmod(0o755 if each.is_dir() else 0o644)
        for each in path.parents:
            if each.stat().st_uid == 0 and each != Path("/") and not each.stat().st_mode & 0o001:
                each.chmod(each.stat().st_mode | 0o011)
    before = sorted(path.rglob("*"))
    try:
        if not os.getuid():
            os.seteuid(65534)
        with Storage.open(path) as storage:
            assert storage.kv.get(b"k") == b"in the log"
            with pytest.raises(ReadOnlyStorageError):
                storage.kv.set(b"k", b"v")
            with pytest.raises(ReadOnlyStorageError):
                finished(storage.fsck(remove_damaged=True)) and storage.kv.set(b"k", b"v")
    finally:
        if not os.getuid():
            os.seteuid(0)
        path.chmod(0o700)
    assert sorted(path.rglob("*")) == before


def test_a_reader_does_not_read_under_an_owner(storage: Storage, path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("moc_server_ext.storage.storage.is_read_only", lambda path: True)
    with pytest.raises(LockedStorageError):
        Storage.open(path)


# -- upgrades ---------------------------------------------------------------------------------------------------------

KILLED_AT = """
import os, pathlib, sys
from moc_server_ext.storage import Storage
left = int(sys.argv[2])
def killing(call):
    def wrapped(*arguments, **options):
        global left
        left -= 1
        if left < 0:
            os._exit(9)
        return call(*arguments, **options)
    return wrapped
for name in ("fsync", "rename", "mkdir", "unlink"):
    setattr(os, name, killing(getattr(os, name)))
import apsw
Storage.open(pathlib.Path(sys.argv[1])).close()
"""


def unpacked(path: Path, number: int) -> Path:
    with tarfile.open(EXAMPLES / f"format-{number}.tar.xz") as example:
        example.extractall(path, filter="data")
    return path


def test_an_upgrade_that_is_killed_at_any_step_goes_on_at_the_next_opening(tmp_path: Path) -> None:
    killed = 0
    for step in range(40):
        path = unpacked(tmp_path / str(step), 1)
        ended = subprocess.run([sys.executable, "-c", KILLED_AT, str(path), str(step)], check=False).returncode
        with Storage.open(path) as storage:
            assert storage.buffers.read("large/one") == b"0123456789" * 10_000
            assert not storage.read_only_reason
        before = path / "before-format-2"
        assert json.loads((before / "FORMAT.json").read_text())["format"] == 1
        copy = apsw.Connection(str(before / "catalog.sqlite3"), flags=apsw.SQLITE_OPEN_READONLY)
        assert copy.pragma("user_version") == 1
        assert copy.pragma("integrity_check") == "ok"
        copy.close()
        assert not list(path.glob("*.new"))
        if ended == 0:
            break
        assert ended == 9
        killed += 1
    assert killed >= 5
    assert ended == 0


def test_the_copy_before_an_upgrade_opens_as_what_it_was(tmp_path: Path) -> None:
    path = unpacked(tmp_path / "storage", 1)
    Storage.open(path).close()
    for name in ("catalog.sqlite3", "FORMAT.json"):
        (path / "before-format-2" / name).replace(path / name)
    (path / "before-format-2").rmdir()
    with Storage.open(path) as storage:
        assert storage.kv.get(b"large") == b"v" * 100_000


# -- growth -----------------------------------------------------------------------------------------------------------


def test_growth_follows_from_samples_of_an_hour_and_a_clock_that_jumps_begins_anew(storage: Storage) -> None:
    now = 1_000_000.0
    sizes = Sizes(storage.facts, lambda: now)
    assert sizes.growth(1000, 10_000) == {"bytes_per_day": None, "since": now, "days_left": None}
    now += 60
    assert sizes.growth(5000, 10_000)["bytes_per_day"] is None
    now += 12 * 3600 - 60
    assert sizes.growth(2000, 10_000) == {"bytes_per_day": 2000, "since": 1_000_000.0, "days_left": 5.0}
    for _ in range(500):
        now += 3600
        sizes.growth(2000, 10_000)
    assert len(storage.facts.get("sizes")) == 400
    now -= 10 * 86_400
    assert sizes.growth(2000, 10_000) == {"bytes_per_day": None, "since": now, "days_left": None}
