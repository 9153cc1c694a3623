"""What the metadata document of a stored node says: whether it is a group, and whether an array can be read plainly.

*Plain* is what moc itself stores: uncompressed little-endian chunks on a regular grid, under the keys of the default
encoding. Everything else that Zarr knows is left to zarr.

References
----------
Zarr core specification version 3: "Array metadata", "Fill value", "bytes codec".
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

from ..errors import InvalidInputError
from ..model import ArraySpec, parse_array

MOC: Final = "moc"
"""The attribute that holds moc's own facts of a node."""


@dataclass(frozen=True, slots=True)
class PlainArray:
    """An array whose chunks are its elements and nothing else.

    Parameters
    ----------
    fill
        One element, in bytes, for chunks that are not there; None when every chunk was stored, so that an absent one
        is damage.
    """

    spec: ArraySpec
    fill: bytes | None


def parse_document(content: bytes) -> dict[str, Any]:
    """Read a metadata document.

    Raises
    ------
    InvalidInputError
        It is none of Zarr v3.
    """
    try:
        document = json.loads(content)
    except (ValueError, RecursionError):
        document = None
    if not isinstance(document, dict) or document.get("zarr_format") != 3:
        raise InvalidInputError("A metadata document of Zarr is not of version 3.")
    return document


def own_facts(document: Mapping[str, Any]) -> Mapping[str, Any]:
    """Give what moc itself says of a node; empty if nothing."""
    facts = document.get("attributes", {}).get(MOC)
    return facts if isinstance(facts, Mapping) else {}


def plain_array(document: Mapping[str, Any]) -> PlainArray | None:
    """Read an array that is stored plainly; None if it is a group, or stored in any other way."""
    grid, encoding = document.get("chunk_grid", {}), document.get("chunk_key_encoding", {})
    if (
        document.get("node_type") != "array"
        or document.get("storage_transformers")
        or grid.get("name") != "regular"
        or encoding.get("name") != "default"
        or encoding.get("configuration", {}).get("separator", "/") != "/"
    ):
        return None
    attributes = {name: value for name, value in document.get("attributes", {}).items() if name != MOC}
    try:
        spec = parse_array(
            document["data_type"],
            document["shape"],
            grid["configuration"]["chunk_shape"],
            dimension_names=document.get("dimension_names"),
            attributes=attributes,
        )
    except (InvalidInputError, KeyError, TypeError, AttributeError):
        return None
    if not _is_bytes_codec(document.get("codecs"), spec.itemsize):
        return None
    if own_facts(document).get("whole") is True:
        return PlainArray(spec, None)
    fill = _fill_bytes(spec, document.get("fill_value"))
    return None if fill is None else PlainArray(spec, fill)


def _is_bytes_codec(codecs: Any, itemsize: int) -> bool:
    if not isinstance(codecs, list) or len(codecs) != 1 or not isinstance(codecs[0], dict):
        return False
    endian = codecs[0].get("configuration", {}).get("endian")
    return codecs[0].get("name") == "bytes" and (endian == "little" or itemsize == 1)


def _fill_bytes(spec: ArraySpec, value: Any) -> bytes | None:
    """Give the bytes of a fill value; None for the forms that are left to zarr, such as the bits of a NaN."""
    import numpy

    is_complex = spec.dtype.startswith("complex")
    if isinstance(value, list) != is_complex:
        return None
    parts = value if is_complex else [value]
    if any(isinstance(each, str) and each not in ("NaN", "Infinity", "-Infinity") for each in parts):
        return None
    try:
        number = complex(*map(float, parts)) if is_complex else value
        if isinstance(number, str):
            number = float(number)
        return numpy.array(number, numpy.dtype(spec.dtype).newbyteorder("<")).reshape(()).tobytes()
    except (TypeError, ValueError, OverflowError):
        return None


def plain_document(spec: ArraySpec, facts: Mapping[str, Any]) -> bytes:
    """Make the metadata document of an array that is stored plainly, with moc's own `facts` of it."""
    zero: Any = {"b": False, "f": 0.0, "c": [0.0, 0.0]}.get(spec.dtype[0], 0)
    codec: dict[str, Any] = {"name": "bytes"}
    if spec.itemsize > 1:
        codec["configuration"] = {"endian": "little"}
    document = {
        "zarr_format": 3,
        "node_type": "array",
        "shape": spec.shape,
        "data_type": spec.dtype,
        "chunk_grid": {"name": "regular", "configuration": {"chunk_shape": spec.chunks}},
        "chunk_key_encoding": {"name": "default", "configuration": {"separator": "/"}},
        "fill_value": zero,
        "codecs": [codec],
        "attributes": {**spec.attributes, MOC: dict(facts)},
        "dimension_names": spec.dimension_names,
    }
    if spec.dimension_names is None:
        del document["dimension_names"]
    return json.dumps(document, allow_nan=False).encode()
