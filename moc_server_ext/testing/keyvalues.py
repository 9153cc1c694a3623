"""The contract of :class:`moc_server_ext.abc.KeyValues`."""

# ruff: noqa: S101, D102 - tests assert, and their names are their documentation

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor

import pytest

from ..abc import KeyValues
from ..errors import InvalidInputError, KeyConflictError, KeyNotFoundError
from ..model import CompareAndSetKey, DeleteKey, IncrementKey, KvChange, SetKey
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

    # -- what depends on what is there --------------------------------------------------------------------------------

    @pytest.mark.parametrize("size", SIZES)
    def test_a_value_is_replaced_if_it_is_the_expected_one(self, kv: KeyValues, size: int) -> None:
        kv.set(b"k", patterned(size))
        kv.compare_and_set(b"k", patterned(size), b"new")
        assert kv.get(b"k") == b"new"
        kv.compare_and_set(b"k", b"new", patterned(size))
        assert kv.get(b"k") == patterned(size)

    @pytest.mark.parametrize("size", [0, 5, 70_000])
    @pytest.mark.parametrize("value", [b"new", None])
    def test_another_value_than_the_expected_one_is_a_conflict_and_stays(
        self, kv: KeyValues, size: int, value: bytes | None
    ) -> None:
        kv.set(b"k", patterned(size))
        for expected in (None, patterned(size) + b"!", patterned(size)[:-1] + b"!", patterned(size + 1)):
            with pytest.raises(KeyConflictError, match="'k'") as caught:
                kv.compare_and_set(b"k", expected, value)
            assert caught.value.details["found_size"] == size
        assert kv.get(b"k") == patterned(size)
        assert list(kv.list()) == [b"k"]

    def test_a_key_that_is_expected_and_missing_is_a_conflict(self, kv: KeyValues) -> None:
        for value in (b"v", None):
            with pytest.raises(KeyConflictError, match="no such key"):
                kv.compare_and_set(b"\0/%", b"", value)
        assert list(kv.list()) == []

    def test_a_key_is_made_if_it_is_not_there(self, kv: KeyValues) -> None:
        kv.compare_and_set(b"\0/%\xff", None, b"first")
        with pytest.raises(KeyConflictError):
            kv.compare_and_set(b"\0/%\xff", None, b"second")
        assert kv.get(b"\0/%\xff") == b"first"

    def test_a_key_is_removed_if_it_has_the_expected_value(self, kv: KeyValues) -> None:
        kv.set(b"k", b"v")
        kv.compare_and_set(b"k", b"v", None)
        assert list(kv.list()) == []
        kv.compare_and_set(b"k", None, None)  # Not there, as expected.

    def test_of_several_threads_that_expect_the_same_value_one_gets_its_way(self, kv: KeyValues) -> None:
        kv.set(b"k", b"0")

        def take(number: int) -> bool:
            try:
                kv.compare_and_set(b"k", b"0", b"%d" % number)
            except KeyConflictError:
                return False
            return True

        with ThreadPoolExecutor(4) as pool:
            won = list(pool.map(take, range(1, 17)))
        assert won.count(True) == 1
        assert kv.get(b"k") == b"%d" % (won.index(True) + 1)

    def test_a_number_is_counted_up_and_down_from_nothing(self, kv: KeyValues) -> None:
        assert kv.increment(b"n") == 1
        assert kv.increment(b"n", 41) == 42
        assert kv.increment(b"n", -50) == -8
        assert kv.get(b"n") == b"-8"
        assert kv.increment(b"n", 0) == -8

    def test_increments_of_several_threads_are_all_counted(self, kv: KeyValues) -> None:
        with ThreadPoolExecutor(4) as pool:
            totals = list(pool.map(lambda _: kv.increment(b"n"), range(40)))
        assert sorted(totals) == list(range(1, 41))

    @pytest.mark.parametrize(
        "value", [b"", b"x", b"1.5", b" 1", b"1\n", b"+1", b"01", b"-0", b"0x1", b"\xd9\xa1", b"9" * 19, bytes(70_000)]
    )
    def test_what_is_no_number_of_64_bits_cannot_be_incremented(self, kv: KeyValues, value: bytes) -> None:
        kv.set(b"n", value)
        with pytest.raises(InvalidInputError, match="'n'"):
            kv.increment(b"n")
        assert kv.get(b"n") == value

    @pytest.mark.parametrize(("value", "by"), [((1 << 63) - 1, 1), (-1 << 63, -1), (1, (1 << 63) - 1)])
    def test_a_sum_beyond_64_bits_is_refused(self, kv: KeyValues, value: int, by: int) -> None:
        kv.set(b"n", b"%d" % value)
        with pytest.raises(InvalidInputError, match="64 bits"):
            kv.increment(b"n", by)
        assert kv.get(b"n") == b"%d" % value
        assert kv.increment(b"n", 0) == value

    def test_a_step_beyond_64_bits_is_refused(self, kv: KeyValues) -> None:
        with pytest.raises(InvalidInputError, match="64 bits"):
            kv.increment(b"n", 1 << 63)

    # -- many keys at once --------------------------------------------------------------------------------------------

    def test_a_transaction_makes_all_changes_in_their_order(self, kv: KeyValues) -> None:
        kv.set(b"old", b"1")
        results = kv.apply(
            [
                SetKey(b"\0a\xff", patterned(70_000)),
                DeleteKey(b"old"),
                CompareAndSetKey(b"old", None, b"2"),
                IncrementKey(b"old", 40),
                CompareAndSetKey(b"old", b"42", b"done"),
                IncrementKey(b"n"),
                SetKey(b"\0a\xff", b"last"),
            ]
        )
        assert list(results) == [None, None, None, 42, None, 1, None]
        assert kv.scan().items == ((b"\0a\xff", b"last"), (b"n", b"1"), (b"old", b"done"))

    @pytest.mark.parametrize(
        ("last", "error"),
        [
            (DeleteKey(b"nobody"), KeyNotFoundError),
            (CompareAndSetKey(b"a", b"other", b"v"), KeyConflictError),
            (CompareAndSetKey(b"a", None, b"v"), KeyConflictError),
            (IncrementKey(b"a"), InvalidInputError),
            (SetKey(b"", b"v"), InvalidInputError),
            (SetKey(b"x" * 4097, b"v"), InvalidInputError),
            (IncrementKey(b"n", 1 << 63), InvalidInputError),
        ],
    )
    def test_one_change_that_cannot_be_made_leaves_all_as_it_was(
        self, kv: KeyValues, last: KvChange, error: type[Exception]
    ) -> None:
        kv.set(b"a", patterned(70_000))
        kv.set(b"b", b"b")
        with pytest.raises(error):
            kv.apply([SetKey(b"new", patterned(70_000)), DeleteKey(b"b"), IncrementKey(b"count"), last])
        assert kv.scan().items == ((b"a", patterned(70_000)), (b"b", b"b"))

    def test_a_transaction_without_changes_changes_nothing(self, kv: KeyValues) -> None:
        assert list(kv.apply([])) == []
        assert list(kv.list()) == []

    def test_a_transaction_is_bounded(self, kv: KeyValues) -> None:
        with pytest.raises(InvalidInputError, match="10,000 changes"):
            kv.apply([IncrementKey(b"n")] * 10_001)
        half = bytes(33 << 20)
        with pytest.raises(InvalidInputError, match="67,108,864 bytes together"):
            kv.apply([SetKey(b"a", half), SetKey(b"b", half)])
        assert list(kv.list()) == []

    def test_ten_thousand_changes_are_one_transaction(self, kv: KeyValues) -> None:
        kv.apply([SetKey(b"%05d" % number, b"") for number in range(10_000)])
        assert len(kv.list(limit=10_000)) == 10_000

    # -- pages of values ----------------------------------------------------------------------------------------------

    @pytest.mark.parametrize("prefix", [b"", b"a", b"\xff", b"nothing", b"\0"])
    def test_pages_of_values_go_on_where_the_one_before_says(self, kv: KeyValues, prefix: bytes) -> None:
        for key in KEYS:
            kv.set(key, b"=" + key)
        expected = [(key, b"=" + key) for key in sorted(KEYS) if key.startswith(prefix)]
        page = kv.scan(prefix, limit=2)
        found = list(page.items)
        while page.after is not None:
            assert page.items[-1][0] == page.after
            page = kv.scan(prefix, limit=2, after=page.after)
            assert 1 <= len(page.items) <= 2
            found += page.items
        assert found == expected

    def test_a_page_of_values_ends_before_it_is_too_large_but_has_one(self, kv: KeyValues) -> None:
        kv.set(b"a", b"small")
        kv.set(b"b", patterned(5 << 20))
        kv.set(b"c", patterned(3 << 20))
        kv.set(b"d", b"last")
        pages = [kv.scan()]
        while pages[-1].after is not None:
            pages.append(kv.scan(after=pages[-1].after))
        assert [[key for key, _ in each.items] for each in pages] == [[b"a"], [b"b"], [b"c", b"d"]]
        assert pages[1].items[0][1] == patterned(5 << 20)

    def test_a_page_of_no_values_is_refused(self, kv: KeyValues) -> None:
        with pytest.raises(InvalidInputError):
            kv.scan(limit=0)
