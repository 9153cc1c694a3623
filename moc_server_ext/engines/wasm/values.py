"""Numbers on their way between Python and guests: layouts of arguments and results, made once per signature."""

from __future__ import annotations

import ctypes
import struct
from collections.abc import Callable
from ctypes import c_double, c_float, c_int32, c_int64
from operator import attrgetter
from typing import Any, Final

from ...errors import InvalidArgumentsError
from ...model import Number, Signature
from . import capi

_C_TYPES: Final[dict[str, Any]] = {"i32": c_int32, "i64": c_int64, "f32": c_float, "f64": c_double}
_FLOAT_BITS: Final = 1023
_KINDS: Final = {"i32": 0, "i64": 1, "f32": 2, "f64": 3}


_RAW_FORMATS: Final = {"i32": "i12x", "i64": "q8x", "f32": "f12x", "f64": "d8x"}


def is_numeric(signature: Signature) -> bool:
    """Tell whether all types are numbers, which is all that a direct call can pass."""
    return all(each in _C_TYPES for each in (*signature.params, *signature.results))


def check_numbers(function: str, entry: str, signature: Signature, numbers: tuple[Number, ...]) -> None:
    """Check the arguments of a direct call against the export.

    Raises
    ------
    InvalidArgumentsError
        The count or a type is wrong, or a number does not fit. An ``i32`` may be given signed or unsigned.
    """
    if len(numbers) == len(signature.params) and all(map(_fits, signature.params, numbers)):
        return
    found = [f"{number!r} ({type(number).__name__})" for number in numbers]
    raise InvalidArgumentsError(function, entry, expected=signature.params, found=found)


def _fits(kind: str, number: Number) -> bool:
    if kind in ("f32", "f64"):
        return isinstance(number, float) or (type(number) is int and number.bit_length() <= _FLOAT_BITS)
    bits = 32 if kind == "i32" else 64
    return type(number) is int and -(1 << bits - 1) <= number < 1 << bits


def raw_slots(types: tuple[str, ...], result: str | None) -> tuple[Callable[[int], Any], Callable[[Any], Any]]:
    """Say how to see the numbers of a call that lie at an address as ``wasmtime_val_raw_t``.

    Parameters
    ----------
    result
        What the call gives, in the place of its first argument: it is set as the attribute ``result``.

    Returns
    -------
    tuple
        What gives the slots at an address, and what gives all arguments of such slots.
    """
    arguments = _layout(types, capi.RAW_BYTES, 0)
    fields: list[tuple[str, Any]] = [("arguments", arguments)]
    if result is not None:
        fields.append(("result", _C_TYPES[result]))
    slots: type[ctypes.Union] = type("Slots", (ctypes.Union,), {"_anonymous_": ("arguments",), "_fields_": fields})
    return slots.from_address, _getter(types)


def _getter(types: tuple[str, ...]) -> Callable[[Any], tuple[Any, ...]]:
    """Make a function that gives all numbers of a layout, in their order."""
    if not types:
        return lambda _slots: ()
    if len(types) == 1:
        return lambda slots: (slots.n0,)
    return attrgetter(*(f"n{index}" for index in range(len(types))))


def _layout(types: tuple[str, ...], stride: int, offset: int) -> type[ctypes.Structure]:
    fields: list[tuple[str, Any]] = []
    at = 0
    for index, kind in enumerate(types):
        begin = index * stride + offset
        if begin > at:
            fields.append((f"gap{index}", ctypes.c_char * (begin - at)))
        fields.append((f"n{index}", _C_TYPES[kind]))
        at = begin + ctypes.sizeof(_C_TYPES[kind])
    end = max(1, len(types)) * stride
    fields.append(("rest", ctypes.c_char * (end - at)))
    return type("Layout", (ctypes.Structure,), {"_pack_": 1, "_fields_": fields})


def reader(types: tuple[str, ...]) -> Callable[[int], tuple[Any, ...]]:
    """Make a function that reads numbers of these types, which lie at an address as ``wasmtime_val_t``."""
    at, fields = _layout(types, capi.VAL_BYTES, capi.VAL_OFFSET).from_address, _getter(types)
    return lambda address: fields(at(address))


def writer(kind: str) -> Callable[[int, Any], None]:
    """Make a function that writes one number of this type at an address."""
    at = _C_TYPES[kind].from_address

    def write(address: int, number: Any) -> None:
        at(address).value = number

    return write


class PackedNumbers:
    """Numbers of given types at an address of the library's, as ``wasmtime_val_t``.

    For types that come from a module, which may have hundreds of numbers: a format costs bytes where a ctypes structure
    costs kilobytes.
    """

    __slots__ = ("_kinds", "_packing")

    def __init__(self, types: tuple[str, ...]) -> None:
        self._packing = struct.Struct("=" + "".join(map(_value_format, types)))
        self._kinds = tuple(_KINDS[each] for each in types)

    def read(self, address: int) -> tuple[Number, ...]:
        """Read all of them."""
        packing = self._packing
        return packing.unpack(ctypes.string_at(address, packing.size))[1::2]

    def write(self, address: int, found: Number | tuple[Number, ...] | None) -> None:
        """Write all of them: None for none, the number of one, a tuple of several.

        Numbers of other types are an error, and nothing is written then.
        """
        numbers = found if isinstance(found, tuple) else () if found is None else (found,)
        parts = [part for pair in zip(self._kinds, numbers, strict=True) for part in pair]
        packed = self._packing.pack(*parts)
        ctypes.memmove(address, packed, len(packed))


def _value_format(kind: str) -> str:
    code = _RAW_FORMATS[kind][0]
    rest = capi.VAL_BYTES - capi.VAL_OFFSET - struct.calcsize(f"={code}")
    return f"B{capi.VAL_OFFSET - 1}x{code}{rest}x"


class RawNumbers:
    """Numbers of one signature as ``wasmtime_val_raw_t``, for synchronous calls: results overwrite the arguments."""

    __slots__ = ("_get", "_put", "signature", "slots")

    def __init__(self, signature: Signature) -> None:
        self.signature = signature
        self.slots = max(1, len(signature.params), len(signature.results))
        self._put = struct.Struct(_raw_format(signature.params)).pack_into
        self._get = struct.Struct(_raw_format(signature.results)).unpack_from

    def allocate(self) -> Any:
        """Make room for calls."""
        return ctypes.create_string_buffer(self.slots * capi.RAW_BYTES)

    def put(self, space: Any, function: str, entry: str, numbers: tuple[Number, ...]) -> None:
        """Check and write arguments.

        Raises
        ------
        InvalidArgumentsError
            The count or a type is wrong.
        """
        try:
            self._put(space, 0, *numbers)
        except (struct.error, OverflowError):
            check_numbers(function, entry, self.signature, numbers)
            signed = (_signed(kind, each) for kind, each in zip(self.signature.params, numbers, strict=True))
            self._put(space, 0, *signed)

    def get(self, space: Any) -> Number | tuple[Number, ...] | None:
        """Read the results: None for none, the number of one, a tuple of several."""
        found: tuple[Number, ...] = self._get(space)
        return found if len(found) > 1 else found[0] if found else None


def _raw_format(types: tuple[str, ...]) -> str:
    return "<" + "".join(_RAW_FORMATS[each] for each in types)


def _signed(kind: str, number: Number) -> Number:
    bits = {"i32": 32, "i64": 64}.get(kind)
    if bits is None or not isinstance(number, int):
        return number
    return (number + (1 << bits - 1)) % (1 << bits) - (1 << bits - 1)


class Numbers:
    """Numbers of one signature as ``wasmtime_val_t``, for asynchronous calls: the results lie behind the arguments."""

    __slots__ = ("_arguments", "_read", "_size", "results_offset", "signature")

    def __init__(self, signature: Signature) -> None:
        params, results = signature.params, signature.results
        self.signature = signature
        self.results_offset = len(params) * capi.VAL_BYTES
        self._size = max(1, len(params) + len(results)) * capi.VAL_BYTES
        self._arguments = tuple(
            (index * capi.VAL_BYTES, _KINDS[each], writer(each)) for index, each in enumerate(params)
        )
        self._read = reader(results)

    def allocate(self) -> Any:
        """Make room for one call."""
        return ctypes.create_string_buffer(self._size)

    def put(self, at: int, numbers: tuple[Number, ...]) -> None:
        """Write checked arguments into what :meth:`allocate` gave, at its address."""
        for (offset, kind, write), number in zip(self._arguments, numbers, strict=True):
            capi.store_u8(at + offset, kind)
            write(at + offset + capi.VAL_OFFSET, number)

    def get(self, at: int) -> Number | tuple[Number, ...] | None:
        """Read the results: None for none, the number of one, a tuple of several."""
        found = self._read(at + self.results_offset)
        return found if len(found) > 1 else found[0] if found else None
