"""Frames: a call's output, stderr and end on one connection, as ``application/vnd.moc.frames``.

A frame is one byte that says its kind, four bytes of length (big-endian) and the payload. They come in this order: one
``BEGIN``; any number of ``OUTPUT`` and ``STDERR``; one ``RESULT`` or ``ERROR``, which is the last. A connection that
ends without one of these two was cut.
"""

from __future__ import annotations

from collections.abc import Iterator
from enum import IntEnum
from typing import Final

from .errors import InvalidInputError

CONTENT_TYPE: Final = "application/vnd.moc.frames"
MAX_PAYLOAD_BYTES: Final = 1 << 20
"""Largest payload of a frame; longer parts travel in several."""

_HEAD_BYTES: Final = 5


class Frame(IntEnum):
    """What a frame carries."""

    BEGIN = ord("C")
    """A JSON object with ``call_id``."""
    OUTPUT = ord("O")
    """A part of the output."""
    STDERR = ord("E")
    """A part of the guest's stderr."""
    RESULT = ord("R")
    """The call as ``CallResult.to_json`` has it, with neither output nor stderr in it."""
    ERROR = ord("X")
    """The error with which the call ended, as ``MocError.to_json`` has it."""


def encode(kind: Frame, payload: bytes) -> bytes:
    """Make one frame; a part that is too long for one becomes several of its kind."""
    if len(payload) <= MAX_PAYLOAD_BYTES:
        return b"%c%b%b" % (kind, len(payload).to_bytes(4, "big"), payload)
    pieces = range(0, len(payload), MAX_PAYLOAD_BYTES)
    return b"".join(encode(kind, payload[start : start + MAX_PAYLOAD_BYTES]) for start in pieces)


class Decoder:
    """Takes frames apart as their bytes come in."""

    def __init__(self) -> None:
        self._rest = bytearray()

    def feed(self, part: bytes) -> Iterator[tuple[Frame, bytes]]:
        """Give the frames that are complete with `part`.

        Raises
        ------
        InvalidInputError
            These are no frames. Nothing that follows can be read.
        """
        rest = self._rest
        rest += part
        while len(rest) >= _HEAD_BYTES:
            size = int.from_bytes(rest[1:_HEAD_BYTES], "big")
            if size > MAX_PAYLOAD_BYTES:
                raise InvalidInputError(f"A frame of {size:,} bytes was announced; at most {MAX_PAYLOAD_BYTES:,} are.")
            if len(rest) < _HEAD_BYTES + size:
                return
            try:
                kind = Frame(rest[0])
            except ValueError:
                raise InvalidInputError(f"A frame has the unknown kind {rest[0]}.") from None
            payload = bytes(rest[_HEAD_BYTES : _HEAD_BYTES + size])
            del rest[: _HEAD_BYTES + size]
            yield kind, payload
