"""What the metadata documents of buffers say: bytes, an array or a group, and moc's own facts about them.

What a document says of an array is read by :mod:`..arrays.document`. Facts too come from any program that writes Zarr
through the store: what is no fact has its default.
"""

from __future__ import annotations

import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, Literal

from ..arrays.document import array_document, own_facts, parse_document, stored_array, with_facts
from ..errors import InvalidInputError
from ..model import DEFAULT_CONTENT_TYPE, ArraySpec, is_content_type
from .zarr_layout import bytes_document


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


def parse_node(content: bytes) -> Node | None:
    """Read a metadata document; None if it is none of Zarr v3."""
    try:
        document = parse_document(content)
    except InvalidInputError:
        return None
    own = own_facts(document)
    facts = parse_facts(own)
    if document.get("node_type") == "group":
        return Node("group", facts)
    if document.get("node_type") != "array":
        return None
    stored = stored_array(document)
    if stored is None:
        return Node("array", facts)
    array = stored.spec
    attributes = array.attributes
    in_one = stored.is_plain and len(set(array.grid) - {0, 1}) == 0
    is_bytes = (in_one or stored.is_compressed) and array.ndim == 1 and array.dtype == "uint8"
    if is_bytes and isinstance(attributes.get("content_type"), str) and isinstance(attributes.get("headers"), dict):
        # Whoever removes a chunk through the Zarr store leaves the other form's mark that it is not whole any more.
        whole = own.get("whole") is not False
        facts = replace(parse_facts(attributes), main=None, whole=whole)
        return Node("bytes", facts, array, stored.is_plain, stored.fill)
    return Node("array", facts, array, stored.is_plain, stored.fill)


def parse_facts(body: Mapping[str, Any]) -> Facts:
    """Read moc's facts; what is missing or not of the expected form has its default."""
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


def bytes_node_document(
    size: int, facts: Facts, *, chunk: int | None = None, codecs: Sequence[Mapping[str, Any]] = ()
) -> bytes:
    """Make the document of a buffer of `size` bytes without a shape, in one chunk or in chunks of `chunk` bytes."""
    attributes: dict[str, Any] = {
        "content_type": facts.content_type,
        "headers": dict(facts.headers),
        "created_at": facts.created_at,
    }
    if facts.origin:
        attributes["origin"] = dict(facts.origin)
    return bytes_document(size, attributes, chunk=chunk, codecs=codecs)


def array_node_document(array: ArraySpec, facts: Facts, codecs: Sequence[Mapping[str, Any]] = ()) -> bytes:
    """Make the document of an array whose chunks hold its elements as they are, or what `codecs` make of that."""
    return array_document(array, facts.to_json(), codecs=codecs)


def with_created_at(content: bytes, created_at: float) -> bytes:
    """Give the same document of a buffer with another time at which it was made."""
    node = parse_node(content)
    body = json.loads(content)
    if node is None or node.kind != "bytes":
        return with_facts(content, {**own_facts(body), "created_at": created_at})
    body["attributes"]["created_at"] = created_at
    return json.dumps(body, separators=(",", ":")).encode()


def without_whole(content: bytes) -> bytes | None:
    """Give the same document without the mark that every chunk was stored; None if it has none."""
    node = parse_node(content)
    if node is None or not node.facts.whole:
        return None
    return with_facts(content, {**own_facts(json.loads(content)), "whole": False})


def _texts(body: object) -> dict[str, str]:
    if not isinstance(body, dict):
        return {}
    return {key: value for key, value in body.items() if isinstance(key, str) and isinstance(value, str)}
