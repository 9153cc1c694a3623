"""``zarr``: all that is stored as one Zarr v3 hierarchy, read-only; any Zarr client opens it by its address.

What the keys are, and where their values lie, is the storage's. Here: how an address names a key.
"""

from __future__ import annotations

import hashlib
from typing import Final
from urllib.parse import unquote_to_bytes

from ...abc import Content
from ...arrays.document import METADATA
from ...errors import NotFoundError
from ...model import DEFAULT_CONTENT_TYPE
from ...storage.zarr_layout import node_name
from ..content import WholeContent, bytes_response
from ..messages import JSON_CONTENT_TYPE, ApiRequest, ApiResponse, json_response, parse_limit, parse_single

# Clients ask for chunks again and again: they may keep what they have as long as they ask whether it is the same.
_CACHE_CONTROL: Final = "private, no-cache"


def list_zarr_keys(request: ApiRequest) -> ApiResponse:
    """List the keys of the hierarchy in bytewise order."""
    query = request.parameters("prefix", "after", "limit")
    keys = request.platform.zarr.list(
        parse_single(query["prefix"], "prefix") or "",
        limit=parse_limit(query["limit"]),
        after=parse_single(query["after"], "after"),
    )
    return json_response({"keys": list(keys)})


def get_zarr_value(request: ApiRequest) -> ApiResponse:
    """Read the value of a key, whole or by range: a metadata document, or a chunk as it is stored.

    The documents of ``buffers`` and of buffers that are groups have the metadata of all that is below them inline.
    """
    request.parameters()
    key = _key(request)
    hierarchy = request.platform.zarr
    found: tuple[str, Content] | None
    if _is_document(key):
        document = hierarchy.consolidated(key)
        found = None if document is None else (hashlib.sha256(document).hexdigest()[:32], WholeContent(document))
    else:
        found = hierarchy.open(key)
    if found is None:
        raise NotFoundError(f"The hierarchy has no key {key[:200]!r}.")
    return _value(request, key, *found)


def glance_at_zarr_value(request: ApiRequest) -> ApiResponse | None:
    """Do as :func:`get_zarr_value` does, where that takes no waiting for a disk."""
    key = _key(request)
    glanced = None if request.query or _is_document(key) else request.platform.zarr.glance(key)
    try:
        return None if glanced is None else _value(request, key, *glanced)
    except BlockingIOError:
        return None


def _value(request: ApiRequest, key: str, etag: str, content: Content) -> ApiResponse:
    if request.method == "HEAD":
        content.close()
    return bytes_response(
        request,
        None if request.method == "HEAD" else content,
        size=content.size,
        content_type=JSON_CONTENT_TYPE if _is_document(key) else DEFAULT_CONTENT_TYPE,
        etag=etag,
        headers={"Cache-Control": _CACHE_CONTROL},
    )


def _is_document(key: str) -> bool:
    return key.rpartition("/")[2] == METADATA


def _key(request: ApiRequest) -> str:
    """Read a Zarr key from the path: each segment decoded once.

    The node of a buffer or key may also come as the encoded name itself (``a%2Fb`` for the node ``a%2Fb``, whose exact
    form is ``a%252Fb``): so do clients send it that do not encode the names of nodes, such as fsspec and browsers.
    """
    segments = range(1, len(request.segments))
    # What is directly below a group is a node's name only where something is below that.
    return "/".join(
        _node(request.raw_name(index)) if index == 2 and index != segments[-1] else request.name(index)
        for index in segments
    )


def _node(given: bytes) -> str:
    """Give the node that `given` is, or if :func:`node_name` gives no such node, the one whose name it is."""
    name = unquote_to_bytes(given)
    node = node_name(name)
    return node if name and node.encode() == given else node_name(given)
