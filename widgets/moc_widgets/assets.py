"""What widgets bring to the browser, from ``static/``: a script is one module, joined from parts that stand in order.

A widget's script comes over the kernel's connection: it can import neither from a server nor from beside itself.
"""

from __future__ import annotations

from pathlib import Path
from typing import Final

from .palette import palette

_STATIC: Final = Path(__file__).parent / "static"

INSPECTOR_PARTS: Final = (
    "elements",
    "numbers",
    "pages",
    "scroller",
    "hex",
    "text",
    "search",
    "canvas",
    "plane",
    "line",
    "array",
    "image",
    "inspector",
)


def script(*names: str) -> str:
    """Join scripts, by their names below ``static/``, into one module."""
    return "\n".join((_STATIC / f"{name}.js").read_text(encoding="utf-8") for name in names)


def style(*names: str) -> str:
    """Join style sheets."""
    return "\n".join((_STATIC / f"{name}.css").read_text(encoding="utf-8") for name in names)


def inspector_script(face: str) -> str:
    """Give the inspector's parts and behind them `face`, which puts them to use; the colours come from one table."""
    colours = f'const PALETTE_HEX = "{palette().hex()}";'
    parts = [f"inspector/{name}" for name in INSPECTOR_PARTS]
    return "\n".join((colours, script(*parts, "place", face)))
