"""Looking through a gigabyte in JupyterLab: how soon the first page is there, how smoothly it scrolls, what is kept.

A server, a kernel and a headless Chromium, which draws without a graphics card and shares the processors with the
others.
"""

from __future__ import annotations

import json
import os
import re
import secrets
import shutil
import signal
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

from moc_server_ext import Cluster
from moc_server_ext.model import ArraySpec

from .harness import Measurement

PARTS, PART_BYTES = 8, 128 << 20
FRAMES = 300
SECONDS = 120

# Moves on in each frame, as fast as frames come, and tells what each of them took.
_SCROLL = """async ({frames, isBar}) => {
    const bar = document.querySelector(".moc-scroller");
    const most = bar.scrollHeight - bar.clientHeight;
    const frame = () => new Promise(done => requestAnimationFrame(done));
    bar.scrollTop = 0;
    await frame();
    const begin = performance.now();
    for (let turn = 1; turn <= frames; turn += 1) {
        if (isBar) {
            bar.scrollTop = most * turn / frames;
        } else {
            bar.dispatchEvent(new WheelEvent("wheel", {deltaY: 2000, cancelable: true}));
        }
        await frame();
    }
    return frames / (performance.now() - begin) * 1000;
}"""

# From the wish for the first page to its rows on the screen.
_OPEN = """() => new Promise(done => {
    const rows = document.querySelector(".moc-rows");
    const begin = performance.now();
    new MutationObserver((_, observer) => {
        observer.disconnect();
        done(performance.now() - begin);
    }).observe(rows, {childList: true});
    document.querySelector(".moc-head .moc-button").click();
})"""


def fill(storage: Path) -> None:
    """Store a gigabyte of zeros, which takes no room on the disk."""
    with Cluster.open(storage) as cluster:
        names = {f"c/{n}": secrets.token_hex(16) for n in range(PARTS)}
        for name in names.values():
            with (storage / "staging" / name).open("wb") as file:
                file.truncate(PART_BYTES)
        cluster.storage.buffers.adopt("vast", names, ArraySpec("uint8", (PARTS * PART_BYTES,), (PART_BYTES,)))


def measure(page: Any) -> tuple[float, float, float, float]:
    """Look through the buffer of the notebook that `page` has; see :func:`run`."""
    inspector = page.locator(".moc-place > .moc-inspector")
    for _ in range(6):
        page.get_by_role("menuitem", name="Run", exact=True).click()
        page.get_by_role("menuitem", name="Run All Cells", exact=True).click()
        page.wait_for_timeout(5000)
        if inspector.count():
            break
    inspector.get_by_role("tab", name="Hex").click()
    page.locator(".moc-row:not([hidden])").first.wait_for(timeout=1000 * SECONDS)
    first_ms = statistics.median(page.evaluate(_OPEN) for _ in range(9))
    session = page.context.new_cdp_session(page)

    def heap_bytes() -> float:
        session.send("HeapProfiler.collectGarbage")
        return float(session.send("Runtime.getHeapUsage")["backingStorageSize"]) + float(
            session.send("Runtime.getHeapUsage")["usedSize"]
        )

    before = heap_bytes()
    by_bar = page.evaluate(_SCROLL, {"frames": FRAMES, "isBar": True})
    by_wheel = page.evaluate(_SCROLL, {"frames": FRAMES, "isBar": False})
    return first_ms, by_bar, by_wheel, (heap_bytes() - before) / 1e6


def run() -> list[Measurement]:
    """Measure the first page, frames a second by the bar and by the wheel, and what the browser keeps afterwards."""
    chromium = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
    if chromium is None:
        return []
    from playwright.sync_api import sync_playwright

    with tempfile.TemporaryDirectory() as directory, sync_playwright() as playwright:
        home = Path(directory)
        fill(home / "storage")
        cell = {"cell_type": "code", "id": "c", "metadata": {}, "source": "%moc inspect vast", "outputs": []}
        kernel = {"name": "moc", "display_name": "My Own Cluster", "language": "python"}
        body = {"nbformat": 4, "nbformat_minor": 5, "metadata": {"kernelspec": kernel}}
        (home / "b.ipynb").write_text(json.dumps({**body, "cells": [{**cell, "execution_count": None}]}))
        command = [sys.executable, "-m", "moc_server_ext.cli", "serve", "--storage", str(home / "storage"),
                   "--port", "0", "--jupyter-port", "0", "--lab", "--notebook-dir", directory]  # fmt: skip
        log = home / "log"
        with log.open("wb") as output:
            server = subprocess.Popen(
                command, env={**os.environ, "HOME": directory}, stdout=output, stderr=subprocess.STDOUT
            )
        try:
            deadline, found = time.monotonic() + SECONDS, None
            while found is None and time.monotonic() < deadline:
                found = re.search(r"(http://127\.0\.0\.1:\d+/)\S*\?token=(\w+)", log.read_text())
                time.sleep(0.05)
            if found is None:
                raise RuntimeError(f"the server did not start:\n{log.read_text()}")
            browser = playwright.chromium.launch(executable_path=chromium, args=["--no-sandbox"])
            page = browser.new_page(viewport={"width": 1280, "height": 1000})
            page.goto(f"{found[1]}lab/tree/b.ipynb?token={found[2]}")
            page.locator(".jp-KernelName", has_text="My Own Cluster").first.wait_for(timeout=1000 * SECONDS)
            first_ms, by_bar, by_wheel, kept_mb = measure(page)
            browser.close()
        finally:
            server.send_signal(signal.SIGINT)
            server.wait(60)
    return [
        Measurement("inspector: first page of a buffer of 1 GiB", f"{first_ms:.0f} ms", "≤ 100 ms", first_ms <= 100),
        Measurement("inspector: frames a second, the bar dragged through 1 GiB", f"{by_bar:.0f}", "≥ 30", by_bar >= 30),
        Measurement("inspector: frames a second, by the wheel", f"{by_wheel:.0f}", "≥ 30", by_wheel >= 30),
        Measurement("inspector: kept in the browser afterwards", f"{kept_mb:.0f} MB", "≤ 100 MB", kept_mb <= 100),
    ]
