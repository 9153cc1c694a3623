"""The README's two commands: what `make run` does before it serves, and what `make` says when something is missing."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from support import ROOT, clean_environment


def main_job(storage: Path) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, str(ROOT / "samples" / "main_job.py"), "--storage", str(storage)]
    return subprocess.run(
        command, capture_output=True, text=True, env=clean_environment(COLUMNS="200"), timeout=300, check=False
    )


@pytest.mark.timeout(400)
def test_the_main_job_answers_rightly_and_again_on_what_it_left(tmp_path: Path):
    for _ in range(2):
        done = main_job(tmp_path / "storage")
        assert done.returncode == 0, done.stdout + done.stderr
        assert "< moc >" in done.stdout
        assert "equal to collections.Counter: yes" in done.stdout
        assert "b'MY OWN CLUSTER'" in done.stdout
        assert "NO" not in done.stdout.split()


def test_the_main_job_on_a_storage_that_cannot_be_used_is_one_line(tmp_path: Path):
    (tmp_path / "storage").write_text("a file")
    done = main_job(tmp_path / "storage")
    assert done.returncode == 1
    assert done.stderr.startswith("moc: error[")
    assert done.stderr.count("\n") == 1


def install(tmp_path: Path, fails_at: str) -> subprocess.CompletedProcess[str]:
    """Run `make install` with a Python that fails at one of the checks."""
    python = tmp_path / "python"
    python.write_text(f'#!/bin/sh\ncase "$*" in *{fails_at}*) exit 1;; *) exec {sys.executable} "$@";; esac\n')
    python.chmod(0o755)
    command = ["make", "install", f"VENV={tmp_path / 'venv'}", f"PYTHON={python}"]
    environment = {name: value for name, value in os.environ.items() if not name.startswith("MAKE")}
    return subprocess.run(command, cwd=ROOT, capture_output=True, text=True, env=environment, timeout=60, check=False)


@pytest.mark.parametrize(("fails_at", "advice"), [("ensurepip", "python3-venv"), ("version_info", "Python 3.11")])
def test_make_install_says_what_is_missing_and_makes_nothing(tmp_path: Path, fails_at: str, advice: str):
    done = install(tmp_path, fails_at)
    assert done.returncode == 2
    assert "moc: error[python]:" in done.stderr
    assert advice in done.stderr
    assert not (tmp_path / "venv").exists()
