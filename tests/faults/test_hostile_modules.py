"""Modules that hurt before they run or when they fail: compiling them, listing them, telling their backtrace.

While one is dealt with, calls of others are answered; afterwards nothing of it is left.
"""

from __future__ import annotations

import asyncio
import json
import time
from collections.abc import Callable

import pytest

from hostile_guests import MIB, Attack
from hostile_modules import LOOP, custom_section, locals_bomb, names, nested, recursive
from moc_server_ext.cluster import Cluster
from moc_server_ext.engines.wasm.text import wat_to_wasm
from moc_server_ext.errors import InvalidModuleError, LimitExceededError, TrapError
from moc_server_ext.model import CallRequest


@pytest.fixture
def moc(hostile_moc: Cluster) -> Cluster:
    return hostile_moc


@pytest.mark.parametrize(
    "bomb", [nested(LOOP, 2000, 1000), nested(LOOP, 6000, 16)], ids=["wide", "deep"]
)  # 9 and 18 KB
def test_others_are_served_while_a_bomb_is_compiled_and_nothing_of_it_stays(
    moc: Cluster, resident_bytes: Callable[[], int], bomb: bytes
) -> None:
    before = resident_bytes()

    async def attack() -> int:
        compiling = asyncio.create_task(asyncio.to_thread(moc.functions.put, "bomb", bomb))
        served = 0
        while not compiling.done():
            assert (await moc.call(CallRequest("innocent"))).exit_code == 0
            served += 1
            await asyncio.sleep(0.01)
        with pytest.raises(InvalidModuleError, match="compiling it took"):
            await compiling
        return served

    assert asyncio.run(attack()) > 1
    assert moc.functions.find("bomb") is None
    assert resident_bytes() - before < 16 * MIB


def test_functions_with_many_locals_are_compiled_elsewhere(moc: Cluster, resident_bytes: Callable[[], int]) -> None:
    before = resident_bytes()
    moc.functions.put("locals", locals_bomb(300))
    assert moc.call_sync(CallRequest("locals")).exit_code == 0
    assert resident_bytes() - before < 16 * MIB


@pytest.mark.parametrize("size", [60_000, 10 * MIB])
def test_a_backtrace_costs_no_more_than_it_shows(moc: Cluster, resident_bytes: Callable[[], int], size: int) -> None:
    before = resident_bytes()
    moc.functions.put("names", recursive(custom=names(b"n" * size)))
    with pytest.raises(TrapError, match="call stack exhausted") as caught:
        moc.call_sync(CallRequest("names"))
    assert len(caught.value.message) + sum(map(len, caught.value.backtrace)) < 20_000
    assert resident_bytes() - before < 16 * MIB


@pytest.mark.parametrize("content", [b"\xff" * 100_000, bytes(100_000), bytes(range(256)) * 400, b""], ids=range(4))
def test_lines_that_are_no_debug_information_leave_the_trap_readable(
    moc: Cluster, resident_bytes: Callable[[], int], content: bytes
) -> None:
    """Whole sections of it, and such that begin as real ones do: lengths and versions first."""
    header = (len(content) + 7).to_bytes(4, "little") + b"\4\0" + bytes(4) + b"\4"
    names_of = [b".debug_info", b".debug_abbrev", b".debug_line", b".debug_str", b".debug_ranges", b".debug_addr"]
    before = resident_bytes()
    for start in (b"", header):
        sections = b"".join(custom_section(name, start + content) for name in names_of)
        moc.functions.put("lines", recursive(custom=sections + names(b"\x1b[31m" * 10_000)))
        with pytest.raises(TrapError, match="call stack exhausted") as caught:
            moc.call_sync(CallRequest("lines"))
        told = json.dumps(caught.value.to_json())
        assert len(told) < 64 << 10
        assert "\\u001b" not in told
    assert resident_bytes() - before < 16 * MIB


def test_a_custom_section_of_100_mb_costs_nothing_when_called(moc: Cluster, resident_bytes: Callable[[], int]) -> None:
    content = recursive(custom=custom_section(b"junk", bytes(100 * MIB)))
    moc.functions.put("junk", content)
    del content
    before = resident_bytes()
    with pytest.raises(TrapError):
        moc.call_sync(CallRequest("junk"))
    assert resident_bytes() - before < 16 * MIB


@pytest.mark.parametrize(
    ("memory", "error", "match"),
    [
        ("(memory 65536)", LimitExceededError, "memory_bytes"),
        ("(memory 1025)", LimitExceededError, "memory_bytes"),
        ("(memory i64 1)", None, ""),
        ("(memory i64 0x1000000000000)", LimitExceededError, "memory_bytes"),
        ("(memory 1) (data (i32.const -1) \"x\")", TrapError, "out of bounds"),
        ("(table 1 funcref) (elem (i32.const -1) 0)", TrapError, "out of bounds"),
    ],
    ids=["4 GiB", "a page too many", "64 bit", "64 bit, all", "data outside", "elements outside"],
)  # fmt: skip
def test_memories_beyond_measure_end_as_what_they_are(
    moc: Cluster, resident_bytes: Callable[[], int], memory: str, error: type[Exception] | None, match: str
) -> None:
    before = resident_bytes()

    def attack() -> None:
        moc.functions.put("memory", wat_to_wasm(f'(module {memory} (func (export "_start")))'))
        moc.call_sync(CallRequest("memory"))

    if error is None:
        attack()
    else:
        with pytest.raises(error, match=match):
            attack()
    assert moc.call_sync(CallRequest("innocent")).exit_code == 0
    assert resident_bytes() - before < 16 * MIB


@pytest.mark.parametrize(("name", "count"), [("f", 10_001), ("f" * 20_000, 60)], ids=["many", "long"])
def test_exports_beyond_measure_are_refused(attack: Attack, name: str, count: int) -> None:
    exports = "".join(f'(export "{name}{each}" (func $f))' for each in range(count))
    with pytest.raises(InvalidModuleError, match="at most"):
        attack(f"(module (func $f) {exports})")


def test_sections_that_mean_nothing_cost_nothing_when_called(attack: Attack) -> None:
    section = b"\0\x85\x80\x80\x08\x04junk" + bytes(16 * MIB)
    began = time.perf_counter()
    attack(wat_to_wasm('(module (func (export "_start")))') + section)
    assert time.perf_counter() - began < 30


def test_a_function_beyond_measure_is_refused(attack: Attack) -> None:
    body = b"\0" + b"\x01" * (8 * MIB) + b"\x0b"

    def number(value: int) -> bytes:
        return bytes([value & 127 | 128, value >> 7 & 127 | 128, value >> 14 & 127 | 128, value >> 21 & 127])

    code = b"\x01" + number(len(body)) + body
    module = b"\0asm\1\0\0\0" + b"\x01\x04\x01\x60\0\0" + b"\x03\x02\x01\0" + b"\x0a" + number(len(code)) + code
    with pytest.raises(InvalidModuleError, match="exceeds limit"):
        attack(module)
