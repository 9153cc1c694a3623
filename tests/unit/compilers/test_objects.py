"""Reading objects: right ones are read rightly, and broken ones are refused in one way."""

from __future__ import annotations

import pytest
import wasmtime
from hypothesis import given
from hypothesis import strategies as st

from moc_server_ext.compilers.objects import FunctionSymbol, function_symbols, without_custom_sections


def leb(number: int) -> bytes:
    out = bytearray()
    while number >= 0x80:
        out.append(number & 0x7F | 0x80)
        number >>= 7
    return bytes([*out, number])


def section(identity: int, payload: bytes) -> bytes:
    return bytes([identity]) + leb(len(payload)) + payload


def text(value: str) -> bytes:
    return leb(len(value.encode())) + value.encode()


def an_object(*symbols: bytes) -> bytes:
    table = section(8, leb(len(symbols)) + b"".join(symbols))
    return b"\0asm\1\0\0\0" + section(1, b"\0") + section(0, text("linking") + leb(2) + section(6, b"\0") + table)


OBJECT = an_object(
    b"\x00\x00\x00" + text("shown"),
    b"\x00\x02\x01" + text("static_one"),
    b"\x00\x10\x02",  # undefined, named by its import
    b"\x00\x50\x03" + text("undefined_by_name"),
    b"\x01\x00" + text("data") + b"\x00\x04\x04",
    b"\x01\x10" + text("data_elsewhere"),
    b"\x02\x10\x00",
    b"\x03\x02\x05",
    b"\x00\x01\x04" + text("weak"),
    b"\x00\x20\x05" + text("exported_by_itself"),
    b"\x05\x00\x00" + text("table"),
)


def test_only_functions_that_are_defined_and_not_static_are_listed():
    assert function_symbols(OBJECT) == [
        FunctionSymbol("shown", exported=False),
        FunctionSymbol("weak", exported=False),
        FunctionSymbol("exported_by_itself", exported=True),
    ]


def test_every_cut_of_an_object_is_a_value_error():
    for size in range(len(OBJECT)):
        with pytest.raises(ValueError):
            function_symbols(OBJECT[:size])


@given(st.integers(0, len(OBJECT) - 1), st.integers(0, 255))
def test_a_damaged_object_is_read_or_a_value_error(position, byte):
    damaged = bytearray(OBJECT)
    damaged[position] = byte
    try:
        symbols = function_symbols(bytes(damaged))
    except ValueError:
        return
    assert all(symbol.name.isprintable() or symbol.name for symbol in symbols)


def test_a_module_that_is_no_object_is_refused():
    with pytest.raises(ValueError, match="no linking section"):
        function_symbols(b"\0asm\1\0\0\0")
    with pytest.raises(ValueError, match="not WebAssembly"):
        function_symbols(b"BC\xc0\xde")


def test_custom_sections_are_dropped_by_name_and_the_rest_is_untouched():
    body = bytes(wasmtime.wat2wasm('(module (func (export "f") (result i32) i32.const 200))'))
    module = body + section(0, text(".debug_info") + b"x" * 300) + section(0, text("mine") + b"y")
    kept = without_custom_sections(module, lambda name: name.startswith(".debug"))
    assert kept == body + section(0, text("mine") + b"y")
    assert without_custom_sections(module, lambda name: False) == module
