"""``buffers``: stored, named bytes."""

from __future__ import annotations

import hashlib
import json

from ...errors import ConflictError, InvalidInputError
from ...model import BufferRecord, parse_name
from ..content import bytes_response, record_header, request_content_type
from ..messages import ApiRequest, ApiResponse, created, json_response, no_content

_ATTEMPTS = 5


def list_buffers(request: ApiRequest) -> ApiResponse:
    """List all buffers, sorted by name."""
    request.parameters()
    return json_response({"buffers": [each.to_json() for each in request.platform.buffers.list()]})


def put_buffer(request: ApiRequest) -> ApiResponse:
    """Store the body under a name, replacing what was there."""
    request.parameters()
    name = parse_name(request.name(), "buffer's name")
    record = request.platform.buffers.put(name, request.body, request_content_type(request), _parse_headers(request))
    return created(request, record.to_json(), "buffers", name)


def get_buffer(request: ApiRequest) -> ApiResponse:
    """Read a buffer, whole or by range."""
    request.parameters()
    name = request.name()
    for _ in range(_ATTEMPTS):
        record = request.platform.buffers.stat(name)
        response = _read(request, record)
        # A buffer can be replaced between the two steps; headers and body must come from the same one.
        if request.method == "HEAD" or request.platform.buffers.stat(name) == record:
            return response
    raise ConflictError(f"Buffer {name!r} was replaced again and again while it was read. Try again.", name=name)


def delete_buffer(request: ApiRequest) -> ApiResponse:
    """Remove a buffer."""
    request.parameters()
    request.platform.buffers.delete(request.name())
    return no_content()


def _read(request: ApiRequest, record: BufferRecord) -> ApiResponse:
    identity = f"{record.name}\0{record.size}\0{record.created_at!r}".encode()
    return bytes_response(
        request,
        lambda start, stop: request.platform.buffers.read(record.name, start, stop),
        size=record.size,
        content_type=record.content_type,
        etag=hashlib.sha256(identity).hexdigest()[:32],
        headers={"Cache-Control": "no-store", **record_header(record.to_json())},
    )


def _parse_headers(request: ApiRequest) -> dict[str, str] | None:
    """Read ``Moc-Headers``, the buffer's own headers as a JSON object."""
    text = request.headers.get("moc-headers")
    if text is None:
        return None
    try:
        headers = json.loads(text)
    except (ValueError, RecursionError):
        headers = None
    if not isinstance(headers, dict) or not all(isinstance(value, str) for value in headers.values()):
        raise InvalidInputError("The header Moc-Headers is not a JSON object of texts.")
    return {name.lower(): value for name, value in headers.items()}
