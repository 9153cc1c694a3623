"""How buffers, calls and the outcomes of verbs look in a notebook.

Everything is static and deterministic, and at most 64 KiB for one cell's output; what is cut says its size and how to
get the rest. The pages of bytes themselves are made by :mod:`moc_widgets.page`.
"""

from __future__ import annotations

import dataclasses
import sys
from typing import TYPE_CHECKING, Any, Final, TextIO

from moc_widgets.browse_page import browse_page
from moc_widgets.buffer_page import buffer_page
from moc_widgets.listing import list_platform
from moc_widgets.page import PAGE_BYTES, first_page
from moc_widgets.sniff import decode_text, image_type, media_type

from .handles import show_handle
from .inspecting import is_interactive, show_browse, show_inspector
from .progress import has_front_end

if TYPE_CHECKING:
    from moc_server_ext.client.client import Client
    from moc_server_ext.client.handles import BufferHandle
    from moc_server_ext.model import CallResult
    from moc_server_ext.verbs.outcome import BytesOutcome, CallOutcome, Outcome, TableOutcome

    from .live import LiveCall

OUTPUT_BYTES: Final = 64 << 10
"""What one cell shows at most, output and stderr together."""

_WARNINGS_BYTES: Final = 16 << 10
NOTE_BYTES: Final = 512
_TABLE_ROWS: Final = 200
_CELL_CHARACTERS: Final = 60


class Display:
    """Shows what verbs give back, in one shell.

    A verb's outcome is shown at once, so that each line of a cell is heard, and it is also the line's value. The value
    of a cell's last line would be shown a second time, by IPython: an object that was just shown is therefore left out
    until the cell has ended.
    """

    def __init__(self, shell: Any) -> None:
        self._shell = shell
        self._just_shown: object = None
        self._room_bytes = OUTPUT_BYTES
        self._is_full = False

    def show(self, outcome: Outcome) -> object:
        """Show `outcome` and give what the line's value is."""
        from moc_server_ext.verbs.outcome import (
            BrowseOutcome,
            BufferOutcome,
            BytesOutcome,
            CallOutcome,
            MessageOutcome,
            StartedOutcome,
            TableOutcome,
        )

        value: object = outcome
        if isinstance(outcome, CallOutcome):
            self._show_end(outcome)
            value = outcome.result
        elif isinstance(outcome, StartedOutcome):
            value = None
            # One that was kept is shown by its name, perhaps on this cell's last line.
            if outcome.kept_in is None:
                value = outcome.handle
                show_handle(self._shell, value)
        elif isinstance(outcome, BytesOutcome):
            if outcome.kept_in is None:
                self._show_bytes(outcome.content, outcome.content_type, repr(outcome.name))
        elif isinstance(outcome, BufferOutcome):
            value = outcome.handle
            self.show_buffer(outcome.handle)
        elif isinstance(outcome, BrowseOutcome):
            value = None
            self._show_browse(outcome.client)
        elif isinstance(outcome, TableOutcome):
            self._publish(table_bundle(outcome))
        else:
            self._write(_clipped(outcome.warnings, _WARNINGS_BYTES), sys.stderr)
            self._write(_clipped(outcome.to_text(), self._room_bytes))
            if isinstance(outcome, MessageOutcome):
                value = None
        self._just_shown = value
        return value

    def show_buffer(self, handle: BufferHandle) -> None:
        """Show what is in a buffer: where a person watches, to look around in."""
        bundle = buffer_bundle(handle)
        # One that cannot be read has no page, only a sentence.
        if "text/html" not in bundle or not is_interactive(self._shell):
            self._publish(bundle)
        elif self._take(size_of(bundle)):
            show_inspector(self._shell, handle, bundle)

    def _show_browse(self, client: Client) -> None:
        bundle = browse_page(client.origin, list_platform(client.platform))
        if not is_interactive(self._shell):
            self._publish(bundle)
        elif self._take(size_of(bundle)):
            show_browse(self._shell, client)

    def begin_cell(self, *_: object) -> None:
        """Treat every object as not yet shown, and begin with all the room; IPython calls this before each cell."""
        self._just_shown = None
        self._room_bytes = OUTPUT_BYTES
        self._is_full = False

    def skip_if_shown(self, value: object) -> None:
        """Show nothing for what was just shown; IPython's way to say "go on as usual" is NotImplementedError."""
        if self._just_shown is None or value is not self._just_shown:
            raise NotImplementedError

    def call_view(self, function: str, *, is_kept: bool) -> LiveCall:
        """Give what shows one call while it runs; use it in a ``with``."""
        from .live import LiveCall

        return LiveCall(self, self._shell, function, is_kept=is_kept)

    @property
    def room_bytes(self) -> int:
        """What this cell may still show."""
        return self._room_bytes

    def write_part(self, text: str, stream: TextIO) -> None:
        """Print a part of a longer text, as it is, as far as there is room."""
        content = text.encode(errors="replace")
        if len(content) > self._room_bytes:
            text = content[: self._room_bytes].decode(errors="ignore")
        self._room_bytes -= min(len(content), self._room_bytes)
        stream.write(text)

    def write_line(self, text: str, stream: TextIO | None = None) -> None:
        """Print with exactly one newline behind, if there is room; nothing for no text."""
        self._write(text, stream)

    def show_page(self, content: bytes, content_type: str) -> None:
        """Show the output of a call that is no text: as an image, or its first page."""
        self._show_bytes(content, content_type, "output")

    def say_full(self) -> None:
        """Say, once a cell, that no more is shown."""
        self._say_full()

    def _show_end(self, outcome: CallOutcome) -> None:
        """Show what is left to say when output and stderr were shown as they came."""
        from moc_server_ext.verbs.outcome import format_result

        result = outcome.result
        if result.result is not None and outcome.kept_in is None:
            self._write(format_result(result.result))
        if result.exit_code:
            self._write(f"moc: {outcome.function!r} ended with exit code {result.exit_code}", sys.stderr)

    def _show_bytes(self, content: bytes, content_type: str, title: str) -> None:
        room = self._room_bytes - NOTE_BYTES
        if room <= 0:
            self._say_full()
            return
        shown = content[:room]
        text = decode_text(shown, whole=len(shown) == len(content))
        if text is None or image_type(content[:PAGE_BYTES], content_type):
            self._publish(first_page(content, content_type=content_type, title=title))
            return
        self._write(text)
        if len(shown) < len(content):
            self._write(cut_note(len(text.encode()), len(content)))

    def _write(self, text: str, stream: TextIO | None = None) -> None:
        """Print with exactly one newline behind; nothing for no text."""
        if text and self._take(len(text.encode(errors="replace")) + 1):
            print(text, end="" if text.endswith("\n") else "\n", file=stream or sys.stdout)

    def _publish(self, bundle: dict[str, str]) -> None:
        if not has_front_end(self._shell):
            self._write(bundle["text/plain"])
        elif self._take(size_of(bundle)):
            self._shell.display_pub.publish(bundle)

    def _take(self, size: int) -> bool:
        """Take `size` bytes of the room that this cell has left; without room nothing more is shown."""
        if self._is_full or size > self._room_bytes:
            self._say_full()
            return False
        self._room_bytes -= size
        return True

    def _say_full(self) -> None:
        if not self._is_full:
            self._is_full = True
            print(f"… this cell has shown its {OUTPUT_BYTES >> 10} KiB; more is not shown, `-o NAME` keeps it")


def cut_note(shown: int, size: int) -> str:
    """Say how much of some bytes was shown, and how to get the rest."""
    return f"… the first {shown:,} of {size:,} bytes are shown; `-o NAME` keeps them all"


def table_bundle(outcome: TableOutcome) -> dict[str, str]:
    """Show a table as HTML and as text: its first rows, each cell's beginning, and how many more there are."""
    rows = [[_shortened(cell) for cell in row] for row in outcome.rows[:_TABLE_ROWS]]
    shown = dataclasses.replace(outcome, rows=rows)
    while rows and len(shown._repr_html_().encode()) + len(shown.to_text().encode()) > OUTPUT_BYTES - NOTE_BYTES:
        rows = rows[: len(rows) // 2]
        shown = dataclasses.replace(outcome, rows=rows)
    left = len(outcome.rows) - len(rows)
    note = f"… and {left:,} more; the value's `.rows` has them all" if left else ""
    text = "\n".join(part for part in (shown.to_text(), note) if part)
    return {"text/html": shown._repr_html_() + (f"<p>{note}</p>" if note else ""), "text/plain": text}


def buffer_bundle(handle: BufferHandle) -> dict[str, str]:
    """Show a stored buffer: its first page."""
    return buffer_page(handle)


def call_bundle(result: CallResult) -> dict[str, str]:
    """Show a call's result: its number or exit code, and the first page of its output."""
    facts = []
    if result.result is not None:
        facts.append(f"result={result.result!r}")
    if result.exit_code is not None:
        facts.append(f"exit_code={result.exit_code}")
    if result.stderr:
        facts.append(f"stderr={len(result.stderr):,} bytes")
    title = f"CallResult({', '.join(facts)})"
    if not result.output:
        return {"text/plain": title}
    declared = media_type(result.output_headers.get("content-type", ""))
    return first_page(
        result.output[:PAGE_BYTES], size=len(result.output), content_type=declared, title=f"{title} with output"
    )


def bytes_bundle(outcome: BytesOutcome) -> dict[str, str]:
    """Show bytes that a verb gave: their first page."""
    return first_page(outcome.content, content_type=outcome.content_type, title=repr(outcome.name))


def _shortened(cell: str | int | float) -> str | int | float:
    if isinstance(cell, str) and len(cell) > _CELL_CHARACTERS:
        return f"{cell[: _CELL_CHARACTERS - 1]}…"
    return cell


def size_of(bundle: dict[str, str]) -> int:
    """Tell how many bytes of a notebook a bundle takes."""
    return sum(len(each.encode()) for each in bundle.values())


def _clipped(text: str, limit_bytes: int) -> str:
    content = text.encode(errors="replace")
    if len(content) < limit_bytes:
        return text
    shown = content[: max(limit_bytes - NOTE_BYTES, 0)].decode(errors="ignore")
    return f"{shown}\n… {len(content):,} bytes in all"
