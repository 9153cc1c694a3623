"""What an export holds when what is stored changes while it is made."""

from __future__ import annotations

import base64
import json
from collections.abc import Sequence
from types import SimpleNamespace

import pytest

from moc_server_ext.guest_api.core.platform import _export
from moc_server_ext.guest_api.errno import Errno, GuestErrno


class Shelf:
    """A hierarchy whose values may be gone when they are asked for."""

    def __init__(self, values: dict[str, bytes], *, unlisted: Sequence[str] = (), unread: Sequence[str] = ()) -> None:
        self._values = values
        self._gone = unlisted
        self._lost = unread

    def list(self, prefix: str = "", *, limit: int = 1000, after: str | None = None) -> list[str]:
        return [each for each in sorted(self._values) if after is None or each > after][: min(limit, 2)]

    def size(self, key: str) -> int | None:
        return None if key in self._gone else len(self._values[key])

    def read(self, key: str) -> bytes | None:
        return None if key in self._lost else self._values[key]


def export(shelf: Shelf, room: int = 1000) -> bytes:
    return bytes(_export(SimpleNamespace(zarr=shelf, functions=SimpleNamespace(list=list)), room))  # type: ignore[arg-type]


def test_nothing_is_an_empty_object():
    assert export(Shelf({})) == b"{}"


def test_all_pages_of_keys_are_in_it():
    values = {f"key/{number}": bytes(number) for number in range(7)}
    found = {key: base64.b64decode(value) for key, value in json.loads(export(Shelf(values))).items()}
    assert found == values


@pytest.mark.parametrize("gone", [{"unlisted": ("b",)}, {"unread": ("b",)}, {"unread": ("a", "b", "c")}])
def test_what_is_gone_when_its_turn_comes_is_left_out(gone):
    found = json.loads(export(Shelf({"a": b"1", "b": b"2", "c": b"3"}, **gone)))
    assert set(found) == {"a", "b", "c"} - set(*gone.values())


def test_keys_that_json_must_escape_are_counted_as_they_are_written():
    shelf = Shelf({'quote"back\\slash': b"value"})
    size = len(export(shelf))
    assert export(shelf, size) == export(shelf)
    with pytest.raises(GuestErrno) as caught:
        export(shelf, size - 1)
    assert caught.value.number is Errno.ENOSPC
