"""Arrays of NumPy on their way into storage: what they are, and their elements in C order, little-endian.

An array that has them so in memory goes out as views of itself; any other is brought into order a chunk at a time.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any, Final

from ..errors import InvalidInputError
from ..model import ArraySpec, parse_array
from .runs import grid_slices

if TYPE_CHECKING:
    import numpy

PART_BYTES: Final = 1 << 20

# CF's words for NumPy's units. Those of months and years are of no fixed length.
_UNITS: Final = {
    "D": "days",
    "h": "hours",
    "m": "minutes",
    "s": "seconds",
    "ms": "milliseconds",
    "us": "microseconds",
    "ns": "nanoseconds",
}
_TEXT: Final = "its elements are text. Store the text itself, such as '\\n'.join(array)"
_BYTES: Final = "store its bytes as numbers, array.view('uint8'), or as a buffer of bytes, array.tobytes()"
_HINTS: Final = {
    "O": "its elements are Python objects. Convert them to numbers first, such as with array.astype('float64')",
    "U": _TEXT,
    "T": _TEXT,
    "S": _BYTES,
    "V": _BYTES,
}
_BYTES_MAX: Final = {"f": 8, "c": 16}


def as_elements(array: numpy.ndarray[Any, Any]) -> tuple[numpy.ndarray[Any, Any], dict[str, Any]]:
    """Give an array as one of a type that can be stored, and the attributes that say what it was.

    Times become whole numbers, with the attributes that the CF conventions have for them: xarray reads them as times.

    Raises
    ------
    InvalidInputError
        Its elements are objects, text, records, or numbers that not every machine has.
    """
    dtype = array.dtype
    if dtype.kind in "mM":
        return _times(array)
    hint = _HINTS.get(dtype.kind)
    if dtype.names is not None:
        hint = "store each of its fields as an array of its own"
    elif dtype.itemsize > _BYTES_MAX.get(dtype.kind, dtype.itemsize):
        hint = f"not every machine has such numbers. Convert them first: array.astype('{_wide(dtype.kind)}')"
    if hint is not None:
        raise InvalidInputError(f"An array of {dtype} cannot be stored as an array: {hint}.", dtype=str(dtype))
    return array, {}


def describe(
    array: numpy.ndarray[Any, Any],
    *,
    chunks: Sequence[int] | None = None,
    dims: Sequence[str | None] | None = None,
    attributes: Mapping[str, Any] | None = None,
) -> ArraySpec:
    """Tell what an array is as it will be stored; InvalidInputError when it cannot be."""
    return parse_array(
        array.dtype.newbyteorder("<").str, array.shape, chunks, dimension_names=dims, attributes=attributes
    )


class ElementParts:
    """The elements of an array in C order, little-endian, in parts of about a megabyte, or of a chunk if reordered.

    They can be iterated again and again.
    """

    def __init__(self, array: numpy.ndarray[Any, Any]) -> None:
        self._array = array

    def __iter__(self) -> Iterator[memoryview]:
        import numpy

        array = self._array
        if array.size == 0:
            return
        little = array.dtype.newbyteorder("<")
        if array.flags.c_contiguous and array.dtype == little:
            flat = array.reshape(-1).view(numpy.uint8).data
            for begin in range(0, len(flat), PART_BYTES):
                yield flat[begin : begin + PART_BYTES]
            return
        for slices in grid_slices(describe(array)):
            # With an ellipsis also a single element is an array.
            index: Any = (*slices, ...)
            yield numpy.ascontiguousarray(array[index], dtype=little).reshape(-1).view(numpy.uint8).data


def _times(array: numpy.ndarray[Any, Any]) -> tuple[numpy.ndarray[Any, Any], dict[str, Any]]:
    import numpy

    dtype = array.dtype
    code, count = numpy.datetime_data(dtype)
    unit = _UNITS.get(code) if count == 1 else None
    if unit is None:
        raise InvalidInputError(
            f"Times of type {dtype} cannot be stored: the CF conventions have no word for their unit. Convert them "
            f"first: array.astype('{dtype.name.partition('[')[0]}[ns]').",
            dtype=str(dtype),
        )
    numbers = array.view(f"{'>' if dtype.byteorder == '>' else '<'}i8")
    if dtype.kind == "m":
        return numbers, {"units": unit}
    return numbers, {"units": f"{unit} since 1970-01-01", "calendar": "proleptic_gregorian"}


def _wide(kind: str) -> str:
    return "complex128" if kind == "c" else "float64"
