"""``blobs``: immutable bytes by the SHA-256 of their content."""

from __future__ import annotations

from ...model import parse_blob_id
from ..content import bytes_response, record_header, request_content_type
from ..messages import ApiRequest, ApiResponse, created


def post_blob(request: ApiRequest) -> ApiResponse:
    """Store the body."""
    request.parameters()
    record = request.platform.blobs.put(request.body, request_content_type(request))
    return created(request, record.to_json(), "blobs", record.blob_id)


def get_blob(request: ApiRequest) -> ApiResponse:
    """Read a blob, whole or by range."""
    request.parameters()
    blobs = request.platform.blobs
    record = blobs.stat(parse_blob_id(request.name()))
    return bytes_response(
        request,
        lambda start, stop: blobs.read(record.blob_id, start, stop),
        size=record.size,
        content_type=record.content_type,
        etag=record.blob_id,
        headers={"Cache-Control": "private, max-age=31536000, immutable", **record_header(record.to_json())},
    )
