"""Arrays that are written chunk by chunk, by several threads, and appear as a whole."""

from __future__ import annotations

import math
import threading
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from types import TracebackType
from typing import Self

from ..abc import Bytes
from ..arrays.runs import counting_shape, filled_chunk
from ..errors import InvalidInputError, StorageError
from ..model import ArraySpec, BufferRecord
from ..model.arrays import chunk_path
from .cutting import StagedChunk, discard_all, flat, stage_chunk
from .files import failures
from .objects import Objects, neighbouring_object_ids


class ArrayWriter:
    """An array that is being written: :class:`moc_server_ext.abc.ArrayWriter`. Thread-safe; a context manager.

    Made by :meth:`~.buffers.StoredBuffers.write_array`.
    """

    def __init__(
        self,
        name: str,
        array: ArraySpec,
        objects: Objects,
        directory: Path,
        store: Callable[[Mapping[str, StagedChunk]], BufferRecord],
    ) -> None:
        self.array = array
        self._name = name
        self._objects = objects
        self._directory = directory
        self._store = store
        self._object_id = neighbouring_object_ids()
        self._lock = threading.Lock()
        self._chunks: dict[str, StagedChunk] = {}
        self._ended = False

    def write_chunk(self, index: Sequence[int], content: Bytes) -> None:
        """Make one chunk durable aside; from any thread. One that was written before is replaced.

        Parameters
        ----------
        index
            Which chunk, along each axis of the grid.
        content
            Its elements in C order, little-endian: a full chunk, or, at the array's edge, those that count.

        Raises
        ------
        InvalidInputError
            There is no such chunk, or its content is not as large as it. Nothing of it was taken.
        StorageFullError, ReadOnlyStorageError, StorageError
            Nothing is left of this chunk; it may be written again.
        """
        array = self.array
        if len(index) != array.ndim or not all(
            0 <= each < count for each, count in zip(index, array.grid, strict=True)
        ):
            raise InvalidInputError(
                f"The array for buffer {self._name!r} has no chunk {list(index)}: its grid is {list(array.grid)}."
            )
        view = flat(content)
        counting = counting_shape(array, index)
        size = math.prod(counting) * array.itemsize
        if len(view) not in (array.chunk_bytes, size):
            raise InvalidInputError(
                f"Chunk {list(index)} for buffer {self._name!r} has {array.chunk_bytes:,} bytes; {len(view):,} came."
            )
        if len(view) != array.chunk_bytes:
            view = memoryview(_filled(array, view, counting))
        with failures(f"chunk {list(index)} of buffer {self._name!r}", self._directory):
            staged = stage_chunk(self._objects, view, self._object_id)
        key = chunk_path(index)
        with self._lock:
            if self._ended:
                replaced: StagedChunk | None = staged
            else:
                replaced = self._chunks.get(key)
                self._chunks[key] = staged
        if replaced is not None:
            replaced.discard()
        if replaced is staged:
            raise self._has_ended()

    def commit(self) -> BufferRecord:
        """Store the array in place of what was there; durable on return.

        Raises
        ------
        InvalidInputError
            Not every chunk was written. The writer goes on: write them and commit again.
        StorageFullError, ReadOnlyStorageError, StorageError
            The buffer is as it was before, and nothing is left of the array.
        """
        with self._lock:
            if self._ended:
                raise self._has_ended()
            count = math.prod(self.array.grid)
            if len(self._chunks) != count:
                first = next(key for key in self.array.chunk_keys() if key not in self._chunks)
                raise InvalidInputError(
                    f"{count - len(self._chunks):,} of the {count:,} chunks for buffer {self._name!r} were not "
                    f"written; the first of them is {first!r}."
                )
            self._ended = True
            chunks, self._chunks = self._chunks, {}
        return self._store(chunks)

    def close(self) -> None:
        """End it; without a commit nothing is left of what was written. Idempotent."""
        with self._lock:
            self._ended = True
            chunks, self._chunks = self._chunks, {}
        discard_all(chunks)

    def _has_ended(self) -> StorageError:
        return StorageError(f"The writing of buffer {self._name!r} has ended; begin another.")

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.close()


def _filled(array: ArraySpec, content: memoryview, counting: Sequence[int]) -> bytes:
    import numpy as np

    elements = np.frombuffer(content, np.dtype(array.dtype).newbyteorder("<")).reshape(counting)
    return filled_chunk(array, elements)
