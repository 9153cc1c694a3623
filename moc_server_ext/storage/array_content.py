"""The bytes of a buffer, whatever it is: one version's elements in C order, little-endian, range by range.

Three ways lead to them. Where each chunk is a run of the array's bytes (buffers without a shape are one), ranges are
read from the chunks as they are; other grids are put together by NumPy; and what is compressed or otherwise encoded is
left to zarr-python.
"""

from __future__ import annotations

from collections.abc import Callable, Generator, Iterator
from types import TracebackType
from typing import Final, Self

import google_crc32c

from ..errors import CorruptStorageError, MocError, NoBytesError
from ..model import ArraySpec
from .content import PART_BYTES, check_range
from .grids import boxes, read_box, runs
from .nodes import Node
from .versions import Version

# What a chunk without an entry is made of comes in pieces, too.
_READ_MAX: Final = 1 << 30

Pieces = Callable[[int, int, int], Iterator[bytes]]
"""Gives bytes ``[start, stop)`` in pieces of up to so many bytes."""


class VersionContent:
    """The bytes of one version of a buffer: :class:`moc_server_ext.abc.Content`. Thread-safe; a context manager."""

    __slots__ = ("_pieces", "size")

    def __init__(self, size: int, pieces: Pieces) -> None:
        self.size = size
        self._pieces = pieces

    def read(self, start: int = 0, stop: int | None = None) -> bytes:
        """Read bytes ``[start, stop)``, cut off at the end; each chunk that is read whole is checked.

        Raises
        ------
        CorruptStorageError, InvalidInputError
            A chunk is missing, cut, or (if read whole) not what was stored; the range is negative.
        """
        begin, end = self._range(start, stop)
        try:
            pieces = list(self._pieces(begin, end, _READ_MAX))
        except MocError as error:
            raise _detached(error) from None
        return pieces[0] if len(pieces) == 1 else b"".join(pieces)

    def parts(self, start: int = 0, stop: int | None = None) -> Generator[bytes, None, None]:
        """Read bytes ``[start, stop)`` in parts of up to `PART_BYTES`; the content is closed at their end.

        A chunk that is read whole is checked before its last part is given, so that nobody who counts takes damaged
        content for whole.

        Raises
        ------
        CorruptStorageError
            While it is iterated; what :meth:`read` says.
        InvalidInputError
            At once: the range is negative.
        """
        begin, end = self._range(start, stop)
        return self._parts(self._pieces(begin, end, PART_BYTES))

    def close(self) -> None:
        """Let go of it; idempotent."""
        self._pieces = _closed

    def _parts(self, pieces: Iterator[bytes]) -> Generator[bytes, None, None]:
        with self:
            try:
                yield from pieces
            except MocError as error:
                raise _detached(error) from None

    def _range(self, start: int, stop: int | None) -> tuple[int, int]:
        check_range(start, stop)
        begin = min(start, self.size)
        return begin, self.size if stop is None else max(begin, min(stop, self.size))

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.close()


def open_version(version: Version) -> VersionContent:
    """Open the bytes of a version of a buffer.

    Raises
    ------
    NoBytesError
        It is a group without a main array, or an array of no data type that moc knows.
    CorruptStorageError
        It was stored whole, and a chunk is missing.
    """
    node, path = main_array(version)
    array = node.array
    if array is None:
        raise NoBytesError(version.name, arrays=sorted(version.record.arrays))
    if node.facts.whole or version.nodes[""].facts.whole:
        check_whole(version, path, array)
    if not node.plain:
        from .zarr_reading import EncodedBytes

        return VersionContent(array.nbytes, EncodedBytes(version, path, array).pieces)
    if array.is_contiguous:
        return VersionContent(array.nbytes, ContiguousBytes(version, path, node, array).pieces)
    return VersionContent(array.nbytes, GriddedBytes(version, path, node, array).pieces)


def main_array(version: Version) -> tuple[Node, str]:
    """Give the node whose elements are the bytes of the buffer, and the prefix of its keys."""
    node = version.nodes[""]
    main = node.facts.main
    if node.kind != "group" or main is None or main not in version.nodes:
        return node, ""
    return version.nodes[main], f"{main}/"


def check_whole(version: Version, path: str, array: ArraySpec) -> None:
    """Look whether every chunk of an array that was stored whole is in the catalog.

    Raises
    ------
    CorruptStorageError
        One is not; the first one is named.
    """
    if version.is_whole(path, array):
        return
    raise version.missing(next(path + key for key in array.chunk_keys() if path + key not in version.rows))


class ContiguousBytes:
    """The bytes of an array whose chunks are runs of them."""

    __slots__ = ("_array", "_fill", "_path", "_version")

    def __init__(self, version: Version, path: str, node: Node, array: ArraySpec) -> None:
        self._version = version
        self._path = path
        self._fill = node.fill
        self._array = array

    def pieces(self, start: int, stop: int, bytes_max: int) -> Iterator[bytes]:
        """Give bytes ``[start, stop)`` in pieces."""
        version, chunk_bytes = self._version, self._array.chunk_bytes
        for run in runs(self._array, start, stop):
            key = self._path + run.key
            stored = version.rows.get(key)
            if stored is None:
                yield from self._filled(run.start, run.stop, bytes_max)
                continue
            if stored.size != chunk_bytes:
                raise wrong_size(version, key, stored.size, chunk_bytes)
            is_whole = run.stop - run.start == run.bytes
            if run.stop - run.start <= bytes_max and (run.bytes == chunk_bytes or not is_whole):
                # Checked there, if it is all of the chunk.
                yield version.read(key, run.start, run.stop)
                continue
            checksum = 0
            for position in range(run.start, run.stop, bytes_max):
                end = min(position + bytes_max, run.stop)
                piece = version.read(key, position, end)
                if is_whole:
                    checksum = google_crc32c.extend(checksum, piece)
                    if end == run.stop:
                        # What fills the chunk up was stored with it.
                        for rest in range(end, chunk_bytes, PART_BYTES):
                            filled = version.read(key, rest, min(rest + PART_BYTES, chunk_bytes))
                            checksum = google_crc32c.extend(checksum, filled)
                        version.check(key, checksum)
                yield piece

    def _filled(self, start: int, stop: int, bytes_max: int) -> Iterator[bytes]:
        size = len(self._fill)
        for position in range(start, stop, bytes_max):
            length = min(bytes_max, stop - position)
            shift = position % size
            yield (self._fill * (-(-(length + shift) // size)))[shift : shift + length]


class GriddedBytes:
    """The bytes of an array with any regular grid: put together from the pieces of chunks that a range touches."""

    __slots__ = ("_array", "_fill", "_path", "_version")

    def __init__(self, version: Version, path: str, node: Node, array: ArraySpec) -> None:
        self._version = version
        self._path = path
        self._fill = node.fill
        self._array = array

    def pieces(self, start: int, stop: int, bytes_max: int) -> Iterator[bytes]:
        """Give bytes ``[start, stop)`` in pieces; if that is all, each chunk is checked before its first piece."""
        array = self._array
        checked: set[str] | None = set() if stop - start == array.nbytes else None
        size = array.itemsize
        bytes_max = max(bytes_max // size, 1) * size

        def read(key: str, first: int, last: int) -> bytes | None:
            return self._read(self._path + key, first, last, checked)

        # The first and the last element may be cut.
        for position in range(start // size * size, stop, bytes_max):
            end = min(position + bytes_max, -(-stop // size) * size)
            for box in boxes(array.shape, position // size, end // size):
                content = read_box(array, box, read, self._fill).tobytes()
                begin = max(start - position, 0)
                position += len(content)
                yield content[begin : len(content) - max(position - stop, 0)]

    def _read(self, key: str, first: int, last: int, checked: set[str] | None) -> bytes | None:
        version = self._version
        stored = version.rows.get(key)
        if stored is None:
            return None
        if stored.size != self._array.chunk_bytes:
            raise wrong_size(version, key, stored.size, self._array.chunk_bytes)
        if checked is not None and key not in checked:
            checked.add(key)
            checksum = 0
            for position in range(0, stored.size, PART_BYTES):
                piece = version.read(key, position, min(position + PART_BYTES, stored.size))
                checksum = google_crc32c.extend(checksum, piece)
            version.check(key, checksum)
        return version.read(key, first, last)


def wrong_size(version: Version, key: str, found: int, expected: int) -> CorruptStorageError:
    """Make the error for a chunk of another size than its array's chunks have."""
    return CorruptStorageError(
        f"chunk {key!r} of buffer {version.name!r}", f"it has {found:,} bytes, and {expected:,} were expected"
    )


def _detached(error: MocError) -> MocError:
    """Give an error without its frames: whoever keeps it, such as a log, must not keep the version with it."""
    error.__context__ = error.__cause__ = None
    return error.with_traceback(None)


def _closed(start: int, stop: int, bytes_max: int) -> Iterator[bytes]:
    raise ValueError("This content is closed.")
