"""What the C compilers' driver must know of WebAssembly files: the symbols of an object, and custom sections.

No general reader: it reads what the compiler on this machine has just written, and everything else is a ValueError.

References
----------
WebAssembly tool conventions, "Object File Linking" (the ``linking`` section, version 2).
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Final

_HEADER: Final = b"\0asm\1\0\0\0"
_CUSTOM: Final = 0
_LINKING_VERSION: Final = 2
_SYMBOL_TABLE: Final = 8

_FUNCTION, _DATA, _GLOBAL, _SECTION, _TAG, _TABLE = range(6)
_LOCAL: Final = 0x02
_UNDEFINED: Final = 0x10
_EXPORTED: Final = 0x20
_EXPLICIT_NAME: Final = 0x40


@dataclass(frozen=True, slots=True)
class FunctionSymbol:
    """A function that an object defines and that other objects may call (so it is not static).

    Parameters
    ----------
    exported
        Whether the source itself exports it, by an ``export_name`` attribute.
    """

    name: str
    exported: bool


class _Reader:
    """A cursor over bytes; IndexError and ValueError beyond their end."""

    __slots__ = ("content", "position")

    def __init__(self, content: bytes) -> None:
        self.content = content
        self.position = 0

    def __bool__(self) -> bool:
        return self.position < len(self.content)

    def number(self) -> int:
        """Read an unsigned LEB128 number."""
        result = shift = 0
        while True:
            byte = self.content[self.position]
            self.position += 1
            result |= (byte & 0x7F) << shift
            if byte < 0x80:
                return result
            shift += 7

    def take(self, size: int) -> bytes:
        if size > len(self.content) - self.position:
            raise ValueError("cut off")
        self.position += size
        return self.content[self.position - size : self.position]

    def text(self) -> str:
        return self.take(self.number()).decode()


def _sections(module: bytes) -> Iterator[tuple[int, bytes, bytes]]:
    """Yield ``(id, payload, the whole section as it stands in the file)``."""
    reader = _Reader(module)
    if reader.take(min(len(module), len(_HEADER))) != _HEADER:
        raise ValueError("not WebAssembly")
    while reader:
        start = reader.position
        identity = reader.take(1)[0]
        payload = reader.take(reader.number())
        yield identity, payload, module[start : reader.position]


def function_symbols(module: bytes) -> list[FunctionSymbol]:
    """List the non-static functions that an object file defines, in the order of its symbol table.

    Raises
    ------
    ValueError
        The bytes are no WebAssembly object file.
    """
    try:
        for identity, payload, _ in _sections(module):
            reader = _Reader(payload)
            if identity == _CUSTOM and reader.text() == "linking":
                return _symbols_of_linking_section(reader)
    except IndexError:
        raise ValueError("cut off") from None
    raise ValueError("it has no linking section")


def _symbols_of_linking_section(reader: _Reader) -> list[FunctionSymbol]:
    if reader.number() != _LINKING_VERSION:
        raise ValueError("unknown version of the linking section")
    symbols: list[FunctionSymbol] = []
    while reader:
        kind = reader.take(1)[0]
        subsection = _Reader(reader.take(reader.number()))
        if kind == _SYMBOL_TABLE:
            for _ in range(subsection.number()):
                symbol = _read_symbol(subsection)
                if symbol is not None:
                    symbols.append(symbol)
    return symbols


def _read_symbol(reader: _Reader) -> FunctionSymbol | None:
    """Read one entry of the symbol table; None for what is not a function defined for other objects."""
    kind = reader.take(1)[0]
    flags = reader.number()
    defined = not flags & _UNDEFINED
    name = ""
    if kind == _DATA:
        reader.text()
        if defined:
            for _ in range(3):
                reader.number()
    elif kind == _SECTION:
        reader.number()
    elif kind in (_FUNCTION, _GLOBAL, _TAG, _TABLE):
        reader.number()
        if defined or flags & _EXPLICIT_NAME:
            name = reader.text()
    else:
        raise ValueError(f"unknown kind of symbol {kind}")
    if kind != _FUNCTION or not defined or flags & _LOCAL:
        return None
    return FunctionSymbol(name, exported=bool(flags & _EXPORTED))


def without_custom_sections(module: bytes, drop: Callable[[str], bool]) -> bytes:
    """Copy a module without the custom sections whose name `drop` says yes to.

    Raises
    ------
    ValueError
        The bytes are no WebAssembly module.
    """
    try:
        kept = [
            whole
            for identity, payload, whole in _sections(module)
            if identity != _CUSTOM or not drop(_Reader(payload).text())
        ]
    except IndexError:
        raise ValueError("cut off") from None
    return _HEADER + b"".join(kept)
