"""What is hard to compile goes to a child, a few at a time; what a trap would carry is cut out before."""

from __future__ import annotations

import threading

import pytest

from hostile_modules import (
    BLOCK,
    END,
    IF,
    LOOP,
    ZERO,
    custom_section,
    locals_bomb,
    module,
    names,
    nested,
    recursive,
)
from moc_server_ext.engines.wasm import compilation
from moc_server_ext.engines.wasm.compilation import Compiler
from moc_server_ext.engines.wasm.custom_sections import LONGEST_NAME_BYTES, MOST_LINES_BYTES, without_bombs
from moc_server_ext.engines.wasm.machine import Machine
from moc_server_ext.engines.wasm.text import wat_to_wasm
from moc_server_ext.engines.wasm.weight import is_heavy
from moc_server_ext.errors import InvalidModuleError, OverloadedError


@pytest.mark.parametrize(
    "content",
    [
        locals_bomb(100),
        nested(LOOP, 2000, 1000),
        nested(BLOCK, 10_000, 32),
        nested(IF, 3000, 32),
        module([b"\1\x32\x7f" + (LOOP + b"\x40\x20\1\x21\2") * 2000 + END * 2001]),
        wat_to_wasm("(module (type (func (param v128) (result (ref func)))) (func))").replace(b"\x60", b"\x5f", 1),
        b"\0asm\1\0\0\0" + b"\x0a\x02\xff\x01",
    ],
    ids=["locals", "loops", "blocks", "ifs", "loops with locals", "unknown types", "cut off"],
)
def test_what_may_be_hard_to_compile_is_told_from_outside(content: bytes) -> None:
    assert is_heavy("bomb", content)


@pytest.mark.parametrize(
    "content",
    [
        wat_to_wasm('(module (func (export "_start")))'),
        module([b"\1\x20\x7f" + (BLOCK + b"\x40" + ZERO + b"\x0d\0" + END) * 60 + END] * 100),
    ],
    ids=["empty", "a hundred functions"],
)
def test_what_compilers_make_is_compiled_at_once(content: bytes) -> None:
    assert not is_heavy("usual", content)


def must_not_compile_here() -> Machine:
    raise AssertionError("compiled in this process")


def test_only_so_many_bombs_burn_at_a_time(monkeypatch: pytest.MonkeyPatch) -> None:
    """Each of the first has its slot until its time is over; one more hears that it has to wait."""
    monkeypatch.setattr(compilation, "processors", lambda: 1)
    began = threading.Event()

    def slow(*_arguments: object) -> bytes:
        began.set()
        assert may_end.wait(60)
        return b"machine code"

    may_end = threading.Event()
    monkeypatch.setattr(compilation, "_in_child", slow)
    compiler = Compiler(must_not_compile_here, wait_seconds=0.01)
    first = threading.Thread(target=compiler.compile, args=("first", locals_bomb(100)))
    first.start()
    try:
        assert began.wait(60)
        with pytest.raises(OverloadedError):
            compiler.compile("second", locals_bomb(101))
    finally:
        may_end.set()
        first.join()
    assert compiler.compile("third", locals_bomb(102)).machine_code == b"machine code"


@pytest.mark.parametrize("kind", ["import", "export"])
def test_a_module_of_a_million_entries_is_refused_before_it_is_compiled(kind: str) -> None:
    entries = b"\xc0\x84\x3d" + bytes(64)
    content = b"\0asm\1\0\0\0" + bytes([2 if kind == "import" else 7, len(entries)]) + entries
    with pytest.raises(InvalidModuleError, match="it has 1,000,000 imports and exports, and at most 10,000"):
        Compiler(must_not_compile_here).compile("many", content)


# -- names and debug information --------------------------------------------------------------------------------------


def test_names_that_are_too_long_are_left_out_and_others_stay() -> None:
    other = custom_section(b"producers", b"\0")
    long = recursive(custom=names(b"n" * (LONGEST_NAME_BYTES + 1)) + other)
    assert without_bombs(long) == recursive(custom=other)
    usual = recursive(custom=names(b"n" * LONGEST_NAME_BYTES) + other)
    assert without_bombs(usual) is usual


@pytest.mark.parametrize("damage", [b"\1\xff\xff\xff\xff\x0f", b"\1\4\xff\xff\xff\x7f", b"\0\xff\xff\x7f"])
def test_names_that_cannot_be_read_are_left_out(damage: bytes) -> None:
    assert without_bombs(recursive(custom=custom_section(b"name", damage))) == recursive(custom=b"")


def test_debug_information_beyond_measure_is_left_out_as_a_whole() -> None:
    kept = names(b"start") + custom_section(b"other", bytes(100))
    debug = custom_section(b".debug_info", b"i") + custom_section(b".debug_line", bytes(MOST_LINES_BYTES + 1))
    assert without_bombs(recursive(custom=debug + kept)) == recursive(custom=kept)
    usual = recursive(custom=custom_section(b".debug_line", bytes(1000)) + kept)
    assert without_bombs(usual) is usual
