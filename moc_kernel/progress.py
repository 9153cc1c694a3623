"""Progress below a cell: shown after half a second, gone when the work has ended.

Only where a person watches: a front end that allows no input (nbval, nbclient, papermill) is a machine, and its saved
outputs must not depend on how long the work took. In a terminal it is one line on stderr.
"""

from __future__ import annotations

import contextvars
import html
import sys
import threading
import time
import uuid
from collections.abc import Callable
from types import TracebackType
from typing import Any, Final, Self

DELAY_SECONDS: Final = 0.5
_INTERVAL_SECONDS: Final = 0.1
_IDLE_SECONDS: Final = 2.0
_ATTRIBUTE: Final = "moc_progress_alarm"


class CellProgress:
    """How far one long piece of work is. Use it in a ``with``; ``update`` may come from any thread."""

    def __init__(self, shell: Any, label: str, total: float | None = None) -> None:
        self._shell = shell
        self._label = label
        self._total = total
        self._done = 0.0
        self._lock = threading.Lock()
        self._alarm: Alarm | None = None
        self._display_id: str | None = None
        self._ended = False
        self._shown_at = 0.0

    def __enter__(self) -> Self:
        if is_watched(self._shell):
            # The kernel files a thread's output under the cell whose context the thread runs in.
            context = contextvars.copy_context()
            self._alarm = _alarm_of(self._shell)
            self._alarm.set(self, lambda: context.run(self._appear))
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.end()

    def end(self) -> None:
        """Take the progress away, for good; idempotent."""
        if self._alarm is not None:
            self._alarm.cancel(self)
        with self._lock:
            self._ended = True
            if self._display_id is not None:
                self._publish({"text/plain": "", "text/html": ""}, update=True)
                self._display_id = None

    def update(self, done: float | None = None, total: float | None = None, label: str | None = None) -> None:
        """Say how much is done, of how much; None leaves a value as it was."""
        with self._lock:
            self._done = self._done if done is None else done
            self._total = self._total if total is None else total
            self._label = self._label if label is None else label
            if self._display_id is not None and not self._ended:
                now = time.monotonic()
                if now - self._shown_at >= _INTERVAL_SECONDS:
                    self._shown_at = now
                    self._publish(self._bundle(), update=True)

    def _appear(self) -> None:
        with self._lock:
            if not self._ended:
                self._display_id = uuid.uuid4().hex
                self._publish(self._bundle(), update=False)

    def _bundle(self) -> dict[str, str]:
        label = html.escape(self._label)
        if not self._total:
            return {"text/plain": f"{self._label} …", "text/html": f"<div>{label} …</div>"}
        share = min(max(self._done / self._total, 0.0), 1.0)
        return {
            "text/plain": f"{self._label} {share:4.0%}",
            "text/html": f'<div><progress max="1" value="{share:.3f}" aria-label="{label}"></progress> {label}</div>',
        }

    def _publish(self, bundle: dict[str, str], *, update: bool) -> None:
        if has_front_end(self._shell):
            self._shell.display_pub.publish(bundle, transient={"display_id": self._display_id}, update=update)
        else:
            sys.stderr.write(f"\r\x1b[K{bundle['text/plain']}")
            sys.stderr.flush()


class Alarm:
    """Calls what is due after half a second. One thread for all, so that most work, which is over sooner, starts none.

    It looks ten times a second while there is work, and sleeps when there has been none for a while.
    """

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._due: dict[object, tuple[float, Callable[[], None]]] = {}
        self._wake = threading.Event()
        self._is_asleep = False
        self._thread: threading.Thread | None = None

    def set(self, key: object, action: Callable[[], None]) -> None:
        """Call `action`, on the alarm's thread, unless `key` is cancelled before that."""
        with self._lock:
            self._due[key] = time.monotonic() + DELAY_SECONDS, action
            if self._thread is None:
                self._thread = threading.Thread(target=self._run, name="moc_progress", daemon=True)
                self._thread.start()
            elif self._is_asleep:
                self._wake.set()

    def cancel(self, key: object) -> None:
        """Let `key` pass; idempotent."""
        with self._lock:
            self._due.pop(key, None)

    def _run(self) -> None:
        idle_since = time.monotonic()
        while True:
            time.sleep(_INTERVAL_SECONDS)
            now = time.monotonic()
            with self._lock:
                if self._due:
                    idle_since = now
                due = [key for key, (moment, _) in self._due.items() if moment <= now]
                actions = [self._due.pop(key)[1] for key in due]
                self._is_asleep = now - idle_since > _IDLE_SECONDS
                if self._is_asleep:
                    self._wake.clear()
            for action in actions:
                action()
            if self._is_asleep:
                self._wake.wait()
                idle_since = time.monotonic()


def _alarm_of(shell: Any) -> Alarm:
    alarm = getattr(shell, _ATTRIBUTE, None)
    if not isinstance(alarm, Alarm):
        alarm = Alarm()
        setattr(shell, _ATTRIBUTE, alarm)
    return alarm


def has_front_end(shell: Any) -> bool:
    """Tell whether `shell` belongs to a Jupyter kernel, rather than to a terminal."""
    return getattr(shell, "kernel", None) is not None


def is_watched(shell: Any) -> bool:
    """Tell whether a person sees what is shown now."""
    if has_front_end(shell):
        return bool(shell.get_parent().get("content", {}).get("allow_stdin"))
    return sys.stderr.isatty()
