"""Key-values: their bounds, what changes them, a page of them, and how bytes that may be no text travel in JSON.

In JSON a key or a value is text, or, under the same name with ``_base64`` behind it, exact bytes. Clients send base64.
"""

from __future__ import annotations

import base64
import binascii
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

from ..errors import InvalidInputError

KEY_BYTES_MAX: Final = 4096
VALUE_BYTES_MAX: Final = 64 << 20
CHANGES_MAX: Final = 10_000
CHANGES_BYTES_MAX: Final = 64 << 20
"""Keys and values of one transaction, together."""
PAGE_KEYS_MAX: Final = 10_000
PAGE_BYTES_MAX: Final = 4 << 20
"""Keys and values of one page, together, unless its first value alone is larger."""
INTEGER_MAX: Final = (1 << 63) - 1
INTEGER_MIN: Final = -1 << 63

_NUMBER: Final = re.compile(rb"0|-?[1-9][0-9]{0,18}")


@dataclass(frozen=True, slots=True)
class SetKey:
    """Store `value` under `key`."""

    key: bytes
    value: bytes


@dataclass(frozen=True, slots=True)
class DeleteKey:
    """Remove `key`, which must be there."""

    key: bytes


@dataclass(frozen=True, slots=True)
class CompareAndSetKey:
    """Store `value` under `key` (None removes it) if it has the value `expected` (None: if it is not there)."""

    key: bytes
    expected: bytes | None
    value: bytes | None


@dataclass(frozen=True, slots=True)
class IncrementKey:
    """Add `by` to the number under `key`, which is ASCII decimal; a key that is not there counts as 0."""

    key: bytes
    by: int = 1


KvChange = SetKey | DeleteKey | CompareAndSetKey | IncrementKey
"""One change of a transaction."""

_NAMES: Final[Mapping[type, str]] = {
    SetKey: "set",
    DeleteKey: "delete",
    CompareAndSetKey: "compare_and_set",
    IncrementKey: "increment",
}
_FIELDS: Final[Mapping[str, frozenset[str]]] = {
    "set": frozenset({"value"}),
    "delete": frozenset(),
    "compare_and_set": frozenset({"expected", "value"}),
    "increment": frozenset({"by"}),
}


@dataclass(frozen=True, slots=True)
class KvPage:
    """Some keys with their values, in bytewise order, as of one moment.

    Parameters
    ----------
    after
        The key behind which the next page begins; None when there is nothing more.
    """

    items: tuple[tuple[bytes, bytes], ...]
    after: bytes | None = None

    def to_json(self) -> dict[str, Any]:
        """Give the shape of ``GET kv?values=true``."""
        return {
            "keys": [{**key_to_json(key), "value_base64": _encode(value)} for key, value in self.items],
            "after_base64": None if self.after is None else _encode(self.after),
        }

    @classmethod
    def from_json(cls, body: Mapping[str, Any]) -> KvPage:
        """Read what :meth:`to_json` gave."""
        after = body["after_base64"]
        items = tuple((_decode(each["base64"]), _decode(each["value_base64"])) for each in body["keys"])
        return cls(items, None if after is None else _decode(after))


def key_to_json(key: bytes) -> dict[str, str]:
    """Give a key twice: as text to look at, and exact."""
    return {"key": key.decode(errors="replace"), "base64": _encode(key)}


def key_text(key: bytes) -> str:
    """Give a key as messages name it."""
    return key.decode(errors="backslashreplace")


def check_key(key: bytes) -> None:
    """Refuse what cannot be a key.

    Raises
    ------
    InvalidInputError
        It is empty, or has more than 4,096 bytes.
    """
    if not 0 < len(key) <= KEY_BYTES_MAX:
        raise InvalidInputError(f"A key has 1 to {KEY_BYTES_MAX:,} bytes; found {len(key):,}.")


def check_value(key: bytes, size: int) -> None:
    """Refuse a value of more than 64 MiB.

    Raises
    ------
    InvalidInputError
        It is larger.
    """
    if size > VALUE_BYTES_MAX:
        raise InvalidInputError(
            f"The value of key {key_text(key)!r} has {size:,} bytes; at most {VALUE_BYTES_MAX:,} can be stored. "
            "A buffer holds more."
        )


def check_changes(changes: Sequence[KvChange]) -> None:
    """Refuse a transaction that is too large, or has a key, value or number that cannot be one.

    Raises
    ------
    InvalidInputError
        It says which, and what is possible.
    """
    if len(changes) > CHANGES_MAX:
        raise InvalidInputError(
            f"A transaction has at most {CHANGES_MAX:,} changes; found {len(changes):,}. Make several of it."
        )
    size = 0
    for each in changes:
        check_key(each.key)
        size += len(each.key)
        if isinstance(each, IncrementKey):
            check_increment(each.by)
        for value in (getattr(each, "value", None), getattr(each, "expected", None)):
            if value is not None:
                check_value(each.key, len(value))
                size += len(value)
    if len(changes) > 1 and size > CHANGES_BYTES_MAX:
        raise InvalidInputError(
            f"The keys and values of a transaction have at most {CHANGES_BYTES_MAX:,} bytes together; found {size:,}. "
            "Make several of it, or keep large values in buffers."
        )


def check_increment(by: int) -> None:
    """Refuse what no key-value can be incremented by.

    Raises
    ------
    InvalidInputError
        It is no whole number of 64 bits.
    """
    if isinstance(by, bool) or not isinstance(by, int) or not INTEGER_MIN <= by <= INTEGER_MAX:
        raise InvalidInputError(f"A number is incremented by a whole number of 64 bits, not {str(by)[:40]!r}.")


def incremented(key: bytes, value: bytes | None, by: int) -> int:
    """Add `by` to a value.

    Parameters
    ----------
    value
        What is stored; None where there is nothing, which counts as 0.

    Raises
    ------
    InvalidInputError
        The value is no ASCII decimal, or the sum is beyond 64 bits.
    """
    if value is None:
        number = 0
    elif _NUMBER.fullmatch(value):
        number = int(value)
    else:
        raise InvalidInputError(
            f"The value of key {key_text(key)!r} is no whole number in ASCII decimal, such as 42 or -1, without a sign "
            "+, space or newline: it cannot be incremented, and stays as it is.",
            key=key_text(key),
        )
    total = number + by
    if not (INTEGER_MIN <= number <= INTEGER_MAX and INTEGER_MIN <= total <= INTEGER_MAX):
        raise InvalidInputError(
            f"Adding {by} to the value {number} of key {key_text(key)!r} goes beyond 64 bits; it stays as it is.",
            key=key_text(key),
        )
    return total


def change_to_json(change: KvChange) -> dict[str, Any]:
    """Give one element of the body of ``POST kv``."""
    body: dict[str, Any] = {"change": _NAMES[type(change)], "key_base64": _encode(change.key)}
    if isinstance(change, IncrementKey):
        return {**body, "by": change.by}
    for name in _FIELDS[body["change"]]:
        value = getattr(change, name)
        if value is None:
            body[name] = None
        else:
            body[f"{name}_base64"] = _encode(value)
    return body


def parse_changes(body: Any) -> list[KvChange]:
    """Read a transaction: the JSON list of its changes.

    Raises
    ------
    InvalidInputError
        It says which change is not understood, and why. Whether keys and values are too large is not looked at.
    """
    if not isinstance(body, list):
        raise InvalidInputError("A transaction is a JSON list of changes.")
    if len(body) > CHANGES_MAX:
        raise InvalidInputError(f"A transaction has at most {CHANGES_MAX:,} changes; found {len(body):,}.")
    return [_parse_change(index, each) for index, each in enumerate(body)]


def _parse_change(index: int, body: Any) -> KvChange:
    where = f"Change {index} of the transaction"
    kind = body.get("change") if isinstance(body, dict) else None
    if not isinstance(kind, str) or kind not in _FIELDS:
        raise InvalidInputError(
            f"{where} is not understood: expected an object whose 'change' is {', '.join(map(repr, _FIELDS))}."
        )
    names = _FIELDS[kind]
    known = {"change", "key", "key_base64", *names, *(f"{name}_base64" for name in names if name != "by")}
    unknown = sorted(str(name) for name in body.keys() - known)
    if unknown:
        raise InvalidInputError(f"{where} ({kind}) has the unknown field {unknown[0][:40]!r}.")
    key = _field(where, body, "key")
    if key is None:
        raise InvalidInputError(f"{where} ({kind}) has no key: 'key' is text, 'key_base64' exact.")
    if kind == "delete":
        return DeleteKey(key)
    if kind == "increment":
        by = body.get("by", 1)
        check_increment(by)
        return IncrementKey(key, by)
    value = _field(where, body, "value")
    if kind == "set":
        if value is None:
            raise InvalidInputError(f"{where} (set) has no value: 'value' is text, 'value_base64' exact.")
        return SetKey(key, value)
    # What is None must be said: a misspelt name must not delete anything.
    for name in ("expected", "value"):
        if name not in body and f"{name}_base64" not in body:
            raise InvalidInputError(f"{where} (compare_and_set) has no {name!r}; null is for a key that is not there.")
    return CompareAndSetKey(key, _field(where, body, "expected"), value)


def _field(where: str, body: Mapping[str, Any], name: str) -> bytes | None:
    text, exact = body.get(name), body.get(f"{name}_base64")
    if text is not None and exact is not None:
        raise InvalidInputError(f"{where} has both {name!r} and '{name}_base64'; one is enough.")
    if exact is not None:
        try:
            return _decode(exact)
        except (TypeError, ValueError):
            raise InvalidInputError(f"{where}: '{name}_base64' is not base64.") from None
    if text is None:
        return None
    try:
        return str.encode(text)
    except (TypeError, UnicodeError):
        raise InvalidInputError(f"{where}: {name!r} is not text in Unicode.") from None


def _encode(content: bytes) -> str:
    return binascii.b2a_base64(content, newline=False).decode()


def _decode(text: Any) -> bytes:
    if not isinstance(text, str):
        raise TypeError("base64 is text")
    return base64.b64decode(text, validate=True)
