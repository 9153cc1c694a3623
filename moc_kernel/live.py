"""A call as it is seen below its cell while it runs: text and stderr as they come, all else at the end.

What a cell shows is bounded, and what a machine saves must not depend on timing: parts of one stream are joined by
whoever saves the notebook, and where nobody watches, stderr waits for the end, so that the two are never interleaved.
"""

from __future__ import annotations

import codecs
import sys
from dataclasses import replace
from types import TracebackType
from typing import TYPE_CHECKING, Any, Final, Self

from moc_server_ext.abc import CallStreams
from moc_server_ext.errors import GuestError
from moc_server_ext.verbs.outcome import CallOutcome
from moc_widgets.page import printable
from moc_widgets.sniff import TextDecoder

from .display import NOTE_BYTES, Display, cut_note
from .progress import CellProgress, is_watched

if TYPE_CHECKING:
    from moc_server_ext.model import CallResult

_STDERR_HEAD_BYTES: Final = 12 << 10
_STDERR_TAIL_BYTES: Final = 4 << 10


class LiveCall:
    """One call: the :class:`moc_server_ext.verbs.host.CallView` of a notebook. Used on the thread that calls.

    Parameters
    ----------
    is_kept
        The output goes to a variable, and is not shown.
    """

    def __init__(self, display: Display, shell: Any, function: str, *, is_kept: bool) -> None:
        self._function = function
        self._progress = CellProgress(shell, f"calling {function!r}")
        self._output = _LiveOutput(display, self._progress)
        self._stderr = _LiveStderr(display, self._progress)
        self._is_kept = is_kept
        self._is_watched = is_watched(shell)

    def __enter__(self) -> Self:
        self._progress.__enter__()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._progress.end()
        if error is not None:
            self._output.end_line()
            self._end_stderr()
            if isinstance(error, GuestError):
                error.leave_out_stderr()

    @property
    def streams(self) -> CallStreams:
        """What shows and keeps the parts."""
        return CallStreams(
            output=None if self._is_kept else self._output.take,
            stderr=self._stderr.take if self._is_watched else self._stderr.keep,
        )

    def ended(self, result: CallResult) -> CallOutcome:
        """Show what was left for the end, and give the outcome with all that came."""
        self._progress.end()
        if not self._is_kept:
            content = b"".join(self._output.parts)
            self._output.end(content, result.output_headers.get("content-type", ""))
            result = replace(result, output=content)
        self._end_stderr()
        return CallOutcome(replace(result, stderr=b"".join(self._stderr.parts)), self._function, is_shown=True)

    def _end_stderr(self) -> None:
        if not self._is_watched:
            self._stderr.show_kept()
        self._stderr.end()


class _LiveOutput:
    """The output: text is shown as it comes, and what is none as a page at the end."""

    def __init__(self, display: Display, progress: CellProgress) -> None:
        self.parts: list[bytes] = []
        self._display = display
        self._progress = progress
        self._decoder = TextDecoder()
        self._size = 0
        self._shown = 0
        self._is_held = False
        self._is_cut = False
        self._in_line = False

    def take(self, part: bytes) -> None:
        """Keep a part, and show it if it can be shown now."""
        # What may be an image that calls itself one only at the end is text as well.
        first = not self.parts
        self.parts.append(part)
        self._size += len(part)
        if self._is_held or self._is_cut or (first and part.lstrip()[:1] == b"<"):
            self._is_held = not self._is_cut
            return
        # The notes, and what stderr may have to say, must fit as well.
        room = self._display.room_bytes - NOTE_BYTES
        if room <= 0:
            self._is_cut = True
            self._display.say_full()
            return
        text = self._decoder.decode(part[:room])
        if text is None:
            self._is_held = True
            return
        self._is_cut = len(part) > room
        self._show(text)

    def end(self, content: bytes, content_type: str) -> None:
        """Show the rest: what was held back, or how much was left out."""
        if self._is_held or (not self._is_cut and self._decoder.decode(b"", final=True) is None):
            self.end_line()
            self._display.show_page(content, content_type)
            return
        self.end_line()
        if self._is_cut and self._shown:
            self._display.write_line(cut_note(self._shown, self._size))

    def end_line(self) -> None:
        """End the line that was begun."""
        if self._in_line:
            self._in_line = False
            self._display.write_part("\n", sys.stdout)

    def _show(self, text: str) -> None:
        if text:
            self._progress.end()
            self._shown += len(text.encode())
            self._in_line = not text.endswith("\n")
            self._display.write_part(text, sys.stdout)


class _LiveStderr:
    """The guest's stderr: its beginning as it comes, and its last words at the end."""

    def __init__(self, display: Display, progress: CellProgress) -> None:
        self.parts: list[bytes] = []
        self._display = display
        self._progress = progress
        self._decoder = codecs.getincrementaldecoder("utf-8")(errors="replace")
        self._size = 0
        self._seen = 0
        self._shown = 0
        self._tail = b""
        self._in_line = False

    def keep(self, part: bytes) -> None:
        """Keep a part for the end."""
        self.parts.append(part)
        self._size += len(part)

    def take(self, part: bytes) -> None:
        """Keep a part, and show it as far as it belongs to the beginning."""
        self.keep(part)
        self._look_at(part)

    def show_kept(self) -> None:
        """Show what was kept, as if it came now."""
        for part in self.parts:
            self._look_at(part)

    def end(self) -> None:
        """Show the last words, if they are not shown yet."""
        hidden = self._size - self._shown
        if hidden:
            self._end_line()
            tail = self._tail[-min(_STDERR_TAIL_BYTES, hidden) :]
            if hidden > len(tail):
                self._display.write_line(f"… the last {len(tail):,} of {self._size:,} bytes of stderr:", sys.stderr)
            self._display.write_line(_readable(tail.decode(errors="replace")), sys.stderr)
        else:
            self._write(self._decoder.decode(b"", final=True))
        self._end_line()

    def _look_at(self, part: bytes) -> None:
        room = min(_STDERR_HEAD_BYTES - self._shown, self._display.room_bytes - _STDERR_TAIL_BYTES - NOTE_BYTES)
        head = part[: max(room, 0)] if not self._tail else b""
        self._shown += len(head)
        self._write(self._decoder.decode(head))
        rest = part[len(head) :]
        if rest:
            self._tail = (self._tail + rest)[-_STDERR_TAIL_BYTES:]

    def _write(self, text: str) -> None:
        if text:
            self._progress.end()
            readable = _readable(text)
            self._in_line = not readable.endswith("\n")
            self._display.write_part(readable, sys.stderr)

    def _end_line(self) -> None:
        if self._in_line:
            self._in_line = False
            self._display.write_part("\n", sys.stderr)


def _readable(text: str) -> str:
    return printable(text, keep="\n\t\r\b\f\x1b")
