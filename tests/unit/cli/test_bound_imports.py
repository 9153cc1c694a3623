"""Functions that import functions, as people at a terminal meet them."""

from __future__ import annotations

ADDER = """(module
  (func (export "add") (param i32 i32) (result i32) (i32.add (local.get 0) (local.get 1)))
  (func $divide (export "divide") (param i32 i32) (result i32) (i32.div_s (local.get 0) (local.get 1))))"""
CALC = """(module
  (import "adder" "add" (func $add (param i32 i32) (result i32)))
  (import "adder" "divide" (func $divide (param i32 i32) (result i32)))
  (func (export "twice") (param i32) (result i32) (call $add (local.get 0) (local.get 0)))
  (func $share (export "share") (param i32 i32) (result i32) (call $divide (local.get 0) (local.get 1))))"""


def test_a_module_is_pushed_with_its_grant_and_shows_what_it_imports(moc_inside, wat):
    assert moc_inside("push", "adder", wat("adder", ADDER)).returncode == 0
    refused = moc_inside("push", "calc", wat("calc", CALC))
    assert refused.returncode == 1
    assert refused.stderr.decode() == (
        "moc: error[not_granted]: Function 'calc' has no grant 'call:adder', and it imports `adder.add`. "
        "Register it with `moc push --grant call:adder …`.\n"
    )
    assert moc_inside("push", "--grant", "call:adder", "calc", "calc.wat").returncode == 0
    assert moc_inside("call", "--entry", "twice", "calc", "21").stdout == b"42\n"
    shown = moc_inside("function", "show", "calc").stdout.decode()
    assert "imports:\n  adder.add(i32, i32) -> (i32)\n  adder.divide(i32, i32) -> (i32)\nexports:" in shown
    assert "imports:" not in moc_inside("function", "show", "adder").stdout.decode()


def test_a_callee_that_fails_is_told_with_who_called_it(moc_inside, wat):
    moc_inside("push", "adder", wat("adder", ADDER))
    moc_inside("push", "--grant", "call:adder", "calc", wat("calc", CALC))
    failed = moc_inside("call", "--entry", "share", "calc", "1", "0")
    assert failed.returncode == 1
    text = failed.stderr.decode()
    assert text.startswith("moc: error[guest_trap]: Function 'adder' trapped in divide: ")
    assert "It was called by function 'calc'." in text
    assert "    divide\n    share in function 'calc'\n" in text


def test_a_file_that_imports_from_functions_is_not_run(moc_inside, wat):
    refused = moc_inside("run", "--entry", "twice", wat("calc", CALC), "1")
    assert refused.returncode == 1
    text = refused.stderr.decode()
    assert text.startswith(
        "moc: error[missing_import]: Function 'calc' imports `adder.add`, which no guest API provides"
    )
    assert "`moc push --grant call:adder NAME FILE`" in text
