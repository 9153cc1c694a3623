"""``kv``: durable bytes by key. Keys are bytes, percent-encoded in the path."""

from __future__ import annotations

import base64
import hashlib
from collections.abc import Sequence

from ...errors import InvalidInputError
from ...model import DEFAULT_CONTENT_TYPE
from ..content import WholeContent, bytes_response
from ..messages import ApiRequest, ApiResponse, created, json_response, no_content, parse_limit, parse_single


def list_keys(request: ApiRequest) -> ApiResponse:
    """List keys in bytewise order.

    Each key comes twice: as text to look at, and as base64, which is exact for keys that are no UTF-8. ``prefix`` and
    ``after`` are text; ``prefix_base64`` and ``after_base64`` are exact.
    """
    query = request.parameters("prefix", "prefix_base64", "after", "after_base64", "limit")
    keys = request.platform.kv.list(
        _bytes(query["prefix"], query["prefix_base64"], "prefix") or b"",
        limit=parse_limit(query["limit"]),
        after=_bytes(query["after"], query["after_base64"], "after"),
    )
    return json_response(
        {"keys": [{"key": key.decode(errors="replace"), "base64": base64.b64encode(key).decode()} for key in keys]}
    )


def put_key(request: ApiRequest) -> ApiResponse:
    """Store the body under a key."""
    request.parameters()
    key = request.raw_name()
    request.platform.kv.set(key, request.body)
    return created(request, {"key": key.decode(errors="replace"), "size": len(request.body)}, "kv", key)


def get_key(request: ApiRequest) -> ApiResponse:
    """Read the value of a key."""
    request.parameters()
    value = request.platform.kv.get(request.raw_name())
    return bytes_response(
        request,
        None if request.method == "HEAD" else WholeContent(value),
        size=len(value),
        content_type=DEFAULT_CONTENT_TYPE,
        etag=hashlib.sha256(value).hexdigest()[:32],
        headers={"Cache-Control": "no-store"},
    )


def delete_key(request: ApiRequest) -> ApiResponse:
    """Remove a key."""
    request.parameters()
    request.platform.kv.delete(request.raw_name())
    return no_content()


def _bytes(texts: Sequence[str], encoded: Sequence[str], name: str) -> bytes | None:
    exact = parse_single(encoded, f"{name}_base64")
    if exact is not None:
        try:
            return base64.b64decode(exact, validate=True)
        except ValueError:
            raise InvalidInputError(f"Query parameter '{name}_base64' is not base64.") from None
    text = parse_single(texts, name)
    return None if text is None else text.encode()
