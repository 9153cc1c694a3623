"""Looking inside in JupyterLab and in Notebook 7, with a server, a kernel and a browser as people have them.

A notebook is worked in, saved, and opened again when its kernel is gone.
"""

from __future__ import annotations

import json
import os
import re
import secrets
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import numpy
import playwright.sync_api
import pytest

from guests import guest
from moc_server_ext import Cluster
from moc_server_ext.model import ArraySpec
from support import MocServer, start_server, wait_until

KERNEL = {"name": "moc", "display_name": "My Own Cluster", "language": "python"}
PARTS, PART_BYTES = 8, 128 << 20
TREASURE = PART_BYTES - 3
LIVE = ".moc-place > .moc-inspector"
PNG = bytes.fromhex(
    "89504e470d0a1a0a0000000d4948445200000001000000010802000000907753de0000000c49444154789c63f8cfc0000003010100"
    "c9fe92ef0000000049454e44ae426082"
)


def notebook(*sources: str) -> str:
    """Give a notebook of these cells that nobody has run."""
    cells = [
        {"cell_type": "code", "id": f"c{n}", "metadata": {}, "source": text, "outputs": [], "execution_count": None}
        for n, text in enumerate(sources)
    ]
    return json.dumps({"nbformat": 4, "nbformat_minor": 5, "metadata": {"kernelspec": KERNEL}, "cells": cells})


def fill(storage: Path) -> None:
    """Store what is looked at: among it a buffer of 1 GiB, most of whose zeros take no room on the disk."""
    with Cluster.open(storage) as cluster:
        names = {f"c/{n}": secrets.token_hex(16) for n in range(PARTS)}
        for name in names.values():
            with (storage / "staging" / name).open("wb") as file:
                file.truncate(PART_BYTES)
        for part, offset, content in ((0, PART_BYTES - 3, b"TRE"), (1, 0, b"ASURE"), (7, PART_BYTES - 4, b"end.")):
            with (storage / "staging" / names[f"c/{part}"]).open("r+b") as file:
                file.seek(offset)
                file.write(content)
        spec = ArraySpec("uint8", (PARTS * PART_BYTES,), (PART_BYTES,))
        cluster.storage.buffers.adopt("vast", names, spec)
        grid = numpy.add.outer(numpy.arange(40.0), numpy.arange(60.0))
        grid[3:5, 7:9] = numpy.nan
        spec = ArraySpec("float64", (2, 40, 60), (1, 40, 60), ("time", "y", "x"))
        cluster.buffers.put("grid", numpy.stack([grid, -grid]).tobytes(), array=spec)
        cluster.buffers.put("letters/ü", "caf\u00e9\n".encode() * 50_000, "text/plain")
        cluster.buffers.put("dot", PNG, "image/png")
        cluster.functions.put("pause", guest("pause"))
        cluster.kv.set(b"visits", b"12")


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[MocServer]:
    home = tmp_path_factory.mktemp("inspected")
    (home / "notebooks").mkdir()
    fill(home / "storage")
    before = os.environ["HOME"]
    # Jupyter keeps what a person set, such as a theme, in their home.
    os.environ["HOME"] = str(home)
    try:
        server = start_server(home / "storage", "--lab", "--notebook-dir", str(home / "notebooks"))
    finally:
        os.environ["HOME"] = before
    yield server
    server.interrupt()


@pytest.fixture
def jupyter(server: MocServer) -> tuple[str, str]:
    """Give Jupyter's address and its token."""
    found = re.search(r"(http://127\.0\.0\.1:\d+/)\S*\?token=(\w+)", server.printed)
    assert found, server.printed
    return found[1], found[2]


def write(server: MocServer, name: str, *cells: str) -> Path:
    path = server.storage.parent / "notebooks" / name
    path.write_text(notebook(*cells))
    return path


def open_notebook(page: Any, jupyter: tuple[str, str], path: str) -> None:
    url, token = jupyter
    # A notebook whose kernel was shut down may be asked which one it wants.
    page.add_locator_handler(page.locator(".jp-Dialog"), lambda dialog: dialog.locator(".jp-mod-accept").click())
    page.goto(f"{url}{path}?token={token}")
    page.locator(".jp-Notebook .jp-Cell").first.wait_for(timeout=60_000)


def run_all(page: Any, until: str) -> None:
    """Run all cells, until there is something that they show."""
    page.locator(".jp-KernelName, .jp-NotebookKernelStatus").first.wait_for(timeout=60_000)
    for attempt in range(6):
        page.get_by_role("menuitem", name="Run", exact=True).click()
        page.get_by_role("menuitem", name="Run All Cells", exact=True).click()
        try:
            page.locator(until).first.wait_for(timeout=20_000)
        except playwright.sync_api.TimeoutError:
            # What is run before Jupyter knows the kernel is dropped.
            if attempt == 5:
                raise
        else:
            return


def inspector(page: Any, cell: int) -> Any:
    """Give the inspector below a cell, in the place that it has in the saved page."""
    found = page.locator(".jp-CodeCell").nth(cell).locator(".moc-place > .moc-inspector")
    found.wait_for(timeout=60_000)
    return found


def save(page: Any, path: Path, outputs: int) -> list[dict[str, Any]]:
    """Save the notebook and give what each of its outputs is saved as."""
    page.locator(".moc-inspector").first.get_by_role("tab", selected=True).press("Control+s")
    saved: list[dict[str, Any]] = []

    def is_there() -> bool:
        try:
            cells = json.loads(path.read_text())["cells"]
        except ValueError:
            return False  # It is being written.
        saved[:] = [output.get("data", {}) for cell in cells for output in cell["outputs"]]
        return len(saved) == outputs

    wait_until(is_there)
    return saved


def shut_down_kernels(jupyter: tuple[str, str]) -> None:
    url, token = jupyter
    with httpx.Client(base_url=url, headers={"Authorization": f"token {token}"}, trust_env=False) as http:
        for session in http.get("api/sessions").json():
            http.delete(f"api/sessions/{session['id']}").raise_for_status()


@pytest.mark.timeout(240)
def test_in_jupyterlab_a_buffer_is_looked_into_saved_and_seen_again_without_its_kernel(
    server: MocServer, jupyter: tuple[str, str], page: Any, browser: Any, tmp_path: Path
):
    path = write(
        server, "lab.ipynb", "%moc inspect vast", "%moc inspect 'letters/ü'", "%moc inspect grid", "%moc inspect dot"
    )
    open_notebook(page, jupyter, "lab/tree/lab.ipynb")
    run_all(page, LIVE)

    vast = inspector(page, 0)
    vast.get_by_role("tab", name="Hex").click()
    scroller = vast.locator(".moc-scroller")
    scroller.focus()
    scroller.press("End")
    vast.locator(".moc-row:not([hidden])", has_text="65 6e 64 2e").wait_for(timeout=60_000)
    assert vast.locator(".moc-place-now").inner_text().endswith("of 1,073,741,824 bytes")
    vast.get_by_label("Search", exact=True).fill("TREASURE")
    vast.get_by_label("Search", exact=True).press("Enter")
    vast.get_by_text(f"Found at {TREASURE:,}").wait_for(timeout=120_000)
    page.wait_for_function("() => document.querySelectorAll('.moc-ascii mark').length === 2")
    assert vast.locator(".moc-ascii mark").all_inner_texts() == ["TRE", "ASURE"]
    vast.get_by_label("Go to offset").fill("0x10")
    vast.get_by_label("Go to offset").press("Enter")
    vast.locator(".moc-row:not([hidden])", has_text="00000010").wait_for()

    letters = inspector(page, 1)
    assert letters.get_by_role("tab", selected=True).inner_text() == "Text"
    letters.locator(".moc-line", has_text="café").first.wait_for()
    letters.get_by_role("tab", name="Hex").click()
    letters.locator(".moc-bytes", has_text="63 61 66 c3 a9 0a").first.wait_for()

    grid = inspector(page, 2)
    frame = grid.locator(".moc-map-frame")
    grid.get_by_text("Mean").wait_for()
    grid.locator("dd", has_text="4,800").wait_for(timeout=60_000)
    frame.focus()
    frame.press("ArrowRight")
    assert grid.locator("output").inner_text() == "y 0, x 1: 1"
    grid.get_by_label("time", exact=True).fill("1")
    grid.get_by_label("time", exact=True).press("Enter")
    grid.locator("output", has_text="y 0, x 1: -1").wait_for(timeout=30_000)

    dot = inspector(page, 3)
    dot.get_by_text("1 × 1 pixels").wait_for(timeout=30_000)
    assert dot.locator("img").get_attribute("src").startswith("blob:")
    page.screenshot(path=str(tmp_path / "light.png"), clip={"x": 0, "y": 0, "width": 1280, "height": 2400})

    saved = save(page, path, 4)
    assert [set(each) for each in saved] == [{"text/html", "text/plain"}] * 4
    page.close()
    shut_down_kernels(jupyter)
    settings = server.storage.parent / ".jupyter/lab/user-settings/@jupyterlab/apputils-extension"
    settings.mkdir(parents=True, exist_ok=True)
    (settings / "themes.jupyterlab-settings").write_text('{"theme": "JupyterLab Dark"}')
    context = browser.new_context(viewport={"width": 1280, "height": 5000})
    again = context.new_page()
    open_notebook(again, jupyter, "lab/tree/lab.ipynb")
    again.locator("body[data-jp-theme-light=false]").wait_for(state="attached", timeout=60_000)
    again.get_by_role("region", name="Contents as text").get_by_text("café").first.wait_for(timeout=60_000)
    assert again.get_by_text("model not found").count() == 0
    assert again.locator(".moc-inspector").count() == 0
    assert again.locator("img[alt^='Heat map']").count() == 1

    run_all(again, LIVE)
    frame = inspector(again, 2).locator(".moc-map-frame")
    frame.wait_for()
    colours = again.evaluate(
        """() => {
            const it = document.querySelector('.moc-inspector');
            return [getComputedStyle(it).backgroundColor, getComputedStyle(it).color];
        }"""
    )
    dark, light = (sum(map(int, re.findall(r"\d+", each)[:3])) for each in colours)
    assert dark < 200 < 500 < light
    again.screenshot(path=str(tmp_path / "dark.png"), clip={"x": 0, "y": 0, "width": 1280, "height": 2400})
    context.close()
    (settings / "themes.jupyterlab-settings").unlink()


@pytest.mark.timeout(240)
def test_in_notebook_7_everything_is_browsed_and_goes_on_when_the_page_is_loaded_anew(
    server: MocServer, jupyter: tuple[str, str], page: Any, tmp_path: Path
):
    path = write(
        server,
        "seven.ipynb",
        "%moc call --noblock pause",
        "%moc browse",
        "from moc_kernel import connect; connect().buffers['grid']",
    )
    open_notebook(page, jupyter, "notebooks/seven.ipynb")
    run_all(page, LIVE)
    inspector(page, 2).locator(".moc-map-frame").wait_for()
    browse = inspector(page, 1)
    browse.get_by_label("Filter").fill("let")
    assert browse.locator("tbody tr").count() == 1
    browse.get_by_role("button", name="letters/ü").click()
    browse.locator(".moc-chosen .moc-line", has_text="café").first.wait_for(timeout=30_000)
    browse.get_by_label("Filter").fill("")
    browse.get_by_role("tab", name=re.compile("Keys")).click()
    browse.get_by_role("button", name="visits").click()
    browse.locator(".moc-chosen .moc-line", has_text="12").wait_for(timeout=30_000)
    browse.get_by_role("tab", name=re.compile("Functions")).click()
    browse.get_by_role("button", name="pause", exact=True).click()
    browse.locator(".moc-chosen dd", has_text="_start() -> ()").wait_for(timeout=30_000)
    browse.get_by_role("tab", name=re.compile("Calls")).click()
    browse.locator("tbody .moc-open", has_text="pause").first.click()
    browse.locator(".moc-chosen").get_by_role("button", name="Cancel").click(timeout=30_000)
    browse.locator(".moc-chosen dd", has_text="cancelled").first.wait_for(timeout=30_000)
    page.screenshot(path=str(tmp_path / "seven.png"), clip={"x": 0, "y": 0, "width": 1280, "height": 2400})

    saved = save(page, path, 3)
    assert not [each for each in saved[1:] if "application/vnd.jupyter.widget-view+json" in each]
    page.reload()
    page.locator(".jp-Notebook .jp-Cell").first.wait_for(timeout=60_000)
    grid = inspector(page, 2)
    grid.get_by_role("tab", name="Hex").click()
    grid.locator(".moc-row:not([hidden])").first.wait_for()
    browse = inspector(page, 1)
    browse.get_by_role("tab", name=re.compile("Buffers")).click()
    browse.get_by_role("button", name="dot").click()
    browse.locator(".moc-chosen img").wait_for(timeout=30_000)
