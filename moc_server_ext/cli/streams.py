"""Stdin, stdout and stderr of this process as the streams of a guest, for ``moc run``."""

from __future__ import annotations

import os
import sys
from typing import BinaryIO

from ..abc import Bytes
from ..buffers.exchange import ExchangeBuffer
from ..guest_api.context import CallContext
from .show import write_through

_READ_BYTES = 65536


class StdinBuffer(ExchangeBuffer):
    """Input that is read from stdin when the guest reads it, and never before."""

    __slots__ = ("_ended", "_part")

    def __init__(self) -> None:
        super().__init__(b"")
        self._part = memoryview(b"")
        self._ended = sys.stdin is None

    def peek(self) -> memoryview:
        """Give what is left of the last read; wait for the next one when there is nothing left."""
        if not self._part and not self._ended:
            self._part = memoryview(os.read(0, _READ_BYTES))
            self._ended = not self._part
        return self._part

    def advance(self, count: int) -> None:
        """Consume `count` bytes."""
        self._part = self._part[count:]


class StreamBuffer(ExchangeBuffer):
    """Output that goes on to a stream as it is written; nothing is kept.

    Attributes
    ----------
    broken
        Whether the stream's reader went away, which ended the guest.
    in_line
        Whether the last line that was written has no end yet.
    """

    __slots__ = ("_stream", "broken", "in_line")

    def __init__(self, stream: BinaryIO) -> None:
        super().__init__()
        self._stream = stream
        self.broken = False
        self.in_line = False

    def write(self, part: Bytes) -> None:
        """Write one part through."""
        try:
            write_through(self._stream, part)
        except BrokenPipeError:
            self.broken = True
            raise
        if part:
            self.in_line = bytes(part[-1:]) != b"\n"


class TerminalContext(CallContext):
    """A call whose stderr is this process's."""

    __slots__ = ()

    def write_stderr(self, text: bytes) -> None:
        """Write through, without a limit: nothing of it is kept."""
        write_through(sys.stderr.buffer, text)
