"""A look at the outside of a module's bytes, only as deep as readable errors and the memory limit need.

Validation is wasmtime's; this walks the list of sections and never looks into code.

References
----------
WebAssembly core specification, 5.5 "Modules".
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from ...errors import InvalidModuleError

_MAGIC: Final = b"\0asm"
_CORE_VERSION: Final = b"\1\0\0\0"
_SECTION_CUSTOM: Final = 0
_SECTION_TABLE: Final = 4
_SECTION_MEMORY: Final = 5
_MAX_VARINT_BYTES: Final = 5


@dataclass(frozen=True, slots=True)
class Outline:
    """What a module's sections tell without looking into them.

    Parameters
    ----------
    memories, tables
        How many of them it defines.
    compiled_bytes
        What compiling it has to do with: all but custom sections, which hold names and debug information and can be
        many times the rest.
    """

    memories: int
    tables: int
    compiled_bytes: int


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
    counts = {_SECTION_MEMORY: 0, _SECTION_TABLE: 0}
    at, custom_bytes = 8, 0
    while at < len(content):
        section = content[at]
        size, body = _varint(name, content, at + 1)
        if body + size > len(content):
            raise InvalidModuleError(
                name,
                f"it is truncated at byte {len(content)}: section {section} at byte {at} has {size:,} bytes, "
                f"of which {body + size - len(content):,} are missing.",
            )
        if section in counts and size:
            counts[section], _ = _varint(name, content, body)
        if section == _SECTION_CUSTOM:
            custom_bytes += body + size - at
        at = body + size
    return Outline(
        memories=counts[_SECTION_MEMORY],
        tables=counts[_SECTION_TABLE],
        compiled_bytes=len(content) - custom_bytes,
    )


def _what_it_is(content: bytes) -> str:
    if not content:
        return "it is empty."
    begins = f"it begins with {content[:8]!r}"
    if content.lstrip()[:1] == b"(":
        return f"{begins}, which looks like WebAssembly text: compile it first with `moc compile FILE.wat`."
    if content[:4] == b"\x7fELF":
        return f"{begins}: a native program. Compile the source for the target wasm32-wasi instead."
    return f"{begins}, and a module begins with {_MAGIC!r}."


def _varint(name: str, content: bytes, at: int) -> tuple[int, int]:
    value = 0
    for index in range(_MAX_VARINT_BYTES):
        if at + index >= len(content):
            raise InvalidModuleError(name, f"it is truncated at byte {len(content)}, within the size of a section.")
        byte = content[at + index]
        value |= (byte & 0x7F) << (7 * index)
        if not byte & 0x80:
            return value, at + index + 1
    raise InvalidModuleError(name, f"the number at byte {at} is too long.")
