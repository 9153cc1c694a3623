from __future__ import annotations

import threading
from collections.abc import Iterator, Sequence
from pathlib import Path

import pytest

from moc_server_ext.errors import CorruptStorageError, KeyNotFoundError, UnavailableError
from moc_server_ext.storage import Storage

LARGE = b"l" * 100_000


class Note:
    """A shipper that keeps all in memory, with a copy of each object file."""

    def __init__(self, storage: Storage) -> None:
        self.storage = storage
        self.commits: list[tuple[int, bytes, dict[str, bytes]]] = []
        self.awaited: list[int] = []
        self.failure: Exception | None = None

    def admit(self) -> None:
        """Every write may begin."""

    def committed(self, sequence: int, changes: bytes, objects: Sequence[str]) -> None:
        content = {each: self.storage._objects.path(each).read_bytes() for each in objects}
        self.commits.append((sequence, changes, content))

    def wait(self, sequence: int) -> None:
        self.awaited.append(sequence)
        if self.failure is not None:
            raise self.failure

    def bring(self, follower: Storage, since: int = 0) -> None:
        for sequence, changes, content in self.commits[since:]:
            deliver(follower, changes, content, sequence)


def deliver(follower: Storage, changes: bytes, content: dict[str, bytes], sequence: int) -> None:
    staged = {each: follower._objects.stage(each, body).path for each, body in content.items()}
    follower.apply(changes, staged, sequence)
    assert not any(path.exists() for path in staged.values())


@pytest.fixture
def follower(tmp_path: Path) -> Iterator[Storage]:
    with Storage.open(tmp_path / "follower") as storage:
        storage._writer.read_only_reason = "it is a standby"
        yield storage


@pytest.fixture
def note(storage: Storage) -> Note:
    note = Note(storage)
    storage.ship_to(note, 0)
    return note


def contents(storage: Storage) -> dict[str, bytes | None]:
    return {key: storage.zarr.read(key) for key in storage.zarr.list_prefix() if key != "zarr.json"}


def write_everything(storage: Storage) -> None:
    storage.kv.set(b"k", b"1")
    storage.kv.set(b"k", LARGE)
    storage.kv.set(b"gone", LARGE)
    storage.buffers.put("b", LARGE)
    storage.buffers.put("b", LARGE + b"2")
    storage.names.register("f", LARGE, "application/wasm", {"n": 1})
    storage.blobs.put(LARGE, "text/plain")
    with storage.group() as group:
        storage.kv.set(b"k", b"3", group=group)
        storage.buffers.put("c", LARGE, group=group)
        storage.kv.delete(b"gone", group=group)


def test_a_copy_that_repeats_each_commit_holds_the_same(storage: Storage, follower: Storage, note: Note) -> None:
    assert follower.buffers.list() == []
    write_everything(storage)
    note.bring(follower)
    assert contents(follower) == contents(storage)
    assert follower.names.list() == storage.names.list()
    assert follower.kv.get(b"k") == b"3"
    assert follower.buffers.read("b") == LARGE + b"2"
    assert {each.name for each in (follower.path / "objects").glob("*/*")} == {
        each.name for each in (storage.path / "objects").glob("*/*")
    }
    assert [sequence for sequence, _, _ in note.commits] == list(range(1, len(note.commits) + 1))
    assert note.awaited == [sequence for sequence, _, _ in note.commits]
    assert follower.sequence() == storage.sequence() == len(note.commits)


def test_what_was_read_of_a_copy_before_a_commit_is_read_anew_after_it(
    storage: Storage, follower: Storage, note: Note
) -> None:
    storage.buffers.put("b", b"1")
    note.bring(follower)
    assert follower.buffers.read("b") == b"1"
    storage.buffers.put("b", b"2")
    storage.names.register("f", b"f", "application/wasm", {})
    note.bring(follower, since=1)
    assert follower.buffers.read("b") == b"2"
    assert follower.names.get("f") == storage.names.get("f")
    storage.names.delete("f")
    note.bring(follower, since=3)
    assert follower.names.get("f") is None


def test_a_commit_that_comes_twice_is_repeated_once(storage: Storage, follower: Storage, note: Note) -> None:
    storage.kv.set(b"k", LARGE)
    storage.kv.set(b"k", b"2")
    note.bring(follower)
    note.bring(follower)
    assert follower.kv.get(b"k") == b"2"
    # Its own writes are refused, and yet it removes what it was told to.
    assert follower.collect(ignore_grace=True).objects == 1
    assert list((follower.path / "objects").glob("*/*")) == []


def test_a_commit_whose_predecessor_is_missing_is_refused(storage: Storage, follower: Storage, note: Note) -> None:
    storage.kv.set(b"a", b"1")
    storage.kv.set(b"b", LARGE)
    with pytest.raises(CorruptStorageError, match="commit 2 cannot follow commit 0"):
        note.bring(follower, since=1)
    assert list(follower.kv.list()) == []
    assert list((follower.path / "objects").glob("*/*")) == []


def test_a_copy_that_has_diverged_refuses_the_commit_and_stays_as_it_is(
    storage: Storage, follower: Storage, note: Note
) -> None:
    follower._writer.read_only_reason = ""
    follower.kv.set(b"k", b"mine")
    storage.kv.set(b"j", b"1")
    storage.kv.set(b"k", b"theirs")
    with pytest.raises(CorruptStorageError, match="diverged"):
        note.bring(follower)
    assert follower.kv.get(b"k") == b"mine"
    assert follower.sequence() == 1


def test_a_commit_whose_object_did_not_come_is_refused(storage: Storage, follower: Storage, note: Note) -> None:
    storage.kv.set(b"k", LARGE)
    sequence, changes, content = note.commits[0]
    with pytest.raises(CorruptStorageError, match=f"{next(iter(content))}, which is missing"):
        follower.apply(changes, {}, sequence)
    assert list(follower.kv.list()) == []


@pytest.mark.parametrize("name", ["../../token", "ab", "A" * 32, "0" * 31 + "/"])
def test_files_whose_names_are_no_ids_of_objects_are_refused(
    storage: Storage, follower: Storage, note: Note, tmp_path: Path, name: str
) -> None:
    storage.kv.set(b"k", b"1")
    token = follower.token_file.read_bytes()
    (tmp_path / "file").write_bytes(b"")
    with pytest.raises(CorruptStorageError, match="no objects"):
        follower.apply(note.commits[0][1], {name: tmp_path / "file"}, 1)
    assert follower.token_file.read_bytes() == token


@pytest.mark.parametrize("changes", [b"garbage", b"T", b"P\x01\x01x\x00\x12\x00\x05"])
def test_bytes_that_are_no_changeset_are_refused(follower: Storage, changes: bytes) -> None:
    with pytest.raises(CorruptStorageError):
        follower.apply(changes, {}, 1)
    assert follower.sequence() == 0


def test_a_refused_write_is_not_shipped_and_takes_no_number(storage: Storage, note: Note) -> None:
    with pytest.raises(KeyNotFoundError):
        storage.kv.delete(b"missing")
    storage.kv.set(b"k", b"1")
    assert [sequence for sequence, _, _ in note.commits] == [1]
    assert note.awaited == [1]


def test_a_writer_whose_commit_does_not_arrive_is_told_and_the_others_go_on(storage: Storage, note: Note) -> None:
    note.failure = UnavailableError("It is stored here, and not there.")
    with pytest.raises(UnavailableError, match="not there"):
        storage.kv.set(b"k", b"1")
    assert storage.kv.get(b"k") == b"1"
    note.failure = None
    storage.kv.set(b"k", b"2")
    assert note.awaited == [1, 2]


def test_others_write_while_one_waits_for_the_copy(storage: Storage) -> None:
    arrived = threading.Event()

    class Slow(Note):
        def wait(self, sequence: int) -> None:
            super().wait(sequence)
            if sequence == 1:
                assert arrived.wait(60)

    storage.ship_to(note := Slow(storage), 0)
    thread = threading.Thread(target=storage.kv.set, args=(b"slow", b"1"))
    thread.start()
    while not note.awaited:
        threading.Event().wait(0.001)
    storage.kv.set(b"quick", b"2")
    assert thread.is_alive()
    arrived.set()
    thread.join()
    assert note.awaited == [1, 2]


def test_the_number_that_shipping_begins_with_is_written_down_at_once(storage: Storage, path: Path) -> None:
    note = Note(storage)
    storage.ship_to(note, 41)
    assert storage.sequence() == 41
    storage.kv.set(b"k", b"1")
    storage.ship_to(None, 42)
    storage.kv.set(b"k", b"2")
    assert [sequence for sequence, _, _ in note.commits] == [42]
    storage.close()
    with Storage.open(path) as again:
        assert again.sequence() == 42
