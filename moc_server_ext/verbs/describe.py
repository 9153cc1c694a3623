"""Registered functions in the words of people: their mode, and the entry points that somebody wrote."""

from __future__ import annotations

from ..invocation import choose_mode
from ..model import FunctionRecord, Mode
from ..model.exports import describe_export, entry_names

_SHOWN = 5


def mode_of(record: FunctionRecord) -> Mode:
    """Tell the mode in which a call without ``--mode`` starts the function."""
    return choose_mode(None, record.declaration.mode, record.exports)


def entry_points(record: FunctionRecord) -> list[str]:
    """Give the exports without those that toolchains add, as the module has them."""
    return [name for name in record.exports if name != "_initialize" and not name.startswith("__")]


def entry_points_text(record: FunctionRecord) -> str:
    """Write the first few entry points on one line."""
    names = entry_names(entry_points(record))
    shown = ", ".join(names[:_SHOWN]) or "-"
    return f"{shown} and {len(names) - _SHOWN} more" if len(names) > _SHOWN else shown


def how_to_call(record: FunctionRecord) -> str:
    """Write what a caller needs to know."""
    if mode_of(record) is Mode.POSIX:
        return "a program, called in posix mode"
    described = (describe_export(name, record.exports[name]) for name in entry_points(record))
    return ", ".join(described) or "it exports no function"
