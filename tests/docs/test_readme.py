"""What the README shows is what happens: its tour runs here, command by command, against a real server."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from support import ROOT, clean_environment

README = (ROOT / "README.md").read_text()
FENCE = re.compile(r"^```console\n(.*?)^```", re.MULTILINE | re.DOTALL)


def tour() -> list[tuple[str, str]]:
    """Read the commands of the tour and what the README says they print."""
    steps: list[tuple[str, list[str]]] = []
    section = README.partition("## A three-minute tour")[2].partition("\n## ")[0]
    for block in FENCE.findall(section):
        for line in block.splitlines():
            if line.startswith("$ "):
                steps.append((line[2:], []))
            elif line.startswith("> "):
                steps[-1] = (f"{steps[-1][0]}\n{line[2:]}", steps[-1][1])
            else:
                steps[-1][1].append(line)
    return [(command, "\n".join(output)) for command, output in steps]


def matches(expected: str, found: str) -> bool:
    """Compare with `…` standing for anything within a line."""
    pattern = ".*".join(re.escape(part) for part in expected.strip().split("…"))
    return re.fullmatch(pattern, found.strip()) is not None


def test_the_readme_has_a_tour_and_names_both_commands():
    assert len(tour()) >= 8
    assert "\n    make run\n" in README
    assert "\n    make test\n" in README


@pytest.mark.timeout(180)
def test_every_command_of_the_tour_prints_what_the_readme_shows(moc_server):
    """One shell runs all of it, as a person would in one terminal beside `make run`."""
    bin_directory = str(Path(sys.executable).parent)
    environment = clean_environment(
        PATH=f"{bin_directory}{os.pathsep}{os.environ['PATH']}", MOC_STORAGE=str(moc_server.storage)
    )
    mark = "-- end of a step --"
    steps = tour()
    script = "\n".join(
        f"{command.replace(':8443', f':{moc_server.gateway_port}')}\nprintf '%s\\n' {mark!r} $?" for command, _ in steps
    )
    done = subprocess.run(
        ["bash"],
        input=script,
        cwd=ROOT,
        env=environment,
        text=True,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        timeout=150,
        check=False,
    )
    results = re.findall(rf"(.*?){re.escape(mark)}\n(\d+)\n", done.stdout, re.DOTALL)
    assert len(results) == len(steps), done.stdout
    for (command, expected), (found, status) in zip(steps, results, strict=True):
        assert matches(expected, found), f"$ {command}\nshows\n{expected}\nbut printed\n{found}"
        assert status == "0", f"$ {command}\nended with {status}"
