"""What the metadata documents of buffers say: bytes, an array or a group, and moc's own facts about them.

Documents come from moc itself and from any program that writes Zarr through the store, so that nothing of them is
believed before it was looked at: what is not understood has no array, and what is no fact has its default.

References
----------
Zarr core specification version 3: "Array metadata", "Group metadata", "Fill value".
"""

from __future__ import annotations

import json
import math
import struct
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, Final, Literal

from ..errors import InvalidInputError
from ..model import DEFAULT_CONTENT_TYPE, ArraySpec, is_content_type, parse_array
from ..model.arrays import ITEM_BYTES
from .zarr_layout import array_document, array_metadata, encode_document

FACTS: Final = "moc"
"""The attribute of arrays and groups that holds moc's own facts. Byte buffers have them beside one another."""

_STRUCT: Final = {
    "bool": "<?",
    "int8": "<b",
    "int16": "<h",
    "int32": "<i",
    "int64": "<q",
    "uint8": "<B",
    "uint16": "<H",
    "uint32": "<I",
    "uint64": "<Q",
    "float16": "<e",
    "float32": "<f",
    "float64": "<d",
    "complex64": "<ff",
    "complex128": "<dd",
}
_NOT_FINITE: Final = {"NaN": math.nan, "Infinity": math.inf, "-Infinity": -math.inf}


@dataclass(frozen=True, slots=True)
class Facts:
    """What moc knows of a buffer besides its content.

    Parameters
    ----------
    created_at
        Seconds since the epoch, UTC; 0 when another program wrote the buffer and nobody said.
    main
        Path of the array in a group that stands for it.
    whole
        Whether every chunk was stored, so that a missing one is damage.
    """

    content_type: str = DEFAULT_CONTENT_TYPE
    headers: Mapping[str, str] = field(default_factory=dict)
    created_at: float = 0.0
    origin: Mapping[str, str] = field(default_factory=dict)
    main: str | None = None
    whole: bool = False

    def to_json(self) -> dict[str, Any]:
        """Give the attribute of an array or a group."""
        facts: dict[str, Any] = {
            "content_type": self.content_type,
            "headers": dict(self.headers),
            "created_at": self.created_at,
        }
        if self.origin:
            facts["origin"] = dict(self.origin)
        if self.main is not None:
            facts["main"] = self.main
        if self.whole:
            facts["whole"] = True
        return facts


@dataclass(frozen=True, slots=True)
class Node:
    """What one metadata document says.

    Parameters
    ----------
    kind
        ``bytes`` is an array that moc made for a buffer without a shape.
    array
        The array, its attributes without moc's; None for groups, and for arrays of other data types or grids.
    plain
        Whether chunks hold the elements as they are: C order, little-endian, nothing around them.
    fill
        One element of what missing chunks are made of.
    """

    kind: Literal["bytes", "array", "group"]
    facts: Facts
    array: ArraySpec | None = None
    plain: bool = False
    fill: bytes = b""


def parse_node(document: bytes) -> Node | None:
    """Read a metadata document; None if it is none of Zarr v3."""
    try:
        # zarr-python writes what is not finite as no JSON does; in the records it is text.
        body = json.loads(document, parse_constant=str)
    except (ValueError, RecursionError):
        return None
    if not isinstance(body, dict) or body.get("zarr_format") != 3:
        return None
    attributes = body.get("attributes")
    attributes = dict(attributes) if isinstance(attributes, dict) else {}
    own = attributes.pop(FACTS, None)
    facts = parse_facts(own)
    if body.get("node_type") == "group":
        return Node("group", facts)
    if body.get("node_type") != "array":
        return None
    array = _parse_spec(body, attributes)
    if array is None:
        return Node("array", facts)
    fill = _fill(array.dtype, body.get("fill_value"))
    node = Node("array", facts, array, fill is not None and _is_plain(body, array), fill or bytes(array.itemsize))
    is_bytes = node.plain and array.ndim == 1 and array.dtype == "uint8" and len(set(array.grid) - {0, 1}) == 0
    if is_bytes and isinstance(attributes.get("content_type"), str) and isinstance(attributes.get("headers"), dict):
        # Whoever removes a chunk through the Zarr store leaves the other form's mark that it is not whole any more.
        whole = not isinstance(own, dict) or own.get("whole") is not False
        return replace(node, kind="bytes", facts=replace(parse_facts(attributes), main=None, whole=whole))
    return node


def parse_facts(body: object) -> Facts:
    """Read moc's facts; what is missing or not of the expected form has its default."""
    if not isinstance(body, dict):
        return Facts()
    content_type, created_at, main = body.get("content_type"), body.get("created_at"), body.get("main")
    return Facts(
        content_type if isinstance(content_type, str) and is_content_type(content_type) else DEFAULT_CONTENT_TYPE,
        _texts(body.get("headers")),
        float(created_at)
        if isinstance(created_at, int | float) and not isinstance(created_at, bool) and math.isfinite(created_at)
        else 0.0,
        _texts(body.get("origin")),
        main if isinstance(main, str) else None,
        body.get("whole") is True,
    )


def bytes_node_document(size: int, facts: Facts) -> bytes:
    """Make the document of a buffer of `size` bytes without a shape."""
    attributes: dict[str, Any] = {
        "content_type": facts.content_type,
        "headers": dict(facts.headers),
        "created_at": facts.created_at,
    }
    if facts.origin:
        attributes["origin"] = dict(facts.origin)
    return array_document(size, attributes)


def array_node_document(array: ArraySpec, facts: Facts) -> bytes:
    """Make the document of an array whose chunks hold its elements as they are."""
    return encode_document(array_metadata(array, {**array.attributes, FACTS: facts.to_json()}))


def with_facts(document: bytes, facts: Mapping[str, Any] | None) -> bytes:
    """Give the same document with other facts of moc's; without any for None."""
    body = json.loads(document)
    attributes = dict(body.get("attributes") or {})
    attributes.pop(FACTS, None)
    if facts is not None:
        attributes[FACTS] = dict(facts)
    return _encode_again({**body, "attributes": attributes})


def with_shape(document: bytes, shape: Sequence[int]) -> bytes:
    """Give the same document of an array with another shape."""
    return _encode_again({**json.loads(document), "shape": list(shape)})


def without_whole(document: bytes) -> bytes | None:
    """Give the same document without the mark that every chunk was stored; None if it has none."""
    node = parse_node(document)
    if node is None or not node.facts.whole:
        return None
    body = json.loads(document)
    attributes = dict(body["attributes"])
    attributes[FACTS] = {**attributes.get(FACTS, {}), "whole": False}
    return _encode_again({**body, "attributes": attributes})


def _encode_again(body: Mapping[str, Any]) -> bytes:
    # What somebody else wrote stays as it is, also where JSON has no word for it.
    return json.dumps(body, separators=(",", ":")).encode()


def _texts(body: object) -> dict[str, str]:
    if not isinstance(body, dict):
        return {}
    return {key: value for key, value in body.items() if isinstance(key, str) and isinstance(value, str)}


def _parse_spec(body: Mapping[str, Any], attributes: Mapping[str, Any]) -> ArraySpec | None:
    try:
        grid, dtype = body["chunk_grid"], body["data_type"]
        if grid["name"] != "regular" or dtype not in ITEM_BYTES:
            return None
        return parse_array(
            dtype,
            body["shape"],
            grid["configuration"]["chunk_shape"],
            dimension_names=body.get("dimension_names"),
            attributes=attributes,
        )
    except (InvalidInputError, KeyError, TypeError):
        return None


def _is_plain(body: Mapping[str, Any], array: ArraySpec) -> bool:
    encoding = body.get("chunk_key_encoding")
    codecs = body.get("codecs")
    if (
        not isinstance(encoding, dict)
        or not isinstance(codecs, list)
        or len(codecs) != 1
        or body.get("storage_transformers")
    ):
        return False
    separator = (encoding.get("configuration") or {}).get("separator", "/")
    codec = codecs[0] if isinstance(codecs[0], dict) else {"name": codecs[0]}
    endian = (codec.get("configuration") or {}).get("endian", "little" if array.itemsize == 1 else None)
    return (
        encoding.get("name") == "default" and separator == "/" and codec.get("name") == "bytes" and endian == "little"
    )


def _fill(dtype: str, value: Any) -> bytes | None:
    form = _STRUCT[dtype]
    try:
        if dtype.startswith("complex"):
            return struct.pack(form, *(_number(each) for each in value))
        if dtype.startswith("float"):
            if isinstance(value, str) and value.startswith("0x"):
                return int(value, 16).to_bytes(ITEM_BYTES[dtype], "little")
            return struct.pack(form, _number(value))
        return struct.pack(form, value)
    except (struct.error, TypeError, ValueError, OverflowError):
        return None


def _number(value: Any) -> float:
    return _NOT_FINITE[value] if isinstance(value, str) and value in _NOT_FINITE else float(value)
