"""Run benchmarks and print them; all of them also write ``docs/benchmarks.md``.

``python -m benchmarks [--quick] [NAME…]``: a name is a suite (``runtime``, ``doors``) or one scheme of it
(``doors.overload``). ``--quick`` shortens those of the doors and of arrays.
"""

from __future__ import annotations

import argparse
import os
import platform
from collections.abc import Callable, Mapping, Sequence
from importlib import import_module
from importlib.metadata import version
from pathlib import Path

from .harness import Comparison, Measurement

REPORT = Path(__file__).parent.parent / "docs" / "benchmarks.md"

Finding = Comparison | Measurement

_SIDE_BY_SIDE = ("runtime", "guests", "storage", "plans")
_DOORS = ("calls", "mixed", "waiting", "magics", "overload", "fairness", "streams", "arrays")


def _side_by_side(name: str) -> Callable[[bool], Sequence[Finding]]:
    return lambda quick: import_module(f".{name}", __package__).run()


def _door(name: str) -> Callable[[bool], Sequence[Finding]]:
    return lambda quick: import_module(f".doors.{name}", __package__).run(quick)


def _arrays(quick: bool) -> Sequence[Finding]:
    from . import arrays

    return arrays.run(quick)


def _jupyter(quick: bool) -> Sequence[Finding]:
    from . import jupyter

    return jupyter.run()


def _inspector(quick: bool) -> Sequence[Finding]:
    from . import inspector

    return inspector.run()


def _hostile(quick: bool) -> Sequence[Finding]:
    from . import hostile

    return hostile.run(quick)


# Imported when they run: one scheme alone needs little of what all of them need.
SCHEMES: Mapping[str, Callable[[bool], Sequence[Finding]]] = {
    **{name: _side_by_side(name) for name in _SIDE_BY_SIDE},
    "arrays": _arrays,
    "jupyter": _jupyter,
    "inspector": _inspector,
    **{f"doors.{name}": _door(name) for name in _DOORS},
    "hostile": _hostile,
}


def _comparison_line(each: Comparison) -> str:
    goal = "" if each.goal is None else f"≤ {each.goal:g}"
    return (
        f"| {each.subject} | {each.peer} | {_duration(each.ours_us)} | {_duration(each.theirs_us)} "
        f"| {each.ratio:.2f} | {goal} | {each.met} |"
    )


def _duration(microseconds: float) -> str:
    return f"{microseconds:.1f} µs" if microseconds < 1e4 else f"{microseconds / 1e3:.0f} ms"


def _tables(findings: Sequence[Finding]) -> list[str]:
    compared = [_comparison_line(each) for each in findings if isinstance(each, Comparison)]
    measured = [
        f"| {each.subject} | {each.measured} | {each.goal} | {each.met} |"
        for each in findings
        if isinstance(each, Measurement)
    ]
    lines = []
    if compared:
        lines += ["| what | against | moc | peer | ratio | goal | met |", "|---|---|---:|---:|---:|---:|---|"]
        lines += [*compared, ""]
    if measured:
        lines += ["| what | measured | goal | met |", "|---|---|---:|---|", *measured, ""]
    return lines


def _report(findings: Sequence[Finding]) -> str:
    machine = (
        f"{os.cpu_count()} processors, {platform.system()} {platform.machine()}, "
        f"Python {platform.python_version()}, wasmtime {version('wasmtime')}, extism {version('extism')}"
    )
    return "\n".join(
        [
            "# Benchmarks",
            "",
            "Written by `make bench`. In the first table both sides of a line ran in turn in one process; the ratio is",
            "the median of the rounds' ratios; below 1 means that moc is faster. In the second, servers are processes",
            "of their own and the load comes from another one, so that on few processors they share them. Absolute",
            "times depend on the machine; the ratios much less.",
            "",
            f"Machine: {machine}.",
            "",
            *_tables(findings),
        ]
    )


def main() -> None:
    """Measure, print, and write the report if everything was measured."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks", description=__doc__)
    parser.add_argument("--quick", action="store_true", help="shorter schemes, the report is not written")
    parser.add_argument("names", nargs="*", metavar="NAME", help=f"suites or schemes: {', '.join(SCHEMES)}")
    options = parser.parse_args()
    chosen = [
        scheme
        for scheme in SCHEMES
        if not options.names or any(scheme == name or scheme.startswith(f"{name}.") for name in options.names)
    ]
    unknown = [name for name in options.names if not any(f"{each}.".startswith(f"{name}.") for each in SCHEMES)]
    if unknown:
        parser.error(f"there is no {', '.join(unknown)}; expected {', '.join(SCHEMES)}")
    findings: list[Finding] = []
    for name in chosen:
        found = SCHEMES[name](options.quick)
        print("\n".join(_tables(found)), flush=True)
        findings += found
    if not options.names and not options.quick:
        REPORT.write_text(_report(findings))


if __name__ == "__main__":
    main()
