"""A real browser."""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable, Iterator
from typing import Any

import pytest

CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")


# No longer: while Playwright is there, its event loop runs on this thread, and other tests have their own.
@pytest.fixture(scope="module")
def browser() -> Iterator[Any]:
    """Give a headless Chromium."""
    if CHROMIUM is None:
        pytest.skip("no Chromium here: install one to run the browser tests")
    from playwright.sync_api import sync_playwright

    quiet = ["--no-first-run", "--disable-background-networking", "--disable-component-update", "--disable-sync"]
    if os.geteuid() == 0:
        quiet.append("--no-sandbox")
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=quiet)
        yield browser
        browser.close()


@pytest.fixture
def page(browser: Any) -> Iterator[Any]:
    """Give a page of its own, without what other tests left in the browser."""
    # High enough for the whole notebook: JupyterLab takes cells away that are out of sight.
    context = browser.new_context(viewport={"width": 1280, "height": 9000})
    page = context.new_page()
    page.set_default_timeout(60_000)
    yield page
    context.close()


@pytest.fixture
def run_all_cells(page: Any) -> Callable[[str], None]:
    """Open a notebook of the moc kernel at its address and run it as a person does."""

    def run(address: str) -> None:
        page.goto(address)
        # The kernel's name in the notebook's own toolbar says that the moc kernel was found, idle that it has started:
        # cells that are run before would ask which kernel to start.
        page.locator(".jp-KernelName", has_text="My Own Cluster").first.wait_for()
        page.locator(".jp-Notebook-ExecutionIndicator[data-status='idle']").first.wait_for()
        page.get_by_role("menuitem", name="Run", exact=True).click()
        page.get_by_role("menuitem", name="Run All Cells", exact=True).click()

    return run
