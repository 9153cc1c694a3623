"""A started call in JupyterLab: its state is seen, and the button below the cell cancels it."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from guests import guest
from moc_server_ext.client import connect
from support import start_server

KERNEL = {"name": "moc", "display_name": "My Own Cluster", "language": "python"}
# The last cell keeps the kernel busy: the button must be heard all the same.
CELLS = ("%moc call --noblock spin", "%moc call --noblock -o h spin", "h", "h.wait()")


def notebook(*sources: str) -> str:
    """Give a notebook of these cells that nobody has run."""
    cells = [
        {"cell_type": "code", "id": f"c{n}", "metadata": {}, "source": text, "outputs": [], "execution_count": None}
        for n, text in enumerate(sources)
    ]
    return json.dumps({"nbformat": 4, "nbformat_minor": 5, "metadata": {"kernelspec": KERNEL}, "cells": cells})


@pytest.mark.timeout(240)
def test_a_started_call_is_seen_running_and_is_cancelled_by_mouse_and_by_keyboard(
    tmp_path: Path, page: Any, run_all_cells: Callable[[str], None]
):
    storage, notebooks = tmp_path / "storage", tmp_path / "notebooks"
    with connect(storage=storage) as moc:
        moc.functions.put("spin", guest("spin"))
    notebooks.mkdir()
    (notebooks / "calls.ipynb").write_text(notebook(*CELLS))
    server = start_server(storage, "--lab", "--notebook-dir", str(notebooks), "--open-path", "calls.ipynb")
    try:
        address = re.search(r"http://\S+/lab/tree/calls\.ipynb\?token=\w+", server.printed)
        assert address, server.printed
        run_all_cells(address[0])
        by_mouse, by_keyboard = (page.locator(".jp-CodeCell").nth(n) for n in (0, 2))
        for cell in (by_mouse, by_keyboard):
            cell.get_by_role("status").get_by_text("running").wait_for()
        page.screenshot(path=str(tmp_path / "running.png"), clip={"x": 0, "y": 0, "width": 1280, "height": 600})

        by_mouse.get_by_role("button", name="Cancel call of spin").click()
        by_mouse.get_by_role("status").get_by_text("cancelled").wait_for()
        by_keyboard.get_by_role("status").get_by_text("running").wait_for()
        by_keyboard.get_by_role("button", name="Cancel call of spin").press("Enter")
        by_keyboard.get_by_role("status").get_by_text("cancelled").wait_for()
        # What is saved is not the widget, and whoever pressed the button can go on with the keyboard.
        page.wait_for_function("() => document.querySelectorAll('.moc-call').length === 0")
        assert by_keyboard.evaluate("cell => cell.contains(document.activeElement)")
        assert page.locator(".moc-call-cancel").count() == 0
        page.screenshot(path=str(tmp_path / "cancelled.png"), clip={"x": 0, "y": 0, "width": 1280, "height": 600})
    finally:
        server.interrupt()
