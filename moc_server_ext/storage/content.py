"""Stored bytes, wherever they lie: in the catalog up to 64 KiB, else in an object file; checked when read whole.

Owns the choice between the two, the checksum, and reading while the thing is being replaced.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Final, Self

import google_crc32c

from ..errors import CorruptStorageError, InvalidInputError, StorageError
from .objects import Objects

INLINE_BYTES_MAX: Final = 64 << 10

COLUMNS: Final = "size, crc32c, object, inline"


@dataclass(frozen=True, slots=True)
class StoredContent:
    """A row of the catalog: `COLUMNS`. Exactly one of `object_id` and `inline` is there."""

    size: int
    crc32c: int
    object_id: str | None
    inline: bytes | None

    @classmethod
    def of(cls, content: bytes, object_id: Callable[[], str]) -> Self:
        """Decide where `content` goes; `object_id` names the object file, if there is one."""
        checksum = google_crc32c.value(content)
        if len(content) <= INLINE_BYTES_MAX:
            return cls(len(content), checksum, None, content)
        return cls(len(content), checksum, object_id(), None)

    def columns(self) -> tuple[Any, ...]:
        """Give the values of `COLUMNS`."""
        return self.size, self.crc32c, self.object_id, self.inline


def check_range(start: int, stop: int | None) -> None:
    """Refuse negative offsets, which would silently count from the end."""
    if start < 0 or (stop is not None and stop < 0):
        raise InvalidInputError(f"A range is [start, stop) of offsets from 0; found [{start}, {stop}).")


def read_content(
    lookup: Callable[[], StoredContent], objects: Objects, start: int, stop: int | None, what: Callable[[], str]
) -> bytes:
    """Read bytes ``[start, stop)`` of what `lookup` finds now, cut off at the end; whole content is checked.

    Parameters
    ----------
    lookup
        Gives the present row, or raises what the caller wants raised when there is none.
    what
        Names the thing, for messages.

    Raises
    ------
    CorruptStorageError
        The object file is missing or cut, or the whole content is not what was stored.
    """
    check_range(start, stop)
    stored = lookup()
    while True:
        if stored.inline is not None:
            if len(stored.inline) != stored.size or google_crc32c.value(stored.inline) != stored.crc32c:
                raise CorruptStorageError(what(), "its checksum does not match")
            return stored.inline[start:stop]
        assert stored.object_id is not None  # noqa: S101 - the schema's CHECK
        begin = min(start, stored.size)
        end = stored.size if stop is None else max(begin, min(stop, stored.size))
        try:
            content = objects.read(stored.object_id, begin, end)
        except FileNotFoundError:
            # A writer removes a replaced object once the new one is committed, so that a second look tells the two
            # cases apart: replaced in between, or lost.
            again = lookup()
            if again.object_id == stored.object_id:
                raise CorruptStorageError(what(), f"its file {stored.object_id} is missing") from None
            stored = again
            continue
        except OSError as error:
            raise StorageError(f"Reading {what()} failed: {error.strerror}.", what=what()) from error
        if len(content) != end - begin:
            raise CorruptStorageError(what(), f"its file {stored.object_id} ends at byte {begin + len(content)}")
        if end - begin == stored.size and google_crc32c.value(content) != stored.crc32c:
            raise CorruptStorageError(what(), "its checksum does not match")
        return content
