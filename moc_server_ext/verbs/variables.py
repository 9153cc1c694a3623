"""Variables of a notebook as the input of a call: bytes, and for arrays the headers that say what they are."""

from __future__ import annotations

import sys
from typing import Any

from ..abc import Bytes
from ..errors import InvalidInputError
from ..model import array_headers, parse_array
from .host import Host
from .options import variable_bytes


def variable_input(host: Host, name: str) -> tuple[Bytes, dict[str, str]]:
    """Give the bytes of the person's variable, and the headers that go along.

    Arrays of NumPy, the values of a DataArray of xarray and stored buffers bring their data type and shape. The bytes
    of a NumPy array are its own where they are in C order and little-endian.

    Raises
    ------
    InvalidInputError
        There is no such variable, or it is nothing that has bytes, or an array of what no guest knows.
    """
    from ..client.handles import BufferHandle

    value = host.variable(name)
    if isinstance(value, BufferHandle):
        record = value.record
        headers = {} if record.array is None else array_headers(record.array)
        return bytes(value), {**headers, "content-type": record.content_type}
    array = _as_array(value)
    return (variable_bytes(host, name), {}) if array is None else _elements(name, array)


def _as_array(value: object) -> Any:
    """Give an array of NumPy's for what is one or holds one, else None."""
    # Whoever has an array has imported NumPy.
    numpy = sys.modules.get("numpy")
    if numpy is None:
        return None
    if isinstance(value, numpy.ndarray | numpy.generic):
        return numpy.asarray(value)
    xarray = sys.modules.get("xarray")
    if xarray is not None and isinstance(value, xarray.DataArray):
        return numpy.asarray(value.values)
    return None


def _elements(name: str, array: Any) -> tuple[Bytes, dict[str, str]]:
    import numpy

    dtype = array.dtype.newbyteorder("<")
    try:
        headers = array_headers(parse_array(dtype.str, array.shape))
    except InvalidInputError as error:
        raise InvalidInputError(
            f"Variable {name!r} is an array of {array.dtype}, which no guest can be given: {error.message} "
            f"Convert it first, such as with {name}.astype('float64').",
            name=name,
        ) from None
    del headers["moc-chunks"]
    flat = numpy.ascontiguousarray(array, dtype=dtype).reshape(-1)
    return flat.view(numpy.uint8).data, headers
