"""How things are laid out as a Zarr v3 hierarchy: node names, keys, and the documents of bytes. Pure functions.

A blob, a value, and a buffer without a shape is a one-dimensional ``uint8`` array in a single uncompressed chunk, so
that the chunk *is* the thing, byte for byte. A thing without bytes has no chunk, as the specification has it. Arrays
are as they are described, uncompressed too. A buffer that was to be compressed has several chunks if it is large.

References
----------
Zarr core specification version 3: "Node names", "Metadata", "Chunk key encoding".
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Sequence
from typing import Any, Final
from urllib.parse import quote, unquote, unquote_to_bytes

from ..arrays.document import METADATA, array_document
from ..model import ArraySpec

BLOBS = "blobs"
BUFFERS = "buffers"
KEY_VALUES = "kv"

CHUNK = "c/0"

_CHUNK_KEY: Final = re.compile(r"(.+)/c((?:/(?:0|[1-9][0-9]{0,18}))*)", re.DOTALL)


def node_name(name: str | bytes) -> str:
    """Encode any name as one node name: percent-encoded, ``/`` included, and never one that Zarr reserves."""
    encoded = quote(name, safe="")
    if encoded.startswith("."):
        # "." and ".." are no node names; ".zgroup" and its like belong to Zarr v2.
        return "%2E" + encoded[1:]
    if encoded.startswith("__"):
        return "%5F" + encoded[1:]
    return "zarr%2Ejson" if encoded == METADATA else encoded


def name_of_node(node: str) -> str:
    """Undo :func:`node_name` for text."""
    return unquote(node, errors="strict")


def bytes_of_node(node: str) -> bytes | None:
    """Undo :func:`node_name` for bytes; None for what :func:`node_name` never gives."""
    name = unquote_to_bytes(node)
    return name if name and node_name(name) == node else None


def metadata_key(group: str, name: str | bytes) -> str:
    """Give the key of the metadata document of `name`."""
    return f"{group}/{node_name(name)}/{METADATA}"


def chunk_key(group: str, name: str | bytes) -> str:
    """Give the key of the bytes of `name`."""
    return f"{group}/{node_name(name)}/{CHUNK}"


def bytes_document(
    size: int,
    attributes: Mapping[str, Any],
    *,
    chunk: int | None = None,
    codecs: Sequence[Mapping[str, Any]] = (),
) -> bytes:
    """Make the metadata document of `size` bytes in one chunk, or in chunks of `chunk` bytes."""
    # A chunk has at least one element, also where the array has none.
    chunk = max(size, 1) if chunk is None else chunk
    return array_document(ArraySpec("uint8", (size,), (chunk,), attributes=attributes), codecs=codecs)


def parse_bytes_document(document: bytes) -> tuple[int, dict[str, Any]]:
    """Read what :func:`bytes_document` made: the size in bytes and the attributes."""
    body = json.loads(document)
    return body["shape"][0], body["attributes"]


def end_of_directory(directory: str) -> str:
    """Give the first key behind all that begin with `directory`, which ends with ``/``."""
    return f"{directory[:-1]}0"


def parse_chunk_key(key: str) -> tuple[str, tuple[int, ...]] | None:
    """Undo :func:`..model.arrays.chunk_path` below an array: its path and the chunk's index; None for no such key."""
    match = _CHUNK_KEY.fullmatch(key)
    return None if match is None else (match[1], tuple(map(int, match[2].split("/")[1:])))
