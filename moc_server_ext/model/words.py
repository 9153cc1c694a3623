"""Modes, names, blob ids and content types: the words that the other facts are made of, and how they are read."""

from __future__ import annotations

import re
from enum import StrEnum
from typing import Final

from ..errors import InvalidInputError

WASM_CONTENT_TYPE: Final = "application/wasm"
DEFAULT_CONTENT_TYPE: Final = "application/octet-stream"
COMPRESSIONS: Final = ("zstd",)
"""How chunks may be compressed."""

EXECUTABLE_CONTENT_TYPES: Final = frozenset({WASM_CONTENT_TYPE})

Number = int | float

_BLOB_ID = re.compile(r"[0-9a-f]{64}")
_NAME_MAX_BYTES = 512
_TOKEN = r"[A-Za-z0-9!#$&^_.+-]{1,127}"  # noqa: S105 - a token of RFC 9110, no secret
_CONTENT_TYPE = re.compile(
    rf'{_TOKEN}/{_TOKEN}(?:[ \t]*;[ \t]*{_TOKEN}=(?:{_TOKEN}|"[ !#-\[\]-~]{{0,127}}")){{0,8}}', re.ASCII
)
_CONTENT_TYPE_MAX = 512


class Mode(StrEnum):
    """How a call starts its function."""

    POSIX = "posix"
    DIRECT = "direct"


def parse_compression(text: str | None) -> str | None:
    """Read how chunks are to be compressed; None is not at all.

    Raises
    ------
    InvalidInputError
        There is no such compression; the message names those that there are.
    """
    if text is None or text in COMPRESSIONS:
        return text
    raise InvalidInputError(
        f"Compression {str(text)[:32]!r} is unknown: there is {' and '.join(map(repr, COMPRESSIONS))}, "
        "and without one content is stored as it is."
    )


def parse_mode(text: str | None) -> Mode | None:
    """Read a mode; None and the empty string mean "choose by the module's exports"."""
    if not text:
        return None
    try:
        return Mode(text)
    except ValueError:
        raise InvalidInputError(f"Mode {text!r} is unknown: it is 'posix' or 'direct'.", mode=text) from None


def is_blob_id(text: str) -> bool:
    """Tell whether `text` is a blob id: 64 lower-case hex digits."""
    return _BLOB_ID.fullmatch(text) is not None


def parse_blob_id(text: str) -> str:
    """Check that `text` is a blob id: 64 lower-case hex digits."""
    if not is_blob_id(text):
        raise InvalidInputError(f"{text!r} is no blob id: expected 64 lower-case hex digits.", blob_id=text)
    return text


def parse_name(text: str, what: str = "name") -> str:
    """Check the name of a function or buffer: 1 to 512 bytes of UTF-8, printable, no surrounding space."""
    try:
        size = len(text.encode())
    except UnicodeEncodeError:
        raise InvalidInputError(f"A {what} must be valid Unicode text.") from None
    if not 0 < size <= _NAME_MAX_BYTES or not text.isprintable() or text != text.strip():
        raise InvalidInputError(
            f"{text[:64]!r} cannot be a {what}: expected 1 to {_NAME_MAX_BYTES} bytes of printable text "
            "without surrounding space.",
            name=text[:64],
        )
    return text


def is_content_type(text: str) -> bool:
    """Tell whether `text` is a well-formed media type (RFC 9110, section 8.3.1), which no header can be broken with."""
    return len(text) <= _CONTENT_TYPE_MAX and _CONTENT_TYPE.fullmatch(text) is not None


def parse_content_type(text: str) -> str:
    """Check a media type that came from outside."""
    if not is_content_type(text):
        raise InvalidInputError(f"Content type {text[:128]!r} is no media type; expected TYPE/SUBTYPE.")
    return text


def format_size(size: int) -> str:
    """Write a number of bytes for people: ``17 bytes``, ``4.0 KiB``."""
    if size < 1024:
        return f"{size} byte{'' if size == 1 else 's'}"
    value = float(size)
    for unit in ("KiB", "MiB", "GiB"):
        value /= 1024
        if value < 1024 or unit == "GiB":
            break
    return f"{value:,.1f} {unit}"
