"""Array functions that want to hurt: what they leave as their result is refused by the field that is wrong.

Each runs in a whole cluster, under both drivers and warm, and after each the next call works.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from array_guests import SAME, array_function, result_of
from moc_server_ext.cluster import Cluster
from moc_server_ext.errors import ArrayMemoryError, ArrayResultError, GuestError, LimitExceededError, TrapError
from moc_server_ext.model import CallRequest, CallResult, Declaration, Limits

MIB = 1 << 20
UINT8, FLOAT64 = 0x301, 0x408
HEADERS = {"moc-dtype": "float32", "moc-shape": "[2,3]"}
INPUT = bytes(24)
# One page of its own, and one for the array.
MEMORY = 2 * 65536
HIGH = (1 << 32) - 1

Attack = Callable[..., CallResult]


@pytest.fixture(scope="module")
def moc(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Cluster]:
    root: Path = tmp_path_factory.mktemp("hostile")
    limits = Limits(memory_bytes=16 * MIB, timeout_seconds=30, output_bytes=MIB, stderr_bytes=MIB)
    with Cluster.open(root / "storage", limits=limits, cache_directory=root / "modules") as cluster:
        cluster.functions.put("innocent", array_function(name="innocent"))
        yield cluster


@pytest.fixture(params=["blocking", "loop", "warm"])
def attack(request: pytest.FixtureRequest, moc: Cluster) -> Iterator[Attack]:
    """Register an array function and call it; the next call must work, and nothing must be held any more."""

    def go(body: str, **more: str) -> CallResult:
        declaration = Declaration(reusable=request.param == "warm")
        moc.functions.put("hostile", array_function(body, name="hostile", **more), declaration)
        asked = CallRequest("hostile", input=INPUT, input_headers=HEADERS)
        if request.param == "loop":
            return asyncio.run(moc.call(asked))
        if request.param == "blocking":
            return moc.call_sync(asked)
        with moc.prepare(asked) as prepared:
            prepared.run(INPUT, input_headers=HEADERS)
            return prepared.run(INPUT, input_headers=HEADERS)

    yield go
    assert moc.call_sync(CallRequest("innocent", input=INPUT, input_headers=HEADERS)).output == INPUT
    assert (moc.status()["calls"]["running"], moc.activity().memory_bytes) == (0, 0)


@pytest.mark.parametrize(
    ("result", "field", "found"),
    [
        ("", "dtype", r"0x0 \(it was never set\)"),
        (result_of(0, 0x405, 1), "dtype", "0x405"),
        (result_of(0, HIGH, 1), "dtype", "0xffffffff"),
        (result_of(0, 0x1_0301 & HIGH, 1), "dtype", "0x10301"),
        (result_of(0, UINT8, ndim=33), "ndim", "33"),
        (result_of(0, UINT8, ndim=HIGH), "ndim", "4,294,967,295"),
        (result_of(0, UINT8, HIGH, HIGH, HIGH), "shape", "4294967295"),
        (result_of(0, UINT8, 1 << 31, 1 << 31, 4), "shape", "2147483648"),
        (result_of(0, UINT8, 1 << 16, 1 << 16), "shape", "65536"),
        (result_of(0, FLOAT64, 1 << 29), "shape", "536870912"),
        (result_of(0, UINT8, MEMORY + 1), "shape", str(MEMORY + 1)),
        (result_of(1, UINT8, MEMORY), "bytes", "0x1"),
        (result_of(MEMORY, UINT8, 1), "bytes", "0x20000"),
        (result_of(MEMORY - 7, FLOAT64, 1), "bytes", "0x1fff9"),
        (result_of(MEMORY, UINT8), "bytes", "0x20000"),
        (result_of(HIGH, UINT8, 1), "bytes", "0xffffffff"),
        (result_of(HIGH - 8, FLOAT64, 2), "bytes", "0xfffffff7"),
    ],
)
def test_a_result_that_is_no_array_is_refused_by_its_field(attack, result, field, found):
    with pytest.raises(
        ArrayResultError, match=f"the field '{field}' of its result is .*{found}.*, expected "
    ) as caught:
        attack(result)
    assert caught.value.details["field"] == field
    assert "stderr" in caught.value.details


@pytest.mark.parametrize(
    ("result", "size"),
    [
        (result_of(0, UINT8, MEMORY), MEMORY),
        (result_of(MEMORY - 1, UINT8, 1), 1),
        (result_of(MEMORY, UINT8, 0), 0),
        (result_of(HIGH, UINT8, 0, HIGH, 5), 0),
        (result_of(0, UINT8, *[1] * 32), 1),
    ],
)
def test_a_result_at_the_edge_of_the_memory_is_taken(attack, result, size):
    assert len(attack(result).output) == size


def test_an_empty_result_whose_other_axes_overflow_is_refused(attack):
    with pytest.raises(ArrayResultError, match="'shape'"):
        attack(result_of(0, UINT8, 0, HIGH, HIGH, HIGH))


def test_the_memory_of_a_result_is_read_only_up_to_the_output_limit(attack):
    with pytest.raises(LimitExceededError, match=r"output_bytes = 1,048,576 \(it asked for 2,097,152\)"):
        attack(f"(drop (memory.grow (i32.const 40))) {result_of(0, UINT8, 2 * MIB)}")


def test_output_beside_an_array_is_refused(attack):
    more = '(import "core" "write_exchange_buffer" (func $write (param i32 i32 i32) (result i32)))'
    body = f"(drop (call $write (i32.const 2) (i32.const 0) (i32.const 5))) {SAME}"
    with pytest.raises(GuestError, match="wrote 5 bytes to its output buffer"):
        attack(body, more=more)


def test_headers_that_a_guest_sets_itself_do_not_change_what_its_array_is(attack):
    more = """(import "core" "write_exchange_buffer_header" (func $header (param i32 i32 i32 i32 i32) (result i32)))
      (data (i32.const 32) "moc-dtype") (data (i32.const 48) "object") (data (i32.const 64) "moc-chunks")"""
    body = f"""
      (drop (call $header (i32.const 2) (i32.const 32) (i32.const 9) (i32.const 48) (i32.const 6)))
      (drop (call $header (i32.const 2) (i32.const 64) (i32.const 10) (i32.const 48) (i32.const 6))) {SAME}"""
    assert attack(body, more=more).output_headers == HEADERS


def test_a_function_that_overwrites_what_it_was_given_hurts_only_itself(attack):
    # Everything behind its own page, the structures included, and then as much again.
    wipe = "(memory.fill (i32.const 65536) (i32.const 255) (i32.const 65536))"
    with pytest.raises(ArrayMemoryError, match=r"wrote over memory that is the host's, before the array"):
        attack(wipe)
    with pytest.raises(ArrayMemoryError, match=r"It ended like this: .* out of bounds"):
        attack(f"{wipe} {wipe.replace('65536', '131072', 1)}")
    with pytest.raises(TrapError, match="out of bounds"):
        attack(wipe.replace("65536", "131072", 1))


ELEMENTS = "(i32.load (local.get $array))"
# What is left of the array's page, without what the host keeps at its end.
ROOM = 65536 - 512 - 64


@pytest.mark.parametrize(
    ("at", "place"),
    [
        ("(i32.const 65536)", "before"),
        ("(i32.sub (local.get $array) (i32.const 1))", "before"),
        (f"(i32.add {ELEMENTS} (i32.const {ROOM}))", "behind"),
        ("(i32.const 131071)", "behind"),
    ],
)
@pytest.mark.parametrize("status", ["(i32.const 0)", "(i32.const 1)", "(unreachable)"])
def test_a_byte_beside_the_array_is_noticed_however_the_call_ends(attack, at, place, status):
    with pytest.raises(ArrayMemoryError, match=rf"{place} the array that it was given") as caught:
        attack(f"(i32.store8 {at} (i32.const 255)) {SAME}", status=status)
    assert caught.value.details["place"] == place
    assert ("unreachable" in caught.value.message) == ("unreachable" in status)


def test_what_lies_between_is_the_guests(attack):
    body = f"(memory.fill {ELEMENTS} (i32.const 0) (i32.const {ROOM})) {SAME}"
    assert attack(body).output == INPUT


def test_an_allocator_that_takes_the_pages_of_the_array_is_noticed(attack):
    # From the end of what it knows to the present end of the memory, where it leaves a mark, as that of old wasi-libc.
    claim = "(i32.store (i32.sub (i32.shl (memory.size) (i32.const 16)) (i32.const 36)) (i32.const 40))"
    with pytest.raises(ArrayMemoryError, match="behind"):
        attack(f"{claim} {SAME}")


def test_memory_that_a_function_keeps_growing_ends_at_its_limit(attack):
    grow = "(loop $more (br_if $more (i32.ne (memory.grow (i32.const 16)) (i32.const -1))))"
    assert attack(f"{grow} {SAME}").output == INPUT


def test_a_function_that_never_ends_is_ended(moc):
    moc.functions.put("endless", array_function("(loop $more (br $more))", name="endless"))
    asked = CallRequest("endless", input=INPUT, input_headers=HEADERS, limits={"timeout_seconds": 0.1})
    with pytest.raises(LimitExceededError, match="timeout_seconds"):
        moc.call_sync(asked)
