"""Progress in a terminal: shown on stderr once something takes longer than half a second, and gone at its end."""

from __future__ import annotations

import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from rich.progress import Progress, TaskID

DELAY_SECONDS = 0.5


class TerminalProgress:
    """One line that tells how far something is. A timer's thread shows it, so everything is under one lock."""

    def __init__(self, label: str, total: float | None) -> None:
        self._label = label
        self._total = total
        self._done = 0.0
        self._lock = threading.Lock()
        self._ended = False
        self._shown: tuple[Progress, TaskID] | None = None
        self._timer = threading.Timer(DELAY_SECONDS, self._show)
        self._timer.daemon = True

    def start(self) -> None:
        """Begin the half second."""
        self._timer.start()

    def update(self, done: float | None = None, total: float | None = None, label: str | None = None) -> None:
        """Say how much is done, of how much; None leaves a value as it was."""
        with self._lock:
            self._done = self._done if done is None else done
            self._total = self._total if total is None else total
            self._label = self._label if label is None else label
            if self._shown is not None:
                display, task = self._shown
                display.update(task, completed=self._done, total=self._total, description=self._label)

    def end(self) -> None:
        """Take the line away, for good; idempotent."""
        self._timer.cancel()
        with self._lock:
            self._ended = True
            if self._shown is not None:
                self._shown[0].stop()
                self._shown = None

    def _show(self) -> None:
        from rich.console import Console
        from rich.progress import BarColumn, Progress, SpinnerColumn, TextColumn, TimeElapsedColumn

        with self._lock:
            if self._ended:
                return
            display = Progress(
                SpinnerColumn(),
                TextColumn("{task.description}", markup=False),
                BarColumn(bar_width=30),
                TimeElapsedColumn(),
                console=Console(file=sys.stderr),
                transient=True,
            )
            task = display.add_task(self._label, total=self._total, completed=int(self._done))
            display.start()
            self._shown = display, task


class SilentProgress:
    """Progress where nobody looks: stderr is no terminal."""

    def update(self, done: float | None = None, total: float | None = None, label: str | None = None) -> None:
        """Show nothing."""

    def end(self) -> None:
        """Have nothing to take away."""


@contextmanager
def terminal_progress(label: str, total: float | None = None) -> Iterator[TerminalProgress | SilentProgress]:
    """Show progress inside the ``with`` when stderr is a terminal."""
    if sys.stderr is None or not sys.stderr.isatty():
        yield SilentProgress()
        return
    progress = TerminalProgress(label, total)
    progress.start()
    try:
        yield progress
    finally:
        progress.end()
