"""A quota of stored bytes: kept before anything is visible, exact however bytes come and go, not in removals' way."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from random import Random

import pytest

from moc_server_ext.errors import QuotaExceededError
from moc_server_ext.storage import Storage

LARGE = 100_000
# The documents of the hierarchy count as well.
LIMIT = 1_000_000


def files(path: Path) -> int:
    return len(list((path / "objects").glob("*/*"))) + len(list((path / "tmp").iterdir()))


def counted(storage: Storage) -> int:
    """Count what is stored anew."""
    return int(storage.status()["stored_bytes"])


def test_a_write_beyond_the_quota_is_refused_and_leaves_nothing(path: Path) -> None:
    with Storage.open(path, storage_bytes=LIMIT) as storage:
        for number in range(9):
            storage.kv.set(b"%d" % number, bytes(LARGE))
        before, kept = counted(storage), files(path)
        writes: tuple[Callable[[], object], ...] = (
            lambda: storage.kv.set(b"new", bytes(LARGE)),
            lambda: storage.buffers.put("new", iter([bytes(LARGE)] * 2)),
            lambda: storage.blobs.put(bytes(LARGE)),
        )
        for write in writes:
            with pytest.raises(QuotaExceededError, match=r"may hold 1,000,000 bytes"):
                write()
        assert counted(storage) == before
        assert files(path) == kept
        assert list(storage.buffers.list()) == []


def test_removing_makes_room_at_once_and_replacing_counts_the_difference(path: Path) -> None:
    with Storage.open(path, storage_bytes=LIMIT) as storage:
        storage.buffers.put("b", bytes(9 * LARGE))
        for _ in range(3):
            storage.buffers.put("b", bytes(9 * LARGE))
        # What is garbage had to go without grace, for all to stay within the quota.
        assert files(path) == 1
        storage.buffers.delete("b")
        storage.buffers.put("c", bytes(9 * LARGE))


def test_over_a_quota_that_was_lowered_removals_and_smaller_things_are_taken(path: Path) -> None:
    with Storage.open(path) as storage:
        storage.kv.set(b"k", bytes(9 * LARGE))
        storage.kv.set(b"other", bytes(LARGE))
    with Storage.open(path, storage_bytes=LARGE) as storage:
        storage.kv.set(b"k", bytes(8 * LARGE))
        with pytest.raises(QuotaExceededError):
            storage.kv.set(b"small", b"1")
        storage.kv.delete(b"other")
        storage.kv.delete(b"k")
        storage.kv.set(b"small", b"1")


def test_what_is_counted_as_it_goes_is_what_is_there(path: Path) -> None:
    chance = Random(7)
    with Storage.open(path, storage_bytes=1 << 40) as storage:
        for number in range(200):
            size = chance.choice((0, 10, 70_000, 150_000))
            match chance.randrange(6):
                case 0:
                    storage.kv.set(b"%d" % chance.randrange(4), chance.randbytes(size))
                case 1:
                    storage.buffers.put(str(chance.randrange(4)), chance.randbytes(size))
                case 2:
                    storage.blobs.put(b"same" * (size // 4), chance.choice(("text/plain", "text/html")))
                case 3:
                    for key in list(storage.kv.list(limit=2)):
                        storage.kv.delete(key)
                case 4:
                    for record in list(storage.buffers.list())[:2]:
                        storage.buffers.delete(record.name)
                case 5:
                    with storage.group() as group:
                        new = b"copy %d" % number
                        sql = "INSERT INTO keyvalues SELECT ?, size, crc32c, object, inline FROM keyvalues LIMIT 1"
                        group.then("a copy", lambda connection, new=new, sql=sql: connection.execute(sql, (new,)))
        found = counted(storage)
    with Storage.open(path) as storage:
        assert counted(storage) == found


def test_a_refused_group_is_not_counted(path: Path) -> None:
    with Storage.open(path, storage_bytes=LIMIT) as storage:
        before = counted(storage)

        def refused() -> None:
            with storage.group() as group:
                storage.kv.set(b"a", bytes(6 * LARGE), group=group)
                storage.kv.set(b"b", bytes(6 * LARGE), group=group)

        with pytest.raises(QuotaExceededError):
            refused()
        assert counted(storage) == before
        storage.kv.set(b"a", bytes(6 * LARGE))


def test_status_tells_of_garbage_and_the_quota(path: Path) -> None:
    with Storage.open(path, storage_bytes=LIMIT) as storage:
        storage.kv.set(b"k", bytes(LARGE))
        storage.kv.delete(b"k")
        told = storage.status()
        assert told["garbage"] == {"objects": 1, "bytes": LARGE, "failure": ""}
        assert told["quota_bytes"] == LIMIT


def test_a_dry_run_lists_files_that_no_row_knows(storage: Storage, path: Path) -> None:
    storage.kv.set(b"k", bytes(LARGE))
    storage.kv.delete(b"k")
    stray = path / "objects" / "ab" / ("ab" * 16)
    stray.parent.mkdir(exist_ok=True)
    stray.write_bytes(b"123")
    told = storage.gc(dry_run=True)
    assert told == {
        "dry_run": True,
        "objects": 0,
        "bytes": 0,
        "held": {"grace": {"objects": 1, "bytes": LARGE}},
        "unknown": {"objects": 1, "bytes": 3},
    }
