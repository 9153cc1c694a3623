"""A server's process keeps its collections short and gives memory back, and leaves the interpreter as it was."""

from __future__ import annotations

import asyncio
import ctypes
import gc
import sys
import time

import pytest

from moc_server_ext import housekeeping
from moc_server_ext.housekeeping import Housekeeping

needs_trim = pytest.mark.skipif(
    not hasattr(ctypes.CDLL(None), "malloc_trim"), reason="the C library gives nothing back"
)


def test_what_is_there_at_the_start_is_left_out_of_collections_until_the_end():
    async def scenario():
        house = Housekeeping(lambda: True)
        before, interval = gc.get_freeze_count(), sys.getswitchinterval()
        house.start()
        assert gc.get_freeze_count() > before
        assert sys.getswitchinterval() < interval
        await house.stop()
        assert gc.get_freeze_count() == 0
        assert sys.getswitchinterval() == pytest.approx(interval)

    asyncio.run(scenario())


@needs_trim
@pytest.mark.parametrize("idle", [True, False], ids=["idle", "busy"])
def test_memory_is_given_back_once_no_call_runs(monkeypatch, idle):
    trims = []
    resident = iter([100 << 20, *[200 << 20] * 1000])
    monkeypatch.setattr(housekeeping, "_LOOK_SECONDS", 0.001)
    monkeypatch.setattr(housekeeping, "_resident_bytes", lambda: next(resident, 200 << 20))

    async def scenario():
        asked = 0

        def is_idle():
            nonlocal asked
            asked += 1
            return idle

        house = Housekeeping(is_idle)
        house._trim = lambda spare: trims.append(spare)
        house.start()
        deadline = time.monotonic() + 30
        while time.monotonic() < deadline and not (trims if idle else asked > 20):
            await asyncio.sleep(0.001)
        await house.stop()

    asyncio.run(scenario())
    # Once: what stays after that is in use.
    assert trims == ([0] if idle else [])
