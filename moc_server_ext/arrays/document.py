"""The metadata documents of stored nodes: what they say of an array, how they are made, and made anew.

Documents come from moc itself and from any program that writes Zarr through the store, so that nothing of them is
believed before it was looked at: what is not understood has no array. *Plain* is what moc itself stores: uncompressed
little-endian chunks on a regular grid, under the keys of the default encoding. Everything else that Zarr knows is left
to zarr. What moc's own facts mean is for :mod:`..storage.nodes`.

References
----------
Zarr core specification version 3: "Array metadata", "Group metadata", "Fill value", "bytes codec".
"""

from __future__ import annotations

import json
import math
import struct
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

from ..errors import InvalidInputError
from ..model import ArraySpec, parse_array
from ..model.arrays import ITEM_BYTES

METADATA: Final = "zarr.json"
"""The key of a document below its node."""

MOC: Final = "moc"
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
class StoredArray:
    """What a document says of an array.

    Parameters
    ----------
    spec
        The array, its attributes without moc's.
    is_plain
        Whether chunks hold the elements as they are: C order, little-endian, nothing around them.
    fill
        One element, in bytes, of what chunks are made of that were never stored.
    is_compressed
        Whether chunks are what plain ones hold, compressed with zstd, as moc does on request.
    """

    spec: ArraySpec
    is_plain: bool
    fill: bytes
    is_compressed: bool = False


def parse_document(content: bytes) -> dict[str, Any]:
    """Read a metadata document. Numbers that are not finite are text, as in fill values.

    Raises
    ------
    InvalidInputError
        It is none of Zarr v3.
    """
    # zarr-python writes what is not finite as no JSON does.
    return _parse(content, str)


def own_facts(document: Mapping[str, Any]) -> Mapping[str, Any]:
    """Give what moc itself says of a node; empty if nothing."""
    facts = _attributes(document).get(MOC)
    return facts if isinstance(facts, dict) else {}


def stored_array(document: Mapping[str, Any]) -> StoredArray | None:
    """Read what a document says of an array; None for groups, and for arrays of other data types or grids."""
    if document.get("node_type") != "array":
        return None
    spec = _parse_spec(document)
    if spec is None:
        return None
    fill = _fill(spec.dtype, document.get("fill_value"))
    if fill is None:
        return StoredArray(spec, False, bytes(spec.itemsize))
    return StoredArray(spec, _is_plain(document, spec), fill, _is_compressed(document, spec))


def array_document(
    spec: ArraySpec, facts: Mapping[str, Any] | None = None, *, codecs: Sequence[Mapping[str, Any]] = ()
) -> bytes:
    """Make the document of an array with moc's own `facts` of it beside its attributes.

    It is stored plainly, or as what `codecs` make of plain chunks.
    """
    configuration = {} if spec.itemsize == 1 else {"configuration": {"endian": "little"}}
    document: dict[str, Any] = {
        "zarr_format": 3,
        "node_type": "array",
        "shape": list(spec.shape),
        "data_type": spec.dtype,
        "chunk_grid": {"name": "regular", "configuration": {"chunk_shape": list(spec.chunks)}},
        "chunk_key_encoding": {"name": "default", "configuration": {"separator": "/"}},
        "fill_value": _zero(spec.dtype),
        "codecs": [{"name": "bytes", **configuration}, *codecs],
        "attributes": dict(spec.attributes) if facts is None else {**spec.attributes, MOC: dict(facts)},
    }
    if spec.dimension_names is not None:
        document["dimension_names"] = list(spec.dimension_names)
    return _encode(document)


def group_document(attributes: Mapping[str, Any]) -> bytes:
    """Make the document of a group."""
    return _encode({"zarr_format": 3, "node_type": "group", "attributes": dict(attributes)})


def with_facts(content: bytes, facts: Mapping[str, Any] | None) -> bytes:
    """Give the same document with other facts of moc's, without any for None, and without consolidated metadata.

    Raises
    ------
    InvalidInputError
        It is none of Zarr v3.
    """
    document = _parse(content)
    document.pop("consolidated_metadata", None)
    attributes = {name: value for name, value in _attributes(document).items() if name != MOC}
    if facts is not None:
        attributes[MOC] = dict(facts)
    return _encode_again({**document, "attributes": attributes})


def with_shape(content: bytes, shape: Sequence[int]) -> bytes:
    """Give the same document of an array with another shape.

    Raises
    ------
    InvalidInputError
        It is none of Zarr v3.
    """
    return _encode_again({**_parse(content), "shape": list(shape)})


def _parse(content: bytes, parse_constant: Callable[[str], Any] | None = None) -> dict[str, Any]:
    try:
        document = json.loads(content, parse_constant=parse_constant)
    except (ValueError, RecursionError):
        document = None
    if not isinstance(document, dict) or document.get("zarr_format") != 3:
        raise InvalidInputError("A metadata document of Zarr is not of version 3.")
    return document


def _encode(document: Mapping[str, Any]) -> bytes:
    return json.dumps(document, allow_nan=False, separators=(",", ":")).encode()


def _encode_again(document: Mapping[str, Any]) -> bytes:
    # What somebody else wrote stays as it is, also where JSON has no word for it.
    return json.dumps(document, separators=(",", ":")).encode()


def _attributes(document: Mapping[str, Any]) -> dict[str, Any]:
    attributes = document.get("attributes")
    return attributes if isinstance(attributes, dict) else {}


def _parse_spec(document: Mapping[str, Any]) -> ArraySpec | None:
    try:
        grid, dtype = document["chunk_grid"], document["data_type"]
        if grid["name"] != "regular" or dtype not in ITEM_BYTES:
            return None
        return parse_array(
            dtype,
            document["shape"],
            grid["configuration"]["chunk_shape"],
            dimension_names=document.get("dimension_names"),
            attributes={name: value for name, value in _attributes(document).items() if name != MOC},
        )
    except (InvalidInputError, KeyError, TypeError):
        return None


def _is_compressed(document: Mapping[str, Any], spec: ArraySpec) -> bool:
    codecs = document.get("codecs")
    if not isinstance(codecs, list) or len(codecs) != 2:
        return False
    name = codecs[1].get("name") if isinstance(codecs[1], dict) else codecs[1]
    return name == "zstd" and _is_plain({**document, "codecs": codecs[:1]}, spec)


def _is_plain(document: Mapping[str, Any], spec: ArraySpec) -> bool:
    encoding, codecs = document.get("chunk_key_encoding"), document.get("codecs")
    if (
        not isinstance(encoding, dict)
        or not isinstance(codecs, list)
        or len(codecs) != 1
        or document.get("storage_transformers")
    ):
        return False
    codec = codecs[0] if isinstance(codecs[0], dict) else {"name": codecs[0]}
    return (
        encoding.get("name") == "default"
        and _setting(encoding, "separator", "/") == "/"
        and codec.get("name") == "bytes"
        and _setting(codec, "endian", "little" if spec.itemsize == 1 else None) == "little"
    )


def _setting(part: Mapping[str, Any], name: str, default: str | None) -> Any:
    configuration = part.get("configuration") or {}
    return configuration.get(name, default) if isinstance(configuration, dict) else None


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


def _zero(dtype: str) -> Any:
    if dtype == "bool":
        return False
    return [0.0, 0.0] if dtype.startswith("complex") else 0.0 if dtype.startswith("float") else 0
