"""The contract of :class:`moc_server_ext.abc.KeyValues`."""

# ruff: noqa: S101, D102 - tests assert, and their names are their documentation

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor

import pytest

from ..abc import KeyValues
from ..errors import InvalidInputError, KeyNotFoundError
from .blobs import SIZES, patterned

KEYS = (b"a", b"a\0", b"a/b", b"b", b"\0", b"\xff", b"\xff\xff", "ä".encode(), b"%", b"x" * 4096)


class KeyValuesContract:
    """Behaviour that all key-values share; subclasses supply the fixture ``kv``, empty at first."""

    @pytest.mark.parametrize("size", SIZES)
    def test_a_value_comes_back_byte_for_byte(self, kv: KeyValues, size: int) -> None:
        kv.set(b"k", patterned(size))
        assert kv.get(b"k") == patterned(size)

    @pytest.mark.parametrize("old", SIZES)
    @pytest.mark.parametrize("new", SIZES)
    def test_the_last_value_counts(self, kv: KeyValues, old: int, new: int) -> None:
        kv.set(b"k", b"\xff" * old)
        kv.set(b"k", patterned(new))
        assert kv.get(b"k") == patterned(new)
        assert list(kv.list()) == [b"k"]

    def test_keys_are_binary_and_listed_bytewise(self, kv: KeyValues) -> None:
        for key in KEYS:
            kv.set(key, b"=" + key)
        assert {key: kv.get(key) for key in KEYS} == {key: b"=" + key for key in KEYS}
        assert list(kv.list()) == sorted(KEYS)

    @pytest.mark.parametrize("prefix", [b"", b"a", b"a/", b"\xff", b"\xff\xff", b"nothing", b"\0"])
    def test_a_prefix_selects_and_after_and_limit_page(self, kv: KeyValues, prefix: bytes) -> None:
        for key in KEYS:
            kv.set(key, b"")
        expected = sorted(key for key in KEYS if key.startswith(prefix))
        assert list(kv.list(prefix)) == expected
        paged: list[bytes] = []
        while page := kv.list(prefix, limit=2, after=paged[-1] if paged else None):
            assert len(page) <= 2
            paged += page
        assert paged == expected

    def test_after_may_lie_before_or_behind_the_prefix(self, kv: KeyValues) -> None:
        for key in (b"a", b"b1", b"b2", b"c"):
            kv.set(key, b"")
        assert list(kv.list(b"b", after=b"a")) == [b"b1", b"b2"]
        assert list(kv.list(b"b", after=b"b1")) == [b"b2"]
        assert list(kv.list(b"b", after=b"c")) == []

    def test_a_limit_below_one_is_refused(self, kv: KeyValues) -> None:
        with pytest.raises(InvalidInputError):
            kv.list(limit=0)

    def test_a_missing_key_is_named_in_the_error(self, kv: KeyValues) -> None:
        for miss in (kv.get, kv.delete):
            with pytest.raises(KeyNotFoundError, match="nobody"):
                miss(b"nobody")

    def test_a_deleted_key_is_gone(self, kv: KeyValues) -> None:
        kv.set(b"k", b"v")
        kv.delete(b"k")
        assert list(kv.list()) == []
        with pytest.raises(KeyNotFoundError):
            kv.get(b"k")

    @pytest.mark.parametrize("key", [b"", b"x" * 4097])
    def test_what_cannot_be_a_key_is_refused(self, kv: KeyValues, key: bytes) -> None:
        with pytest.raises(InvalidInputError):
            kv.set(key, b"v")
        with pytest.raises(InvalidInputError):
            kv.get(key)
        with pytest.raises(InvalidInputError):
            kv.delete(key)
        assert list(kv.list()) == []

    def test_a_value_over_64_mib_is_refused_and_the_old_one_stays(self, kv: KeyValues) -> None:
        kv.set(b"k", b"old")
        with pytest.raises(InvalidInputError, match="67,108,865"):
            kv.set(b"k", bytes((64 << 20) + 1))
        assert kv.get(b"k") == b"old"

    def test_writes_of_several_threads_all_arrive(self, kv: KeyValues) -> None:
        def write(thread: int) -> None:
            for number in range(25):
                kv.set(b"%d/%d" % (thread, number), b"%d" % number)

        with ThreadPoolExecutor(4) as pool:
            list(pool.map(write, range(4)))
        assert len(kv.list()) == 100
        assert kv.get(b"3/24") == b"24"
