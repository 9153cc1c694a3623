"""What a person gives a call to work on: bytes, or an array whose type and shape go along as headers."""

from __future__ import annotations

from typing import Any

from ..abc import Bytes
from ..arrays.elements import as_elements, describe
from ..errors import InvalidInputError
from ..model import ArraySpec, CallResult, array_headers, is_content_type
from .values import as_array, is_array_like, to_bytes


def take_input(input: Any, arguments: tuple[Any, ...]) -> tuple[Bytes, dict[str, str], tuple[Any, ...]]:
    """Give the bytes of a call's input, the headers that say what they are, and the arguments that are left.

    Parameters
    ----------
    input
        Bytes, text, an array, a stored buffer or the result of a call.
    arguments
        The first of them may be an array; it is the input then.

    Raises
    ------
    InvalidInputError
        The input is none of these, or given twice.
    """
    if arguments and _is_array(arguments[0]):
        if not (isinstance(input, bytes) and not input):
            raise InvalidInputError("The input is given twice: as an array among the arguments and as input=.")
        input, arguments = arguments[0], arguments[1:]
    return (*input_content(input), arguments)


def _is_array(value: Any) -> bool:
    from .handles import BufferHandle

    if isinstance(value, BufferHandle):
        return True
    # A NumPy scalar is a number among the others.
    return is_array_like(value) and getattr(value, "shape", None) != ()


def input_content(input: Any) -> tuple[Bytes, dict[str, str]]:
    """Give the bytes of a call's input, and the headers that say what they are; raises as :func:`take_input` does."""
    from .handles import BufferHandle

    if isinstance(input, BufferHandle):
        record = input.record
        return bytes(input), {**_headers(record.array), "content-type": record.content_type}
    if isinstance(input, CallResult):
        told = input.output_headers.get("content-type", "")
        return input.output, {**_headers(input.array), **({"content-type": told} if is_content_type(told) else {})}
    if not is_array_like(input):
        return to_bytes(input), {}
    import numpy

    elements = as_elements(as_array(input))[0]
    little = numpy.ascontiguousarray(elements, elements.dtype.newbyteorder("<"))
    # Of no dimensions and of no elements too: views of bytes.
    return little.reshape(-1).view(numpy.uint8).data, _headers(describe(elements))


def _headers(array: ArraySpec | None) -> dict[str, str]:
    if array is None:
        return {}
    headers = array_headers(array)
    # How it was cut is nothing that a guest could use.
    del headers["moc-chunks"]
    return headers
