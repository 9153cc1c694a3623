"""Reading without waiting: what the system has in memory, for whoever may not be held up by a disk.

Only what is remembered of a buffer is looked at, only files that are open already are read, and of these only what lies
in the system's memory (``preadv2`` with ``RWF_NOWAIT``). Whoever is told BlockingIOError reads in the ordinary way,
which may wait, and after which the next glance mostly succeeds.
"""

from __future__ import annotations

from collections.abc import Generator, Iterator
from typing import Final

import google_crc32c

from ..abc import Content
from ..model import ArraySpec
from .array_content import VersionContent, main_array
from .content import check_range
from .grids import runs
from .versions import Version

GLANCE_BYTES_MAX: Final = 64 << 10
"""Copying more would hold an event loop up by itself."""


class GlanceContent:
    """The value of one key of a version: an :class:`moc_server_ext.abc.Content` whose methods never wait."""

    __slots__ = ("_key", "_version", "size")

    def __init__(self, version: Version, key: str) -> None:
        self.size = version.rows[key].size
        self._version = version
        self._key = key

    def read(self, start: int = 0, stop: int | None = None) -> bytes:
        """Read bytes ``[start, stop)``, cut off at the end.

        Raises
        ------
        BlockingIOError
            That would have to wait, or is more than :data:`GLANCE_BYTES_MAX`.
        InvalidInputError
            The range is negative.
        """
        check_range(start, stop)
        begin = min(start, self.size)
        end = self.size if stop is None else max(begin, min(stop, self.size))
        if end - begin > GLANCE_BYTES_MAX:
            raise BlockingIOError
        return self._read(begin, end)

    def parts(self, start: int = 0, stop: int | None = None) -> Generator[bytes, None, None]:
        """Raise BlockingIOError: what comes in parts is more than a glance."""
        raise BlockingIOError

    def close(self) -> None:
        """Do nothing: it keeps nothing open."""

    def _read(self, begin: int, end: int) -> bytes:
        return self._version.read_now(self._key, begin, end)


class GlanceArray(GlanceContent):
    """The bytes of an array whose chunks are runs of them, as far as a range lies in one chunk."""

    __slots__ = ("_array", "_path")

    def __init__(self, version: Version, path: str, array: ArraySpec) -> None:
        self.size = array.nbytes
        self._version = version
        self._path = path
        self._array = array

    def _read(self, begin: int, end: int) -> bytes:
        if begin == end:
            return b""
        run = next(runs(self._array, begin, end))
        key = self._path + run.key
        stored = self._version.rows.get(key)
        # What is absent or of another size is for those who find out whether that is damage.
        if run.stop - run.start != end - begin or stored is None or stored.size != self._array.chunk_bytes:
            raise BlockingIOError
        return self._version.read_now(key, run.start, run.stop)


def open_value(version: Version, key: str) -> VersionContent:
    """Open the value of one key of a version, to be read in the ordinary way; what is read whole is checked."""
    size = version.rows[key].size

    def pieces(start: int, stop: int, bytes_max: int) -> Iterator[bytes]:
        if stop - start <= bytes_max:
            yield version.read(key, start, stop)
            return
        checksum = 0
        for position in range(start, stop, bytes_max):
            piece = version.read(key, position, min(position + bytes_max, stop))
            if stop - start == size:
                checksum = google_crc32c.extend(checksum, piece)
                if position + bytes_max >= stop:
                    version.check(key, checksum)
            yield piece

    return VersionContent(size, pieces)


def glance_at(version: Version) -> Content | None:
    """Give the bytes of a buffer's version; None where they are not simply those of its chunks."""
    node, path = main_array(version)
    if node.array is None or not node.plain or not node.array.is_contiguous:
        return None
    return GlanceArray(version, path, node.array)
