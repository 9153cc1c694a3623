"""What there is on a platform, as tables for the browse view: functions, buffers, keys and recent calls.

A cell is text, or a fact that the front end writes in the reader's own way: ``{"size"}`` in bytes, ``{"time"}`` in
seconds since 1970, ``{"duration"}`` in microseconds.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, Final

from moc_server_ext.errors import NotFoundError
from moc_server_ext.model import BufferRecord, CallRecord, CallState, FunctionRecord
from moc_server_ext.verbs.describe import entry_points_text, mode_of
from moc_server_ext.verbs.outcome import format_result

from .page import printable

if TYPE_CHECKING:
    from moc_server_ext.abc import Platform

ROWS: Final = 1000
"""How many things of a kind are listed."""

_CELL_CHARACTERS: Final = 4096

Cell = str | dict[str, Any]
Row = dict[str, Any]


def list_platform(platform: Platform) -> dict[str, Any]:
    """List what there is. Blocks; raises what the nouns raise."""
    functions, buffers = platform.functions.list(), platform.buffers.list()
    keys, calls = platform.kv.list(limit=ROWS + 1), platform.calls.list(limit=ROWS)
    return {
        "functions": _table(
            ("Name", "Entry points", "Mode", "Size"),
            [
                _row(each.name, [each.name, entry_points_text(each), mode_of(each).value, {"size": str(each.size)}])
                for each in functions[:ROWS]
            ],
            len(functions),
        ),
        "buffers": _table(
            ("Name", "What", "Size", "Stored"),
            [
                _row(each.name, [each.name, kind_of(each), {"size": str(each.size)}, {"time": each.created_at}])
                for each in buffers[:ROWS]
            ],
            len(buffers),
        ),
        "keys": _table(
            ("Key",),
            [_row(key.hex(), [key.decode(errors="backslashreplace")]) for key in keys[:ROWS]],
            len(keys),
        ),
        "calls": _table(
            ("Function", "State", "Gave", "Started", "Duration"),
            [
                _row(
                    each.call_id,
                    [
                        each.function,
                        each.state.value,
                        end_of(each),
                        {"time": each.started_at},
                        {"duration": each.duration_us},
                    ],
                    is_running=each.state is CallState.RUNNING,
                )
                for each in calls
            ],
            len(calls),
        ),
    }


def describe_function(platform: Platform, name: str) -> list[list[Any]]:
    """Tell what is known of a function, as pairs of a name and a value."""
    record: FunctionRecord = platform.functions.get(name)
    # Told below in their own way.
    told = ("name", "exports", "imports", "size", "created_at")
    body = {key: value for key, value in record.to_json().items() if key not in told}
    facts: list[list[Any]] = [
        ["mode", mode_of(record).value],
        ["exports", "\n".join(f"{entry}{signature}" for entry, signature in record.exports.items()) or "none"],
        *([["imports", "\n".join(map(str, record.imports))]] if record.imports else []),
        ["size", {"size": str(record.size)}],
        ["registered", {"time": record.created_at}],
        *(
            [key.replace("_", " "), _plain(value)]
            for key, value in body.items()
            if value not in (None, "", [], {}, False)
        ),
    ]
    return [[key, _shown(value, keep="\n")] for key, value in facts]


def describe_call(platform: Platform, call_id: str) -> tuple[list[list[Any]], bool]:
    """Tell what is known of a call, and whether it runs."""
    record = platform.calls.get(call_id)
    facts: list[list[Any]] = [
        ["call id", record.call_id],
        ["function", record.function],
        ["mode", record.mode.value],
        ["caller", record.caller],
        ["state", record.state.value],
        ["started", {"time": record.started_at}],
        ["duration", {"duration": record.duration_us}],
        ["input", {"size": str(record.input_bytes)}],
        ["output", {"size": str(record.output_bytes)}],
        ["gave", end_of(record)],
    ]
    if record.error is not None:
        facts.append(["error", str(record.error.get("message", ""))])
    if record.stderr:
        facts.append(["stderr", record.stderr.decode(errors="replace")])
    return [[name, _shown(value, keep="\n\t")] for name, value in facts], record.state is CallState.RUNNING


def kind_of(record: BufferRecord) -> str:
    """Tell what a buffer is, in a few words."""
    if record.array is not None:
        return f"{record.array.dtype} ({', '.join(f'{each:,}' for each in record.array.shape)})"
    if record.arrays:
        return f"group of {len(record.arrays):,} arrays"
    return record.content_type


def end_of(record: CallRecord) -> str:
    """Tell how a call ended: its number, its exit code, or its error's code."""
    if record.error is not None:
        return str(record.error.get("code", ""))
    if record.result is not None:
        return format_result(record.result)
    return "" if record.exit_code is None else f"exit code {record.exit_code}"


class ValueHandle:
    """The value of a key, to be looked into as a buffer is. Its content is read when it is asked for its record."""

    def __init__(self, platform: Platform, key: bytes) -> None:
        self.name = key.decode(errors="backslashreplace")
        self._platform = platform
        self._key = key
        self._content: bytes | None = None

    @property
    def record(self) -> BufferRecord:
        """Size and digest of the present value; KeyNotFoundError once it is deleted."""
        import hashlib

        content = self._platform.kv.get(self._key)
        self._content = content
        digest = hashlib.sha256(content).hexdigest()
        return BufferRecord(self.name, len(content), "application/octet-stream", {"sha256": digest}, 0.0)

    def read(self, start: int = 0, stop: int | None = None) -> bytes:
        """Read bytes ``[start, stop)`` of the value as it was last looked at."""
        if self._content is None:
            raise NotFoundError("The value was not read yet.")
        return self._content[start:stop]


def _table(columns: Sequence[str], rows: list[Row], count: int) -> dict[str, Any]:
    return {"columns": list(columns), "rows": rows, "left": max(count - len(rows), 0)}


def _row(identity: str, cells: Sequence[Cell], **more: Any) -> Row:
    return {"id": identity, "cells": [_shown(each) for each in cells], **more}


def _shown(cell: Cell, *, keep: str = "") -> Cell:
    if not isinstance(cell, str):
        return cell
    return printable(cell if len(cell) <= _CELL_CHARACTERS else cell[: _CELL_CHARACTERS - 1] + "…", keep=keep)


def _plain(value: Any) -> str:
    if isinstance(value, str):
        return value
    if isinstance(value, Mapping):
        return "\n".join(f"{key}: {_plain(each)}" for key, each in value.items())
    return ", ".join(map(str, value)) if isinstance(value, list | tuple) else json.dumps(value, ensure_ascii=False)
