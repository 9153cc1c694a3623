"""How things are laid out as a Zarr v3 hierarchy: node names, keys and metadata documents. Pure functions.

Every stored thing is a one-dimensional ``uint8`` array in a single uncompressed chunk, so that the chunk *is* the
thing, byte for byte. A thing without bytes has no chunk, as the specification has it.

References
----------
Zarr core specification version 3: "Node names", "Metadata", "Chunk key encoding".
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any
from urllib.parse import quote, unquote, unquote_to_bytes

BLOBS = "blobs"
BUFFERS = "buffers"
KEY_VALUES = "kv"

METADATA = "zarr.json"
CHUNK = "c/0"


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


def group_document(attributes: Mapping[str, Any]) -> bytes:
    """Make the metadata document of a group."""
    return _document({"zarr_format": 3, "node_type": "group", "attributes": dict(attributes)})


def array_document(size: int, attributes: Mapping[str, Any]) -> bytes:
    """Make the metadata document of an array of `size` bytes in one chunk."""
    return _document(
        {
            "zarr_format": 3,
            "node_type": "array",
            "shape": [size],
            "data_type": "uint8",
            # A chunk has at least one element, also where the array has none.
            "chunk_grid": {"name": "regular", "configuration": {"chunk_shape": [max(size, 1)]}},
            "chunk_key_encoding": {"name": "default", "configuration": {"separator": "/"}},
            "fill_value": 0,
            "codecs": [{"name": "bytes"}],
            "attributes": dict(attributes),
        }
    )


def parse_array_document(document: bytes) -> tuple[int, dict[str, Any]]:
    """Read what :func:`array_document` made: the size in bytes and the attributes."""
    body = json.loads(document)
    return body["shape"][0], body["attributes"]


def _document(body: Mapping[str, Any]) -> bytes:
    return json.dumps(body, allow_nan=False, separators=(",", ":")).encode()
