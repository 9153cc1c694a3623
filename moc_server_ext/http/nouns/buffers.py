"""``buffers``: stored, named bytes, arrays and groups of arrays. What comes under a name is in :mod:`.uploads`."""

from __future__ import annotations

from ...abc import Content
from ...errors import InvalidInputError
from ...model import BufferRecord, array_headers
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
    if request.method == "HEAD":
        return _bytes_of(request, *request.platform.buffers.identify(request.name()), None)
    return _bytes_of(request, *request.platform.buffers.open_identified(request.name()))


def glance_at_buffer(request: ApiRequest) -> ApiResponse | None:
    """Do as :func:`get_buffer` does, where that takes no waiting for a disk."""
    if request.query:
        return None
    glanced = request.platform.buffers.glance(request.name())
    try:
        return None if glanced is None else _bytes_of(request, *glanced)
    except BlockingIOError:
        return None


def get_buffer_chunks(request: ApiRequest) -> ApiResponse:
    """Tell where the chunks of a buffer's array lie, for a client that sees the storage directory."""
    request.parameters()
    found = request.platform.buffers.chunk_files(request.name())
    chunks = {
        key: {"file": chunk.file, "size": chunk.size, "crc32c": chunk.crc32c} for key, chunk in found.chunks.items()
    }
    return json_response({"etag": found.etag, "chunks": chunks})


def copy_buffer(request: ApiRequest) -> ApiResponse:
    """Store a buffer under another name as well, without copying its bytes."""
    request.parameters()
    to, overwrite = _target(request)
    record = request.platform.buffers.copy(request.name(), to, overwrite=overwrite)
    return created(request, record.to_json(), "buffers", record.name)


def rename_buffer(request: ApiRequest) -> ApiResponse:
    """Give a buffer another name."""
    request.parameters()
    to, overwrite = _target(request)
    record = request.platform.buffers.rename(request.name(), to, overwrite=overwrite)
    return created(request, record.to_json(), "buffers", record.name)


def delete_buffer(request: ApiRequest) -> ApiResponse:
    """Remove a buffer."""
    request.parameters()
    request.platform.buffers.delete(request.name())
    return no_content()


def _target(request: ApiRequest) -> tuple[str, bool]:
    body = request.json_body()
    to, overwrite = body.get("to"), body.get("overwrite", False)
    if not isinstance(to, str) or not isinstance(overwrite, bool) or not body.keys() <= {"to", "overwrite"}:
        raise InvalidInputError('The new name is told as {"to": NAME, "overwrite": false}; overwrite may be left out.')
    return to, overwrite


def _bytes_of(request: ApiRequest, record: BufferRecord, etag: str, content: Content | None) -> ApiResponse:
    array = {} if record.array is None else array_headers(record.array)
    headers = {"Cache-Control": "no-store", **{name.title(): value for name, value in array.items()}}
    return bytes_response(
        request,
        content,
        size=record.size,
        content_type=record.content_type,
        etag=etag,
        headers={**headers, **record_header(record.to_json())},
    )
