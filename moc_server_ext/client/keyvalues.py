"""``moc.kv``: the key-values as a mapping, and transactions of several keys as a block."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from types import TracebackType
from typing import TYPE_CHECKING, Any, Self, TypeVar

from ..errors import InvalidInputError, KeyNotFoundError, MocError
from ..model import CompareAndSetKey, DeleteKey, IncrementKey, KvChange, SetKey, check_changes
from .http import hurried
from .values import to_bytes

if TYPE_CHECKING:
    from .client import Client

_PAGE = 1000
_GLANCE_SECONDS = 0.4
# Inside of the classes, `list` is a method.
_Keys = list[bytes]
_Names = list[str]
Default = TypeVar("Default")


class KeyValuesView:
    """The key-value store. Keys and values are bytes; text is sent as UTF-8."""

    def __init__(self, client: Client) -> None:
        self._client = client

    def get(self, key: str | bytes, default: Default | None = None) -> bytes | Default | None:
        """Give the value of a key, or `default` if there is no such key."""
        try:
            return self[key]
        except KeyNotFoundError:
            return default

    def list(self, prefix: str | bytes = b"") -> Sequence[bytes]:
        """List all keys that begin with `prefix`, in bytewise order."""
        keys: _Keys = []
        while True:
            page = self._client.platform.kv.list(to_bytes(prefix), limit=_PAGE, after=keys[-1] if keys else None)
            keys += page
            if len(page) < _PAGE:
                return keys

    def items(self, prefix: str | bytes = b"") -> Iterator[tuple[bytes, bytes]]:
        """Iterate over the keys that begin with `prefix`, with their values, in bytewise order.

        They are read page by page, each as of one moment: what changes meanwhile may be seen or not.
        """
        after: bytes | None = None
        while True:
            page = self._client.platform.kv.scan(to_bytes(prefix), limit=_PAGE, after=after)
            yield from page.items
            after = page.after
            if after is None:
                return

    def compare_and_set(self, key: str | bytes, expected: Any, value: Any) -> None:
        """Store `value` (None removes the key) if the key has the value `expected` (None: if it is not there).

        Raises
        ------
        KeyConflictError
            It has another value, is there, or is not. Nothing was changed.
        """
        self._client.platform.kv.compare_and_set(to_bytes(key), _optional(expected), _optional(value))

    def increment(self, key: str | bytes, by: int = 1) -> int:
        """Add `by` to a number, stored as text such as ``42``, and give the sum; a key that is not there counts as 0.

        Raises
        ------
        InvalidInputError
            The value is no such number, or the sum goes beyond 64 bits. Nothing was changed.
        """
        return self._client.platform.kv.increment(to_bytes(key), by)

    def transaction(self) -> KvTransaction:
        """Begin to collect changes that are made at the end of the ``with`` block: all of them, or none."""
        return KvTransaction(self._client)

    def __getitem__(self, key: str | bytes) -> bytes:
        return self._client.platform.kv.get(to_bytes(key))

    def __setitem__(self, key: str | bytes, value: Any) -> None:
        self._client.platform.kv.set(to_bytes(key), to_bytes(value))

    def __delitem__(self, key: str | bytes) -> None:
        self._client.platform.kv.delete(to_bytes(key))

    def __contains__(self, key: object) -> bool:
        if not isinstance(key, str | bytes):
            return False
        wanted = to_bytes(key)
        # The key itself is the first of those that begin with it; its value need not be read.
        return bool(wanted) and list(self._client.platform.kv.list(wanted, limit=1)) == [wanted]

    def __iter__(self) -> Iterator[bytes]:
        return iter(self.list())

    def __len__(self) -> int:
        return len(self.list())

    def _ipython_key_completions_(self) -> _Names:
        try:
            keys = hurried(self._client.platform, _GLANCE_SECONDS).kv.list(limit=_PAGE)
        except MocError:
            return []
        return [key.decode(errors="replace") for key in keys]

    def __repr__(self) -> str:
        return "<kv>"


class KvTransaction:
    """Changes of several keys that are made together, in their order, when the ``with`` block ends without an error.

    Nothing is read: what is to depend on the present values is said by :meth:`compare_and_set` and :meth:`increment`.

    Attributes
    ----------
    results
        After the block: what each change gave, the sum of an increment and None for the others.
    """

    def __init__(self, client: Client) -> None:
        self._client = client
        self._changes: list[KvChange] = []
        self._ended = False
        self.results: Sequence[int | None] = ()

    def __setitem__(self, key: str | bytes, value: Any) -> None:
        self._add(SetKey(to_bytes(key), to_bytes(value)))

    def __delitem__(self, key: str | bytes) -> None:
        self._add(DeleteKey(to_bytes(key)))

    def compare_and_set(self, key: str | bytes, expected: Any, value: Any) -> None:
        """As :meth:`KeyValuesView.compare_and_set`; a conflict ends the block with KeyConflictError."""
        self._add(CompareAndSetKey(to_bytes(key), _optional(expected), _optional(value)))

    def increment(self, key: str | bytes, by: int = 1) -> None:
        """As :meth:`KeyValuesView.increment`; the sum is in :attr:`results`."""
        self._add(IncrementKey(to_bytes(key), by))

    def _add(self, change: KvChange) -> None:
        if self._ended:
            raise InvalidInputError("This transaction has ended; begin another with moc.kv.transaction().")
        # At its own line, and not at the end of the block.
        check_changes([change])
        self._changes.append(change)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self._ended = True
        if kind is None and self._changes:
            self.results = self._client.platform.kv.apply(self._changes)


def _optional(value: Any) -> bytes | None:
    return None if value is None else to_bytes(value)
