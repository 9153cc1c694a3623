"""``struct moc_array`` of the interface ``chunk/1``: how an array is told to a guest, and how its answer is read.

Pure bytes and numbers: what a guest left is hostile until :func:`read_result` has seen it. Memory and calls are
:mod:`.array_calls`'.

References
----------
docs/reference/guests.md, "Array functions".
"""

from __future__ import annotations

import struct
from dataclasses import dataclass
from typing import Final

from ...errors import ArrayResultError, InvalidInputError, oxford
from ...model.arrays import DIMENSIONS_MAX, ITEM_BYTES, ArraySpec, parse_array

_BOOL, _INT, _UINT, _FLOAT, _COMPLEX = range(1, 6)
_KINDS: Final = {"bool": _BOOL, "int": _INT, "uint": _UINT, "float": _FLOAT, "complex": _COMPLEX}

DTYPE_CODES: Final = {
    name: _KINDS[name.rstrip("0123456789")] << 8 | item_bytes for name, item_bytes in ITEM_BYTES.items()
}
"""What stands for a data type in a guest: its kind in the second byte, the bytes of an element in the first."""

_DTYPES: Final = {code: name for name, code in DTYPE_CODES.items()}

_ARRAY: Final = struct.Struct("<3I32I")
ARRAY_BYTES: Final = _ARRAY.size
_MAX: Final = (1 << 32) - 1


@dataclass(frozen=True, slots=True)
class Result:
    """An array in a guest's memory, which lies there whole.

    Parameters
    ----------
    pointer
        Of its first element; means nothing for an array without elements.
    """

    pointer: int
    array: ArraySpec


def write_array(function: str, entry: str, array: ArraySpec, pointer: int) -> bytes:
    """Give the structure that tells a guest of an array whose elements lie at `pointer`.

    Raises
    ------
    InvalidInputError
        The interface has no number for the data type, or for the length of an axis.
    """
    code = DTYPE_CODES.get(array.dtype)
    if code is None:
        raise InvalidInputError(
            f"{entry!r} of function {function!r} cannot be given an array of {array.dtype}: guests know "
            f"{oxford(list(DTYPE_CODES))}.",
            dtype=array.dtype,
        )
    if any(each > _MAX for each in array.shape):
        raise InvalidInputError(
            f"{entry!r} of function {function!r} cannot be given an array of shape {list(array.shape)}: an axis has at "
            "most 2^32 - 1 elements there.",
            shape=list(array.shape),
        )
    return _ARRAY.pack(pointer, code, array.ndim, *array.shape, *(0,) * (DIMENSIONS_MAX - array.ndim))


def read_result(function: str, entry: str, content: bytes, memory_bytes: int) -> Result:
    """Read the structure that an array function left as its result.

    Parameters
    ----------
    memory_bytes
        How much memory the guest has now.

    Raises
    ------
    ArrayResultError
        It is no array, or one that does not lie within the guest's memory; names the field.
    """
    pointer, code, ndim, *lengths = _ARRAY.unpack(content)

    def refused(field: str, found: object, expected: str) -> ArrayResultError:
        return ArrayResultError(function, entry, field=field, found=found, expected=expected)

    dtype = _DTYPES.get(code)
    if dtype is None:
        unset = " (it was never set)" if code == 0 else ""
        known = ", ".join(f"{name} {number:#x}" for name, number in DTYPE_CODES.items())
        raise refused("dtype", f"{code:#x}{unset}", f"one of {known}")
    if ndim > DIMENSIONS_MAX:
        raise refused("ndim", f"{ndim:,}", f"at most {DIMENSIONS_MAX}")
    shape = lengths[:ndim]
    try:
        array = parse_array(dtype, shape)
    except InvalidInputError:
        raise refused("shape", shape, "an array of less than 2^63 bytes") from None
    size = array.nbytes
    if size > memory_bytes:
        raise refused("shape", shape, f"at most the {memory_bytes:,} bytes of its memory, and these are {size:,}")
    if size and pointer + size > memory_bytes:
        raise refused("bytes", f"{pointer:#x}", f"{size:,} bytes within its memory, which ends at {memory_bytes:#x}")
    return Result(pointer, array)
