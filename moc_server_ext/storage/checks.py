"""Which object files were checked lately, so that reading them again and again costs no more than reading them.

A checksum takes a third of the time that reading from the page cache does. What was read whole and found to be what was
stored, is not checked again for a minute while nobody has touched the file.
"""

from __future__ import annotations

import threading
import time
from typing import Final

from .objects import ObjectFile

_SECONDS: Final = 60.0
_FILES_MAX: Final = 4096


class Checks:
    """The files that were checked lately. Thread-safe."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._checked: dict[str, tuple[tuple[int, ...], float]] = {}

    def is_checked(self, object_id: str, file: ObjectFile) -> bool:
        """Tell whether the file was checked lately, and is still the same."""
        found = self._checked.get(object_id)
        return found is not None and time.monotonic() - found[1] < _SECONDS and found[0] == file.state()

    def note(self, object_id: str, file: ObjectFile, state: tuple[int, ...]) -> None:
        """Note that the file was found to be what was stored; `state` is what it was before it was read."""
        if state != file.state():
            return
        with self._lock:
            self._checked.pop(object_id, None)
            self._checked[object_id] = (state, time.monotonic())
            if len(self._checked) > _FILES_MAX:
                del self._checked[next(iter(self._checked))]
