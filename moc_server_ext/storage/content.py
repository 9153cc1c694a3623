"""Stored bytes, wherever they lie: in the catalog up to 64 KiB, else in an object file; checked when read whole.

Owns the choice between the two, the checksum, and reading while the thing is being replaced. How content that comes in
parts gets here is in :mod:`.receiving`.
"""

from __future__ import annotations

from collections.abc import Callable, Generator
from dataclasses import dataclass
from types import TracebackType
from typing import Any, Final, Self

import google_crc32c

from ..abc import Bytes
from ..errors import CorruptStorageError, InvalidInputError, StorageError
from .checks import Checks
from .objects import ObjectFile, Objects

INLINE_BYTES_MAX: Final = 64 << 10
PART_BYTES: Final = 256 << 10

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


class OpenContent:
    """One version of stored bytes, held open: :class:`moc_server_ext.abc.Content`. Thread-safe; a context manager."""

    def __init__(self, stored: StoredContent, file: ObjectFile | None, what: Callable[[], str]) -> None:
        self.size = stored.size
        self._stored = stored
        self._file = file
        self._what = what

    def read(self, start: int = 0, stop: int | None = None) -> bytes:
        """Read bytes ``[start, stop)``, cut off at the end; content that is read whole is checked.

        Raises
        ------
        CorruptStorageError, InvalidInputError
            The object file is cut, or the whole content is not what was stored; the range is negative.
        """
        begin, end = self._range(start, stop)
        content = self._read(begin, end)
        if end - begin == self.size:
            self._check(google_crc32c.value(content))
        return content

    def whole(self, checks: Checks) -> Bytes:
        """Read all of it, and check it unless that was done lately: faster than :meth:`read` for what is large.

        Raises
        ------
        CorruptStorageError, StorageError
            What :meth:`read` says.
        """
        if self._file is None:
            return self._read(0, self.size)
        object_id = self._stored.object_id
        assert object_id is not None  # noqa: S101 - it has a file
        import numpy as np

        is_checked = checks.is_checked(object_id, self._file)
        state = self._file.state()
        # The caller's own memory: whoever needs an array need not copy it.
        content = np.empty(self.size, np.uint8)
        checksum = 0
        # In pieces that the processor still has at hand when they are checked.
        step = self.size if is_checked else PART_BYTES
        for position in range(0, self.size, step):
            piece = content[position : position + step]
            try:
                count = self._file.read_into(piece.data, position)
            except OSError as error:
                raise self._failure(error) from error
            if count != len(piece):
                raise self._ends_at(position + count)
            if not is_checked:
                checksum = google_crc32c.extend(checksum, piece)
        if not is_checked:
            self._check(checksum)
            checks.note(object_id, self._file, state)
        return content.data

    def parts(self, start: int = 0, stop: int | None = None) -> Generator[bytes, None, None]:
        """Read bytes ``[start, stop)`` in parts of up to `PART_BYTES`; the content is closed at their end.

        Content that is read whole is checked before its last part is given, so that nobody who counts takes damaged
        content for whole.

        Raises
        ------
        CorruptStorageError
            While it is iterated; what :meth:`read` says.
        InvalidInputError
            At once: the range is negative.
        """
        begin, end = self._range(start, stop)
        return self._parts(begin, end)

    def close(self) -> None:
        """Let go of it; idempotent."""
        if self._file is not None:
            self._file.close()

    def _parts(self, begin: int, end: int) -> Generator[bytes, None, None]:
        whole = end - begin == self.size
        checksum = 0
        with self:
            for position in range(begin, end, PART_BYTES):
                part = self._read(position, min(position + PART_BYTES, end))
                if whole:
                    checksum = google_crc32c.extend(checksum, part)
                    if position + PART_BYTES >= end:
                        self._check(checksum)
                yield part

    def _range(self, start: int, stop: int | None) -> tuple[int, int]:
        check_range(start, stop)
        begin = min(start, self.size)
        return begin, self.size if stop is None else max(begin, min(stop, self.size))

    def _read(self, begin: int, end: int) -> bytes:
        if self._file is None:
            assert self._stored.inline is not None  # noqa: S101 - the schema's CHECK
            return self._stored.inline[begin:end]
        try:
            content = self._file.read(begin, end)
        except OSError as error:
            raise self._failure(error) from error
        if len(content) != end - begin:
            raise self._ends_at(begin + len(content))
        return content

    def _failure(self, error: OSError) -> StorageError:
        return StorageError(f"Reading {self._what()} failed: {error.strerror}.", what=self._what())

    def _ends_at(self, position: int) -> CorruptStorageError:
        return CorruptStorageError(self._what(), f"its file {self._stored.object_id} ends at byte {position}")

    def _check(self, checksum: int) -> None:
        if checksum != self._stored.crc32c:
            raise CorruptStorageError(self._what(), "its checksum does not match")

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.close()


def check_range(start: int, stop: int | None) -> None:
    """Refuse negative offsets, which would silently count from the end."""
    if start < 0 or (stop is not None and stop < 0):
        raise InvalidInputError(f"A range is [start, stop) of offsets from 0; found [{start}, {stop}).")


def open_content(lookup: Callable[[], StoredContent], objects: Objects, what: Callable[[], str]) -> OpenContent:
    """Open what `lookup` finds now.

    Parameters
    ----------
    lookup
        Gives the present row, or raises what the caller wants raised when there is none.
    what
        Names the thing, for messages.

    Raises
    ------
    CorruptStorageError
        The object file is missing, or the content in the catalog is not what was stored.
    """
    stored = lookup()
    while True:
        if stored.inline is not None:
            if len(stored.inline) != stored.size or google_crc32c.value(stored.inline) != stored.crc32c:
                raise CorruptStorageError(what(), "its checksum does not match")
            return OpenContent(stored, None, what)
        assert stored.object_id is not None  # noqa: S101 - the schema's CHECK
        try:
            return OpenContent(stored, objects.open(stored.object_id), what)
        except FileNotFoundError:
            # A writer removes a replaced object once the new one is committed, so that a second look tells the two
            # cases apart: replaced in between, or lost.
            again = lookup()
            if again.object_id == stored.object_id:
                raise CorruptStorageError(what(), f"its file {stored.object_id} is missing") from None
            stored = again
        except OSError as error:
            raise StorageError(f"Reading {what()} failed: {error.strerror}.", what=what()) from error


def read_content(
    lookup: Callable[[], StoredContent], objects: Objects, start: int, stop: int | None, what: Callable[[], str]
) -> bytes:
    """Read bytes ``[start, stop)`` of what `lookup` finds now, cut off at the end; whole content is checked.

    Raises
    ------
    CorruptStorageError, InvalidInputError
        The bytes are missing, cut, or (if read whole) not what was stored; the range is negative.
    """
    check_range(start, stop)
    with open_content(lookup, objects, what) as content:
        return content.read(start, stop)
