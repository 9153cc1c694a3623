"""A look at the outside of a module's bytes, only as deep as readable errors and the memory limit need.

Validation is wasmtime's; this walks the list of sections and never looks into code. What compiling costs is
:mod:`.weight`'s, what a backtrace would cost :mod:`.custom_sections`'.

References
----------
WebAssembly core specification, 5.5 "Modules".
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final, NamedTuple

from ...errors import InvalidModuleError

_MAGIC: Final = b"\0asm"
_CORE_VERSION: Final = b"\1\0\0\0"
_SECTION_IMPORT: Final = 2
_SECTION_TABLE: Final = 4
_SECTION_MEMORY: Final = 5
_SECTION_EXPORT: Final = 7
_MAX_VARINT_BYTES: Final = 5


class Section(NamedTuple):
    """One section: its id, where it begins with that id, and where its content ``[body, end)`` lies."""

    id: int
    start: int
    body: int
    end: int


@dataclass(frozen=True, slots=True)
class Outline:
    """What a module's sections tell without looking into them.

    Parameters
    ----------
    memories, tables
        How many of them it defines.
    entries
        How many imports and exports it says to have.
    """

    memories: int
    tables: int
    entries: int


def outline(name: str, content: bytes) -> Outline:
    """Walk the sections of `content`.

    Raises
    ------
    InvalidModuleError
        It is no WebAssembly module, or ends too early; the message says where.
    """
    if content[:4] != _MAGIC:
        raise InvalidModuleError(name, _what_it_is(content))
    version = content[4:8]
    if len(version) < 4:
        raise InvalidModuleError(name, f"it is truncated at byte {len(content)}, within its header.")
    if version != _CORE_VERSION:
        what = "a component" if version[2:] == b"\1\0" else f"of version {version.hex(' ')}"
        raise InvalidModuleError(name, f"it is {what}; compile it to a core module of version 1 instead.")
    counts = dict.fromkeys((_SECTION_IMPORT, _SECTION_TABLE, _SECTION_MEMORY, _SECTION_EXPORT), 0)
    for section in sections(name, content):
        if section.id in counts and section.end > section.body:
            counts[section.id], _ = varint(name, content, section.body)
    return Outline(
        memories=counts[_SECTION_MEMORY],
        tables=counts[_SECTION_TABLE],
        entries=counts[_SECTION_IMPORT] + counts[_SECTION_EXPORT],
    )


def sections(name: str, content: bytes) -> Iterator[Section]:
    """Walk the sections of what begins as a module does.

    Raises
    ------
    InvalidModuleError
        It ends too early; the message says where.
    """
    at = 8
    while at < len(content):
        size, body = varint(name, content, at + 1)
        if body + size > len(content):
            raise InvalidModuleError(
                name,
                f"it is truncated at byte {len(content)}: section {content[at]} at byte {at} has {size:,} bytes, "
                f"of which {body + size - len(content):,} are missing.",
            )
        yield Section(content[at], at, body, body + size)
        at = body + size


def _what_it_is(content: bytes) -> str:
    if not content:
        return "it is empty."
    begins = f"it begins with {content[:8]!r}"
    if content.lstrip()[:1] == b"(":
        return f"{begins}, which looks like WebAssembly text: compile it first with `moc compile FILE.wat`."
    if content[:4] == b"\x7fELF":
        return f"{begins}: a native program. Compile the source for the target wasm32-wasi instead."
    return f"{begins}, and a module begins with {_MAGIC!r}."


def varint(name: str, content: bytes, at: int) -> tuple[int, int]:
    """Read an unsigned LEB128 number of at most 32 bits; gives it and where it ends.

    Raises
    ------
    InvalidModuleError
        There is none.
    """
    value = 0
    for index in range(_MAX_VARINT_BYTES):
        if at + index >= len(content):
            raise InvalidModuleError(name, f"it is truncated at byte {len(content)}, within the size of a section.")
        byte = content[at + index]
        value |= (byte & 0x7F) << (7 * index)
        if not byte & 0x80:
            return value, at + index + 1
    raise InvalidModuleError(name, f"the number at byte {at} is too long.")
