"""Several inputs of a call as one ``multipart/form-data`` body (RFC 7578), without joining them in memory."""

from __future__ import annotations

import secrets
from collections.abc import Iterator, Mapping, Sequence
from typing import Final

from ..errors import InvalidInputError
from ..model import DEFAULT_CONTENT_TYPE, CallInput

_ARRAY_HEADERS: Final = ("moc-dtype", "moc-shape")
_PIECE_BYTES: Final = 256 << 10


class Form:
    """The inputs of one call as they go over the wire.

    Parameters
    ----------
    inputs
        Whatever they hold, their headers must be visible ASCII.

    Attributes
    ----------
    content_type
        Of the body, with what separates its parts.

    Raises
    ------
    InvalidInputError
        The header of an input cannot be sent.
    """

    def __init__(self, inputs: Sequence[CallInput]) -> None:
        # Chosen at random so that no input can hold it.
        boundary = secrets.token_hex(16)
        self.content_type = f"multipart/form-data; boundary={boundary}"
        self._inputs = inputs
        self._heads = [
            _head(f"--{boundary}" if index == 0 else f"\r\n--{boundary}", index, each.headers)
            for index, each in enumerate(inputs)
        ]
        self._end = f"\r\n--{boundary}--\r\n".encode()

    def body(self) -> list[memoryview]:
        """Give the body in parts, which share the bytes of the inputs."""
        parts: list[memoryview] = []
        for head, each in zip(self._heads, self._inputs, strict=True):
            parts += [memoryview(head), memoryview(each.content).cast("B")]
        return [*parts, memoryview(self._end)]

    def body_from(self, source: Iterator[bytes]) -> Iterator[bytes]:
        """Give the body in parts, with those of `source` as the first input."""
        yield self._heads[0]
        yield from source
        for part in self.body()[2:]:
            for start in range(0, len(part), _PIECE_BYTES):
                yield bytes(part[start : start + _PIECE_BYTES])


def headers_to_send(told: Mapping[str, str]) -> list[tuple[str, str]]:
    """Give what goes with an input's bytes: their type, and what array they are."""
    found = [("Content-Type", told.get("content-type", DEFAULT_CONTENT_TYPE))]
    return found + [(name, told[name]) for name in _ARRAY_HEADERS if name in told]


def _head(start: str, index: int, told: Mapping[str, str]) -> bytes:
    lines = [start, f'Content-Disposition: form-data; name="input{index}"']
    for name, value in headers_to_send(told):
        if not (value.isascii() and value.isprintable()):
            raise InvalidInputError(f"Input {index} has a header {name} that cannot be sent: {value[:64]!r}.")
        lines.append(f"{name}: {value}")
    return "\r\n".join([*lines, "", ""]).encode()
