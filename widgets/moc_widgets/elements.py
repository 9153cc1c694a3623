"""The elements of a buffer as something to read windows of: a stored array, or bytes that are looked at as one.

Owns what is read for a view and how much of it; what is made of it is in :mod:`.summary` and in the front end.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

from moc_server_ext.errors import InvalidInputError
from moc_server_ext.model.arrays import ITEM_BYTES

if TYPE_CHECKING:
    import numpy
    from numpy import ndarray

    from moc_server_ext.client.handles import BufferHandle
    from moc_server_ext.model import ArraySpec

DTYPES: Final = tuple(ITEM_BYTES)
"""What bytes can be looked at as."""

PLANE_POINTS: Final = 512
"""How many rows and columns of a plane are sent at most."""

WHOLE_PLANE_BYTES: Final = 64 << 20
"""A plane that is larger is not thinned out, which would read all of it, but shown window by window."""

BLOCK_BYTES: Final = 8 << 20
"""About how much of an array is in memory at once."""


@dataclass(frozen=True, slots=True)
class Axis:
    """Elements ``start, start + step, …`` before `stop` of one axis."""

    start: int
    stop: int
    step: int = 1

    def to_json(self) -> dict[str, str]:
        """Give it for the front end, whose numbers are not as exact."""
        return {"start": str(self.start), "stop": str(self.stop), "step": str(self.step)}


class Elements:
    """An array of which any part can be read. Thread-safe; reading blocks.

    Parameters
    ----------
    chunks
        In which shape it is stored, and best read.
    """

    def __init__(self, dtype: numpy.dtype[Any], shape: Sequence[int], chunks: Sequence[int]) -> None:
        self.dtype = dtype
        self.shape = tuple(shape)
        self.chunks = tuple(chunks)

    def read(self, selection: tuple[int | slice, ...]) -> ndarray[Any, Any]:
        """Read what a selection of ints and slices gives, as NumPy counts it."""
        raise NotImplementedError

    @property
    def count(self) -> int:
        """How many elements there are."""
        return math.prod(self.shape)

    def blocks(self) -> Iterator[tuple[slice, ...]]:
        """Cut it, in its order, into selections of whole chunks, or of parts of chunks that are large."""
        if not self.count:
            return
        yield from _grid(self.shape, _block_shape(self.chunks, self.shape, self.dtype.itemsize))


class StoredElements(Elements):
    """A buffer that is an array, or the main array of one that is a group."""

    def __init__(self, handle: BufferHandle, spec: ArraySpec) -> None:
        super().__init__(_dtype(spec.dtype), spec.shape, spec.chunks)
        self._handle = handle

    def read(self, selection: tuple[int | slice, ...]) -> ndarray[Any, Any]:
        """Read through the handle's own indexing."""
        import numpy

        return numpy.asarray(self._handle[selection])


class MemberElements(Elements):
    """One array of a buffer that is a group."""

    def __init__(self, handle: BufferHandle, path: str, spec: ArraySpec) -> None:
        super().__init__(_dtype(spec.dtype), spec.shape, spec.chunks)
        self._handle = handle
        self._path = path

    def read(self, selection: tuple[int | slice, ...]) -> ndarray[Any, Any]:
        """Read through Zarr."""
        import numpy

        return numpy.asarray(self._handle.to_zarr()[self._path][selection])


class BytesElements(Elements):
    """Bytes looked at as numbers; bytes at the end that make no whole number are left out."""

    def __init__(self, handle: BufferHandle, size: int, dtype: str, *, big_endian: bool) -> None:
        kind = _dtype(dtype).newbyteorder(">" if big_endian else "<")
        count = size // kind.itemsize
        super().__init__(kind, (count,), (max(1, min(count, BLOCK_BYTES // kind.itemsize)),))
        self._handle = handle

    def read(self, selection: tuple[int | slice, ...]) -> ndarray[Any, Any]:
        """Read the bytes between the first and the last element."""
        import numpy

        (one,) = selection
        first, last, step = (one, one + 1, 1) if isinstance(one, int) else one.indices(self.shape[0])
        content = self._handle.read(first * self.dtype.itemsize, last * self.dtype.itemsize)
        # Bytes other than 0 and 1 are no bool, and NumPy would show them as they are.
        kind = numpy.dtype("u1") if self.dtype.kind == "b" else self.dtype
        read = numpy.frombuffer(content, kind)[::step].astype(self.dtype)
        return read if isinstance(one, slice) else read[0]


def elements_of(
    handle: BufferHandle,
    size: int,
    array: ArraySpec | None,
    members: Mapping[str, ArraySpec],
    *,
    member: str = "",
    dtype: str = "uint8",
    big_endian: bool = False,
) -> Elements:
    """Give the elements to look at.

    Parameters
    ----------
    array, members
        As the buffer's record has them.
    member
        Which array of a group; empty for the main one.
    dtype, big_endian
        What bytes are looked at as; an array knows that itself.

    Raises
    ------
    InvalidInputError
        There is no such member.
    """
    if member:
        if member not in members:
            raise InvalidInputError(f"The buffer has no array {member[:80]!r}.")
        return MemberElements(handle, member, members[member])
    if array is not None:
        return StoredElements(handle, array)
    return BytesElements(handle, size, dtype, big_endian=big_endian)


@dataclass(frozen=True, slots=True)
class Plane:
    """Two axes of an array, with one place on each of the others."""

    rows: int
    columns: int
    at: tuple[int, ...]


def read_plane(elements: Elements, plane: Plane, row: int, column: int) -> tuple[Axis, Axis, ndarray[Any, Any]]:
    """Read a plane: all of it, thinned out to what a screen shows, or of a large one the window at `row`, `column`."""
    height, width = elements.shape[plane.rows], elements.shape[plane.columns]
    if height * width * elements.dtype.itemsize <= WHOLE_PLANE_BYTES:
        rows, columns = (Axis(0, each, max(1, -(-each // PLANE_POINTS))) for each in (height, width))
    else:
        rows, columns = _window(row, height), _window(column, width)
    selection: list[int | slice] = list(plane.at)
    selection[plane.rows] = slice(rows.start, rows.stop, rows.step)
    selection[plane.columns] = slice(columns.start, columns.stop, columns.step)
    read = elements.read(tuple(selection))
    return rows, columns, read if plane.rows < plane.columns else read.T


def read_line(elements: Elements, axis: int, at: Sequence[int], start: int, stop: int) -> ndarray[Any, Any]:
    """Read elements ``[start, stop)`` along one axis."""
    selection: list[int | slice] = list(at)
    selection[axis] = slice(start, stop)
    return elements.read(tuple(selection))


def little_endian(values: ndarray[Any, Any]) -> bytes:
    """Give the bytes of `values`, in C order, as the front end reads them."""
    return values.astype(values.dtype.newbyteorder("<"), copy=False).tobytes()


def _dtype(name: str) -> numpy.dtype[Any]:
    import numpy

    return numpy.dtype(name)


def _window(first: int, length: int) -> Axis:
    start = max(0, min(first, length - PLANE_POINTS))
    return Axis(start, min(start + PLANE_POINTS, length))


def _block_shape(chunks: Sequence[int], shape: Sequence[int], itemsize: int) -> tuple[int, ...]:
    """Give the shape to read at once: a chunk, but several of small ones and a part of a large one."""
    block = [min(chunk, length) for chunk, length in zip(chunks, shape, strict=True)]
    for axis in range(len(block)):
        nbytes = math.prod(block) * itemsize
        if nbytes > BLOCK_BYTES:
            block[axis] = max(1, block[axis] * BLOCK_BYTES // nbytes)
    for axis in reversed(range(len(block))):
        fitting = BLOCK_BYTES // (math.prod(block) * itemsize)
        if fitting > 1:
            # Whole chunks only: a part of one would be read again with the next block.
            block[axis] = min(block[axis] * fitting, shape[axis])
    return tuple(block)


def _grid(shape: Sequence[int], block: Sequence[int]) -> Iterator[tuple[slice, ...]]:
    if not shape:
        yield ()
        return
    for start in range(0, shape[0], block[0]):
        here = slice(start, min(start + block[0], shape[0]))
        for rest in _grid(shape[1:], block[1:]):
            yield (here, *rest)
