"""Key-values: durable bytes by binary key, in a table of their own.

The Zarr hierarchy shows them under ``kv/`` (:mod:`.zarr_view`); they are not stored there.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from ..abc import Bytes
from ..errors import InvalidInputError, KeyNotFoundError
from .content import StoredContent
from .table import ContentTable
from .writes import WriteGroup, Writer

KEY_BYTES_MAX: Final = 4096
VALUE_BYTES_MAX: Final = 64 << 20


class StoredKeyValues:
    """The key-values of one storage directory: :class:`moc_server_ext.abc.KeyValues`. Thread-safe."""

    def __init__(self, table: ContentTable[bytes], writer: Writer) -> None:
        self._table = table
        self._writer = writer

    def set(self, key: bytes, value: Bytes, *, group: WriteGroup | None = None) -> None:
        """Store; durable on return (with `group`: once that is committed).

        Raises
        ------
        InvalidInputError
            The key is empty or over 4,096 bytes, or the value is over 64 MiB. Nothing was changed.
        StorageFullError, ReadOnlyStorageError, StorageError
            The earlier value, if any, is unchanged.
        """
        _check_key(key)
        value = bytes(value)
        if len(value) > VALUE_BYTES_MAX:
            raise InvalidInputError(
                f"The value of key {_text(key)!r} has {len(value):,} bytes; at most {VALUE_BYTES_MAX:,} can be stored. "
                "A buffer holds more."
            )
        with self._writer.joined(group) as joined:
            self._table.put(joined, key, value, what=f"key {_text(key)!r} ({len(value):,} bytes)")

    def get(self, key: bytes) -> bytes:
        """Read.

        Raises
        ------
        KeyNotFoundError, CorruptStorageError, InvalidInputError
            There is none; the value is damaged; `key` cannot be a key.
        """
        _check_key(key)

        def lookup() -> StoredContent:
            stored = self._table.find(key)
            if stored is None:
                raise KeyNotFoundError(_text(key))
            return stored

        return self._table.read(lookup, 0, None, what=lambda: f"the value of key {_text(key)!r}")

    def list(self, prefix: bytes = b"", *, limit: int = 1000, after: bytes | None = None) -> Sequence[bytes]:
        """List up to `limit` keys that begin with `prefix` and come after `after`, in bytewise order.

        Raises
        ------
        InvalidInputError
            `limit` is less than 1 or beyond what SQLite can count to.
        """
        if not 1 <= limit < 1 << 63:
            raise InvalidInputError(f"The limit of a listing is at least 1; found {limit}.")
        end = end_of_prefix(prefix)
        if after is not None and after >= prefix:
            return self._table.keys(after, end, limit, after=True)
        return self._table.keys(prefix, end, limit)

    def delete(self, key: bytes, *, group: WriteGroup | None = None) -> None:
        """Remove; durable on return (with `group`: once that is committed).

        Raises
        ------
        KeyNotFoundError
            There is none. Nothing was changed, and nothing of the group is stored.
        """
        _check_key(key)
        with self._writer.joined(group) as joined:
            self._table.delete(
                joined,
                key,
                what=f"the removal of key {_text(key)!r}",
                missing=lambda: KeyNotFoundError(_text(key)),
            )


def end_of_prefix(prefix: bytes) -> bytes | None:
    """Give the first key, in bytewise order, after all that begin with `prefix`; None if there is no such."""
    head = prefix.rstrip(b"\xff")
    return head[:-1] + bytes([head[-1] + 1]) if head else None


def _check_key(key: bytes) -> None:
    if not 0 < len(key) <= KEY_BYTES_MAX:
        raise InvalidInputError(f"A key has 1 to {KEY_BYTES_MAX:,} bytes; found {len(key):,}.")


def _text(key: bytes) -> str:
    return key.decode(errors="backslashreplace")
