"""Errors in a cell: one clean message instead of a traceback, while the exception keeps its class.

The cell still fails, so "Run All" stops there and a notebook test sees it, and ``except FunctionNotFoundError`` around
a magic works. An error of the Python client also tells the person's own lines that led to it, and leaves out moc's.
With ``MOC_DEBUG=1`` tracebacks stay.
"""

from __future__ import annotations

import os
import traceback
from types import TracebackType
from typing import Any, Final

_RED: Final = "\x1b[31m"
_PLAIN: Final = "\x1b[0m"
_MAX_CHARACTERS: Final = 32 << 10
_SHELLS: Final = frozenset({"IPython", "ipykernel"})
_OURS: Final = frozenset({"moc_server_ext", "moc_kernel"})


def without_traceback(error: BaseException, text: str) -> None:
    """Make IPython show `text` for `error`, in the colour of errors, and nothing else."""
    if os.environ.get("MOC_DEBUG"):
        return
    if len(text) > _MAX_CHARACTERS:
        text = f"{text[:_MAX_CHARACTERS]}\n… {len(text) - _MAX_CHARACTERS:,} more characters"
    lines = [f"{_RED}{line}{_PLAIN}" for line in text.splitlines()]
    # The hook that IPython offers to exceptions; on the instance, so that the class stays what it is.
    error._render_traceback_ = lambda: lines  # type: ignore[attr-defined]


def show_errors_cleanly(shell: Any) -> None:
    """Let `shell` show the platform's errors without moc's own lines; idempotent."""
    from moc_server_ext.errors import MocError

    # IPython has one place for this; whoever took it before keeps it.
    if not getattr(shell, "custom_exceptions", ()):
        shell.set_custom_exc((MocError,), _show)


def stop_showing_errors(shell: Any) -> None:
    """Take :func:`show_errors_cleanly` back."""
    if [each.__name__ for each in getattr(shell, "custom_exceptions", ())] == ["MocError"]:
        shell.set_custom_exc((), None)


def _show(
    shell: Any, kind: type[BaseException], error: Any, trace: TracebackType | None, tb_offset: int | None = None
) -> None:
    from moc_server_ext.verbs.invoke import error_text

    if not hasattr(error, "_render_traceback_"):  # A magic has already said how its error is shown.
        without_traceback(error, "\n".join([f"moc: {error_text(error)}", *_own_lines(shell, trace)]))
    shell.showtraceback((kind, error, trace), tb_offset=tb_offset)


def _own_lines(shell: Any, trace: TracebackType | None) -> list[str]:
    """Give the lines of the person's code that led into moc, outermost first."""
    lines = []
    for frame, number in traceback.walk_tb(trace):
        package = str(frame.f_globals.get("__name__")).partition(".")[0]
        if package in _OURS:
            break
        if package in _SHELLS:
            continue
        summary = traceback.FrameSummary(frame.f_code.co_filename, number, frame.f_code.co_name)
        kind, name = shell.compile.format_code_name(summary.filename) or ("File", summary.filename)
        lines.append(f"  {kind} {name}, line {number}: {summary.line}")
    return lines
