"""What a person gives to be stored: bytes, text, files, arrays of many kinds, other buffers, results of calls.

Each becomes a :class:`Given`, from which nothing has been read yet. NumPy, xarray and zarr are not imported for values
that are none of theirs.
"""

from __future__ import annotations

import array as array_module
import errno
import mimetypes
import os
import stat
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any, Final

from ..abc import Buffers, Bytes
from ..arrays import elements, xarray_nodes, zarr_nodes
from ..errors import InvalidInputError
from ..model import (
    DEFAULT_CONTENT_TYPE,
    ArraySpec,
    BufferRecord,
    CallResult,
    is_content_type,
    parse_array_headers,
    parse_content_type,
)
from .parts import FileParts, SizedParts

if TYPE_CHECKING:
    import numpy

_TEXT_CONTENT_TYPE: Final = "text/plain; charset=utf-8"
# Fewer are not worth to be handed on in parts.
_SMALL_BYTES: Final = 1 << 20


@dataclass(frozen=True, slots=True)
class Labels:
    """What somebody says of an array besides its elements; None leaves it as it is.

    Parameters
    ----------
    chunks
        Shape of its chunks.
    dims
        A name for each axis.
    attributes
        JSON-compatible.
    """

    chunks: Sequence[int] | None = None
    dims: Sequence[str | None] | None = None
    attributes: Mapping[str, Any] | None = None

    def refuse_for(self, what: str) -> None:
        """Refuse them all for what is no single array."""
        given = [name for name in ("chunks", "dims", "attributes") if getattr(self, name) is not None]
        if given:
            raise InvalidInputError(f"{' and '.join(given)} can be given for an array; this is {what}.")

    def refuse_for_bytes(self) -> None:
        """Refuse them all for bytes."""
        self.refuse_for("bytes. Make an array of them first, such as with numpy.frombuffer")


@dataclass(frozen=True, slots=True)
class Given:
    """What is to be stored.

    Parameters
    ----------
    content
        The bytes or their parts; those of an array in C order, little-endian.
    array
        What the bytes are an array of; None for plain bytes.
    entries
        A whole node of Zarr by keys, in the place of `content`; it has content type, headers and labels in it.
    """

    content: Bytes | Iterable[Bytes] = b""
    array: ArraySpec | None = None
    content_type: str = DEFAULT_CONTENT_TYPE
    headers: Mapping[str, str] | None = None
    origin: Mapping[str, str] | None = None
    entries: Iterable[tuple[str, bytes]] | None = field(default=None)

    def store(self, buffers: Buffers, name: str, compression: str | None = None) -> BufferRecord:
        """Store it under `name`; raises as :meth:`..abc.Buffers.put` does."""
        if self.entries is not None:
            if compression is not None:
                raise InvalidInputError(
                    "compression can be given for bytes and single arrays; what is of Zarr or xarray is stored as it "
                    "is. Give an array's elements, numpy.asarray(value), or compress it with Zarr's own codecs. "
                    "Nothing was changed."
                )
            return buffers.put_zarr(name, self.entries, origin=self.origin)
        options: dict[str, Any] = {}
        if self.array is not None:
            options["array"] = self.array
        if self.origin:
            options["origin"] = self.origin
        if compression is not None:
            options["compression"] = compression
        return buffers.put(name, self.content, self.content_type, self.headers, **options)


def to_given(
    value: Any,
    labels: Labels,
    *,
    content_type: str | None = None,
    headers: Mapping[str, str] | None = None,
) -> Given:
    """Say how `value` is to be stored.

    Parameters
    ----------
    content_type, headers
        In the place of those that the value brings along.

    Raises
    ------
    InvalidInputError
        It is nothing that can be stored, and what to do instead; or the labels are not for a value of its kind.
    OSError
        It is the path of a file that cannot be opened.
    """
    if content_type is not None:
        parse_content_type(content_type)
    facts = as_facts(content_type, headers)
    if zarr_nodes.is_group(value):
        labels.refuse_for("a group of Zarr")
        return Given(entries=zarr_nodes.group_entries(value, facts))
    if zarr_nodes.is_array(value):
        return Given(
            entries=zarr_nodes.array_entries(
                value, facts, chunks=labels.chunks, dims=labels.dims, attributes=labels.attributes
            )
        )
    if xarray_nodes.is_dataset(value) or xarray_nodes.is_data_array(value):
        labels.refuse_for("an object of xarray, which has its own")
        return Given(entries=xarray_nodes.entries_of(value, facts))
    given = _of_result(value) if isinstance(value, CallResult) else _of_plain(value, labels)
    if given is None:
        given = _of_array(as_array(value), labels)
    if given.array is None:
        labels.refuse_for_bytes()
    return replace(
        given,
        content_type=given.content_type if content_type is None else content_type,
        headers=given.headers if headers is None else headers,
    )


def is_array_like(value: Any) -> bool:
    """Tell whether `value` is an array, or gives one of NumPy: not bytes, not text, not a list."""
    if isinstance(value, memoryview):
        return value.format != "B" or value.ndim != 1
    if isinstance(value, array_module.array):
        return True
    # A class says so too, and gives none.
    return not isinstance(value, type) and (hasattr(value, "__array__") or hasattr(value, "__array_interface__"))


def as_array(value: Any) -> numpy.ndarray[Any, Any]:
    """Give what is array-like as an array of NumPy, without a copy where that is possible.

    Raises
    ------
    InvalidInputError
        It is none.
    """
    if not is_array_like(value):
        hint = ""
        if isinstance(value, list | tuple | int | float | complex):
            hint = " Make an array of it first: numpy.asarray(value)."
        raise InvalidInputError(
            f"Expected an array, bytes, text or a file; found {type(value).__name__}, which cannot be stored.{hint}"
        )
    import numpy

    return numpy.asarray(value)


def array_content(array: numpy.ndarray[Any, Any]) -> Bytes | SizedParts:
    """Give the elements of an array in C order, little-endian: bytes when they are few, else parts."""
    parts = elements.ElementParts(array)
    return b"".join(parts) if array.nbytes < _SMALL_BYTES else SizedParts(parts, array.nbytes)


def to_bytes(content: Any) -> bytes:
    """Give the bytes of text (UTF-8) or of a bytes-like object.

    Raises
    ------
    InvalidInputError
        `content` is neither. Arrays are refused too: their bytes alone would lose type and shape.
    """
    if isinstance(content, bytes):
        return content
    if isinstance(content, str):
        return content.encode()
    if isinstance(content, bytearray) or (isinstance(content, memoryview) and content.format == "B"):
        return bytes(content)
    hint = " Give the bytes of an array with array.tobytes()." if hasattr(content, "tobytes") else ""
    raise InvalidInputError(f"Expected bytes or text, found {type(content).__name__}.{hint}")


def as_facts(content_type: str | None, headers: Mapping[str, str] | None) -> dict[str, Any]:
    """Give what moc itself is to say of a node of Zarr, as far as it is said."""
    facts: dict[str, Any] = {}
    if content_type is not None:
        facts["content_type"] = content_type
    if headers is not None:
        facts["headers"] = {name.lower(): text for name, text in headers.items()}
    return facts


def _of_plain(value: Any, labels: Labels) -> Given | None:
    """Take bytes, text, files and parts; None for what may be an array."""
    if isinstance(value, str):
        return Given(value.encode(), content_type=_TEXT_CONTENT_TYPE)
    if isinstance(value, os.PathLike):
        return _of_path(value)
    if isinstance(value, SizedParts):
        return Given(value)
    # Not `read` alone: xarray and others have attributes of any name.
    if hasattr(value, "read") and not is_array_like(value):
        return Given(FileParts(value))
    if isinstance(value, bytes | bytearray) or (isinstance(value, memoryview) and not is_array_like(value)):
        return Given(to_bytes(value))
    # An iterator, and not whatever has one: an array or a list of numbers is meant as something else.
    if isinstance(value, Iterator) and not is_array_like(value):
        return Given(map(to_bytes, value))
    return None


def _of_path(path: os.PathLike[Any]) -> Given:
    name = os.fspath(path)
    found = os.stat(name)
    if stat.S_ISDIR(found.st_mode):
        raise IsADirectoryError(errno.EISDIR, "It is a directory, and a buffer is one file's content", name)
    size = found.st_size if stat.S_ISREG(found.st_mode) else None

    def read() -> Iterator[Bytes]:
        with open(name, "rb") as file:
            parts = FileParts(file)
            if parts.size != size:
                raise InvalidInputError(f"The file {os.fsdecode(name)!r} changed its size just now.")
            yield from parts

    guessed = mimetypes.guess_type(os.fsdecode(name))[0]
    content_type = guessed if guessed is not None and is_content_type(guessed) else DEFAULT_CONTENT_TYPE
    return Given(SizedParts(read(), size), content_type=content_type)


def _of_result(result: CallResult) -> Given:
    headers = dict(result.output_headers)
    content_type = headers.pop("content-type", DEFAULT_CONTENT_TYPE)
    spec = None
    try:
        told = parse_array_headers(headers)
        spec = told if told is not None and told.nbytes == len(result.output) else None
    except InvalidInputError:
        pass  # A guest may say anything; its output is bytes then.
    kept = {name: text for name, text in headers.items() if name not in ("moc-dtype", "moc-shape", "moc-chunks")}
    origin = {"call_id": result.call_id}
    function = getattr(result, "function", "")
    if function:
        origin["function"] = function
    return Given(
        result.output,
        array=spec,
        content_type=content_type if is_content_type(content_type) else DEFAULT_CONTENT_TYPE,
        headers=kept,
        origin=origin if result.call_id else None,
    )


def _of_array(array: numpy.ndarray[Any, Any], labels: Labels) -> Given:
    stored, found = elements.as_elements(array)
    attributes = {**(labels.attributes or {}), **found}
    spec = elements.describe(stored, chunks=labels.chunks, dims=labels.dims, attributes=attributes)
    return Given(array_content(stored), array=spec)
