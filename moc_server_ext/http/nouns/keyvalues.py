"""``kv``: durable bytes by key. Keys are bytes, percent-encoded in the path.

Conditions are ETags, which tell the value (its SHA-256): what a request says of the present value is compared with what
is read first, and that value is what the storage is told to expect. Of two who race, one is told so.
"""

from __future__ import annotations

import base64
import hashlib
import json
import re
from collections.abc import Sequence
from types import TracebackType
from typing import Final, Self

from ...abc import Bytes, KeyValues
from ...errors import InvalidInputError, KeyConflictError, KeyNotFoundError
from ...model import DEFAULT_CONTENT_TYPE, check_key, check_value, key_text, key_to_json, parse_changes
from ..content import WholeContent, bytes_response
from ..messages import (
    ApiRequest,
    ApiResponse,
    created,
    json_response,
    no_content,
    parse_flag,
    parse_limit,
    parse_single,
)

_ETAG: Final = re.compile(r'"([0-9a-f]{64})"')
_INTEGER: Final = re.compile(r"-?[0-9]{1,19}", re.ASCII)


class ReceivedValue:
    """A value while it comes, in memory: one that is too large is refused before all of it is there."""

    def __init__(self, key: bytes) -> None:
        self._key = key
        self._parts: list[bytes] = []
        self._size = 0

    def write(self, part: Bytes) -> None:
        """Take the next part; InvalidInputError when it is too much."""
        self._size += len(part)
        check_value(self._key, self._size)
        self._parts.append(bytes(part))

    def commit(self) -> bytes:
        """Give all of it; the operation stores it."""
        return b"".join(self._parts)

    def close(self) -> None:
        """Forget it; idempotent."""
        self._parts.clear()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.close()


def list_keys(request: ApiRequest) -> ApiResponse:
    """List keys in bytewise order.

    Each key comes twice: as text to look at, and as base64, which is exact for keys that are no UTF-8. ``prefix`` and
    ``after`` are text; ``prefix_base64`` and ``after_base64`` are exact. With ``values`` the values come along, up to
    4 MiB of them as of one moment, and ``after_base64`` says where the next page begins; null at the end.
    """
    query = request.parameters("prefix", "prefix_base64", "after", "after_base64", "limit", "values")
    prefix = _bytes(query["prefix"], query["prefix_base64"], "prefix") or b""
    after = _bytes(query["after"], query["after_base64"], "after")
    limit = parse_limit(query["limit"])
    if parse_flag(query["values"], "values"):
        return json_response(request.platform.kv.scan(prefix, limit=limit, after=after).to_json())
    keys = request.platform.kv.list(prefix, limit=limit, after=after)
    return json_response({"keys": [key_to_json(key) for key in keys]})


def post_changes(request: ApiRequest) -> ApiResponse:
    """Make the changes in the body, a JSON list, in one transaction: all of them, or none."""
    request.parameters()
    try:
        body = json.loads(request.body)
    except (ValueError, RecursionError):
        raise InvalidInputError("The request's body is not JSON in UTF-8.") from None
    return json_response({"results": list(request.platform.kv.apply(parse_changes(body)))})


def receive_value(request: ApiRequest) -> ReceivedValue:
    """Begin to take a value; refused at once for what cannot be a key, or is announced as too large."""
    key = request.raw_name()
    check_key(key)
    announced = request.headers.get("content-length", "")
    if announced.isascii() and announced.isdigit():
        check_value(key, int(announced[:19]))
    return ReceivedValue(key)


def put_key(request: ApiRequest) -> ApiResponse:
    """Store the body under a key; with ``If-Match`` or ``If-None-Match`` only if the key is as they say."""
    request.parameters()
    key, value = request.raw_name(), request.commit_body()
    if _has_condition(request):
        _change_if(request, key, value)
    else:
        request.platform.kv.set(key, value)
    return created(request, {"key": key.decode(errors="replace"), "size": len(value)}, "kv", key)


def get_key(request: ApiRequest) -> ApiResponse:
    """Read the value of a key. Its ``ETag`` is the SHA-256 of the value."""
    request.parameters()
    value = request.platform.kv.get(request.raw_name())
    return bytes_response(
        request,
        None if request.method == "HEAD" else WholeContent(value),
        size=len(value),
        content_type=DEFAULT_CONTENT_TYPE,
        etag=hashlib.sha256(value).hexdigest(),
        headers={"Cache-Control": "no-store"},
    )


def delete_key(request: ApiRequest) -> ApiResponse:
    """Remove a key; with ``If-Match`` only if it is as that says."""
    request.parameters()
    key = request.raw_name()
    if _has_condition(request):
        _change_if(request, key, None)
    else:
        request.platform.kv.delete(key)
    return no_content()


def increment_key(request: ApiRequest) -> ApiResponse:
    """Add ``by`` (1 without it) to the number under a key, ASCII decimal of 64 bits; a key that is not there is 0."""
    text = parse_single(request.parameters("by")["by"], "by")
    if text is not None and not _INTEGER.fullmatch(text):
        raise InvalidInputError(f"Query parameter 'by' is a whole number of 64 bits, not {text[:32]!r}.")
    key = request.raw_name()
    total = request.platform.kv.increment(key, 1 if text is None else int(text))
    return json_response({"key": key.decode(errors="replace"), "value": total})


def _has_condition(request: ApiRequest) -> bool:
    return "if-match" in request.headers or "if-none-match" in request.headers


def _change_if(request: ApiRequest, key: bytes, value: bytes | None) -> None:
    """Store or remove if the key is as the request's condition says; KeyConflictError if not."""
    match, none_match = request.headers.get("if-match"), request.headers.get("if-none-match")
    if match is not None and none_match is not None:
        raise InvalidInputError("If-Match and If-None-Match exclude each other here; send one of them.")
    if none_match is not None:
        if none_match.strip() != "*":
            raise InvalidInputError("If-None-Match of a change is *: the key must not be there.")
        request.platform.kv.compare_and_set(key, None, value)
        return
    etag = _ETAG.fullmatch((match or "").strip())
    if etag is None:
        raise InvalidInputError('If-Match of a change is one ETag, the SHA-256 of the value: "64 hex digits".')
    request.platform.kv.compare_and_set(key, _expected(request.platform.kv, key, etag[1]), value)


def _expected(kv: KeyValues, key: bytes, etag: str) -> bytes:
    wanted = f"the value with the ETag {etag[:12]}…"
    try:
        found = kv.get(key)
    except KeyNotFoundError:
        raise KeyConflictError(key_text(key), expected=wanted, found=None, found_size=None) from None
    if hashlib.sha256(found).hexdigest() != etag:
        raise KeyConflictError(key_text(key), expected=wanted, found=found, found_size=len(found))
    return found


def _bytes(texts: Sequence[str], encoded: Sequence[str], name: str) -> bytes | None:
    exact = parse_single(encoded, f"{name}_base64")
    if exact is not None:
        try:
            return base64.b64decode(exact, validate=True)
        except ValueError:
            raise InvalidInputError(f"Query parameter '{name}_base64' is not base64.") from None
    text = parse_single(texts, name)
    return None if text is None else text.encode()
