"""``buffers``: stored, named bytes, arrays and groups of arrays. What comes under a name is in :mod:`.uploads`."""

from __future__ import annotations

from ...abc import Content
from ...model import ArraySpec, BufferRecord, array_headers
from ..content import bytes_response, record_header
from ..messages import ApiRequest, ApiResponse, created, json_response, no_content


def list_buffers(request: ApiRequest) -> ApiResponse:
    """List all buffers, sorted by name."""
    request.parameters()
    return json_response({"buffers": [each.to_json() for each in request.platform.buffers.list()]})


def put_buffer(request: ApiRequest) -> ApiResponse:
    """Store the body under a name, replacing what was there: bytes, an array, or a whole Zarr node."""
    request.parameters("format")
    record: BufferRecord = request.commit_body()
    return created(request, record.to_json(), "buffers", record.name)


def append_buffer(request: ApiRequest) -> ApiResponse:
    """Make a stored array longer along its first axis, by the elements in the body."""
    request.parameters()
    record: BufferRecord = request.commit_body()
    return json_response(record.to_json())


def get_buffer(request: ApiRequest) -> ApiResponse:
    """Read a buffer, whole or by range: its bytes, or the elements of its array in C order, little-endian."""
    request.parameters()
    content: Content | None = None
    if request.method == "HEAD":
        record, etag = request.platform.buffers.identify(request.name())
    else:
        record, etag, content = request.platform.buffers.open_identified(request.name())
    return bytes_response(
        request,
        content,
        size=record.size,
        content_type=record.content_type,
        etag=etag,
        headers={"Cache-Control": "no-store", **_array_headers(record.array), **record_header(record.to_json())},
    )


def get_buffer_chunks(request: ApiRequest) -> ApiResponse:
    """Tell where the chunks of a buffer's array lie, for a client that sees the storage directory."""
    request.parameters()
    return json_response(request.platform.buffers.chunk_files(request.name()))


def delete_buffer(request: ApiRequest) -> ApiResponse:
    """Remove a buffer."""
    request.parameters()
    request.platform.buffers.delete(request.name())
    return no_content()


def _array_headers(array: ArraySpec | None) -> dict[str, str]:
    return {} if array is None else {name.title(): value for name, value in array_headers(array).items()}
