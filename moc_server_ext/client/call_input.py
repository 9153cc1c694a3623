"""What a person gives a call to work on: bytes, or arrays whose type and shape go along as headers."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from ..abc import Bytes
from ..arrays.elements import as_elements, describe
from ..errors import InvalidInputError
from ..model import (
    INPUTS_MAX,
    ArraySpec,
    CallInput,
    CallResult,
    array_headers,
    is_content_type,
    too_many_inputs,
)
from .values import as_array, is_array_like, to_bytes


def take_inputs(
    input: Any, inputs: Sequence[Any] | None, arguments: tuple[Any, ...]
) -> tuple[CallInput, tuple[CallInput, ...], tuple[Any, ...]]:
    """Give the first input of a call, its other inputs, and the arguments that are left.

    Parameters
    ----------
    input
        Bytes, text, an array, a stored buffer or the result of a call.
    inputs
        Several of them, in a list or a tuple; None for the one.
    arguments
        The first of them may be an array; it is the one input then.

    Raises
    ------
    InvalidInputError
        The input is none of these, or given twice; there are too many.
    """
    given = not (isinstance(input, bytes) and not input)
    if arguments and _is_array(arguments[0]):
        if given or inputs is not None:
            keyword = "input=" if given else "inputs="
            raise InvalidInputError(f"The input is given twice: as an array among the arguments and as {keyword}.")
        input, arguments = arguments[0], arguments[1:]
    if inputs is None:
        return CallInput(*input_content(input)), (), arguments
    if given:
        raise InvalidInputError("The input is given twice: as input= and as inputs=.")
    if not isinstance(inputs, list | tuple):
        raise InvalidInputError(
            f"inputs= takes a list of inputs, not {type(inputs).__name__}. One alone goes into input=."
        )
    if len(inputs) > INPUTS_MAX:
        raise too_many_inputs(len(inputs))
    taken = tuple(CallInput(*input_content(each)) for each in inputs) or (CallInput(b""),)
    return taken[0], taken[1:], arguments


def _is_array(value: Any) -> bool:
    from .handles import BufferHandle

    if isinstance(value, BufferHandle):
        return True
    # A NumPy scalar is a number among the others.
    return is_array_like(value) and getattr(value, "shape", None) != ()


def input_content(input: Any) -> tuple[Bytes, dict[str, str]]:
    """Give the bytes of a call's input, and the headers that say what they are; raises as :func:`take_inputs` does."""
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
