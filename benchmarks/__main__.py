"""Run all benchmarks, print them and write ``docs/benchmarks.md``."""

from __future__ import annotations

import os
import platform
from importlib.metadata import version
from pathlib import Path

from . import jupyter, plans, runtime, storage
from .harness import Comparison

REPORT = Path(__file__).parent.parent / "docs" / "benchmarks.md"


def _table(comparisons: list[Comparison]) -> list[str]:
    lines = ["| what | against | moc | peer | ratio | goal | met |", "|---|---|---:|---:|---:|---:|---|"]
    for each in comparisons:
        goal = "" if each.goal is None else f"≤ {each.goal:g}"
        lines.append(
            f"| {each.subject} | {each.peer} | {_duration(each.ours_us)} | {_duration(each.theirs_us)} "
            f"| {each.ratio:.2f} | {goal} | {each.met} |"
        )
    return lines


def _duration(microseconds: float) -> str:
    return f"{microseconds:.1f} µs" if microseconds < 1e4 else f"{microseconds / 1e3:.0f} ms"


def main() -> None:
    """Measure, print, write."""
    comparisons = [*runtime.run(), *storage.run(), *plans.run()]
    extra_ms, import_ms = jupyter.kernel_start_extra_ms(), jupyter.import_ms()
    machine = (
        f"{os.cpu_count()} processors, {platform.system()} {platform.machine()}, "
        f"Python {platform.python_version()}, wasmtime {version('wasmtime')}, extism {version('extism')}"
    )
    report = [
        "# Benchmarks",
        "",
        "Written by `make bench`. Both sides of a line ran in turn in one process; the ratio is the median of the",
        "rounds' ratios; below 1 means that moc is faster. Absolute times depend on the machine; the ratios much less.",
        "",
        f"Machine: {machine}.",
        "",
        *_table(comparisons),
        "",
        "| what | measured | goal | met |",
        "|---|---:|---:|---|",
        f"| start of the moc kernel, more than the plain Python kernel | {extra_ms:.0f} ms | ≤ 300 ms "
        f"| {'yes' if extra_ms <= 300 else '**no**'} |",
        f"| `import moc_kernel` | {import_ms:.0f} ms | ≤ 400 ms | {'yes' if import_ms <= 400 else '**no**'} |",
        "",
    ]
    REPORT.write_text("\n".join(report))
    print("\n".join(report[4:]))


if __name__ == "__main__":
    main()
