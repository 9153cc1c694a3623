"""The quickstart by hand, in a real browser: the printed address opens it logged in, and every cell runs."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from support import ROOT, register_samples, start_server


def without_outputs(notebook: Path) -> str:
    """Give a notebook as if nobody had run it, so that what is seen later was made here."""
    body = json.loads(notebook.read_text())
    for cell in body["cells"]:
        if cell["cell_type"] == "code":
            cell.update(outputs=[], execution_count=None)
    return json.dumps(body)


@pytest.mark.timeout(240)
def test_the_printed_address_opens_the_quickstart_and_every_cell_runs(
    tmp_path: Path, page: Any, run_all_cells: Callable[[str], None]
):
    storage, notebooks = tmp_path / "storage", tmp_path / "notebooks"
    register_samples(storage)
    notebooks.mkdir()
    (notebooks / "quickstart.ipynb").write_text(without_outputs(ROOT / "notebooks" / "quickstart.ipynb"))
    options = ("--lab", "--notebook-dir", str(notebooks), "--open-path", "quickstart.ipynb")
    server = start_server(storage, *options)
    try:
        address = re.search(r"http://\S+/lab/tree/quickstart\.ipynb\?token=\w+", server.printed)
        assert address, server.printed
        run_all_cells(address[0])
        # The notebook's last code cell has run when its prompt carries a number.
        page.wait_for_function(
            """() => {
                const prompts = [...document.querySelectorAll('.jp-CodeCell .jp-InputPrompt')].map(e => e.textContent)
                return prompts.length > 3 && prompts.every(text => /\\[\\d+\\]/.test(text))
            }""",
            timeout=150_000,
        )
        page.screenshot(path=str(tmp_path / "quickstart.png"), full_page=True)
        errors = page.locator(".jp-OutputArea-output[data-mime-type='application/vnd.jupyter.error']")
        assert errors.count() == 0, errors.all_inner_texts()
        assert "HELLO" in page.locator(".jp-Notebook").inner_text()
    finally:
        server.interrupt()
