"""``buffers``: stored, named bytes."""

from __future__ import annotations

import hashlib
import json

from ...abc import Content, Receiver
from ...errors import InvalidInputError
from ...model import BufferRecord, parse_name
from ..content import bytes_response, record_header, request_content_type
from ..messages import ApiRequest, ApiResponse, created, json_response, no_content


def list_buffers(request: ApiRequest) -> ApiResponse:
    """List all buffers, sorted by name."""
    request.parameters()
    return json_response({"buffers": [each.to_json() for each in request.platform.buffers.list()]})


def put_buffer(request: ApiRequest) -> ApiResponse:
    """Store the body under a name, replacing what was there."""
    request.parameters()
    record: BufferRecord = request.commit_body()
    return created(request, record.to_json(), "buffers", record.name)


def receive_buffer(request: ApiRequest) -> Receiver[BufferRecord]:
    """Begin to store a body that comes in parts."""
    request.parameters()
    name = parse_name(request.name(), "buffer's name")
    return request.platform.buffers.receive(name, request_content_type(request), _parse_headers(request))


def get_buffer(request: ApiRequest) -> ApiResponse:
    """Read a buffer, whole or by range."""
    request.parameters()
    content: Content | None = None
    if request.method == "HEAD":
        record = request.platform.buffers.stat(request.name())
    else:
        record, content = request.platform.buffers.open(request.name())
    identity = f"{record.name}\0{record.size}\0{record.created_at!r}".encode()
    return bytes_response(
        request,
        content,
        size=record.size,
        content_type=record.content_type,
        etag=hashlib.sha256(identity).hexdigest()[:32],
        headers={"Cache-Control": "no-store", **record_header(record.to_json())},
    )


def delete_buffer(request: ApiRequest) -> ApiResponse:
    """Remove a buffer."""
    request.parameters()
    request.platform.buffers.delete(request.name())
    return no_content()


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
