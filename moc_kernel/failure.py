"""Errors in a cell: one clean message instead of a traceback, while the exception keeps its class.

The cell still fails, so "Run All" stops there and a notebook test sees it, and ``except FunctionNotFoundError`` around
a magic works. With ``MOC_DEBUG=1`` tracebacks stay.
"""

from __future__ import annotations

import os
from typing import Final

_RED: Final = "\x1b[31m"
_PLAIN: Final = "\x1b[0m"
_MAX_CHARACTERS: Final = 32 << 10


def without_traceback(error: BaseException, text: str) -> None:
    """Make IPython show `text` for `error`, in the colour of errors, and nothing else."""
    if os.environ.get("MOC_DEBUG"):
        return
    if len(text) > _MAX_CHARACTERS:
        text = f"{text[:_MAX_CHARACTERS]}\n… {len(text) - _MAX_CHARACTERS:,} more characters"
    lines = [f"{_RED}{line}{_PLAIN}" for line in text.splitlines()]
    # The hook that IPython offers to exceptions; on the instance, so that the class stays what it is.
    error._render_traceback_ = lambda: lines  # type: ignore[attr-defined]
