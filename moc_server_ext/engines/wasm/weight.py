"""How hard a module may be to compile, told from the outside of its functions.

Time and memory of a compiler grow faster than the code: with the locals that a function declares (a few bytes declare
50,000), and with the square of how deep its blocks lie in each other (10 KB of nested blocks that pass values on took
more than 4 GB). This bounds both without decoding an instruction: a block needs a byte that ends it, and a byte of that
value that is none makes a module seem heavier than it is, which costs a child process and nothing else.
"""

from __future__ import annotations

from typing import Final

from ...errors import InvalidModuleError
from .binary import sections, varint

HEAVY: Final = 8_000_000
"""From this weight on a module is not compiled in this process; what is below takes less than about half a second."""

_TYPES: Final = 1
_CODE: Final = 10
_FUNCTION_TYPE: Final = 0x60
_LOOP: Final = b"\x03"
_END: Final = b"\x0b"
_PLAIN_TYPES: Final = frozenset({0x7F, 0x7E, 0x7D, 0x7C, 0x7B, 0x70, 0x6F})


def is_heavy(name: str, content: bytes) -> bool:
    """Tell whether compiling `content`, whose sections are known to be whole, may take long or much memory."""
    arity, weight = 1, 0
    try:
        for section in sections(name, content):
            body = content[section.body : section.end]
            if section.id == _TYPES:
                arity = max(arity, _arity(name, body))
            elif section.id == _CODE:
                weight += _weight(name, body, arity)
    except (InvalidModuleError, IndexError):
        # Not as it should be, or of a kind that is not known here: the child finds out.
        return True
    return weight > HEAVY


def _arity(name: str, section: bytes) -> int:
    """Give the most values that one of the types takes and gives."""
    most = 0
    count, at = varint(name, section, 0)
    for _ in range(count):
        if section[at] != _FUNCTION_TYPE:
            raise InvalidModuleError(name, f"no type of functions begins with {section[at]}.")
        at += 1
        arity = 0
        for _parameters_and_results in range(2):
            values, at = varint(name, section, at)
            if not _PLAIN_TYPES.issuperset(section[at : at + values]):
                raise InvalidModuleError(name, "it has types that are no numbers.")
            at += values
            arity += values
        most = max(most, arity)
    return most


def _weight(name: str, section: bytes, arity: int) -> int:
    weight = 0
    count, at = varint(name, section, 0)
    for _ in range(count):
        size, at = varint(name, section, at)
        end = at + size
        groups, code = varint(name, section, at)
        declared = 0
        for _group in range(groups):
            number, code = varint(name, section, code)
            declared += number
            code += 1
        ends = section.count(_END, code, end)
        loops = min(ends, section.count(_LOOP, code, end))
        weight += size * (1 + declared + arity) + ends * ends * arity + loops * loops * min(declared, size)
        if weight > HEAVY:
            break
        at = end
    return weight
