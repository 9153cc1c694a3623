"""Making arrays longer: what comes is put behind what is there, and both appear as one.

Chunks that are full stay as they are. Where the last ones along the first axis are not, they are written anew with what
comes; readers of the old array keep the old ones.
"""

from __future__ import annotations

import itertools
import threading
import weakref
from collections.abc import Callable, Iterable, Iterator
from dataclasses import replace

from ..abc import Bytes
from ..arrays.document import METADATA, with_shape
from ..errors import ConflictError, InvalidInputError
from ..model import ArraySpec, BufferRecord, parse_array
from ..model.arrays import chunk_path
from .array_content import open_version
from .buffer_writes import BufferWrites
from .cutting import flat, write_all
from .versions import Version
from .zarr_layout import parse_chunk_key


class Grower:
    """Appends to the arrays of one storage. Thread-safe: of several that append to one buffer, all come to it."""

    def __init__(self, version: Callable[[str], Version], writes: BufferWrites) -> None:
        self._version = version
        self._writes = writes
        self._locks: weakref.WeakValueDictionary[str, threading.Lock] = weakref.WeakValueDictionary()
        self._locks_lock = threading.Lock()

    def append(self, name: str, content: Bytes | Iterable[Bytes], added: ArraySpec) -> BufferRecord:
        """See :meth:`~.buffers.StoredBuffers.append`."""
        _array_of(self._version(name), added)
        if isinstance(content, bytes | bytearray | memoryview):
            return self._append(name, iter((content,)), added)
        # What comes slowly must not keep others from appending: it is put aside first.
        with self._writes.spooled(name, content) as parts:
            return self._append(name, parts, added)

    def _append(self, name: str, parts: Iterator[Bytes], added: ArraySpec) -> BufferRecord:
        with self._lock_of(name):
            version = self._version(name)
            array = _array_of(version, added)
            rows, chunk_rows = added.shape[0], array.chunks[0]
            begun, kept = divmod(array.shape[0], chunk_rows)
            longer = parse_array(array.dtype, (array.shape[0] + rows, *array.shape[1:]), array.chunks)
            tail = replace(array, shape=(kept + rows, *array.shape[1:]))
            size = array.nbytes // array.shape[0] * kept if kept else 0
            before = open_version(version).parts(array.nbytes - size) if size else iter(())
            cutter = self._writes.cutter(name, tail)
            chunks = {
                _shifted(key, begun): chunk
                for key, chunk in write_all(cutter, itertools.chain(before, _exactly(parts, added, name))).items()
            }

            def unchanged() -> None:
                for key in (METADATA, *chunks):
                    if not self._writes.is_present(name, key, version.rows.get(key)):
                        raise ConflictError(
                            f"Buffer {name!r} was changed while it was appended to. Nothing was appended: try again.",
                            name=name,
                        )

            document = with_shape(version.read(METADATA), longer.shape)
            what = f"what is appended to buffer {name!r} ({added.nbytes:,} bytes)"
            self._writes.grow_array(name, document, chunks, unchanged, what)
            return replace(version.record, size=longer.nbytes, array=replace(array, shape=longer.shape))

    def _lock_of(self, name: str) -> threading.Lock:
        with self._locks_lock:
            lock = self._locks.get(name)
            if lock is None:
                lock = self._locks[name] = threading.Lock()
            return lock


def _array_of(version: Version, added: ArraySpec) -> ArraySpec:
    """Give the array that grows; InvalidInputError when it cannot, or when what comes does not fit it."""
    node = version.nodes[""]
    array = node.array
    name = version.name
    if node.kind != "array" or array is None or not node.plain or not array.ndim:
        kind = {"bytes": "bytes without a shape", "group": "a group of arrays"}.get(node.kind)
        kind = kind or ("a single element" if array is not None and not array.ndim else "an array that is encoded")
        raise InvalidInputError(
            f"Buffer {name!r} is {kind}: only an array with axes, whose chunks hold its elements as they are, grows.",
            name=name,
        )
    if (added.dtype, added.shape[1:]) != (array.dtype, array.shape[1:]) or not added.ndim:
        raise InvalidInputError(
            f"Buffer {name!r} is an array of {array.dtype} with the shape {list(array.shape)}; what is appended has "
            f"its type and its axes but the first. Found {added.dtype} with the shape {list(added.shape)}.",
            name=name,
        )
    return array


def _exactly(parts: Iterable[Bytes], added: ArraySpec, name: str) -> Iterator[Bytes]:
    """Give the parts; InvalidInputError when they are not as many bytes as the array has."""
    size = 0
    for part in parts:
        size += flat(part).nbytes
        if size > added.nbytes:
            break
        yield part
    if size != added.nbytes:
        raise InvalidInputError(
            f"What is appended to buffer {name!r} has {added.nbytes:,} bytes as an array of {added.dtype} with the "
            f"shape {list(added.shape)}; {'more' if size > added.nbytes else f'{size:,}'} came. Nothing was changed.",
            name=name,
        )


def _shifted(key: str, by: int) -> str:
    """Give the key of a chunk that lies so many further along the first axis."""
    found = parse_chunk_key(f"a/{key}")
    assert found is not None  # noqa: S101 - the cutter's own key
    first, *rest = found[1]
    return chunk_path((first + by, *rest))
