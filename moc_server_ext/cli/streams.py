"""Stdin, stdout and stderr of this process as the streams of a guest, for ``moc run``."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator
from typing import BinaryIO

from ..abc import Bytes
from ..buffers.exchange import ExchangeBuffer
from ..guest_api.context import CallContext
from .show import write_through

_READ_BYTES = 65536


def stdin_parts() -> Iterator[bytes]:
    """Read this process's stdin in parts, as they come."""
    while sys.stdin is not None and (part := os.read(0, _READ_BYTES)):
        yield part


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
