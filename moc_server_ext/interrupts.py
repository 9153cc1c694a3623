"""Ctrl-C where an exception must not come, such as inside of a guest: taken note of there, delivered behind it.

A signal's handler runs at the next Python instruction, which inside a guest is the first one of a host function's
callback. An exception raised there would be printed and lost, and the guest would go on. So while a guest runs on the
main thread the handler only takes note, and the driver calls the real one between two polls.
"""

from __future__ import annotations

# The functions of `signal` itself turn each number into an enum member and back, for ten times the cost.
import _signal  # type: ignore[import-not-found]
import threading
from types import FrameType
from typing import Any, Final

_SIGINT: Final = int(_signal.SIGINT)


class DeferredInterrupt:
    """Holds SIGINT back while its owner is where it must not be left; does nothing outside of the main thread.

    Attributes
    ----------
    pending
        Whether the signal came.
    """

    __slots__ = ("_frame", "_main", "_previous", "pending")

    def __init__(self) -> None:
        self.pending = False
        self._frame: FrameType | None = None
        self._previous: Any = None
        self._main = threading.main_thread().ident

    def hold(self) -> None:
        """Take note only, from now on; idempotent."""
        if self._previous is None and threading.get_ident() == self._main:
            previous = _signal.getsignal(_SIGINT)
            # Ignored, left to the system or to C code: no exception can come of it.
            if callable(previous):
                self._previous = previous
                _signal.signal(_SIGINT, self._note)

    def release(self) -> None:
        """Put the real handler back, and call it if the signal came; it may raise ``KeyboardInterrupt``."""
        previous = self._previous
        if previous is not None:
            self._previous = None
            _signal.signal(_SIGINT, previous)
            if self.pending:
                self.pending = False
                frame, self._frame = self._frame, None
                previous(_SIGINT, frame)

    def _note(self, _number: int, frame: FrameType | None) -> None:
        self.pending = True
        self._frame = frame
