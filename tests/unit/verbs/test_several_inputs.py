"""Several inputs of one call as people type them: files and variables, in the order of the line."""

from __future__ import annotations

import numpy
import pytest

from moc_server_ext.errors import InvalidInputError, UsageError
from moc_server_ext.model import INPUTS_MAX, CallInput


@pytest.fixture(autouse=True)
def given(host):
    host.files |= {"x": b"of x", "y": b"of y"}
    host.variables |= {"a": b"of a", "array": numpy.zeros((2, 3), "float32")}
    return host


def inputs(platform):
    request = platform.requests[-1]
    return [CallInput(request.input, request.input_headers), *request.more_inputs]


def contents(platform):
    return [bytes(each.content) for each in inputs(platform)]


def test_files_are_inputs_in_the_order_of_the_line(moc, platform):
    moc("call", "--input-file", "y", "--env", "A=1", "--input-file=x", "f", "--input-file", "z")
    assert contents(platform) == [b"of y", b"of x"]
    assert platform.requests[-1].arguments == ("--input-file", "z")


def test_standard_input_may_be_one_of_them(moc, host, platform):
    host.stdin_content = b"piped"
    moc("call", "--input-file", "x", "--input-file", "-", "f")
    assert contents(platform) == [b"of x", b"piped"]


def test_files_and_variables_of_a_line_keep_their_order(magic, platform):
    magic("call", "-i", "a", "--input-file", "x", "-ia", "--input-file", "y", "f")
    assert contents(platform) == [b"of a", b"of x", b"of a", b"of y"]


def test_the_cell_comes_first(magic, host, platform):
    host.cell = "the cell"
    magic("call", "-i", "a", "--input-file", "x", "f")
    assert contents(platform) == [b"the cell", b"of a", b"of x"]


def test_an_array_keeps_its_type_and_shape_at_every_place(magic, platform):
    magic("call", "-i", "a", "-i", "array", "f")
    array = {"moc-dtype": "float32", "moc-shape": "[2,3]"}
    assert [each.headers for each in inputs(platform)] == [{}, array]


def test_the_second_type_and_shape_are_the_second_inputs(moc, platform):
    line = "call --input-file x --dtype uint8 --shape 4 --input-file y --dtype int16 --shape 1,2 --input-file x f"
    moc(*line.split())
    assert [each.headers for each in inputs(platform)] == [
        {"moc-dtype": "uint8", "moc-shape": "[4]"},
        {"moc-dtype": "int16", "moc-shape": "[1,2]"},
        {},
    ]


def test_a_call_that_goes_on_keeps_its_inputs_as_they_were(magic, host, platform):
    host.variables["a"] = bytearray(b"before")
    started = magic("call", "--noblock", "-i", "a", "-i", "a", "f")
    host.variables["a"][:] = b"after!"
    started.handle.wait(60)
    assert contents(platform) == [b"before", b"before"]


def test_text_excludes_other_inputs(magic, host):
    with pytest.raises(UsageError, match="--input and -i exclude one another"):
        magic("call", "--input", "text", "-i", "a", "f")
    host.cell = "the cell"
    with pytest.raises(UsageError, match="--input and the cell exclude one another"):
        magic("call", "--input", "text", "f")


def test_too_many_files_are_refused_before_one_is_read(moc, platform):
    with pytest.raises(InvalidInputError, match=f"at most {INPUTS_MAX} inputs"):
        moc("call", *["--input-file", "nowhere"] * (INPUTS_MAX + 1), "f")
    assert platform.requests == []
