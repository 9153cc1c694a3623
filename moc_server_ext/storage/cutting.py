"""Cutting the bytes of an array into its chunks, while they come or, where chunks are no runs of them, afterwards.

Chunks are made durable aside one by one, in bounded memory; nothing of them is visible, and nothing is left of them,
unless they are stored as a part of a group of writes.
"""

from __future__ import annotations

import contextlib
import math
import os
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Final

import google_crc32c

from ..abc import Bytes
from ..arrays.runs import chunk_index, chunk_run, counting_shape, filled_chunk
from ..errors import InvalidInputError
from ..model import ArraySpec
from ..model.arrays import chunk_path
from .content import INLINE_BYTES_MAX, StoredContent
from .files import NewFile, failures, remove
from .grids import box_runs, cut_boxes
from .objects import Objects, StagedObject, neighbouring_object_ids
from .receiving import Received

_SLAB_BYTES: Final = 64 << 20
_CHUNK_BYTES_MAX: Final = 1 << 30
_ZEROS: Final = bytes(64 << 10)

ENCODED_BYTES_MAX: Final = 256 << 20
"""A chunk that is encoded is in memory as a whole."""

Encode = Callable[[Bytes], bytes]


class StagedChunk:
    """Content that is durable aside, under an id of its own."""

    __slots__ = ("_objects", "staged", "stored")

    def __init__(self, objects: Objects, stored: StoredContent, staged: StagedObject | None) -> None:
        self._objects = objects
        self.stored = stored
        self.staged = staged

    def __len__(self) -> int:
        return self.stored.size

    def seal(self, object_id: Callable[[], str]) -> tuple[StoredContent, StagedObject | None]:
        """Hand it over; `object_id` is not asked."""
        staged, self.staged = self.staged, None
        return self.stored, staged

    def read(self, start: int, stop: int | None) -> bytes:
        """Read bytes ``[start, stop)`` of what was not handed over yet."""
        if self.staged is None:
            return (self.stored.inline or b"")[start:stop]
        with open(self.staged.path, "rb", buffering=0) as file:
            end = self.stored.size if stop is None else min(stop, self.stored.size)
            return os.pread(file.fileno(), max(end - start, 0), start)

    def discard(self) -> None:
        """Remove it, unless it was handed over; idempotent."""
        staged, self.staged = self.staged, None
        if staged is not None:
            self._objects.discard(staged)


def stage_chunk(objects: Objects, content: Bytes, object_id: Callable[[], str]) -> StagedChunk:
    """Make content durable aside.

    Raises
    ------
    OSError
        Nothing is left of it.
    """
    if len(content) <= INLINE_BYTES_MAX:
        return StagedChunk(objects, StoredContent.of(bytes(content), object_id), None)
    stored = StoredContent(len(content), google_crc32c.value(_readable(content)), object_id(), None)
    assert stored.object_id is not None  # noqa: S101 - two lines above
    return StagedChunk(objects, stored, objects.stage(stored.object_id, content))


class EncodedChunk:
    """A chunk in memory, of which the end is still to come and which is encoded then. ``len()`` is what came."""

    def __init__(self, objects: Objects, encode: Encode) -> None:
        self._objects = objects
        self._encode = encode
        self._content = bytearray()

    def __len__(self) -> int:
        return len(self._content)

    def write(self, part: Bytes) -> None:
        """Take the next part."""
        self._content += part

    def seal(self, object_id: Callable[[], str]) -> tuple[StoredContent, StagedObject | None]:
        """Encode what came and make it durable aside; whoever called this owns the staged object, if there is one.

        Raises
        ------
        OSError
            Nothing is left of what came.
        """
        content, self._content = self._content, bytearray()
        return stage_chunk(self._objects, self._encode(content), object_id).seal(object_id)

    def discard(self) -> None:
        """Forget what came; idempotent."""
        self._content = bytearray()


class ChunkCutter:
    """Takes an array's bytes in C order and makes its chunks. One thread at a time; ``len()`` is what came so far.

    Parameters
    ----------
    array
        What comes: its chunks are cut from its first element on.
    what
        What is being stored, for messages.
    encode
        Makes of a chunk what is stored; without it chunks are stored as they are.
    """

    def __init__(
        self, objects: Objects, directory: Path, array: ArraySpec, what: str, encode: Encode | None = None
    ) -> None:
        self._objects = objects
        self._directory = directory
        self._array = array
        self._what = what
        self._encode = encode
        self._size = 0
        self._object_id = neighbouring_object_ids()
        self._chunks: dict[str, StagedChunk] = {}
        self._by_run = array.is_contiguous
        # The chunk that is being filled, and how much of it is still to come.
        self._open: Received | EncodedChunk | None = None
        self._key = ""
        self._missing = 0
        self._file: NewFile | None = None
        if encode is not None and array.chunk_bytes > ENCODED_BYTES_MAX:
            raise InvalidInputError(
                f"Chunks of the shape {list(array.chunks)} have {array.chunk_bytes:,} bytes each; chunks that are "
                f"compressed may have {ENCODED_BYTES_MAX:,} at most. Give smaller chunks."
            )
        if not self._by_run and array.chunk_bytes > _CHUNK_BYTES_MAX:
            raise InvalidInputError(
                f"Chunks of the shape {list(array.chunks)} have {array.chunk_bytes:,} bytes each, and are no runs of "
                f"the array's bytes; such chunks may have {_CHUNK_BYTES_MAX:,} at most."
            )

    def __len__(self) -> int:
        return self._size

    def write(self, part: Bytes) -> None:
        """Take the next part.

        Raises
        ------
        InvalidInputError
            It is more than the array has. Nothing is left of what came.
        StorageFullError, ReadOnlyStorageError, StorageError
            Nothing is left of what came.
        """
        view = flat(part)
        if self._size + len(view) > self._array.nbytes:
            self.discard()
            raise self._wrong_size(f"{self._size + len(view):,} or more")
        try:
            with failures(self._what, self._directory):
                self._take(view)
        except BaseException:
            self.discard()
            raise
        self._size += len(view)

    def finish(self) -> dict[str, StagedChunk]:
        """Give the chunks by their keys below the array; whoever called this owns them.

        Raises
        ------
        InvalidInputError
            The array has more bytes than came. Nothing is left of what came.
        StorageFullError, ReadOnlyStorageError, StorageError
            Nothing is left of what came.
        """
        if self._size != self._array.nbytes:
            self.discard()
            raise self._wrong_size(f"{self._size:,}")
        try:
            with failures(self._what, self._directory):
                if self._file is not None:
                    self._cut(self._file)
        except BaseException:
            self.discard()
            raise
        chunks, self._chunks = self._chunks, {}
        return chunks

    def discard(self) -> None:
        """Forget what came, unless it was given away; idempotent."""
        chunks, self._chunks = self._chunks, {}
        for chunk in chunks.values():
            chunk.discard()
        if self._open is not None:
            self._open.discard()
        if self._file is not None:
            self._file.discard()
        self._open = self._file = None

    def _take(self, rest: memoryview) -> None:
        if not self._by_run:
            if self._file is None:
                self._file = self._objects.begin()
            self._file.write(rest)
            return
        while rest:
            if self._open is None:
                if self._takes_all(rest):
                    rest = self._stage_whole(rest)
                    continue
                self._key, self._missing = self._next_run()
                if self._encode is None:
                    self._open = Received(self._objects, self._directory, self._what)
                else:
                    self._open = EncodedChunk(self._objects, self._encode)
            taken = min(self._missing, len(rest))
            self._open.write(bytes(rest[:taken]))
            self._missing -= taken
            rest = rest[taken:]
            if not self._missing:
                self._close_chunk(self._open)

    def _takes_all(self, rest: memoryview) -> bool:
        chunk_bytes = self._array.chunk_bytes
        return len(rest) >= chunk_bytes and self._next_run()[1] == chunk_bytes

    def _next_run(self) -> tuple[str, int]:
        """Give key and bytes of the chunk that comes next, where chunks are runs of the array's bytes."""
        return chunk_run(self._array, chunk_index(self._array, len(self._chunks)))

    def _stage_whole(self, rest: memoryview) -> memoryview:
        """Stage a chunk straight from the part that holds all of it."""
        key, size = self._next_run()
        self._chunks[key] = self._staged(rest[:size])
        return rest[size:]

    def _staged(self, content: Bytes) -> StagedChunk:
        return stage_chunk(self._objects, content if self._encode is None else self._encode(content), self._object_id)

    def _close_chunk(self, chunk: Received | EncodedChunk) -> None:
        for filled in range(len(chunk), self._array.chunk_bytes, len(_ZEROS)):
            chunk.write(_ZEROS[: self._array.chunk_bytes - filled])
        self._chunks[self._key] = StagedChunk(self._objects, *chunk.seal(self._object_id))
        self._open = None

    def _cut(self, file: NewFile) -> None:
        """Cut what came into chunks, slab by slab."""
        import numpy as np

        array = self._array
        dtype = np.dtype(array.dtype).newbyteorder("<")
        file.close()
        source = os.open(file.path, os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC)
        try:
            remove(file.path)
            for box, indices in cut_boxes(array, _SLAB_BYTES):
                shape = [stop - start for start, stop in box]
                slab = np.empty(math.prod(shape) * array.itemsize, np.uint8)
                position = 0
                for start, stop in box_runs(array, box):
                    _read_into(source, slab[position : position + stop - start], start)
                    position += stop - start
                elements = slab.view(dtype).reshape(shape)
                for index in indices:
                    inside = tuple(
                        slice(each * chunk - start, each * chunk - start + count)
                        for each, chunk, (start, _), count in zip(
                            index, array.chunks, box, counting_shape(array, index), strict=True
                        )
                    )
                    content = filled_chunk(array, elements[inside])
                    self._chunks[chunk_path(index)] = self._staged(content)
        finally:
            os.close(source)
        self._file = None

    def _wrong_size(self, found: str) -> InvalidInputError:
        array = self._array
        return InvalidInputError(
            f"An array of {array.dtype} with the shape {list(array.shape)} has {array.nbytes:,} bytes, and {found} "
            f"came for {self._what}. Nothing was changed.",
            expected=array.nbytes,
        )


def discard_all(chunks: Mapping[str, StagedChunk]) -> None:
    """Remove chunks that were not handed over."""
    for chunk in chunks.values():
        chunk.discard()


def write_all(cutter: ChunkCutter, parts: Iterator[Bytes]) -> dict[str, StagedChunk]:
    """Cut the bytes that `parts` gives; what its iterator raises goes on, and nothing is left then."""
    with contextlib.ExitStack() as undo:
        undo.callback(cutter.discard)
        for part in parts:
            cutter.write(part)
        chunks = cutter.finish()
        undo.pop_all()
    return chunks


def flat(part: Bytes) -> memoryview:
    """Look at memory of any form as bytes; ValueError or TypeError if it is not in one piece."""
    view = memoryview(part)
    if view.format == "B" and view.ndim == 1:
        return view
    return view.cast("B") if view.nbytes else memoryview(b"")


def _read_into(source: int, target: object, start: int) -> None:
    rest = memoryview(target)  # type: ignore[arg-type]
    while rest:
        count = os.preadv(source, [rest], start)
        if not count:
            raise OSError(5, os.strerror(5))
        rest = rest[count:]
        start += count


def _readable(content: Bytes) -> object:
    """Give what the checksum takes without a copy: bytes, or NumPy's view of what is not."""
    if isinstance(content, bytes):
        return content
    import numpy as np

    return np.frombuffer(content, np.uint8)
