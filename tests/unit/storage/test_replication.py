"""A primary ships what it commits, a standby repeats it, takes over, and the former primary learns of it."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from pathlib import Path

import pytest

from moc_server_ext.errors import (
    BackupTargetError,
    ConflictError,
    CorruptStorageError,
    MocError,
    ReadOnlyStorageError,
    ReplicationError,
)
from moc_server_ext.storage import Storage
from moc_server_ext.storage.backup.restoring import restore_backup
from moc_server_ext.storage.replication.log import LogReader, LogWriter, segments
from moc_server_ext.storage.replication.records import Record, ShippedObject, decode, encode
from moc_server_ext.storage.replication.service import Replication
from moc_server_ext.storage.replication.shipper import LogShipper
from moc_server_ext.storage.targets.directory import DirectoryTarget

LARGE = bytes(range(256)) * 400


class Instance:
    """A storage with its replication, as a server has them."""

    def __init__(self, path: Path, **options: object) -> None:
        self.storage = Storage.open(path)
        try:
            self.replication = Replication(self.storage, **options)  # type: ignore[arg-type]
        except BaseException:
            self.storage.close()
            raise

    def close(self) -> None:
        self.replication.close()
        self.storage.close()


Open = Callable[..., Instance]


@pytest.fixture
def open_instance(tmp_path: Path) -> Iterator[Open]:
    with ExitStack() as closing:

        def go(name: str, **options: object) -> Instance:
            instance = Instance(tmp_path / name, **options)
            closing.callback(instance.close)
            return instance

        yield go


@pytest.fixture
def target(tmp_path: Path) -> str:
    return str(tmp_path / "target")


def wait_until(condition: Callable[[], object], seconds: float = 60) -> None:
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, "it did not come to that"
        time.sleep(0.01)


class FailingTarget(DirectoryTarget):
    """A directory that refuses whatever is written while `fails`, having written a part of it or nothing."""

    fails = False
    tears = False

    def put(self, key, content):  # type: ignore[no-untyped-def]
        self._refuse(key)
        super().put(key, content)

    def put_new(self, key, content):  # type: ignore[no-untyped-def]
        self._refuse(key)
        return super().put_new(key, content)

    def append(self, key, content):  # type: ignore[no-untyped-def]
        if self.fails and self.tears:
            super().append(key, content[: len(content) // 2])
        self._refuse(key)
        super().append(key, content)

    def _refuse(self, key: str) -> None:
        if self.fails:
            raise BackupTargetError(self.url, "the network is gone", what=f"store {key!r}")


# -- records and segments --------------------------------------------------------------------------------------------


def test_a_record_is_read_as_it_was_written_and_a_cut_one_ends_the_log() -> None:
    one = Record(7, 3, 12.5, (ShippedObject("ab" * 16, 5, 9),), b"T" + bytes(100_000))
    two = Record(8, 3, 13.5, (), b"")
    content = encode(one) + encode(two)
    assert len(encode(one)) < 10_000
    assert [record for record, _ in decode(content)] == [one, two]
    whole = len(encode(one))
    for cut in (0, 1, 7, 8, whole - 1):
        assert list(decode(content[:cut])) == []
    assert [record for record, _ in decode(content[:-1])] == [one]


def test_a_flipped_bit_anywhere_in_a_record_ends_the_log() -> None:
    content = encode(Record(1, 1, 1.0, (), b"T changes"))
    for at in range(len(content)):
        damaged = bytearray(content)
        damaged[at] ^= 1
        assert [record for record, _ in decode(bytes(damaged))] == []


@pytest.mark.parametrize("listed", [b'[["../../etc/passwd", 1, 1]]', b"[1]", b"{", b'[["ab", 1, 1]]'])
def test_a_record_that_names_no_objects_is_refused(listed: bytes) -> None:
    good = encode(Record(1, 1, 1.0, (), b""))
    import struct

    import google_crc32c

    body = good[8:-4] + struct.pack("<I", len(listed)) + listed
    with pytest.raises(CorruptStorageError):
        list(decode(struct.pack("<II", len(body), google_crc32c.value(body)) + body))


def test_records_behind_a_torn_append_are_found_in_the_next_segment(tmp_path: Path) -> None:
    target = FailingTarget(tmp_path)
    writer, reader = LogWriter(target, 1), LogReader(target, 1, 0)
    records = [Record(number, 1, 0.0, (), b"T%d" % number) for number in range(1, 6)]
    writer.append(1, encode(records[0]))
    writer.append(2, encode(records[1]))
    target.fails = target.tears = True
    # The first of the two arrives whole.
    batch = encode(records[2]) + encode(Record(4, 1, 0.0, (), b"Tlonger than the one before"))
    with pytest.raises(BackupTargetError):
        writer.append(3, batch)
    target.fails = False
    writer.append(3, encode(records[2]) + encode(records[3]))
    writer.append(5, encode(records[4]))
    found: list[Record] = []
    while batch_read := reader.read(thorough=True):
        found += batch_read
    assert found == records
    assert [first for first, _ in segments(target, 1)] == [1, 3]


# -- following -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("synchronous", [False, True])
def test_a_standby_has_all_that_the_primary_stored_before_and_after_it_began(
    open_instance: Open, target: str, synchronous: bool
) -> None:
    first = open_instance("first")
    first.storage.kv.set(b"early", LARGE)
    first.close()
    primary = open_instance("first", replicate_to=target, synchronous=synchronous).storage
    primary.kv.set(b"small", b"1")
    standby = open_instance("second", follow=target)
    primary.kv.set(b"small", b"2")
    primary.buffers.put("large", LARGE)
    primary.names.register("name", LARGE + b"!", "application/wasm", {"number": 1})
    primary.kv.delete(b"early")
    assert standby.replication.follower is not None
    assert standby.replication.follower.wait_for(primary.sequence(), 60)
    copy = standby.storage
    assert (copy.kv.list(), copy.kv.get(b"small")) == ([b"small"], b"2")
    assert copy.buffers.read("large") == LARGE
    record = copy.names.get("name")
    assert record is not None
    assert copy.blobs.read(record.blob_id) == LARGE + b"!"
    assert standby.replication.status()["role"] == "standby"


def test_a_standby_refuses_writes_and_goes_on_where_it_was_after_a_restart(open_instance: Open, target: str) -> None:
    primary = open_instance("first", replicate_to=target).storage
    standby = open_instance("second", follow=target)
    with pytest.raises(ReadOnlyStorageError, match="moc promote"):
        standby.storage.kv.set(b"a", b"b")
    standby.close()
    alone = open_instance("second")
    with pytest.raises(ReadOnlyStorageError, match="standby"):
        alone.storage.kv.set(b"a", b"b")
    alone.close()
    primary.kv.set(b"later", b"1")
    standby = open_instance("second", follow=target)
    assert standby.replication.follower is not None
    assert standby.replication.follower.wait_for(primary.sequence(), 60)
    assert standby.storage.kv.get(b"later") == b"1"


def test_a_standby_follows_a_primary_that_wrote_without_a_target_in_between(open_instance: Open, target: str) -> None:
    primary = open_instance("first", replicate_to=target)
    primary.storage.kv.set(b"a", b"1")
    standby = open_instance("second", follow=target)
    wait_until(lambda: standby.storage.kv.list() == [b"a"])
    primary.close()
    alone = open_instance("first")
    alone.storage.kv.set(b"b", LARGE)
    alone.storage.kv.delete(b"a")
    alone.close()
    primary = open_instance("first", replicate_to=target)
    wait_until(lambda: standby.storage.kv.list() == [b"b"])
    assert standby.storage.kv.get(b"b") == LARGE
    primary.storage.kv.set(b"c", b"3")
    wait_until(lambda: standby.storage.kv.list() == [b"b", b"c"])


# -- promotion -------------------------------------------------------------------------------------------------------


def test_a_promoted_standby_has_all_that_was_acknowledged_and_the_former_primary_is_fenced(
    open_instance: Open, target: str
) -> None:
    primary = open_instance("first", replicate_to=target, synchronous=True)
    standby = open_instance("second", follow=target)
    acknowledged: list[int] = []

    def write(lane: int) -> None:
        for number in range(lane, 10_000, 4):
            try:
                primary.storage.kv.set(b"%06d" % number, b"%d" % number * (20_000 if number % 50 == 0 else 1))
            except MocError:
                return
            acknowledged.append(number)

    with ThreadPoolExecutor(4) as lanes:
        done = [lanes.submit(write, lane) for lane in range(4)]
        wait_until(lambda: len(acknowledged) > 100)
        promoted = standby.replication.promote()
        for each in done:
            each.result()
    assert promoted["former_instance_id"] == primary.storage.instance_id
    keys = set(standby.storage.kv.list())
    assert {b"%06d" % number for number in acknowledged} <= keys
    standby.storage.kv.set(b"mine", b"1")
    with pytest.raises(ReadOnlyStorageError, match="fenced by promotion of " + standby.storage.instance_id):
        primary.storage.kv.set(b"theirs", b"1")
    assert primary.replication.status()["state"] == "fenced"
    with pytest.raises(ConflictError):
        standby.replication.promote()


def test_the_former_primary_cannot_ship_again_and_a_second_standby_follows_the_new_one(
    open_instance: Open, target: str
) -> None:
    primary = open_instance("first", replicate_to=target)
    primary.storage.kv.set(b"a", b"1")
    standby = open_instance("second", follow=target, replicate_to=target)
    other = open_instance("third", follow=target)
    wait_until(lambda: other.storage.kv.list() == [b"a"] == standby.storage.kv.list())
    primary.close()
    standby.replication.promote()
    standby.storage.kv.set(b"b", LARGE)
    with pytest.raises(ReplicationError, match="ships to the same target"):
        open_instance("first", replicate_to=target)
    wait_until(lambda: other.storage.kv.list() == [b"a", b"b"])
    # Fail back: the former machine follows, and takes over in turn.
    back = open_instance("back", follow=target)
    wait_until(lambda: back.storage.kv.list() == [b"a", b"b"])
    assert back.replication.promote()["former_instance_id"] == standby.storage.instance_id
    back.storage.kv.set(b"c", b"1")


def test_a_stopped_standby_is_promoted_without_following(open_instance: Open, target: str) -> None:
    primary = open_instance("first", replicate_to=target)
    standby = open_instance("second", follow=target)
    standby.close()
    primary.storage.kv.set(b"a", LARGE)
    primary.close()
    stopped = open_instance("second")
    stopped.replication.promote()
    assert stopped.storage.kv.get(b"a") == LARGE
    stopped.storage.kv.set(b"b", b"1")


def test_a_storage_of_its_own_and_a_target_without_a_log_are_refused(open_instance: Open, target: str) -> None:
    own = open_instance("own")
    own.storage.kv.set(b"a", b"1")
    own.close()
    with pytest.raises(BackupTargetError, match="--replicate-to"):
        open_instance("new", follow=target)
    open_instance("first", replicate_to=target)
    with pytest.raises(ReplicationError, match="a storage of its own"):
        open_instance("own", follow=target)
    assert open_instance("own").storage.kv.get(b"a") == b"1"


def test_a_restore_repeats_what_was_shipped_since_the_backup(open_instance: Open, target: str, tmp_path: Path) -> None:
    primary = open_instance("first", replicate_to=target, synchronous=True)
    primary.storage.kv.set(b"a", b"1")
    primary.storage.buffers.put("large", LARGE)
    restore_backup(DirectoryTarget(Path(target)), tmp_path / "restored")
    restored = open_instance("restored").storage
    assert restored.kv.get(b"a") == b"1"
    assert restored.buffers.read("large") == LARGE
    restored.kv.set(b"b", b"2")


# -- a target that fails ---------------------------------------------------------------------------------------------


def shipping(storage: Storage, target: DirectoryTarget, **options: object) -> LogShipper:
    shipper = LogShipper(storage.replication_source(), target, storage.sequence(), **options)  # type: ignore[arg-type]
    storage.ship_to(shipper, storage.sequence())
    shipper.start()
    return shipper


@pytest.mark.parametrize("tears", [False, True])
def test_a_synchronous_writer_is_told_that_the_target_is_gone_and_others_are_refused_until_it_is_back(
    tmp_path: Path, open_instance: Open, tears: bool
) -> None:
    target = FailingTarget(tmp_path / "target")
    target.tears = tears
    storage = open_instance("first").storage
    shipper = shipping(storage, target, synchronous=True, sync_seconds=0.3)
    storage.kv.set(b"a", b"1")
    storage.kv.set(b"a", b"2")
    target.fails = True
    with pytest.raises(ReplicationError, match="stored here") as told:
        storage.kv.set(b"b", b"1")
    assert told.value.details["stored"] is True
    assert storage.kv.get(b"b") == b"1"
    with pytest.raises(ReplicationError, match="Nothing was changed"):
        storage.kv.set(b"c", b"1")
    assert b"c" not in storage.kv.list()
    target.fails = False
    wait_until(lambda: shipper.status()["state"] == "in sync")
    storage.kv.set(b"c", b"2")
    standby = open_instance("second", follow=target.url)
    wait_until(lambda: standby.storage.kv.list() == [b"a", b"b", b"c"])
    shipper.close()


def test_a_primary_that_falls_too_far_behind_makes_a_new_base(tmp_path: Path, open_instance: Open) -> None:
    target = FailingTarget(tmp_path / "target")
    storage = open_instance("first").storage
    shipper = shipping(storage, target, synchronous=False, queue_bytes_max=50_000)
    assert shipper.flush(60)
    standby = open_instance("second", follow=target.url)
    target.fails = True
    for number in range(30):
        storage.kv.set(b"%02d" % number, bytes(10_000))
    wait_until(lambda: "network is gone" in shipper.status().get("problem", ""))
    target.fails = False
    assert shipper.flush(60)
    wait_until(lambda: len(standby.storage.kv.list()) == 30)
    storage.kv.set(b"more", LARGE)
    wait_until(lambda: b"more" in standby.storage.kv.list())
    shipper.close()


def test_a_long_log_is_cut_at_a_new_base_and_a_late_standby_begins_from_it(tmp_path: Path, open_instance: Open) -> None:
    target = DirectoryTarget(tmp_path / "target")
    storage = open_instance("first").storage
    shipper = shipping(storage, target, synchronous=True, log_bytes_min=1)
    first_base = shipper.status()["base"]
    import os

    for number in range(40):
        storage.kv.set(b"%02d" % number, os.urandom(40_000))
    wait_until(lambda: shipper.status()["base"] != first_base)
    standby = open_instance("second", follow=target.url)
    wait_until(lambda: len(standby.storage.kv.list()) == 40)
    shipper.close()
