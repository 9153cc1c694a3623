"""Modules that hurt before they run or when they fail: compiling them, listing them, telling their backtrace.

While one is dealt with, calls of others are answered; afterwards nothing of it is left.
"""

from __future__ import annotations

import asyncio
import ctypes
import gc
from collections.abc import Iterator
from pathlib import Path

import pytest

from hostile_modules import LOOP, custom_section, locals_bomb, names, nested, recursive
from moc_server_ext.cluster import Cluster
from moc_server_ext.engines.wasm.text import wat_to_wasm
from moc_server_ext.errors import InvalidModuleError, LimitExceededError, TrapError
from moc_server_ext.model import CallRequest, Limits

MIB = 1 << 20


def resident_bytes() -> int:
    """What this process holds now, without what its allocators could give back."""
    gc.collect()
    ctypes.CDLL(None).malloc_trim(0)
    return int(Path("/proc/self/statm").read_text().split()[1]) * 4096


@pytest.fixture(scope="module")
def moc(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Cluster]:
    root = tmp_path_factory.mktemp("hostile-modules")
    with Cluster.open(root / "storage", limits=Limits(memory_bytes=64 * MIB), cache_directory=root / "modules") as moc:
        moc.functions.put("innocent", wat_to_wasm('(module (func (export "_start")))'))
        assert moc.call_sync(CallRequest("innocent")).exit_code == 0
        yield moc


@pytest.mark.parametrize(
    "bomb", [nested(LOOP, 2000, 1000), nested(LOOP, 6000, 16)], ids=["wide", "deep"]
)  # 9 and 18 KB
def test_others_are_served_while_a_bomb_is_compiled_and_nothing_of_it_stays(moc: Cluster, bomb: bytes) -> None:
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


def test_functions_with_many_locals_are_compiled_elsewhere(moc: Cluster) -> None:
    before = resident_bytes()
    moc.functions.put("locals", locals_bomb(300))
    assert moc.call_sync(CallRequest("locals")).exit_code == 0
    assert resident_bytes() - before < 16 * MIB


@pytest.mark.parametrize("size", [60_000, 10 * MIB])
def test_a_backtrace_costs_no_more_than_it_shows(moc: Cluster, size: int) -> None:
    before = resident_bytes()
    moc.functions.put("names", recursive(custom=names(b"n" * size)))
    with pytest.raises(TrapError, match="call stack exhausted") as caught:
        moc.call_sync(CallRequest("names"))
    assert len(caught.value.message) + sum(map(len, caught.value.backtrace)) < 20_000
    assert resident_bytes() - before < 16 * MIB


def test_a_custom_section_of_100_mb_costs_nothing_when_called(moc: Cluster) -> None:
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
    moc: Cluster, memory: str, error: type[Exception] | None, match: str
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
