"""Each of the 46 functions of WASI, checked by programs in C, on ours and on wasmtime's own: the same answers.

What a program expects is what wasmtime gives, or what the standard says where wasmtime leaves it. `DIFFERENCES` are
those that there are, each with its reason; a difference that is no longer there is an error as well.
"""

from __future__ import annotations

import re

import pytest

from moc_server_ext.engines.wasi import PREVIEW1, UNSTABLE
from wasi_differences import DIFFERENCES
from wasi_places import PROGRAMS

PROGRAM_NAMES = ("process", "descriptors", "paths")
DOCS = PROGRAMS.parents[2] / "docs"
ENV = {"HOME": "/tmp", "EMPTY": ""}


def names_in(program: str) -> list[str]:
    text = (PROGRAMS / f"{program}.c").read_text()
    table = text[text.index("CHECKS(") :]
    return [one or other for one, other in re.findall(r'CHECK\((\w+)\)|\{"(\w+)"', table)]


FUNCTIONS = {name: program for program in PROGRAM_NAMES for name in names_in(program)}


def failed(output: bytes) -> dict[str, str]:
    """Give what each failed check got, by its text; the count of checks is the last line."""
    *lines, counted = output.decode().splitlines()
    assert re.fullmatch(r"\d+ checks", counted)
    found = {}
    for line in lines:
        what, _, numbers = line.rpartition(": ")
        found[what] = numbers.partition(",")[0]
    return found


def test_every_function_of_both_versions_has_its_checks():
    assert set(FUNCTIONS) == set(PREVIEW1.functions)
    assert set(FUNCTIONS) - {"sock_accept"} == set(UNSTABLE.functions)
    assert len(FUNCTIONS) == 46


@pytest.mark.parametrize("place", ["private", "host", "native"])
@pytest.mark.parametrize("function", FUNCTIONS)
def test_a_function_answers_as_it_should(compiled, places, function, place):
    ended = places[place].run(compiled(FUNCTIONS[function]), (function, "", "two words", "ü"), env=ENV)
    assert failed(ended.output) == DIFFERENCES.get((place, function), {})
    assert ended.exit_code == (33 if function == "proc_exit" else bool(failed(ended.output)))


@pytest.mark.parametrize("place", ["private", "host"])
@pytest.mark.parametrize("function", UNSTABLE.functions)
def test_the_unstable_form_of_a_function_answers_as_it_should(compiled, places, function, place):
    program = compiled(FUNCTIONS[function], "-DWASI_UNSTABLE")
    ended = places[place].run(program, (function, "", "two words", "ü"), env=ENV)
    assert failed(ended.output) == DIFFERENCES.get((place, function), {})


@pytest.mark.parametrize("flags", [(), ("-DWASI_UNSTABLE",)], ids=["preview1", "unstable"])
@pytest.mark.parametrize("place", ["private", "host"])
@pytest.mark.parametrize("group", names_in("faults"))
def test_arguments_that_are_none_are_refused_and_nothing_is_done(compiled, places, group, place, flags):
    ended = places[place].run(compiled("faults", *flags), (group,), env=ENV)
    assert failed(ended.output) == {}
    assert ended.exit_code == 0


def test_the_reference_tells_of_each_difference():
    reference = (DOCS / "reference" / "guests.md").read_text()
    table = reference[reference.index("### Differences from wasmtime") :].partition("### Deterministic functions")[0]
    for place, function in DIFFERENCES:
        assert place in ("private", "host", "native")
        assert f"`{function}`" in table
