"""A call's input on its way to the server: read by a thread of its own, because reading may block.

What was sent first is kept, so that it can be sent again to a server that took nothing of it.
"""

from __future__ import annotations

import contextlib
import os
import threading
from collections import deque
from collections.abc import Iterator
from typing import Final

CAPACITY_BYTES: Final = 1 << 20
REPEATABLE_BYTES: Final = 1 << 20


class Feed:
    """The parts of one call's input. One thread takes them.

    Parameters
    ----------
    source
        Gives the parts, on this object's thread and only as fast as they are taken; what it raises comes out of
        :meth:`take`. Empty parts are passed over.
    """

    def __init__(self, source: Iterator[bytes]) -> None:
        self._source = source
        self._changed = threading.Condition()
        self._parts: deque[bytes] = deque()
        self._held = 0
        self._sent: list[bytes] | None = []
        self._sent_bytes = 0
        self._over = False
        self._error: BaseException | None = None
        self._closed = False
        self._wake_read, self._wake_write = os.pipe()
        self._is_awake = False
        threading.Thread(target=self._read, name="moc_input", daemon=True).start()

    def fileno(self) -> int:
        """Give what becomes readable when :meth:`take` has something."""
        return self._wake_read

    def take(self) -> bytes | None:
        """Give the next part, an empty one at the end, or None when nothing is there yet; never blocks.

        Raises
        ------
        BaseException
            What the source raised, behind the parts that it gave before.
        """
        with self._changed:
            if self._parts:
                part = self._parts.popleft()
                self._held -= len(part)
                self._changed.notify()
                self._keep(part)
                return part
            if self._error is not None:
                raise self._error
            if self._over:
                return b""
            if self._is_awake:
                os.read(self._wake_read, 1)
                self._is_awake = False
            return None

    def rewind(self) -> bool:
        """Give everything once more from the start; False when too much has been taken for that."""
        with self._changed:
            if self._sent is None:
                return False
            self._parts.extendleft(reversed(self._sent))
            self._held += self._sent_bytes
            self._sent, self._sent_bytes = [], 0
            return True

    def close(self) -> None:
        """Take no more from the source; idempotent. A source that blocks is left to itself."""
        with self._changed:
            if self._closed:
                return
            self._closed = True
            self._parts.clear()
            self._sent = None
            self._changed.notify()
            os.close(self._wake_read)
            os.close(self._wake_write)

    def _keep(self, part: bytes) -> None:
        self._sent_bytes += len(part)
        if self._sent_bytes > REPEATABLE_BYTES:
            self._sent = None
        elif self._sent is not None:
            self._sent.append(part)

    def _read(self) -> None:
        error: BaseException | None = None
        try:
            for part in self._source:
                with self._changed:
                    while self._held >= CAPACITY_BYTES and not self._closed:
                        self._changed.wait()
                    if self._closed:
                        break
                    if part:
                        self._parts.append(part)
                        self._held += len(part)
                        self._wake()
        except BaseException as raised:  # It belongs to whoever takes the parts, on the other thread.
            error = raised
        finally:
            close = getattr(self._source, "close", None)
            if close is not None:
                with contextlib.suppress(Exception):  # A generator's clean-up has nobody to tell.
                    close()
        with self._changed:
            self._over, self._error = True, error
            if not self._closed:
                self._wake()

    def _wake(self) -> None:
        if not self._is_awake:
            self._is_awake = True
            os.write(self._wake_write, b"\0")
