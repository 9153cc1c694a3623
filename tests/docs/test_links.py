"""Links within the repository lead somewhere, headings included."""

from __future__ import annotations

import re
from pathlib import Path
from urllib.parse import unquote

import pytest

from support import ROOT

PAGES = [
    ROOT / "README.md",
    ROOT / "CONTRIBUTING.md",
    ROOT / "CHANGELOG.md",
    ROOT / "samples" / "README.md",
    *sorted((ROOT / "docs").rglob("*.md")),
]
LINK = re.compile(r"\[[^\]]*\]\(([^)\s]+)(?:\s+\"[^\"]*\")?\)")
FENCE = re.compile(r"^```.*?^```$", re.MULTILINE | re.DOTALL)


def prose(page: Path) -> str:
    return FENCE.sub("", page.read_text())


def links(page: Path) -> list[str]:
    """Give the targets that lie in the repository."""
    return [each for each in LINK.findall(prose(page)) if not re.match(r"[a-z]+:", each)]


def anchors(page: Path) -> set[str]:
    """Give the names under which a page's headings are reached."""
    headings = re.findall(r"^#+ (.*)$", prose(page), re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings}


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_every_link_leads_somewhere(page):
    broken = []
    for link in links(page):
        path, _, anchor = unquote(link).partition("#")
        target = (page.parent / path).resolve() if path else page
        if not target.exists() or not target.is_relative_to(ROOT) or (anchor and anchor not in anchors(target)):
            broken.append(link)
    assert not broken


def test_every_page_of_the_documentation_is_reached_from_the_readme():
    reached = {(ROOT / "README.md").resolve()}
    waiting = list(reached)
    while waiting:
        page = waiting.pop()
        for link in links(page):
            target = (page.parent / unquote(link).partition("#")[0]).resolve()
            # A link to a folder shows all that is in it.
            for each in sorted(target.glob("*.md")) if target.is_dir() else [target]:
                if each.suffix == ".md" and each.exists() and each not in reached:
                    reached.add(each)
                    waiting.append(each)
    assert {page.resolve() for page in PAGES} <= reached
