"""Modules that are hard to compile or to tell about, written byte by byte: the text format would make them harmless."""

from __future__ import annotations

BLOCK, LOOP, IF, END, DROP = b"\x02", b"\x03", b"\x04", b"\x0b", b"\x1a"
I32 = b"\x7f"
ZERO = b"\x41\0"


def number(value: int) -> bytes:
    """Write an unsigned LEB128 number."""
    written = b""
    while True:
        value, low = value >> 7, value & 127
        written += bytes([low | (128 if value else 0)])
        if not value:
            return written


def section(kind: int, content: bytes) -> bytes:
    return bytes([kind]) + number(len(content)) + content


def module(bodies: list[bytes], *, arity: int = 0, custom: bytes = b"") -> bytes:
    """Make a module of functions without parameters, the first of which is ``_start``.

    Type 1 takes and gives `arity` numbers. `custom` comes last.
    """
    values = number(arity) + I32 * arity
    types = b"\2\x60\0\0\x60" + values + values
    code = b"".join(number(len(each)) + each for each in bodies)
    count = number(len(bodies))
    return (
        b"\0asm\1\0\0\0" + section(1, types) + section(3, count + bytes(len(bodies)))
        + section(7, b"\1\6_start\0\0") + section(10, count + code) + custom
    )  # fmt: skip


def locals_bomb(functions: int) -> bytes:
    """Make functions that declare 50,000 locals each, in ten bytes."""
    return module([b"\1" + number(50_000) + I32 + END] * functions)


def nested(opening: bytes, depth: int, arity: int) -> bytes:
    """Make blocks in blocks that hand `arity` numbers on."""
    values, dropped = ZERO * arity, DROP * arity
    return module([b"\0" + values + (opening + b"\1") * depth + END * depth + dropped + END], arity=arity)


def custom_section(name: bytes, content: bytes) -> bytes:
    return section(0, number(len(name)) + name + content)


def names(function: bytes) -> bytes:
    """Make the section that names the first function."""
    entry = b"\1\0" + number(len(function)) + function
    return custom_section(b"name", b"\1" + number(len(entry)) + entry)


def recursive(*, custom: bytes) -> bytes:
    """Make a module whose start calls itself, which ends with a trap and a long backtrace."""
    return module([b"\0\x10\0" + END], custom=custom)
