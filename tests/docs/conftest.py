"""Reading the documentation: its tables, its code words and its links."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from support import ROOT

CODE = re.compile(r"`([^`]+)`")


class Page:
    """One page of the documentation."""

    def __init__(self, path: Path) -> None:
        self.text = path.read_text()

    def section(self, heading: str) -> str:
        """Give what stands between a heading and the next one of any level."""
        found = re.search(rf"^{re.escape(heading)}$(.*?)(?=^#{{1,6}} |\Z)", self.text, re.MULTILINE | re.DOTALL)
        assert found, f"there is no heading {heading!r}"
        return found[1]

    def table(self, *columns: str, below: str | None = None) -> list[list[str]]:
        """Give the rows of the one table that has these columns, on the whole page or below one heading."""
        text = self.text if below is None else self.section(below)
        header = re.escape(f"| {' | '.join(columns)} |")
        found = re.findall(rf"^{header}\n\|[-|:]+\|\n((?:\|.*\n?)*)", text, re.MULTILINE)
        assert len(found) == 1, f"{len(found)} tables have the columns {columns}"
        rows = [[cell.strip() for cell in line.strip().strip("|").split("|")] for line in found[0].splitlines()]
        for row in rows:
            assert len(row) == len(columns), row
        return rows


def code_words(text: str) -> list[str]:
    """Give what stands between backticks."""
    return CODE.findall(text)


def code_word(text: str) -> str:
    """Give the one thing that stands between backticks."""
    (word,) = code_words(text)
    return word


@pytest.fixture
def page():
    """Give a page by its path below ``docs``."""
    return lambda name: Page(ROOT / "docs" / name)


@pytest.fixture
def code():
    """Give the words between backticks."""
    return code_words


@pytest.fixture
def word():
    """Give the one word between backticks."""
    return code_word
