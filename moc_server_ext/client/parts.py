"""Content that a person gives in parts: a file, or anything that iterates over bytes. Nothing of it is kept."""

from __future__ import annotations

import os
import stat
from collections.abc import Callable, Iterable, Iterator
from typing import Any

from ..abc import Bytes
from ..errors import InvalidInputError

PART_BYTES = 256 << 10


class SizedParts:
    """Parts of which it is known how many bytes they have together.

    Parameters
    ----------
    parts
        If it is no iterator, it gives them once more each time that it is iterated.
    size
        None if that is not known after all.

    Attributes
    ----------
    is_repeatable
        Whether they can be iterated again.
    """

    def __init__(self, parts: Iterable[Bytes], size: int | None) -> None:
        self._parts = parts
        self.size = size
        self.is_repeatable = not isinstance(parts, Iterator)

    def __iter__(self) -> Iterator[Bytes]:
        return iter(self._parts)


class FileParts(SizedParts):
    """What follows in a binary file, in parts; iterate once.

    Parameters
    ----------
    on_part
        Told how many bytes were read so far.

    Attributes
    ----------
    size
        How many bytes there are, or None for what is no regular file.
    """

    def __init__(self, file: Any, on_part: Callable[[int], None] | None = None) -> None:
        super().__init__(self._read(), _rest_of(file))
        self._file = file
        self._on_part = on_part

    def _read(self) -> Iterator[bytes]:
        done = 0
        while self.size is None or done < self.size:
            part = self._file.read(PART_BYTES if self.size is None else min(PART_BYTES, self.size - done))
            if isinstance(part, str):
                raise InvalidInputError("The file is open as text: open it with mode 'rb'.")
            if not part:
                break
            done += len(part)
            yield part
            if self._on_part is not None:
                self._on_part(done)
        if self.size is not None and done < self.size:
            raise InvalidInputError(f"The file became shorter while it was read: {done:,} bytes, not {self.size:,}.")


class OnceParts:
    """Parts on their way into a request, which mostly cannot be sent again once their iteration has begun.

    Attributes
    ----------
    begun
        Whether something is gone that cannot be had again.
    """

    def __init__(self, parts: Iterable[Bytes]) -> None:
        self._parts = parts
        self.size: int | None = parts.size if isinstance(parts, SizedParts) else None
        self._is_repeatable = isinstance(parts, SizedParts) and parts.is_repeatable
        self.begun = False

    def __iter__(self) -> Iterator[bytes | memoryview]:
        self.begun = not self._is_repeatable
        for part in self._parts:
            if part:
                yield bytes(part) if isinstance(part, bytearray) else part


def _rest_of(file: Any) -> int | None:
    try:
        found = os.fstat(file.fileno())
        return max(0, found.st_size - file.tell()) if stat.S_ISREG(found.st_mode) else None
    except (AttributeError, OSError, ValueError):
        return None
