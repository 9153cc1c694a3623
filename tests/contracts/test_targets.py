"""Every kind of target runs the suite of targets, and tells its own failures without secrets."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from moc_server_ext.errors import BackupTargetError
from moc_server_ext.storage.targets.opening import open_target
from moc_server_ext.storage.targets.target import Target
from moc_server_ext.testing.targets import TargetContract
from s3_store import S3Store, s3_store


@pytest.fixture
def store(monkeypatch: pytest.MonkeyPatch) -> Iterator[S3Store]:
    with s3_store(monkeypatch) as store:
        yield store


class TestDirectoryTarget(TargetContract):
    @pytest.fixture
    def target(self, tmp_path: Path) -> Target:
        return open_target(str(tmp_path / "backups" / "here"))


class TestObjectStoreTarget(TargetContract):
    @pytest.fixture
    def target(self, store: S3Store) -> Target:
        return open_target(store.target("some/where"))


class TestObjectStoreTargetOfAWholeBucket(TargetContract):
    @pytest.fixture
    def target(self, store: S3Store) -> Target:
        return open_target(store.target())


def test_files_of_a_directory_are_for_their_user_alone(tmp_path):
    target = open_target(str(tmp_path / "new"))
    target.put("a/b", b"x")
    target.put_new("a/c", b"x")
    found = {path.relative_to(tmp_path): path.stat().st_mode & 0o777 for path in (tmp_path / "new").rglob("*")}
    assert {mode for path, mode in found.items() if path.name in "bc"} == {0o600}
    assert found[Path("new/a")] == 0o700


def test_leftovers_of_a_process_that_died_go_after_an_hour(tmp_path):
    aside = tmp_path / ".new"
    aside.mkdir()
    for name, age in (("old", 4000), ("young", 0)):
        (aside / name).write_bytes(b"half")
        os.utime(aside / name, (os.stat(aside / name).st_mtime - age,) * 2)
    open_target(str(tmp_path)).put("a", b"x")
    assert [path.name for path in aside.iterdir()] == ["young"]


def test_a_link_in_a_directory_is_not_followed(tmp_path):
    (tmp_path / "secret").write_bytes(b"secret")
    target = open_target(str(tmp_path / "target"))
    target.put("a", b"x")
    (tmp_path / "target" / "link").symlink_to(tmp_path / "secret")
    os.mkfifo(tmp_path / "target" / "pipe")
    assert dict(target.list()) == {"a": 1}
    for key in ("link", "pipe"):
        with pytest.raises(BackupTargetError, match=key):
            target.get(key)


def test_a_file_where_the_directory_should_be_is_told(tmp_path):
    (tmp_path / "file").write_bytes(b"")
    target = open_target(str(tmp_path / "file"))
    with pytest.raises(BackupTargetError, match=r"file.*[Nn]ot a directory"):
        list(target.list())
    with pytest.raises(BackupTargetError):
        target.put("a", b"")


def test_a_request_that_fails_once_is_repeated(store):
    failed = []

    def once(method: str, path: str, number: int) -> int | None:
        if path in failed:
            return None
        failed.append(path)
        return 503

    store.fault = once
    target = open_target(store.target("x"))
    target.put("a", b"1")
    assert target.put_new("b", b"2")
    assert target.get("a") == b"1"


def test_a_new_object_whose_answer_is_lost_is_ones_own(store):
    lost: list[str] = []
    store.after = lambda method, path, number: 500 if method == "PUT" and not lost and not lost.append(path) else None
    target = open_target(store.target())
    assert target.put_new("lock", b"mine")
    assert not target.put_new("lock", b"mine")


@pytest.mark.parametrize(
    ("status", "word"),
    [(403, "Injected"), (404, "Injected"), (500, "Injected")],
)
def test_a_store_that_refuses_is_told_without_secrets(store, status, word):
    store.fault = lambda method, path, number: status
    target = open_target(store.target("x"))
    with pytest.raises(BackupTargetError, match=word) as caught:
        target.put("a", b"1")
    assert store.target("x") in caught.value.message
    assert "secret-of" not in repr(caught.value) + str(caught.value.__cause__)
    assert "\n" not in caught.value.message
    assert len(caught.value.message) < 300


def test_a_bucket_that_is_not_there_is_named(store):
    target = open_target("s3://no-such-bucket-here/x")
    for use in (target.get, target.size, lambda key: target.put(key, b""), lambda key: list(target.list())):
        with pytest.raises(BackupTargetError, match="there is no bucket 'no-such-bucket-here'"):
            use("a")


def test_a_store_that_does_not_answer_is_told(store, monkeypatch):
    monkeypatch.setenv("AWS_ENDPOINT_URL", "http://127.0.0.1:1")
    with pytest.raises(BackupTargetError, match="does not answer"):
        open_target("s3://bucket/x").get("a")


@pytest.mark.parametrize(
    "text",
    [
        "",
        "ftp://host/x",
        "s3://",
        "s3://a",
        "s3://key:hunter2@bucket/x",
        "s3://bucket/../x",
        "s3://bucket/x//y",
        "a\0b",
    ],
)
def test_what_is_no_target_is_refused_and_keys_in_it_are_not_repeated(text):
    with pytest.raises(BackupTargetError) as caught:
        open_target(text)
    assert "hunter2" not in str(caught.value)
