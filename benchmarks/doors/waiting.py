"""Ten thousand guests that wait in a host function at once, in one process: memory, and how soon all have ended.

All sleep until the same moment, on the absolute clock of ``poll_oneoff``. They run in a fresh process
(``python -m benchmarks.doors.waiting COUNT``), whose memory is nobody else's; it prints what it measured as JSON.
"""

from __future__ import annotations

import asyncio
import json
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from moc_server_ext.cluster import Cluster
from moc_server_ext.model import CallRequest, Declaration

from ..harness import Measurement
from .guests import SLEEP_UNTIL, module
from .processes import resident_bytes

COUNT = 10_000
_MEMORY_BYTES = 1 << 17
# Until the moment they have this long to begin.
_BEGIN_SECONDS = 12.0
_LOOK_SECONDS = 0.5


async def _measure(cluster: Cluster, count: int) -> dict[str, float]:
    def request(wake_at: float) -> CallRequest:
        return CallRequest("sleep-until", input=int(wake_at * 1e9).to_bytes(8, "little"))

    await cluster.call(request(time.time()))  # Compiles, and reserves the pool.
    before = resident_bytes()
    began = time.time()
    wake_at = began + _BEGIN_SECONDS
    calls = [asyncio.ensure_future(_begin_and_end(cluster, request(wake_at))) for _ in range(count)]
    await asyncio.sleep(wake_at - time.time() - _LOOK_SECONDS)
    held = resident_bytes() - before
    times = await asyncio.gather(*calls)
    return {
        "held_bytes": held,
        "last_begin_seconds": max(begin for begin, _ in times) - began,
        "woken_seconds": max(end for _, end in times) - wake_at,
        "not_waiting": sum(begin >= wake_at or end < wake_at for begin, end in times),
    }


async def _begin_and_end(cluster: Cluster, request: CallRequest) -> tuple[float, float]:
    result = await cluster.call(request)
    end = time.time()
    if result.exit_code:
        raise RuntimeError(f"a guest that should sleep ended with exit code {result.exit_code}")
    return end - result.duration_us / 1e6, end


def _main(count: int) -> None:
    with tempfile.TemporaryDirectory() as directory:
        path = Path(directory)
        with Cluster.open(path / "storage", concurrent_calls=count, queued_calls=count) as cluster:
            declaration = Declaration(limits={"memory_bytes": _MEMORY_BYTES})
            cluster.functions.put("sleep-until", module(SLEEP_UNTIL), declaration)
            print(json.dumps(asyncio.run(_measure(cluster, count))))


def run(quick: bool) -> list[Measurement]:
    """Measure in a process of its own."""
    count = COUNT
    finished = subprocess.run(
        [sys.executable, "-m", __name__, str(count)], check=True, stdout=subprocess.PIPE, text=True, timeout=300
    )
    found = json.loads(finished.stdout)
    not_waiting = found["not_waiting"]
    megabytes, seconds = found["held_bytes"] / 1e6, found["woken_seconds"]
    return [
        Measurement(
            f"{count:,} guests waiting in a host function: memory more than idle",
            f"{megabytes:,.0f} MB (begun within {found['last_begin_seconds']:.1f} s; {not_waiting:,} did not wait)",
            "≤ 1,000 MB",
            megabytes <= 1000 and not not_waiting,
        ),
        Measurement(
            "the same: all woken and done after", f"{seconds:.2f} s", "≤ 2 s", seconds <= 2 and not not_waiting
        ),
    ]


if __name__ == "__main__":
    _main(int(sys.argv[1]))
