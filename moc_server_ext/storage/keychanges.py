"""What changes key-values, as parts of a group: each change looks at what is there inside of the transaction.

Owns how the present value is compared and counted up. Bounds of keys and values are checked before.
"""

from __future__ import annotations

from typing import Any

import apsw
import google_crc32c

from ..errors import KeyConflictError, KeyNotFoundError
from ..model import CompareAndSetKey, DeleteKey, IncrementKey, KvChange, SetKey, incremented, key_text
from .content import StoredContent
from .table import ContentTable
from .writes import WriteGroup


class KeyChanges:
    """Adds changes of key-values to groups of writes."""

    def __init__(self, table: ContentTable[bytes]) -> None:
        self._table = table

    def add(self, group: WriteGroup, index: int, change: KvChange, results: list[int | None]) -> None:
        """Make `change` a part of `group`; what it gives is ``results[index]`` once that is committed."""
        match change:
            case SetKey():
                self.set(group, change.key, change.value)
            case DeleteKey():
                self.delete(group, change.key)
            case CompareAndSetKey():
                self._compare_and_set(group, change)
            case IncrementKey():
                self._increment(group, change, index, results)

    def set(self, group: WriteGroup, key: bytes, value: bytes) -> None:
        """Store a value."""
        self._table.put(group, key, value, what=f"key {key_text(key)!r} ({len(value):,} bytes)")

    def delete(self, group: WriteGroup, key: bytes) -> None:
        """Remove a key; KeyNotFoundError refuses the group if it is not there."""
        self._table.delete(
            group, key, what=f"the removal of key {key_text(key)!r}", missing=lambda: KeyNotFoundError(key_text(key))
        )

    def _compare_and_set(self, group: WriteGroup, change: CompareAndSetKey) -> None:
        key, expected, value = change.key, change.expected, change.value

        def check(connection: apsw.Connection) -> None:
            found = self._table.find_in(connection, key)
            if not self._is(key, found, expected):
                raise _conflict(key, expected, found)

        # Without a value it only removes, which a full disk must let through.
        group.then(f"key {key_text(key)!r}", check, removes=value is None)
        if value is not None:
            self.set(group, key, value)
        elif expected is not None:
            self.delete(group, key)

    def _is(self, key: bytes, found: StoredContent | None, expected: bytes | None) -> bool:
        if found is None or expected is None:
            return found is None and expected is None
        if found.size != len(expected) or found.crc32c != google_crc32c.value(expected):
            return False
        # A checksum that is equal by chance must not pass for the value.
        return found.inline == expected if found.object_id is None else self._read(key, found) == expected

    def _read(self, key: bytes, found: StoredContent) -> bytes:
        return self._table.read(lambda: found, 0, None, what=lambda: f"the value of key {key_text(key)!r}")

    def _increment(self, group: WriteGroup, change: IncrementKey, index: int, results: list[int | None]) -> None:
        def operation(connection: apsw.Connection) -> None:
            found = self._table.find_in(connection, change.key)
            # What is too large for the catalog is no number; it needs not be read to know that.
            value = None if found is None else self._read(change.key, found) if found.object_id is None else b""
            total = incremented(change.key, value, change.by)
            self._table.put_inline(connection, change.key, str(total).encode())
            results[index] = total

        group.then(f"key {key_text(change.key)!r}", operation)


def _conflict(key: bytes, expected: bytes | None, found: StoredContent | None) -> KeyConflictError:
    facts: dict[str, Any] = {"found": None, "found_size": None}
    if found is not None:
        facts = {"found": found.inline, "found_size": found.size}
    wanted = "no such key" if expected is None else f"a value of {len(expected):,} bytes"
    return KeyConflictError(key_text(key), expected=wanted, **facts)
