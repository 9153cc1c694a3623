"""Reading an array out of its chunks: no chunk, and of a large chunk no bytes, that were not asked for."""

from __future__ import annotations

import itertools
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, Any, Final, Protocol

from ..abc import Bytes
from ..errors import CorruptStorageError
from .plan import Piece, plan_reads
from .runs import grid_slices
from .selection import parse_selection

if TYPE_CHECKING:
    import numpy

    from ..model.arrays import ArraySpec

PARALLEL_BYTES: Final = 1 << 20
"""Less than this is read faster on one thread than it is handed to others."""


class ChunkSource(Protocol):
    """Where the chunks of one array come from: C-order, little-endian, uncompressed, all of one size. Thread-safe.

    Both raise CorruptStorageError for a chunk that should be there and is not.
    """

    def read(self, chunk_key: str, start: int, stop: int) -> Bytes:
        """Give bytes ``[start, stop)`` of a chunk."""
        ...

    def read_whole(self, chunk_key: str) -> Bytes:
        """Give a whole chunk, checked where there is something to check it with.

        What can be written to is the caller's own.
        """
        ...


class ArrayReader:
    """Reads one version of an array. Thread-safe, as far as its source is.

    Parameters
    ----------
    threads
        How many chunks are read at once, when there is much to read.
    what
        Names the array in messages.
    """

    def __init__(self, spec: ArraySpec, source: ChunkSource, *, threads: int = 1, what: str = "the array") -> None:
        self.spec = spec
        self._source = source
        self._threads = threads
        self._what = what
        self._chunk_bytes = spec.chunk_bytes

    def read(self, selection: Any = ...) -> Any:
        """Give what ``array[selection]`` is: an array of one's own, or a scalar where NumPy gives one.

        Parameters
        ----------
        selection
            Integers, slices with any step, ``...`` and ``None``, alone or in a tuple.

        Raises
        ------
        IndexError, TypeError, ValueError
            The selection is none; nothing was read.
        CorruptStorageError
            A chunk is missing or damaged.
        MemoryError
            The result does not fit into memory.
        """
        import numpy

        parsed = parse_selection(selection, self.spec.shape)
        dtype = numpy.dtype(self.spec.dtype).newbyteorder("<")
        result = numpy.empty(parsed.counts, dtype)
        pieces = plan_reads(parsed, self.spec.shape, self.spec.chunks, dtype.itemsize)
        # Most selections that are read lie in few chunks: threads for one or none would only cost.
        first = list(itertools.islice(pieces, 2))
        if len(first) == 1:
            found = self._fetch(first[0], dtype)
            if found.flags.writeable and found.flags.c_contiguous:
                result = found  # The source read it into memory of its own.
            else:
                result[first[0].target] = found
        else:
            threads = self._threads if result.nbytes >= PARALLEL_BYTES else 1
            _each(itertools.chain(first, pieces), lambda piece: self._place(piece, result), threads)
        shaped = result.reshape(parsed.shape)
        return shaped[()] if parsed.is_scalar else shaped

    def blocks(self) -> Iterator[tuple[tuple[slice, ...], numpy.ndarray[Any, Any]]]:
        """Go through the array chunk by chunk, in C order of the grid, with no more than one in memory.

        Gives where a chunk lies in the array, as a slice for each axis, and its elements.
        """
        for slices in grid_slices(self.spec):
            yield slices, self.read((*slices, ...))

    def _place(self, piece: Piece, result: numpy.ndarray[Any, Any]) -> None:
        result[piece.target] = self._fetch(piece, result.dtype)

    def _fetch(self, piece: Piece, dtype: numpy.dtype[Any]) -> numpy.ndarray[Any, Any]:
        import numpy

        if piece.is_whole:
            content, start, expected = self._source.read_whole(piece.key), piece.start, self._chunk_bytes
        else:
            content, start = self._source.read(piece.key, piece.start, piece.stop), 0
            expected = piece.stop - piece.start
        if len(content) != expected:
            raise CorruptStorageError(
                self._what, f"its chunk {piece.key} has {len(content):,} bytes instead of {expected:,}"
            )
        return numpy.ndarray(piece.shape, dtype, content, start, piece.strides)


def _each(pieces: Iterator[Piece], work: Callable[[Piece], None], threads: int) -> None:
    """Do the work for each piece, on up to `threads` threads; the first error ends it and is raised."""
    if threads == 1:
        for piece in pieces:
            work(piece)
        return
    lock = threading.Lock()
    ended = threading.Event()

    def take_turns() -> None:
        try:
            while not ended.is_set():
                with lock:
                    piece = next(pieces, None)
                if piece is None:
                    return
                work(piece)
        except BaseException:
            ended.set()
            raise

    with ThreadPoolExecutor(threads, thread_name_prefix="moc_chunks") as pool:
        futures = [pool.submit(take_turns) for _ in range(threads)]
        try:
            for each in futures:
                each.result()
        finally:
            ended.set()
