"""Reading a stored buffer as an array: which way its chunks come here, and that all of them are of one version."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from typing import Any, Final, TypeVar

from ..abc import Buffers, Bytes, Platform
from ..arrays.document import METADATA, own_facts, parse_document, stored_array
from ..arrays.reader import ArrayReader, ChunkSource
from ..arrays.selection import parse_selection
from ..arrays.sources import HierarchyChunks
from ..arrays.zarr_nodes import ZarrReader
from ..errors import ConflictError, CorruptStorageError, StorageError
from ..model import ArraySpec, BufferRecord
from ..storage.zarr_layout import BUFFERS, node_name
from .http_buffers import HttpBuffers
from .local_files import LARGE_BYTES, VanishedError

T = TypeVar("T")
Reader = ArrayReader | ZarrReader

_ATTEMPTS: Final = 5
_THREADS: Final = 4
_ROW_BYTES: Final = 256 << 10


def consistently(buffers: Buffers, name: str, read: Callable[[BufferRecord], T]) -> T:
    """Give what `read` gives for the present version of a buffer, all of that one version.

    A buffer that is replaced meanwhile is read again.

    Raises
    ------
    ConflictError
        It was replaced each time.
    """
    record = buffers.stat(name)
    for _ in range(_ATTEMPTS):
        failure: Exception | None = None
        try:
            found = read(record)
        except (StorageError, VanishedError, IndexError) as error:
            # What was read in part from one version and in part from the next looks like damage.
            failure = error
        now = buffers.stat(name)
        if now == record and not isinstance(failure, VanishedError):
            if failure is not None:
                raise failure
            return found
        record = now
    raise replaced_error(name)


def replaced_error(name: str) -> ConflictError:
    """Make the error for a buffer that does not stay the same for as long as it is read."""
    return ConflictError(f"Buffer {name!r} was replaced while it was read. Read it again, or a part of it.", name=name)


def node_path(name: str) -> str:
    """Give the Zarr node of a buffer."""
    return f"{BUFFERS}/{node_name(name)}"


class BytesOf:
    """A buffer of bytes as an array of one chunk; an :class:`..arrays.reader.ChunkSource`."""

    def __init__(self, buffers: Buffers, name: str) -> None:
        self._buffers = buffers
        self._name = name

    def read(self, chunk_key: str, start: int, stop: int) -> Bytes:
        """Give bytes ``[start, stop)``."""
        return self._buffers.read(self._name, start, stop)

    def read_whole(self, chunk_key: str) -> Bytes:
        """Give all bytes."""
        return self._buffers.read(self._name)


def spec_of(record: BufferRecord) -> ArraySpec:
    """Say what a buffer is as an array: bytes are numbers along one axis.

    Raises
    ------
    TypeError
        It is a group without a main array.
    """
    if record.array is not None:
        return record.array
    if record.arrays:
        raise TypeError(
            f"Buffer {record.name!r} is a group of arrays ({', '.join(sorted(record.arrays))}), and no array itself: "
            "use to_xarray() or to_zarr()."
        )
    return ArraySpec("uint8", (record.size,), (max(record.size, 1),))


def reader_of(platform: Platform, record: BufferRecord, *, whole: bool = False) -> Reader:
    """Give what reads a buffer as an array.

    Parameters
    ----------
    whole
        Whether much of it is to be read: then by the server's files, where this process sees them.

    Raises
    ------
    TypeError
        It is a group without a main array.
    """
    what = f"buffer {record.name!r}"
    spec = spec_of(record)
    if record.array is None:
        return ArrayReader(spec, BytesOf(platform.buffers, record.name), what=what)
    path, document = _array_node(platform, record)
    stored = stored_array(document)
    is_whole = own_facts(document).get("whole") is True
    if stored is None or not stored.is_plain:
        return ZarrReader(platform.zarr, path, spec, whole=is_whole)
    fill = None if is_whole else stored.fill
    source: ChunkSource = HierarchyChunks(platform.zarr, path, stored.spec, fill, what)
    if whole and not record.arrays and spec.nbytes >= LARGE_BYTES and isinstance(platform.buffers, HttpBuffers):
        source = platform.buffers.chunk_files(record.name, source) or source
    return ArrayReader(stored.spec, source, threads=_THREADS, what=what)


def select(platform: Platform, record: BufferRecord, selection: Any) -> Any:
    """Give what ``array[selection]`` is; of bytes, slices give bytes and an integer index gives an integer."""
    parsed = parse_selection(selection, spec_of(record).shape)
    if record.array is None:
        run = parsed.runs[0]
        if run.step == 1:
            content = platform.buffers.read(record.name, run.start, run.start + run.count)
            return content[0] if parsed.is_scalar else content
        found = reader_of(platform, record).read(selection)
        return bytes(found.tobytes())
    wanted = math.prod(parsed.counts) * record.array.itemsize
    return reader_of(platform, record, whole=wanted >= LARGE_BYTES).read(selection)


def whole(platform: Platform, record: BufferRecord) -> Any:
    """Read all elements, as an array of one's own."""
    import numpy

    if record.array is not None:
        return reader_of(platform, record, whole=True).read()
    result = numpy.empty(spec_of(record).shape, numpy.uint8)
    done = 0
    for part in platform.buffers.parts(record.name):
        if done + len(part) > record.size:
            raise VanishedError
        result[done : done + len(part)] = numpy.frombuffer(part, numpy.uint8)
        done += len(part)
    if done < record.size:
        raise VanishedError
    return result


def rows(platform: Platform, record: BufferRecord) -> Iterator[Any]:
    """Go along the first axis, reading as many elements of it at once as a chunk has.

    Raises
    ------
    TypeError
        It is a group without a main array, or an array without axes.
    ConflictError
        It was replaced meanwhile.
    """
    spec = spec_of(record)
    if not spec.shape:
        raise TypeError("iteration over a 0-d array")
    step = min(spec.chunks[0], _ROW_BYTES) if record.array is None else spec.chunks[0]
    for begin in range(0, spec.shape[0], step):
        part = select(platform, record, slice(begin, begin + step))
        if platform.buffers.stat(record.name) != record:
            raise replaced_error(record.name)
        yield from part


def is_group(platform: Platform, record: BufferRecord) -> bool:
    """Tell whether a buffer is a group, also one without arrays."""
    if record.arrays:
        return True
    return record.array is None and _document(platform, node_path(record.name), record).get("node_type") == "group"


def main_of(platform: Platform, record: BufferRecord) -> str | None:
    """Give the path of the main array of a group; None if it has none."""
    main = own_facts(_document(platform, node_path(record.name), record)).get("main")
    return main if isinstance(main, str) else None


def _array_node(platform: Platform, record: BufferRecord) -> tuple[str, dict[str, Any]]:
    path = node_path(record.name)
    document = _document(platform, path, record)
    main = own_facts(document).get("main")
    if isinstance(main, str):
        path = f"{path}/{main}"
        document = _document(platform, path, record)
    return path, document


def _document(platform: Platform, path: str, record: BufferRecord) -> dict[str, Any]:
    content = platform.zarr.read(f"{path}/{METADATA}")
    if content is None:
        raise CorruptStorageError(f"buffer {record.name!r}", f"its metadata {path}/{METADATA} is missing")
    return parse_document(content)
