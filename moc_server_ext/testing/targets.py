"""The contract of :class:`moc_server_ext.storage.targets.target.Target`."""

# ruff: noqa: S101, D102 - tests assert, and their names are their documentation

from __future__ import annotations

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor

import pytest

from ..errors import BackupTargetError, CorruptStorageError
from ..storage.targets.target import Target
from .blobs import patterned

LARGE = (20 << 20) + 17


class TargetContract:
    """Behaviour that all targets share; subclasses supply the fixture ``target``, empty at first."""

    @pytest.mark.parametrize("size", [0, 1, 65_537, LARGE])
    def test_an_object_comes_back_byte_for_byte(self, target: Target, size: int) -> None:
        content = patterned(size)
        target.put("objects/ab/one", content)
        assert target.get("objects/ab/one") == content
        assert target.size("objects/ab/one") == size
        parts = target.read("objects/ab/one")
        assert parts is not None
        assert b"".join(parts) == content

    @pytest.mark.parametrize("size", [0, 1, 65_537, LARGE])
    def test_an_object_that_comes_in_parts_is_whole(self, target: Target, size: int) -> None:
        content = patterned(size)
        target.put("parts", (memoryview(content)[start : start + 300_001] for start in range(0, size, 300_001)))
        assert target.get("parts") == content

    def test_the_last_object_counts(self, target: Target) -> None:
        target.put("a", b"long before")
        target.put("a", b"now")
        assert target.get("a") == b"now"
        assert dict(target.list()) == {"a": 3}

    def test_only_the_first_of_new_objects_is_stored(self, target: Target) -> None:
        assert target.put_new("lock", b"mine")
        assert not target.put_new("lock", b"yours")
        assert not target.put_new("lock", b"mine")
        assert target.get("lock") == b"mine"

    def test_one_of_many_who_put_a_new_object_at_once_wins(self, target: Target) -> None:
        with ThreadPoolExecutor(8) as pool:
            won = list(pool.map(lambda number: target.put_new("a/lock", b"%d" % number), range(8)))
        assert won.count(True) == 1
        assert target.get("a/lock") == b"%d" % won.index(True)

    def test_what_is_not_there_is_nothing(self, target: Target) -> None:
        target.put("a/b", b"")
        for key in ("nothing", "a", "a/b/c", "a/c"):
            assert target.get(key) is None
            assert target.read(key) is None
            assert target.size(key) is None
            target.delete(key)
        assert target.get("a/b") == b""

    def test_nothing_is_listed_of_an_empty_target(self, target: Target) -> None:
        assert list(target.list()) == []
        assert list(target.list("objects/")) == []
        assert target.get("a") is None
        target.delete("a")

    def test_a_prefix_selects_by_characters(self, target: Target) -> None:
        keys = ["a", "a-b", "ab/c", "ab/cd", "ab/c-/e", "b/ab", "objects.old/x"]
        for key in keys:
            target.put(key, key.encode())
        for prefix in ("", "a", "ab", "ab/", "ab/c", "ab/c-", "b/ab", "b/abc", "objects", "objects/"):
            expected = {key: len(key) for key in keys if key.startswith(prefix)}
            assert dict(target.list(prefix)) == expected, prefix

    def test_more_than_a_page_is_listed(self, target: Target) -> None:
        keys = {f"objects/{number % 7}/{number}" for number in range(1201)}
        with ThreadPoolExecutor(4) as pool:
            list(pool.map(lambda key: target.put(key, b"x"), keys))
        assert {key for key, _ in target.list("objects/")} == keys

    def test_a_deleted_object_is_gone(self, target: Target) -> None:
        target.put("a/b", b"x")
        target.delete("a/b")
        target.delete("a/b")
        assert target.get("a/b") is None
        assert list(target.list()) == []
        assert target.put_new("a/b", b"y")

    @pytest.mark.parametrize("size", [100, LARGE])
    def test_content_that_fails_half_way_changes_nothing(self, target: Target, size: int) -> None:
        def parts() -> Iterator[bytes]:
            yield bytes(size)
            raise CorruptStorageError("the object", "its checksum does not match")

        target.put("old", b"old")
        for key in ("old", "new"):
            with pytest.raises(CorruptStorageError):
                target.put(key, parts())
        assert target.get("old") == b"old"
        assert target.get("new") is None
        assert dict(target.list()) == {"old": 3}

    @pytest.mark.parametrize(
        "key", ["", "/a", "a/", "a//b", "../a", "a/../b", ".", ".new/a", "a\0b", "a b", "ä", "x" * 600]
    )
    def test_what_is_no_key_is_refused(self, target: Target, key: str) -> None:
        for use in (target.get, target.read, target.size, target.delete, lambda key: target.put(key, b"")):
            with pytest.raises(BackupTargetError):
                use(key)
        with pytest.raises(BackupTargetError):
            target.put_new(key, b"")

    def test_it_can_be_closed_twice(self, target: Target) -> None:
        target.put("a", b"")
        target.close()
        target.close()
