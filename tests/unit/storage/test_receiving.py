"""Content that comes in parts: nothing of it is there before its commit, and nothing is left without one."""

from __future__ import annotations

import contextlib
import os

import pytest

from moc_server_ext.errors import CorruptStorageError, InvalidInputError, StorageError
from moc_server_ext.storage import Storage
from moc_server_ext.storage.content import INLINE_BYTES_MAX, PART_BYTES

PART = b"0123456789" * 20_000


def files(storage: Storage) -> list[str]:
    return [each.name for top in ("tmp", "objects") for each in (storage.path / top).rglob("*") if each.is_file()]


def test_nothing_is_visible_before_the_commit_and_all_of_it_after(storage):
    with storage.buffers.receive("x") as receiver:
        receiver.write(PART)
        receiver.write(PART)
        assert len(files(storage)) == 1
        assert list(storage.buffers.list()) == []
        record = receiver.commit()
    assert storage.buffers.stat("x") == record
    assert storage.buffers.read("x") == PART * 2
    assert not list((storage.path / "tmp").iterdir())


@pytest.mark.parametrize("part", [b"small", PART])
def test_a_receiver_that_is_left_without_a_commit_leaves_nothing(storage, part):
    with storage.blobs.receive() as receiver:
        receiver.write(part)
    assert files(storage) == []
    for act in (receiver.commit, lambda: receiver.write(b"")):
        with pytest.raises(StorageError, match="has ended"):
            act()


def test_small_content_never_touches_a_file(storage):
    with storage.buffers.receive("x") as receiver:
        for _ in range(INLINE_BYTES_MAX // 16):
            receiver.write(b"0123456789abcdef")
        assert files(storage) == []
        receiver.commit()
    assert files(storage) == []
    assert storage.buffers.read("x") == b"0123456789abcdef" * (INLINE_BYTES_MAX // 16)


def test_many_small_parts_are_written_together(storage, monkeypatch):
    written: list[int] = []
    write = os.write
    monkeypatch.setattr(os, "write", lambda descriptor, part: written.append(len(part)) or write(descriptor, part))
    storage.buffers.put("x", (b"0123456789" for _ in range(50_000)))
    assert sum(written) == 500_000
    assert len(written) < 20


def test_headers_that_are_too_large_are_refused_before_the_first_part(storage):
    with pytest.raises(InvalidInputError, match="at most 65,536"):
        storage.buffers.receive("x", headers={"h": "v" * INLINE_BYTES_MAX})


def test_a_group_with_parts_appears_as_a_whole(storage):
    with contextlib.suppress(ZeroDivisionError), storage.group() as group:
        storage.buffers.put("x", iter([PART, PART]), group=group)
        storage.kv.set(b"k", b"v", group=group)
        raise ZeroDivisionError
    assert list(storage.buffers.list()) == []
    assert files(storage) == []
    with storage.group() as group:
        storage.buffers.put("x", iter([PART, PART]), group=group)
        storage.blobs.put(iter([PART]), group=group)
        assert list(storage.buffers.list()) == []
    assert storage.buffers.read("x") == PART * 2
    assert not list((storage.path / "tmp").iterdir())


def test_damage_is_told_before_the_last_part(storage):
    content = os.urandom(3 * PART_BYTES + 5)
    storage.buffers.put("x", content)
    (path,) = (each for each in (storage.path / "objects").rglob("*") if each.is_file())
    path.write_bytes(b"\0" * 8 + content[8:])
    given: list[bytes] = []
    with pytest.raises(CorruptStorageError, match=r"buffer 'x'.*checksum"):
        given.extend(storage.buffers.parts("x"))
    assert sum(map(len, storage.buffers.parts("x", 1))) == len(content) - 1, "a range is not checked"
    path.write_bytes(content[:-1])
    with pytest.raises(CorruptStorageError, match="ends at byte"):
        list(storage.buffers.parts("x", 1))


def test_a_reader_that_is_dropped_lets_go_of_a_replaced_buffer_and_its_file(storage):
    def held() -> int:
        links = (f"/proc/self/fd/{each}" for each in os.listdir("/proc/self/fd"))
        return sum(os.path.exists(each) and str(storage.path / "objects") in os.readlink(each) for each in links)

    storage.buffers.put("x", PART * 10)
    parts = storage.buffers.parts("x")
    next(parts)
    storage.buffers.put("x", b"small")
    storage.collect(ignore_grace=True)
    assert held() == len(list((storage.path / "objects").glob("*/*"))) == 1
    del parts
    storage.collect(ignore_grace=True)
    assert held() == len(list((storage.path / "objects").glob("*/*"))) == 0
