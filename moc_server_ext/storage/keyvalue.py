"""Key-values: durable bytes by binary key, in a table of their own; single keys, pages, and transactions of many keys.

What depends on what is there (:mod:`.keychanges`) is decided inside of the transaction that changes it, as the one
writer: of two who expect the same value only one finds it. The Zarr hierarchy shows key-values under ``kv/``
(:mod:`.zarr_view`); they are not stored there.
"""

from __future__ import annotations

from collections.abc import Sequence

from ..abc import Bytes
from ..errors import InvalidInputError, KeyNotFoundError
from ..model import (
    PAGE_BYTES_MAX,
    PAGE_KEYS_MAX,
    CompareAndSetKey,
    IncrementKey,
    KvChange,
    KvPage,
    check_changes,
    check_key,
    check_value,
    key_text,
)
from .content import StoredContent
from .keychanges import KeyChanges
from .table import ContentTable
from .writes import WriteGroup, Writer


class StoredKeyValues:
    """The key-values of one storage directory: :class:`moc_server_ext.abc.KeyValues`. Thread-safe."""

    def __init__(self, table: ContentTable[bytes], writer: Writer) -> None:
        self._table = table
        self._writer = writer
        self._changes = KeyChanges(table)

    # -- one key ------------------------------------------------------------------------------------------------------

    def set(self, key: bytes, value: Bytes, *, group: WriteGroup | None = None) -> None:
        """Store; durable on return (with `group`: once that is committed).

        Raises
        ------
        InvalidInputError
            The key is empty or over 4,096 bytes, or the value is over 64 MiB. Nothing was changed.
        StorageFullError, ReadOnlyStorageError, StorageError
            The earlier value, if any, is unchanged.
        """
        check_key(key)
        value = bytes(value)
        check_value(key, len(value))
        with self._writer.joined(group) as joined:
            self._changes.set(joined, key, value)

    def get(self, key: bytes) -> bytes:
        """Read.

        Raises
        ------
        KeyNotFoundError, CorruptStorageError, InvalidInputError
            There is none; the value is damaged; `key` cannot be a key.
        """
        check_key(key)

        def lookup() -> StoredContent:
            stored = self._table.find(key)
            if stored is None:
                raise KeyNotFoundError(key_text(key))
            return stored

        return self._table.read(lookup, 0, None, what=lambda: f"the value of key {key_text(key)!r}")

    def delete(self, key: bytes, *, group: WriteGroup | None = None) -> None:
        """Remove; durable on return (with `group`: once that is committed).

        Raises
        ------
        KeyNotFoundError
            There is none. Nothing was changed, and nothing of the group is stored.
        """
        check_key(key)
        with self._writer.joined(group) as joined:
            self._changes.delete(joined, key)

    def compare_and_set(self, key: bytes, expected: Bytes | None, value: Bytes | None) -> None:
        """Store `value` if the key has the value `expected`; durable on return.

        Parameters
        ----------
        expected
            None: the key must not be there.
        value
            None: the key is removed.

        Raises
        ------
        KeyConflictError
            It has another value, or is there, or is not. Nothing was changed.
        InvalidInputError, StorageFullError, ReadOnlyStorageError, StorageError
            As for :meth:`set`. Nothing was changed.
        """
        self.apply([CompareAndSetKey(key, _bytes(expected), _bytes(value))])

    def increment(self, key: bytes, by: int = 1) -> int:
        """Add `by` to the number under a key, and give the sum; durable on return.

        The value is ASCII decimal of 64 bits with a sign; a key that is not there counts as 0.

        Raises
        ------
        InvalidInputError
            The value is no such number, or the sum would be none. Nothing was changed.
        StorageFullError, ReadOnlyStorageError, StorageError
            Nothing was changed.
        """
        (total,) = self.apply([IncrementKey(key, by)])
        assert total is not None  # noqa: S101 - an increment gives a number
        return total

    # -- several ------------------------------------------------------------------------------------------------------

    def apply(self, changes: Sequence[KvChange]) -> Sequence[int | None]:
        """Make up to 10,000 changes in one transaction, in their order: all of them, or none; durable on return.

        Returns
        -------
        Sequence
            What each change gave: an increment the sum, the others None.

        Raises
        ------
        KeyConflictError, KeyNotFoundError
            A compare-and-set does not find what it expects, a removal nothing to remove. Nothing was changed.
        InvalidInputError
            There are too many changes, their keys and values are over 64 MiB together, or one of them cannot be made.
            Nothing was changed.
        StorageFullError, ReadOnlyStorageError, StorageError
            Nothing was changed.
        """
        check_changes(changes)
        results: list[int | None] = [None] * len(changes)
        with self._writer.group() as group:
            for index, change in enumerate(changes):
                self._changes.add(group, index, change, results)
        return results

    def list(self, prefix: bytes = b"", *, limit: int = 1000, after: bytes | None = None) -> Sequence[bytes]:
        """List up to `limit` keys that begin with `prefix` and come after `after`, in bytewise order.

        Raises
        ------
        InvalidInputError
            `limit` is less than 1 or beyond what SQLite can count to.
        """
        _check_limit(limit)
        first, is_after = _start(prefix, after)
        return self._table.keys(first, end_of_prefix(prefix), limit, after=is_after)

    def scan(self, prefix: bytes = b"", *, limit: int = 1000, after: bytes | None = None) -> KvPage:
        """Read up to `limit` keys, as :meth:`list` lists them, with their values, as of one moment.

        A page has up to 10,000 keys and 4 MiB of keys and values, but at least one key if there is any.

        Raises
        ------
        InvalidInputError, CorruptStorageError
            `limit` is less than 1; a value is damaged.
        """
        _check_limit(limit)
        first, is_after = _start(prefix, after)
        items, more = self._table.read_page(
            first,
            end_of_prefix(prefix),
            min(limit, PAGE_KEYS_MAX),
            PAGE_BYTES_MAX,
            after=is_after,
            what=lambda key: f"the value of key {key_text(key)!r}",
        )
        return KvPage(tuple(items), items[-1][0] if more else None)


def end_of_prefix(prefix: bytes) -> bytes | None:
    """Give the first key, in bytewise order, after all that begin with `prefix`; None if there is no such."""
    head = prefix.rstrip(b"\xff")
    return head[:-1] + bytes([head[-1] + 1]) if head else None


def _start(prefix: bytes, after: bytes | None) -> tuple[bytes, bool]:
    """Tell where a page begins, and whether the key there is left out."""
    return (after, True) if after is not None and after >= prefix else (prefix, False)


def _check_limit(limit: int) -> None:
    if not 1 <= limit < 1 << 63:
        raise InvalidInputError(f"The limit of a listing is at least 1; found {limit}.")


def _bytes(value: Bytes | None) -> bytes | None:
    return None if value is None else bytes(value)
