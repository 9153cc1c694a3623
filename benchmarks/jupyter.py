"""What the moc kernel adds to the plain Python kernel, and what importing moc_kernel costs."""

from __future__ import annotations

import statistics
import subprocess
import sys
import time

from jupyter_client.manager import KernelManager

from .harness import Measurement

ROUNDS = 7


def _kernel_start_seconds(name: str) -> float:
    manager = KernelManager(kernel_name=name)
    begin = time.perf_counter()
    manager.start_kernel(stderr=subprocess.DEVNULL)
    client = manager.client()
    try:
        client.start_channels()
        client.wait_for_ready(timeout=60)
        return time.perf_counter() - begin
    finally:
        client.stop_channels()
        manager.shutdown_kernel(now=True)


def kernel_start_extra_ms() -> float:
    """Measure by how many milliseconds the moc kernel starts later than the plain one (median of pairs)."""
    _kernel_start_seconds("moc"), _kernel_start_seconds("python3")
    return 1000 * statistics.median(
        _kernel_start_seconds("moc") - _kernel_start_seconds("python3") for _ in range(ROUNDS)
    )


def import_ms() -> float:
    """Measure what ``import moc_kernel`` takes in a fresh interpreter (median)."""
    program = "import time; begin = time.perf_counter(); import moc_kernel; print((time.perf_counter() - begin) * 1000)"
    return statistics.median(
        float(subprocess.run([sys.executable, "-c", program], check=True, capture_output=True, text=True).stdout)
        for _ in range(ROUNDS)
    )


def run() -> list[Measurement]:
    """Measure both."""
    extra_ms, imported_ms = kernel_start_extra_ms(), import_ms()
    return [
        Measurement(
            "start of the moc kernel, more than the plain Python kernel",
            f"{extra_ms:.0f} ms",
            "≤ 300 ms",
            extra_ms <= 300,
        ),
        Measurement("`import moc_kernel`", f"{imported_ms:.0f} ms", "≤ 400 ms", imported_ms <= 400),
    ]
