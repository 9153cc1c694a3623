"""The reserve: a file that keeps a little room, so that a storage on a full disk can be opened and emptied.

A removal is a commit too, and needs room in SQLite's log. Without the reserve, a full disk could refuse the very
removals that would free it.
"""

from __future__ import annotations

import os
import threading
from pathlib import Path
from typing import Final

from .files import FILE_MODE, remove

RESERVE_BYTES: Final = 512 << 10
_LEAST_BYTES: Final = 64 << 10


class Reserve:
    """Room set aside in a file. Thread-safe; nothing here fails: what cannot be set aside now is set aside later."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._lock = threading.Lock()
        self._held = False

    def release(self) -> None:
        """Give the room back to the disk."""
        with self._lock:
            remove(self._path)
            self._held = False

    def restore(self) -> None:
        """Set room aside, unless it is; less of it, or none, where there is not enough."""
        if self._held:
            return
        with self._lock:
            size = RESERVE_BYTES
            while not self._held and size >= _LEAST_BYTES:
                self._held = _allocate(self._path, size)
                size //= 2


def _allocate(path: Path, size: int) -> bool:
    try:
        descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_NOFOLLOW | os.O_CLOEXEC, FILE_MODE)
        try:
            written = os.write(descriptor, bytes(size))
        finally:
            os.close(descriptor)
    except OSError:
        written = 0
    if written < size:
        remove(path)
    return written == size
