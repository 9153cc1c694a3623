"""How a request's words are understood."""

from __future__ import annotations

import math

import pytest

from moc_server_ext.errors import EntryPointNotFoundError, InvalidArgumentsError, InvalidInputError
from moc_server_ext.invocation import (
    MAX_TEXT_BYTES,
    check_arguments,
    check_env,
    check_limits,
    check_text_size,
    choose_entry,
    choose_mode,
    parse_numbers,
)
from moc_server_ext.model import Mode, Signature

PLAIN = Signature()


def exports(*names: str) -> dict[str, Signature]:
    return dict.fromkeys(names, PLAIN)


def numbers(kinds: str, *arguments: str | float) -> tuple[int | float, ...]:
    return parse_numbers("f", "run", Signature(tuple(kinds.split())), arguments)


def test_a_module_that_exports_start_is_called_in_posix_mode() -> None:
    assert choose_mode(None, None, exports("_start", "add")) is Mode.POSIX
    assert choose_mode(None, None, exports("add")) is Mode.DIRECT


def test_the_callers_mode_wins_over_the_declared_one() -> None:
    assert choose_mode(Mode.DIRECT, Mode.POSIX, exports("_start")) is Mode.DIRECT
    assert choose_mode(None, Mode.DIRECT, exports("_start")) is Mode.DIRECT


@pytest.mark.parametrize(
    ("names", "chosen"),
    [
        (("_start", "f", "g"), "_start"),
        (("f", "g"), "f"),
        (("g",), "g"),
        (("g", "_initialize", "__wasm_call_ctors", "malloc", "free"), "g"),
        (("malloc",), "malloc"),
        (("_initialize",), "_initialize"),
    ],
)
def test_the_obvious_entry_point_is_chosen(names: tuple[str, ...], chosen: str) -> None:
    assert choose_entry("f", None, exports(*names)) == chosen


def test_no_obvious_entry_point_lists_what_a_person_may_have_meant() -> None:
    with pytest.raises(EntryPointNotFoundError, match="'g' and 'h'") as caught:
        choose_entry("f", None, exports("g", "h", "_initialize", "malloc"))
    assert caught.value.details["exports"] == ["g", "h"]


def test_an_unknown_entry_point_lists_the_exports() -> None:
    with pytest.raises(EntryPointNotFoundError, match=r"no entry point 'nope'.*'g'"):
        choose_entry("f", "nope", exports("g"))


@pytest.mark.parametrize(
    ("kind", "text", "value"),
    [
        ("i32", "0", 0),
        ("i32", "-2147483648", -(2**31)),
        ("i32", "4294967295", -1),
        ("i32", "0xFFFFFFFF", -1),
        ("i32", "-0x10", -16),
        ("i32", "+7", 7),
        ("i32", "010", 10),
        ("i64", "18446744073709551615", -1),
        ("i64", "-9223372036854775808", -(2**63)),
        ("f32", "1.5", 1.5),
        ("f64", "-1e300", -1e300),
        ("f64", ".5", 0.5),
        ("f64", "-inf", -math.inf),
    ],
)
def test_numbers_are_read_by_the_type_of_their_parameter(kind: str, text: str, value: float) -> None:
    assert numbers(kind, text) == (value,)


def test_nan_is_a_float() -> None:
    assert math.isnan(numbers("f64", "nan")[0])


@pytest.mark.parametrize(
    ("kind", "text"),
    [
        ("i32", "4294967296"),
        ("i32", "-2147483649"),
        ("i64", "18446744073709551616"),
        ("i32", "1.0"),
        ("i32", ""),
        ("i32", " 1"),
        ("i32", "1_000"),
        ("i32", "٣"),
        ("i32", "0x"),
        ("i32", "9" * 5000),
        ("f32", "1e39"),
        ("f64", "1,5"),
        ("f64", "1_0.0"),
        ("v128", "1"),
        ("externref", "1"),
    ],
)
def test_what_is_no_number_of_its_type_is_refused(kind: str, text: str) -> None:
    with pytest.raises(InvalidArgumentsError, match=rf"where '.*' is no {kind}\.$"):
        numbers(kind, text)


def test_the_wrong_number_of_arguments_says_what_is_expected() -> None:
    with pytest.raises(InvalidArgumentsError, match=r"takes 2 arguments \(i32, f64\) and was given 1: \(7\)"):
        numbers("i32 f64", "7")


def test_python_numbers_are_taken_as_they_are() -> None:
    assert numbers("i32 f64 i64", 3, 2, 2**63) == (3, 2.0, -(2**63))
    with pytest.raises(InvalidArgumentsError):
        numbers("i32", 1.5)


@pytest.mark.parametrize("env", [{"": "x"}, {"A=B": "x"}, {"A": "x\0y"}, {"A\0": "x"}, {"A": "\ud800"}])
def test_an_environment_that_no_guest_can_receive_is_refused(env: dict[str, str]) -> None:
    with pytest.raises(InvalidInputError):
        check_env(env)


def test_arguments_with_nul_are_refused() -> None:
    with pytest.raises(InvalidInputError, match="NUL"):
        check_arguments(["a", "b\0c"])


def test_too_much_text_is_refused_with_the_way_to_give_it() -> None:
    with pytest.raises(InvalidInputError, match="as the call's input"):
        check_text_size(check_arguments(["x" * MAX_TEXT_BYTES]))


@pytest.mark.parametrize(
    "limits", [{"nope": 1}, {"timeout_seconds": 0}, {"timeout_seconds": math.inf}, {"memory_bytes": -1}]
)
def test_limits_that_are_none_are_refused(limits: dict[str, float]) -> None:
    with pytest.raises(InvalidInputError, match="imit"):
        check_limits(limits)


def test_limits_are_given_back_by_name() -> None:
    assert check_limits({"timeout_seconds": 0.5, "memory_bytes": 65536}) == {
        "timeout_seconds": 0.5,
        "memory_bytes": 65536,
    }
