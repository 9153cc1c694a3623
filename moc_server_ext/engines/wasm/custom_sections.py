"""What a backtrace is made from: the names and the debug information that a module brings along.

Both are the module's own, so both are hostile: the library writes a function's whole name into each frame of a trap's
message (one name of 10 MB made a trap take five seconds and a gigabyte) and reads all lines of the debug information
when the first trap is told. What is beyond measure is left out before the module is compiled; the blob stays as it is.
"""

from __future__ import annotations

from typing import Final

from ...errors import InvalidModuleError
from .binary import Section, sections, varint

LONGEST_NAME_BYTES: Final = 8 << 10
MOST_LINES_BYTES: Final = 4 << 20
MOST_DEBUG_BYTES: Final = 64 << 20

_CUSTOM: Final = 0
_MODULE_NAME: Final = 0
_FUNCTION_NAMES: Final = 1
_LINES: Final = b".debug_line"


def without_bombs(content: bytes) -> bytes:
    """Leave out the names if one is longer than 8 KiB, and debug information of more than 4 MiB of lines or 64 MiB.

    `content` is one whose sections are known to be whole.
    """
    names: list[Section] = []
    debug: list[Section] = []
    debug_bytes = lines_bytes = 0
    has_long_name = False
    for section in sections("", content):
        if section.id != _CUSTOM:
            continue
        try:
            length, at = varint("", content, section.body)
        except InvalidModuleError:
            continue  # Not valid, which the compiler says.
        label = content[at : min(at + length, section.end, at + 64)]
        if label == b"name":
            names.append(section)
            has_long_name = has_long_name or _has_long_name(content, at + length, section.end)
        elif label.startswith(b".debug_"):
            debug.append(section)
            debug_bytes += section.end - section.body
            lines_bytes += section.end - section.body if label == _LINES else 0
    left_out = names if has_long_name else []
    if debug_bytes > MOST_DEBUG_BYTES or lines_bytes > MOST_LINES_BYTES:
        left_out = left_out + debug
    if not left_out:
        return content
    kept, at = [], 0
    for section in sorted(left_out, key=lambda each: each.start):
        kept.append(content[at : section.start])
        at = section.end
    return b"".join((*kept, content[at:]))


def _has_long_name(content: bytes, at: int, end: int) -> bool:
    try:
        while at < end:
            kind = content[at]
            size, at = varint("", content, at + 1)
            after = at + size
            if kind == _MODULE_NAME and size > LONGEST_NAME_BYTES:
                return True
            if kind == _FUNCTION_NAMES:
                count, at = varint("", content, at)
                for _ in range(count):
                    _, at = varint("", content, at)
                    length, at = varint("", content, at)
                    if length > LONGEST_NAME_BYTES:
                        return True
                    at += length
            at = after
    except (InvalidModuleError, IndexError):
        return True
    return False
