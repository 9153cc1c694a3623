"""What comes under a buffer's name: bytes, an array, a zipped Zarr node, staged files, or more of an array.

Owns how the head of a request tells one from the other, and which receiver its body then goes into.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from typing import IO, Any, Final

from ...abc import Receiver
from ...errors import InvalidInputError
from ...model import (
    DEFAULT_CONTENT_TYPE,
    ArraySpec,
    BufferRecord,
    parse_array_headers,
    parse_compression,
    parse_content_type,
    parse_name,
)
from ..archive import zarr_entries
from ..collected import SpooledBody
from ..content import request_content_type
from ..messages import ApiRequest, parse_json_object, parse_single

ZIP_CONTENT_TYPE: Final = "application/zip"
STAGED_CONTENT_TYPE: Final = "application/vnd.moc.staged+json"

_STAGED_BYTES_MAX: Final = 16 << 20
_PART_BYTES: Final = 1 << 20


def receive_buffer(request: ApiRequest) -> Receiver[BufferRecord]:
    """Begin to store a body under a name."""
    name = parse_name(request.name(), "buffer's name")
    format = parse_single(request.parameters("format")["format"], "format")
    content_type = request_content_type(request)
    if format is not None:
        return _receive_zipped(request, name, format, content_type)
    array = parse_array_headers(request.headers)
    headers, origin = header_texts(request, "moc-headers"), header_texts(request, "moc-origin")
    compression = parse_compression(request.headers.get("moc-compression"))
    if content_type == STAGED_CONTENT_TYPE:
        if array is None:
            raise InvalidInputError(
                "Staged files are the chunks of an array: send Moc-Dtype, Moc-Shape and Moc-Chunks."
            )
        if compression is not None:
            raise InvalidInputError(
                "Staged files are stored as they are: leave Moc-Compression out, or send the bytes."
            )
        return _receive_staged(request, name, array, headers, origin)
    return request.platform.buffers.receive(
        name, content_type, headers, array=array, origin=origin, compression=compression
    )


def receive_appended(request: ApiRequest) -> Receiver[BufferRecord]:
    """Begin to take what is added to an array."""
    request.parameters()
    name = parse_name(request.name(), "buffer's name")
    array = parse_array_headers(request.headers)
    if array is None:
        raise InvalidInputError("What is appended is an array: send the headers Moc-Dtype and Moc-Shape.")
    return SpooledBody(
        lambda file: request.platform.buffers.append(name, _parts(file), array),
        max_bytes=request.max_body_bytes,
        what=f"what is appended to buffer {name!r}",
    )


def _receive_zipped(request: ApiRequest, name: str, format: str, content_type: str) -> Receiver[BufferRecord]:
    if format != "zarr":
        raise InvalidInputError(f"Query parameter 'format' is 'zarr' or not there; found {format[:32]!r}.")
    if content_type != ZIP_CONTENT_TYPE:
        raise InvalidInputError(f"A body with format=zarr is a zip file: its Content-Type is {ZIP_CONTENT_TYPE}.")
    for header in (
        "Moc-Dtype",
        "Moc-Shape",
        "Moc-Chunks",
        "Moc-Dimension-Names",
        "Moc-Attributes",
        "Moc-Headers",
        "Moc-Compression",
    ):
        if request.headers.get(header.lower()) is not None:
            raise InvalidInputError(f"A body with format=zarr tells by itself what it is: leave {header} out.")
    origin = header_texts(request, "moc-origin")

    def store(file: IO[bytes]) -> BufferRecord:
        entries = zarr_entries(file, max_bytes=request.max_body_bytes)
        return request.platform.buffers.put_zarr(name, entries, origin=origin)

    return SpooledBody(store, max_bytes=request.max_body_bytes, what=f"buffer {name!r}")


def _receive_staged(
    request: ApiRequest,
    name: str,
    array: ArraySpec,
    headers: Mapping[str, str] | None,
    origin: Mapping[str, str] | None,
) -> Receiver[BufferRecord]:
    def store(file: IO[bytes]) -> BufferRecord:
        body = parse_json_object(file.read())
        files, content_type = body.get("files"), body.get("content_type", DEFAULT_CONTENT_TYPE)
        if not isinstance(content_type, str) or not isinstance(files, dict) or not _are_texts(files):
            raise InvalidInputError('Staged files are told as {"files": {CHUNK: ID, …}, "content_type": TYPE}.')
        return request.platform.buffers.adopt(
            name, files, array, parse_content_type(content_type), headers, origin=origin
        )

    return SpooledBody(store, max_bytes=_STAGED_BYTES_MAX, what=f"buffer {name!r}")


def _parts(file: IO[bytes]) -> Iterator[bytes]:
    while part := file.read(_PART_BYTES):
        yield part


def header_texts(request: ApiRequest, name: str) -> dict[str, str] | None:
    """Read a header that is a JSON object of texts; None if it is not there."""
    text = request.headers.get(name)
    if text is None:
        return None
    try:
        found = json.loads(text)
    except (ValueError, RecursionError):
        found = None
    if not _are_texts(found):
        raise InvalidInputError(f"The header {name.title()} is not a JSON object of texts.")
    return dict(found)


def _are_texts(value: Any) -> bool:
    return isinstance(value, dict) and all(isinstance(each, str) for each in value.values())
