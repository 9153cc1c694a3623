"""WebAssembly text: from a cell to a module, and errors where the person wrote them."""

from __future__ import annotations

import pytest

from moc_server_ext.compilers.wat import WatCompiler
from moc_server_ext.engines.wasm.text import wat_to_wasm
from moc_server_ext.errors import CompileFailedError, InvalidInputError

ADD = '(module (func (export "add") (param i32 i32) (result i32) (i32.add (local.get 0) (local.get 1))))'


def test_a_module_is_assembled_and_runs(call):
    compiled = WatCompiler().compile(ADD, filename="cell")
    assert (compiled.content_type, compiled.diagnostics) == ("application/wasm", "")
    assert call(compiled.content, "add", 2, 3) == 5


def test_errors_carry_the_line_numbers_of_the_cell_and_the_line_itself():
    with pytest.raises(CompileFailedError) as caught:
        WatCompiler().compile("(module\n  (func (call $nope)))\n", filename="cell", first_line=2)
    assert caught.value.details["diagnostics"] == (
        "cell:3:15: error: unknown func: failed to find name `$nope`\n"
        "    3 |   (func (call $nope)))\n"
        "      |               ^"
    )


@pytest.mark.parametrize("source", ["", "(module", "int main(void)", "\0", "\ud800", '(module (data "\\zz"))'])
def test_anything_else_is_refused_with_a_place(source):
    with pytest.raises(CompileFailedError, match=r"'x\.wat' does not compile as wat: x\.wat(:\d+:\d+)?: error: \w+"):
        WatCompiler().compile(source, filename="x.wat")


def test_flags_are_refused():
    with pytest.raises(InvalidInputError, match="leave out '-O3'"):
        WatCompiler().compile(ADD, filename="cell", flags=["-O3"])


def test_the_assembler_names_the_line_in_its_own_form():
    with pytest.raises(InvalidInputError, match="<anon>:1:1"):
        wat_to_wasm("x")


def test_the_assembler_is_named_with_its_version():
    assert WatCompiler().describe().startswith("wasmtime ")
