from __future__ import annotations

import json
import os
import pickle
import stat
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from moc_server_ext.errors import (
    CorruptStorageError,
    LockedStorageError,
    MocError,
    NotAStorageError,
    ReadOnlyStorageError,
    StorageError,
    StorageFormatError,
)
from moc_server_ext.storage import Storage
from moc_server_ext.storage.endpoint import Endpoint, read_endpoint, write_endpoint
from moc_server_ext.storage.ownership import FORMAT

OTHER_OWNER = """
import sys, pathlib
from moc_server_ext.storage import Storage
from moc_server_ext.storage.endpoint import Endpoint, write_endpoint
storage = Storage.open(pathlib.Path(sys.argv[1]))
if len(sys.argv) > 2:
    write_endpoint(storage.path, Endpoint(4711, sys.argv[2], None, storage.token, None, storage.instance_id))
print("open", flush=True)
sys.stdin.read()
storage.close()
"""


def snapshot(path: Path) -> dict[str, tuple[int, int]]:
    return {str(each): (each.stat().st_mtime_ns, each.stat().st_size) for each in (path, *path.rglob("*"))}


def test_a_new_storage_is_private_to_its_user(path: Path) -> None:
    with Storage.open(path) as storage:
        storage.blobs.put(b"x" * 100_000)
        storage.kv.set(b"k", b"v")
        modes = {each: stat.S_IMODE(each.stat().st_mode) for each in (path, *path.rglob("*"))}
    assert {mode for each, mode in modes.items() if each.is_dir()} == {0o700}
    assert {mode for each, mode in modes.items() if not each.is_dir()} == {0o600}
    assert {"catalog.sqlite3-wal", "catalog.sqlite3-shm"} <= {each.name for each in modes}


def test_everything_is_there_after_closing_and_opening_again(path: Path) -> None:
    with Storage.open(path) as storage:
        blob = storage.blobs.put(b"b" * 100_000, "text/plain")
        buffer = storage.buffers.put("a/b", b"buffer", "text/html", {"etag": "1"})
        storage.kv.set(b"k", b"v")
        name = storage.names.register("f", b"\0asm", "application/wasm", {"exports": {"f": [1, None]}})
        identity = (storage.instance_id, storage.token)
    with Storage.open(path) as storage:
        assert storage.blobs.stat(blob.blob_id) == blob
        assert storage.blobs.read(blob.blob_id) == b"b" * 100_000
        assert list(storage.buffers.list()) == [buffer]
        assert storage.kv.get(b"k") == b"v"
        assert storage.names.get("f") == name
        assert (storage.instance_id, storage.token) == identity


def test_two_storages_have_ids_and_tokens_of_their_own(tmp_path: Path) -> None:
    with Storage.open(tmp_path / "a") as a, Storage.open(tmp_path / "b") as b:
        assert a.instance_id != b.instance_id
        assert a.token != b.token


def test_parents_are_made_and_symbolic_links_followed(tmp_path: Path) -> None:
    (tmp_path / "link").symlink_to(tmp_path / "real" / "storage")
    with Storage.open(tmp_path / "link") as storage:
        assert storage.path == tmp_path / "real" / "storage"
        storage.kv.set(b"k", b"v")


@pytest.mark.parametrize("found", [FORMAT + 1, 99, 0, -1, "1", None, 1.5, True])
def test_another_format_is_refused_and_nothing_is_touched(path: Path, found: object) -> None:
    path.mkdir()
    (path / "FORMAT.json").write_text(json.dumps({"format": found, "instance_id": "x"}))
    before = snapshot(path)
    with pytest.raises(StorageFormatError, match=f"reads up to format {FORMAT}") as caught:
        Storage.open(path)
    assert caught.value.details["found"] == found
    assert snapshot(path) == before


@pytest.mark.parametrize("text", [b"", b"{", b"[]", b"{}", b"\xff", b'{"format": 1}', b"[" * 100_000])
def test_a_format_file_that_is_none_is_refused_and_nothing_is_touched(path: Path, text: bytes) -> None:
    path.mkdir()
    (path / "FORMAT.json").write_bytes(text)
    before = snapshot(path)
    with pytest.raises(CorruptStorageError, match=r"FORMAT\.json"):
        Storage.open(path)
    assert snapshot(path) == before


def test_a_directory_that_holds_something_else_is_refused_and_not_touched(path: Path) -> None:
    path.mkdir()
    for name in ("thesis.tex", "b", "c", "d"):
        (path / name).write_text("mine")
    before = snapshot(path)
    with pytest.raises(NotAStorageError, match=r"holds 'b', 'c', 'd', …"):
        Storage.open(path)
    assert snapshot(path) == before


def test_a_file_is_refused(path: Path) -> None:
    path.write_text("mine")
    with pytest.raises(NotAStorageError, match="is not a directory"):
        Storage.open(path)
    assert path.read_text() == "mine"


@pytest.mark.parametrize(
    ("name", "reason"),
    [("x" * 300, "File name too long"), ("loop", "[Ll]oop|[Ll]evels"), ("n\udcff", "not UTF-8"), ("n\0", "null")],
)
def test_what_cannot_name_a_directory_is_refused_with_the_reason(tmp_path: Path, name: str, reason: str) -> None:
    (tmp_path / "loop").symlink_to("loop")
    with pytest.raises(StorageError, match=f"cannot be a storage: .*({reason}).*--storage or MOC_STORAGE"):
        Storage.open(tmp_path / name)
    assert [each.name for each in tmp_path.iterdir()] == ["loop"]


def test_an_empty_file_system_is_taken(path: Path) -> None:
    (path / "lost+found").mkdir(parents=True)
    Storage.open(path).close()


def test_a_first_opening_that_was_cut_short_is_taken_up_again(path: Path) -> None:
    path.mkdir()
    (path / "LOCK").touch()
    (path / "FORMAT.json.new").write_text("{")
    with Storage.open(path) as storage:
        storage.kv.set(b"k", b"v")
    assert not (path / "FORMAT.json.new").exists()


def test_a_lost_catalog_is_missed_and_not_made_anew(path: Path) -> None:
    with Storage.open(path) as storage:
        storage.kv.set(b"k", b"v")
    (path / "catalog.sqlite3").unlink()
    for state in ("missing", "empty"):
        with pytest.raises(CorruptStorageError, match=state):
            Storage.open(path)
        (path / "catalog.sqlite3").touch()


def test_a_catalog_that_is_no_database_is_refused(path: Path) -> None:
    Storage.open(path).close()
    (path / "catalog.sqlite3").write_bytes(b"not a database at all" * 1000)
    with pytest.raises(CorruptStorageError, match=r"catalog\.sqlite3"):
        Storage.open(path)


def test_a_refused_opening_leaves_nothing_open_and_nothing_locked(path: Path) -> None:
    Storage.open(path).close()
    content = (path / "catalog.sqlite3").read_bytes()
    (path / "catalog.sqlite3").write_bytes(b"no database" * 1000)
    open_before = len(os.listdir("/proc/self/fd"))
    with pytest.raises(CorruptStorageError):
        Storage.open(path)
    assert len(os.listdir("/proc/self/fd")) <= open_before
    (path / "catalog.sqlite3").write_bytes(content)
    Storage.open(path).close()


# -- ownership --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("url", [None, "https://127.0.0.1:8443"])
def test_a_second_process_is_told_who_owns_the_storage(path: Path, url: str | None) -> None:
    arguments = [sys.executable, "-c", OTHER_OWNER, str(path), *([url] if url else [])]
    with subprocess.Popen(arguments, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as other:
        assert other.stdout is not None
        assert other.stdout.readline() == b"open\n"
        with pytest.raises(LockedStorageError) as caught:
            Storage.open(path)
        if url:
            assert "owned by process 4711" in caught.value.message
            assert f"--url {url}" in caught.value.message
        else:
            assert f"owned by process {other.pid}" in caught.value.message
        other.communicate()
    assert other.returncode == 0
    Storage.open(path).close()


def test_the_lock_of_a_killed_owner_is_free_and_its_endpoint_gone(path: Path) -> None:
    arguments = [sys.executable, "-c", OTHER_OWNER, str(path), "https://127.0.0.1:1"]
    with subprocess.Popen(arguments, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as other:
        assert other.stdout is not None
        other.stdout.readline()
        other.kill()
        other.wait()
    assert read_endpoint(path) is not None
    with Storage.open(path):
        assert read_endpoint(path) is None


def test_one_process_cannot_open_a_storage_twice(storage: Storage, path: Path) -> None:
    with pytest.raises(LockedStorageError):
        Storage.open(path)
    storage.close()
    Storage.open(path).close()


def test_closing_twice_is_fine_and_a_closed_storage_says_so(path: Path) -> None:
    storage = Storage.open(path)
    storage.close()
    storage.close()
    for act in (lambda: storage.kv.set(b"k", b"v"), lambda: storage.kv.get(b"k"), storage.buffers.list):
        with pytest.raises(StorageError, match="is closed"):
            act()


def test_a_large_write_to_a_closed_storage_leaves_no_file(path: Path) -> None:
    storage = Storage.open(path)
    storage.close()
    with pytest.raises(StorageError, match="is closed"):
        storage.buffers.put("b", bytes(100_000))
    assert not list((path / "tmp").iterdir())


def test_closing_leaves_no_file_open_and_no_log(path: Path) -> None:
    open_before = len(os.listdir("/proc/self/fd"))
    with Storage.open(path) as storage:
        storage.blobs.put(b"x" * 100_000)
        storage.kv.list()
    assert len(os.listdir("/proc/self/fd")) <= open_before
    assert not list(path.glob("catalog.sqlite3-*"))


def test_an_open_storage_cannot_be_pickled(storage: Storage) -> None:
    with pytest.raises(TypeError, match="owned by one process"):
        pickle.dumps(storage)


@pytest.fixture
def read_only_disk(tmp_path: Path) -> Iterator[Path]:
    disk = tmp_path / "disk"
    disk.mkdir()
    with Storage.open(disk / "storage") as storage:
        storage.kv.set(b"k", b"v")
    steps = (["mount", "--bind", str(disk), str(disk)], ["mount", "-o", "remount,ro,bind", str(disk)])
    for number, step in enumerate(steps):
        if subprocess.run(step, capture_output=True).returncode:
            if number:
                subprocess.run(["umount", str(disk)], check=True)
            pytest.skip("mounting a directory read-only needs root")
    yield disk
    subprocess.run(["umount", str(disk)], check=True)


def test_a_read_only_disk_is_named(read_only_disk: Path) -> None:
    with pytest.raises(ReadOnlyStorageError, match="Read-only file system") as caught:
        Storage.open(read_only_disk / "new")
    assert caught.value.details["path"] == str(read_only_disk / "new")


def test_a_storage_on_a_read_only_disk_is_read_by_several_and_refuses_writes_with_the_reason(
    read_only_disk: Path,
) -> None:
    path = read_only_disk / "storage"
    with Storage.open(path) as storage, Storage.open(path) as other:
        assert storage.kv.get(b"k") == other.kv.get(b"k") == b"v"
        assert "read-only" in storage.status()["read_only"]
        with pytest.raises(ReadOnlyStorageError, match="directory is read-only"):
            storage.kv.set(b"k", b"w")


# -- token ------------------------------------------------------------------------------------------------------------


def test_the_authorization_file_is_a_header_line_with_the_token(storage: Storage) -> None:
    assert storage.token_file.read_text() == storage.token + "\n"
    assert storage.authorization_file.read_text() == f"Authorization: Bearer {storage.token}\n"
    assert len(storage.token) >= 40


def test_a_token_that_a_person_wrote_is_taken_and_its_file_made_private(path: Path) -> None:
    Storage.open(path).close()
    (path / "token").write_text("my-own-token-of-32-characters-ok\n")
    (path / "token").chmod(0o644)
    with Storage.open(path) as storage:
        assert storage.token == "my-own-token-of-32-characters-ok"
        assert "my-own-token" in storage.authorization_file.read_text()
        assert stat.S_IMODE(storage.token_file.stat().st_mode) == 0o600


@pytest.mark.parametrize(
    "text", [b"", b"short", b"two words in a token\n", b"line\r\nInjected: header-header", b"\xff" * 32]
)
def test_a_token_file_without_a_token_is_refused(path: Path, text: bytes) -> None:
    Storage.open(path).close()
    (path / "token").write_bytes(text)
    with pytest.raises(CorruptStorageError, match="token"):
        Storage.open(path)


# -- endpoint ---------------------------------------------------------------------------------------------------------

ENDPOINT = Endpoint(4711, "https://127.0.0.1:8443", "http://127.0.0.1:8888/", "t", "/ca.pem", "i")


def test_an_endpoint_comes_back_and_is_private(path: Path) -> None:
    path.mkdir()
    write_endpoint(path, ENDPOINT)
    write_endpoint(path, ENDPOINT)
    assert read_endpoint(path) == ENDPOINT
    assert stat.S_IMODE((path / "endpoint.json").stat().st_mode) == 0o600
    assert [each.name for each in path.iterdir()] == ["endpoint.json"]


def test_no_endpoint_is_none(path: Path) -> None:
    assert read_endpoint(path) is None


@pytest.mark.parametrize(
    "change",
    [
        {"pid": None}, {"pid": "1"}, {"pid": 0}, {"pid": True}, {"token": ""}, {"token": 5}, {"url": 5},
        {"ca_file": []}, {"jupyter_url": {}}, {"instance_id": None}, {"url": None, "jupyter_url": None},
    ],
)  # fmt: skip
def test_an_endpoint_with_a_wrong_field_is_none(path: Path, change: dict[str, object]) -> None:
    path.mkdir()
    write_endpoint(path, ENDPOINT)
    body = json.loads((path / "endpoint.json").read_text())
    (path / "endpoint.json").write_text(json.dumps({**body, **change}))
    assert read_endpoint(path) is None


@pytest.mark.parametrize("text", [b"", b"{", b"[]", b"\xff\xfe", b"[" * 100_000, b'"x"'])
def test_an_endpoint_that_is_no_json_object_is_none(path: Path, text: bytes) -> None:
    path.mkdir()
    (path / "endpoint.json").write_bytes(text)
    assert read_endpoint(path) is None


def test_an_endpoint_that_cannot_be_written_is_an_error_of_the_platform(path: Path) -> None:
    with pytest.raises(MocError, match=r"endpoint\.json"):
        write_endpoint(path / "missing", ENDPOINT)
