"""What the front end of the inspector may ask for, read from messages that anybody could have written.

Offsets and indices come as decimal text, since the front end's numbers are exact only up to 2**53. What is not as it
should be raises InvalidInputError; whoever reads the values need not check them again.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

from moc_server_ext.errors import InvalidInputError

from .elements import DTYPES

PAGE_BYTES: Final = 64 << 10
"""Pages begin at multiples of this."""

MOST_PAGES: Final = 64
"""How many pages may be wanted at once."""

PATTERN_BYTES: Final = 4 << 10
"""How long a pattern to search for may be."""

MOST_AXES: Final = 32
_LAST_OFFSET: Final = (1 << 63) - 1


@dataclass(frozen=True, slots=True)
class PatternWanted:
    """A search: `pattern`, from `start` on, forward or backward."""

    job: int
    pattern: bytes
    start: int
    forward: bool


@dataclass(frozen=True, slots=True)
class ElementsWanted:
    """Which array is looked at; `dtype` and `big_endian` are for bytes alone."""

    job: int
    member: str
    dtype: str
    big_endian: bool


@dataclass(frozen=True, slots=True)
class PlaneWanted:
    """A plane of it: two axes, the places on all of them, and where its window begins if it is large."""

    of: ElementsWanted
    rows: int
    columns: int
    at: tuple[int, ...]
    row: int
    column: int


@dataclass(frozen=True, slots=True)
class LineWanted:
    """A line of it: one axis, the places on all of them, and the part of the line."""

    of: ElementsWanted
    axis: int
    at: tuple[int, ...]
    start: int
    stop: int


def parse_pages(message: Mapping[str, Any]) -> list[int]:
    """Read which pages are wanted, the first one first: the offsets where they begin."""
    wanted = _list(message, "wanted", MOST_PAGES)
    return [_number(each, "wanted") // PAGE_BYTES * PAGE_BYTES for each in wanted]


def parse_search(message: Mapping[str, Any]) -> PatternWanted:
    """Read what is to be found."""
    text = message.get("pattern")
    try:
        pattern = bytes.fromhex(text) if isinstance(text, str) and len(text) <= 3 * PATTERN_BYTES else b""
    except ValueError:
        pattern = b""
    if not 0 < len(pattern) <= PATTERN_BYTES:
        raise InvalidInputError(f"What is searched for must be 1 to {PATTERN_BYTES:,} bytes, in hex.", field="pattern")
    return PatternWanted(_job(message), pattern, _offset(message, "start"), _flag(message, "forward"))


def parse_elements(message: Mapping[str, Any]) -> ElementsWanted:
    """Read which array is meant."""
    member, dtype = message.get("member", ""), message.get("dtype", "uint8")
    if not isinstance(member, str):
        raise InvalidInputError("The name of an array in a group is text.", field="member")
    if not isinstance(dtype, str) or dtype not in DTYPES:
        raise InvalidInputError(f"Bytes cannot be looked at as that; expected {', '.join(DTYPES)}.", field="dtype")
    return ElementsWanted(_job(message), member, dtype, _flag(message, "big_endian"))


def parse_plane(message: Mapping[str, Any]) -> PlaneWanted:
    """Read which plane is wanted; whether the array has it, its reader must see."""
    rows, columns = _offset(message, "rows"), _offset(message, "columns")
    at = tuple(_number(each, "at") for each in _list(message, "at", MOST_AXES))
    if rows == columns or max(rows, columns) >= len(at):
        raise InvalidInputError("A plane has two different axes of the array.", field="rows")
    return PlaneWanted(parse_elements(message), rows, columns, at, _offset(message, "row"), _offset(message, "column"))


def parse_line(message: Mapping[str, Any]) -> LineWanted:
    """Read which line is wanted; whether the array has it, its reader must see."""
    axis = _offset(message, "axis")
    at = tuple(_number(each, "at") for each in _list(message, "at", MOST_AXES))
    start, stop = _offset(message, "start"), _offset(message, "stop")
    if axis >= len(at) or stop < start:
        raise InvalidInputError("A line is a part of one axis of the array.", field="axis")
    return LineWanted(parse_elements(message), axis, at, start, stop)


def _job(message: Mapping[str, Any]) -> int:
    return _offset(message, "job")


def _offset(message: Mapping[str, Any], field: str) -> int:
    return _number(message.get(field), field)


def _number(value: object, field: str) -> int:
    if isinstance(value, str) and value.isascii() and value.isdigit() and len(value) <= 19:
        value = int(value)
    if type(value) is not int or not 0 <= value <= _LAST_OFFSET:
        raise InvalidInputError(f"{field} must be a whole number from 0 to 2**63 - 1.", field=field)
    return value


def _flag(message: Mapping[str, Any], field: str) -> bool:
    value = message.get(field, False)
    if not isinstance(value, bool):
        raise InvalidInputError(f"{field} must be true or false.", field=field)
    return value


def _list(message: Mapping[str, Any], field: str, most: int) -> Sequence[object]:
    value = message.get(field)
    if not isinstance(value, list) or len(value) > most:
        raise InvalidInputError(f"{field} must be a list of at most {most}.", field=field)
    return value
