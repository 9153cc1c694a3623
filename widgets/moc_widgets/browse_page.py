"""What there is on a platform as static HTML and as plain text: what a notebook keeps of the browse view.

Names, sizes and kinds; neither times nor calls, so that the same platform gives the same page.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

from moc_server_ext.verbs.outcome import format_size

from .page import figure, preformatted

_ROWS: Final = 40
_CELL_CHARACTERS: Final = 60
_KINDS: Final = (("functions", "Functions", (0, 1, 3)), ("buffers", "Buffers", (0, 1, 2)), ("keys", "Keys", (0,)))


def browse_page(origin: str, listing: Mapping[str, Any]) -> dict[str, str]:
    """Show what `listing` has (see :func:`.listing.list_platform`) as a MIME bundle."""
    caption = f"My Own Cluster, {origin}"
    parts = []
    for kind, title, columns in _KINDS:
        table = listing[kind]
        rows = [[_text(row["cells"][column]) for column in columns] for row in table["rows"][:_ROWS]]
        left = len(table["rows"]) - len(rows) + table["left"]
        widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
        lines = ["  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip() for row in rows]
        lines += [f"… and {left:,} more"] if left else []
        parts.append((f"{title} ({len(rows) + left:,})", "\n".join(lines) or "none"))
    body = "".join(figure(title, preformatted(text, title, "white-space:pre")) for title, text in parts)
    plain = "\n".join([caption, *(f"{title}\n{text}" for title, text in parts)])
    return {"text/html": figure(caption, body), "text/plain": plain}


def _text(cell: Any) -> str:
    text = cell if isinstance(cell, str) else format_size(int(cell["size"]))
    return text if len(text) <= _CELL_CHARACTERS else text[: _CELL_CHARACTERS - 1] + "…"
