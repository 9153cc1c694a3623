"""The notebooks that people learn from run, and give what is saved in them, embedded and through a server."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import nbformat
import pytest

NOTEBOOKS = Path(__file__).parents[2] / "notebooks"


@pytest.mark.timeout(400)
@pytest.mark.parametrize("door", ["embedded", "server"])
def test_the_notebooks_run_and_their_saved_outputs_are_right(door, tmp_path):
    kept = {name: value for name, value in os.environ.items() if not name.startswith(("MOC_", "JPY_", "PYTEST_"))}
    done = subprocess.run(
        [sys.executable, "-m", "pytest", "--nbval", "--nbval-cell-timeout=60", f"--moc-through={door}",
         "-p", "no:cacheprovider", "-q", str(NOTEBOOKS)],
        capture_output=True, text=True, timeout=390, cwd=NOTEBOOKS.parent, env={**kept, "TMPDIR": str(tmp_path)},
    )  # fmt: skip
    assert done.returncode == 0, done.stdout + done.stderr


def outputs(cell):
    return "".join(str(output) for output in cell.get("outputs", []))


@pytest.mark.parametrize("path", sorted(NOTEBOOKS.glob("*.ipynb")), ids=lambda path: path.stem)
def test_a_notebook_is_saved_run_in_order_and_for_the_moc_kernel(path):
    notebook = nbformat.read(path, as_version=4)
    nbformat.validate(notebook)
    assert notebook.metadata["kernelspec"]["name"] == "moc"
    counts = [cell.execution_count for cell in notebook.cells if cell.cell_type == "code"]
    assert counts == list(range(1, len(counts) + 1))


@pytest.mark.parametrize("path", sorted(NOTEBOOKS.glob("*.ipynb")), ids=lambda path: path.stem)
def test_saved_outputs_hold_neither_paths_nor_tracebacks(path):
    for cell in nbformat.read(path, as_version=4).cells:
        assert "Traceback (most" not in outputs(cell)
        assert "/tmp" not in outputs(cell)
        assert "/home" not in outputs(cell)
