"""Key-values over HTTP: each method one request, and none that depends on what is there is ever sent twice."""

from __future__ import annotations

import base64
import hashlib
import json
from collections.abc import Sequence
from typing import Any

from ..abc import Bytes
from ..model import (
    DEFAULT_CONTENT_TYPE,
    KvChange,
    KvPage,
    change_to_json,
    check_changes,
    check_increment,
    check_key,
    check_value,
)
from .noun import STORED_SECONDS, Noun, encode, listed, read_json


class HttpKeyValues(Noun):
    """See :class:`~..abc.KeyValues`."""

    def set(self, key: bytes, value: Bytes) -> None:
        """Store a value."""
        self._put(key, value, {})

    def get(self, key: bytes) -> bytes:
        """Read a value."""
        return bytes(self._transport.request("GET", _path(key)).content)

    def list(self, prefix: bytes = b"", *, limit: int = 1000, after: bytes | None = None) -> Sequence[bytes]:
        """List keys in bytewise order."""
        keys: Sequence[bytes] = self._get(
            "kv",
            listed("keys", lambda each: base64.b64decode(each["base64"], validate=True)),
            _page(prefix, limit, after),
        )
        return keys

    def delete(self, key: bytes) -> None:
        """Remove a key."""
        self._transport.request("DELETE", _path(key))

    def compare_and_set(self, key: bytes, expected: Bytes | None, value: Bytes | None) -> None:
        """Store or remove, if the key has the expected value."""
        if expected is None:
            condition = {"If-None-Match": "*"}
        else:
            check_value(key, len(expected))
            condition = {"If-Match": f'"{hashlib.sha256(expected).hexdigest()}"'}
        # Sent again, it would not find what it expects, because it has been done.
        if value is None:
            self._transport.request("DELETE", _path(key), headers=condition, repeat=False)
        else:
            self._put(key, value, condition, repeat=False)

    def increment(self, key: bytes, by: int = 1) -> int:
        """Add to a number."""
        check_increment(by)
        response = self._transport.request("POST", f"{_path(key)}/increment", query=[("by", str(by))])
        total: int = read_json(self._transport, response, lambda body: int(body["value"]))
        return total

    def scan(self, prefix: bytes = b"", *, limit: int = 1000, after: bytes | None = None) -> KvPage:
        """Read keys with their values."""
        page: KvPage = self._get("kv", KvPage.from_json, [*_page(prefix, limit, after), ("values", "true")])
        return page

    def apply(self, changes: Sequence[KvChange]) -> Sequence[int | None]:
        """Make changes in one transaction."""
        check_changes(changes)
        response = self._transport.request(
            "POST",
            "kv",
            headers={"Content-Type": "application/json"},
            body=json.dumps([change_to_json(each) for each in changes]).encode(),
            answer_seconds=STORED_SECONDS,
        )
        results: Sequence[int | None] = read_json(self._transport, response, listed("results", _result))
        return results

    def _put(self, key: bytes, value: Bytes, condition: dict[str, str], *, repeat: bool = True) -> None:
        path = _path(key)
        check_value(key, len(value))
        self._transport.request(
            "PUT",
            path,
            headers={"Content-Type": DEFAULT_CONTENT_TYPE, **condition},
            body=bytes(value),
            answer_seconds=STORED_SECONDS,
            repeat=repeat,
        )


def _path(key: bytes) -> str:
    check_key(key)
    return f"kv/{encode(key)}"


def _page(prefix: bytes, limit: int, after: bytes | None) -> list[tuple[str, str]]:
    query = [("prefix_base64", base64.b64encode(prefix).decode()), ("limit", str(limit))]
    if after is not None:
        query.append(("after_base64", base64.b64encode(after).decode()))
    return query


def _result(found: Any) -> int | None:
    return None if found is None else int(found)
