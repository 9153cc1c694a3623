"""``blobs``: immutable bytes by the SHA-256 of their content."""

from __future__ import annotations

from ...abc import Content, Receiver
from ...model import BlobRecord, parse_blob_id
from ..content import bytes_response, record_header, request_content_type
from ..messages import ApiRequest, ApiResponse, created


def post_blob(request: ApiRequest) -> ApiResponse:
    """Store the body."""
    request.parameters()
    record: BlobRecord = request.commit_body()
    return created(request, record.to_json(), "blobs", record.blob_id)


def receive_blob(request: ApiRequest) -> Receiver[BlobRecord]:
    """Begin to store a body that comes in parts."""
    request.parameters()
    return request.platform.blobs.receive(request_content_type(request))


def get_blob(request: ApiRequest) -> ApiResponse:
    """Read a blob, whole or by range."""
    request.parameters()
    blobs = request.platform.blobs
    blob_id = parse_blob_id(request.name())
    content: Content | None = None
    if request.method == "HEAD":
        record = blobs.stat(blob_id)
    else:
        record, content = blobs.open(blob_id)
    return bytes_response(
        request,
        content,
        size=record.size,
        content_type=record.content_type,
        etag=record.blob_id,
        headers={"Cache-Control": "private, max-age=31536000, immutable", **record_header(record.to_json())},
    )
