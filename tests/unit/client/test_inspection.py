"""Signatures and descriptions of registered functions, for Python's own inspection."""

from __future__ import annotations

import inspect

import pytest

from moc_server_ext.client.handles import FunctionHandle
from moc_server_ext.client.inspection import call_signature, describe_function, describe_functions
from moc_server_ext.model import Declaration, FunctionRecord, Grants, Mode, Signature

I32 = Signature(("i32", "f64"), ("i32",))
ARRAY = Signature(("i32", "f64", "i32"), ("i32",))
OPTIONS = "*, input=None, inputs=None, mode=None, entry=None, env=None, limits=None, dirs=None)"


def record(exports, name="f", **declared) -> FunctionRecord:
    return FunctionRecord(name, "ab" * 32, 1234, "application/wasm", Declaration(**declared), exports, 0.0)


@pytest.mark.parametrize(
    ("function", "signature"),
    [
        (record({"f": I32}), f"(i32_1: int, f64_2: float, /, {OPTIONS}"),
        (record({"only": I32}), f"(i32_1: int, f64_2: float, /, {OPTIONS}"),
        (record({"g": I32, "h": Signature(("v128",))}, entry="h"), f"(v128_1, /, {OPTIONS}"),
        (record({"g": I32, "h": I32}), f"(*arguments, {OPTIONS[3:]}"),
        (record({"_start": Signature()}), f"(*arguments, {OPTIONS[3:]}"),
        (record({"chunk/1:f": ARRAY}), f"(array, f64_1: float, /, {OPTIONS}"),
        (record({}), f"(*arguments, {OPTIONS[3:]}"),
    ],
)
def test_the_signature_is_that_of_a_call_without_options(function, signature):
    assert str(call_signature(function)) == signature


def test_an_array_function_is_described_by_what_it_takes(moc):
    blur = record({"chunk/1:f": ARRAY, "add": I32})
    assert describe_function(blur).splitlines()[2:4] == ["    add(i32, f64) -> (i32)", "    f(array, f64) -> array"]
    assert "entry point:   f" in describe_function(blur)
    assert repr(FunctionHandle(moc, blur)) == "<function 'f': add(i32, f64) -> (i32), f(array, f64) -> array>"


def test_every_option_of_the_signature_is_one_of_a_call():
    taken = inspect.signature(FunctionHandle.__call__).parameters
    options = [each for each in call_signature(record({"f": I32})).parameters.values() if each.default is None]
    assert {each.name for each in options} == {name for name, each in taken.items() if each.kind is each.KEYWORD_ONLY}


def test_a_handle_has_the_signature_of_its_function_and_the_class_that_of_its_constructor(moc):
    handle = FunctionHandle(moc, record({"f": I32}))
    assert inspect.signature(handle) == call_signature(handle.record)
    assert list(inspect.signature(FunctionHandle).parameters) == ["client", "record"]


def test_the_description_says_what_was_declared_and_leaves_out_what_was_not():
    text = describe_function(record({"f": I32}))
    assert "f(i32, f64) -> (i32)" in text
    assert "mode:          direct (from its exports)" in text
    assert "blob id:       abababababab…" in text
    assert "size:          1,234 bytes" in text
    assert "reusable" not in text
    text = describe_function(
        record(
            {"f": I32}, mode=Mode.POSIX, grants=Grants(frozenset({"kv:a/"})), limits={"call_depth": 2}, reusable=True
        )
    )
    for line in (
        "mode:          posix\n",
        "grants:        kv:a/\n",
        "limits:        call_depth=2\n",
        "reusable:      yes",
    ):
        assert line in text


def test_the_description_of_many_functions_is_short():
    text = describe_functions([record({"f": I32}, name=f"f{number}") for number in range(1000)])
    assert len(text.splitlines()) < 120
    assert text.endswith("… and 950 more")
