"""Arrays as they are told about: data type, shape, chunks, attributes; and how these are read from outside.

Data types have the names of the Zarr v3 core specification, which NumPy shares. Bytes of arrays are in C order and
little-endian everywhere. NumPy itself is not needed here.

References
----------
Zarr core specification version 3: "Data types", "Regular grids", "Chunk key encoding".
"""

from __future__ import annotations

import itertools
import json
import math
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any, Final, Self

from ..errors import InvalidInputError, nearest, oxford

CHUNK_BYTES: Final = 8 << 20
"""About how large a chunk is when nobody chose: large enough to be read at full speed, small enough to be held."""

DIMENSIONS_MAX: Final = 32
_BYTES_MAX: Final = (1 << 63) - 1

ITEM_BYTES: Final[Mapping[str, int]] = {
    "bool": 1,
    "int8": 1,
    "int16": 2,
    "int32": 4,
    "int64": 8,
    "uint8": 1,
    "uint16": 2,
    "uint32": 4,
    "uint64": 8,
    "float16": 2,
    "float32": 4,
    "float64": 8,
    "complex64": 8,
    "complex128": 16,
}
"""The data types and the bytes of one element."""

_CODE: Final = re.compile(r"[<|=]?([biufc])([0-9]{1,2})|[<|=]?(\?)", re.ASCII)
_KINDS: Final = {"b": "bool", "i": "int", "u": "uint", "f": "float", "c": "complex"}
_NUMBERS: Final = re.compile(r"[0-9]{1,20}(?:[ \t]*,[ \t]*[0-9]{1,20})*[ \t]*,?", re.ASCII)
_DTYPE_HEADER: Final = "moc-dtype"
_SHAPE_HEADER: Final = "moc-shape"
_CHUNKS_HEADER: Final = "moc-chunks"
_NAMES_HEADER: Final = "moc-dimension-names"
_ATTRIBUTES_HEADER: Final = "moc-attributes"


@dataclass(frozen=True)
class ArraySpec:
    """What an N-d array is, without its elements. Made by :func:`parse_array` where anything comes from outside.

    Parameters
    ----------
    dtype
        One of :data:`ITEM_BYTES`.
    shape
        Number of elements along each axis; ``()`` is a single element.
    chunks
        Shape of one chunk: as many numbers as `shape` has, each at least 1. The last chunk along an axis is
        stored whole although perhaps only a part of it counts.
    dimension_names
        A name for each axis, or None where it has none.
    attributes
        What the array's maker said about it; JSON-compatible.
    """

    dtype: str
    shape: tuple[int, ...]
    chunks: tuple[int, ...]
    dimension_names: tuple[str | None, ...] | None = None
    attributes: Mapping[str, Any] = field(default_factory=dict, hash=False)

    @property
    def itemsize(self) -> int:
        """Bytes of one element."""
        return ITEM_BYTES[self.dtype]

    @property
    def ndim(self) -> int:
        """Number of axes."""
        return len(self.shape)

    @cached_property
    def elements(self) -> int:
        """Number of elements."""
        return math.prod(self.shape)

    @property
    def nbytes(self) -> int:
        """Bytes of all elements."""
        return self.elements * self.itemsize

    @cached_property
    def chunk_bytes(self) -> int:
        """Bytes of one chunk as it is stored."""
        return math.prod(self.chunks) * self.itemsize

    @cached_property
    def grid(self) -> tuple[int, ...]:
        """Number of chunks along each axis."""
        return tuple(-(-length // chunk) for length, chunk in zip(self.shape, self.chunks, strict=True))

    @cached_property
    def is_contiguous(self) -> bool:
        """Whether each chunk, without what only fills it, is one run of the array's bytes, in the order of the chunks.

        So it is when all axes before the one that is cut have chunks of 1, and all axes behind it are whole.
        """
        lengths = [(length, chunk) for length, chunk in zip(self.shape, self.chunks, strict=True) if length != 1]
        inner = itertools.dropwhile(lambda axis: axis[1] == 1, lengths)
        next(inner, None)
        # A chunk that is longer than its axis would have fill between the elements.
        return all(length == chunk for length, chunk in inner) and all(
            chunk == 1 for length, chunk in zip(self.shape, self.chunks, strict=True) if length == 1
        )

    def chunk_keys(self) -> Iterator[str]:
        """Name all chunks in C order, as Zarr's default encoding does: ``c/0/1``; ``c`` for an array without axes."""
        for index in itertools.product(*map(range, self.grid)):
            yield chunk_path(index)

    def to_json(self) -> dict[str, Any]:
        """Give the shape of ``array`` in the record of a buffer."""
        return {
            "dtype": self.dtype,
            "shape": list(self.shape),
            "chunks": list(self.chunks),
            "dimension_names": None if self.dimension_names is None else list(self.dimension_names),
            "attributes": dict(self.attributes),
        }

    @classmethod
    def from_json(cls, body: Mapping[str, Any]) -> Self:
        """Read what :meth:`to_json` gave."""
        names = body.get("dimension_names")
        return cls(
            body["dtype"],
            tuple(body["shape"]),
            tuple(body["chunks"]),
            None if names is None else tuple(names),
            dict(body.get("attributes") or {}),
        )


def chunk_path(index: Iterable[int]) -> str:
    """Give the key of a chunk below its array: ``c/0/1``; ``c`` for an array without axes."""
    return "/".join(("c", *map(str, index)))


def parse_dtype(text: str) -> str:
    """Read a data type: its name, or the code that NumPy writes for it (``<f4``).

    Raises
    ------
    InvalidInputError
        There is no such type, or it is big-endian.
    """
    if text in ITEM_BYTES:
        return text
    match = _CODE.fullmatch(text)
    if match is not None:
        kind, size, flag = match.groups()
        name = "bool" if flag or (kind, size) == ("b", "1") else f"{_KINDS[kind]}{int(size) * 8}"
        if name in ITEM_BYTES:
            return name
    if text.startswith(">") and _CODE.fullmatch(text[1:]):
        raise InvalidInputError(
            f"Data type {text!r} is big-endian, and arrays are kept little-endian: swap the bytes and say "
            f"{'<' + text[1:]!r}.",
            dtype=text,
        )
    close = nearest(text[:64], ITEM_BYTES)
    hint = f" Did you mean {oxford(close)}?" if close else f" There are {oxford(list(ITEM_BYTES))}."
    raise InvalidInputError(f"{text[:64]!r} is no data type of arrays.{hint}", dtype=text[:64])


def parse_shape(value: str | Sequence[Any], what: str = "shape") -> tuple[int, ...]:
    """Read a shape: numbers, or text such as ``[120, 180]``, ``120,180`` or ``[]``.

    Raises
    ------
    InvalidInputError
        It is something else, has more than 32 axes, or a number is negative or beyond 2^63.
    """
    numbers: Any = value
    if isinstance(value, str):
        text = value.strip()
        try:
            numbers = json.loads(f"[{text.rstrip(',')}]" if _NUMBERS.fullmatch(text) else text)
        except (ValueError, RecursionError):
            numbers = None
    if not isinstance(numbers, Sequence) or isinstance(numbers, str | bytes):
        raise InvalidInputError(f"{str(value)[:64]!r} is no {what}: expected whole numbers, such as [120, 180].")
    if len(numbers) > DIMENSIONS_MAX:
        raise InvalidInputError(f"A {what} has at most {DIMENSIONS_MAX} axes; found {len(numbers):,}.")
    for each in numbers:
        if isinstance(each, bool) or not hasattr(each, "__index__"):
            raise InvalidInputError(f"A {what} is made of whole numbers; found {each!r}.")
        if not 0 <= int(each) <= _BYTES_MAX:
            raise InvalidInputError(f"Each number of a {what} is 0 to 2^63 - 1; found {each}.")
    return tuple(int(each) for each in numbers)


def parse_array(
    dtype: str,
    shape: str | Sequence[Any],
    chunks: str | Sequence[Any] | None = None,
    *,
    dimension_names: Sequence[str | None] | None = None,
    attributes: Mapping[str, Any] | None = None,
) -> ArraySpec:
    """Make the description of an array from what somebody says; without `chunks`, :func:`default_chunks`.

    Raises
    ------
    InvalidInputError
        A part is not what it must be, they do not fit each other, or the array has 2^63 bytes or more.
    """
    name, lengths = parse_dtype(dtype), parse_shape(shape)
    # With one zero the product is 0, however long the other axes are: those are bounded all the same.
    if math.prod(max(each, 1) for each in lengths) * ITEM_BYTES[name] > _BYTES_MAX:
        raise InvalidInputError(
            f"An array of {name} with the shape {list(lengths)} would have 2^63 bytes or more.", shape=list(lengths)
        )
    cut = default_chunks(name, lengths) if chunks is None else parse_shape(chunks, "shape of chunks")
    if len(cut) != len(lengths) or 0 in cut:
        raise InvalidInputError(
            f"The shape of chunks {list(cut)} does not fit an array of shape {list(lengths)}: expected {len(lengths)} "
            "numbers, each at least 1.",
        )
    if math.prod(cut) * ITEM_BYTES[name] > _BYTES_MAX:
        raise InvalidInputError(f"A chunk of {name} with the shape {list(cut)} would have 2^63 bytes or more.")
    names = None if dimension_names is None else tuple(dimension_names)
    if names is not None and (
        len(names) != len(lengths) or not all(each is None or isinstance(each, str) for each in names)
    ):
        raise InvalidInputError(f"An array of {len(lengths)} axes has {len(lengths)} names for them; found {names!r}.")
    return ArraySpec(name, lengths, cut, names, _parse_attributes(attributes))


def default_chunks(dtype: str, shape: Sequence[int]) -> tuple[int, ...]:
    """Cut an array into runs of its bytes of about :data:`CHUNK_BYTES`, along one axis."""
    room = CHUNK_BYTES // ITEM_BYTES[dtype]
    chunks: list[int] = []
    for axis, length in enumerate(shape):
        inner = math.prod(max(each, 1) for each in shape[axis + 1 :])
        if inner * max(length, 1) <= room:
            return (*chunks, *(max(each, 1) for each in shape[axis:]))
        if inner <= room:
            return (*chunks, room // inner, *(max(each, 1) for each in shape[axis + 1 :]))
        chunks.append(1)
    return tuple(chunks)


def array_headers(array: ArraySpec) -> dict[str, str]:
    """Give the headers that tell an array's type, shape and chunks beside its bytes."""
    return {
        _DTYPE_HEADER: array.dtype,
        _SHAPE_HEADER: json.dumps(array.shape, separators=(",", ":")),
        _CHUNKS_HEADER: json.dumps(array.chunks, separators=(",", ":")),
    }


def label_headers(array: ArraySpec) -> dict[str, str]:
    """Give the headers that tell the names of an array's axes and its attributes; none if it has neither."""
    headers: dict[str, str] = {}
    if array.dimension_names is not None:
        headers[_NAMES_HEADER] = json.dumps(array.dimension_names, separators=(",", ":"))
    if array.attributes:
        headers[_ATTRIBUTES_HEADER] = json.dumps(dict(array.attributes), allow_nan=False, separators=(",", ":"))
    return headers


def parse_array_headers(headers: Mapping[str, str]) -> ArraySpec | None:
    """Read ``moc-dtype``, ``moc-shape``, ``moc-chunks`` and the labels; None if neither type nor shape is said.

    Parameters
    ----------
    headers
        By lower-case name.

    Raises
    ------
    InvalidInputError
        One of them is wrong, or only one of type and shape is there.
    """
    dtype, shape = headers.get(_DTYPE_HEADER), headers.get(_SHAPE_HEADER)
    if dtype is None and shape is None:
        return None
    if dtype is None or shape is None:
        missing = "Moc-Dtype" if dtype is None else "Moc-Shape"
        raise InvalidInputError(f"An array needs the headers Moc-Dtype and Moc-Shape; found none named {missing}.")
    return parse_array(
        dtype.strip(),
        shape,
        headers.get(_CHUNKS_HEADER),
        dimension_names=_parse_json(headers, _NAMES_HEADER, list),
        attributes=_parse_json(headers, _ATTRIBUTES_HEADER, dict),
    )


def _parse_json(headers: Mapping[str, str], name: str, kind: type) -> Any:
    """Read a header that is a JSON list or object; None if it is not there."""
    text = headers.get(name)
    if text is None:
        return None
    try:
        found = json.loads(text)
    except (ValueError, RecursionError):
        found = None
    if not isinstance(found, kind):
        what = "list" if kind is list else "object"
        raise InvalidInputError(f"The header {name.title()} is not a JSON {what}: {text[:64]!r}.")
    return found


def _parse_attributes(attributes: Mapping[str, Any] | None) -> dict[str, Any]:
    found = dict(attributes or {})
    try:
        json.dumps(found, allow_nan=False)
    except (TypeError, ValueError, RecursionError) as error:
        raise InvalidInputError(f"The attributes of an array must be JSON: {error}.") from None
    if "moc" in found:
        raise InvalidInputError("The attribute 'moc' of an array is moc's own: give it another name.")
    return found
