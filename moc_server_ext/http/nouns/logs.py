"""``buffers/{name}/log``: buffers that grow in parts, each durable with its answer, until they are sealed."""

from __future__ import annotations

from ...abc import Receiver
from ...errors import InvalidInputError
from ...model import parse_array_headers, parse_name
from ..content import request_content_type
from ..messages import ApiRequest, ApiResponse, created, json_response, no_content
from .uploads import header_texts


def list_logs(request: ApiRequest) -> ApiResponse:
    """List the open logs, sorted by the names of their buffers."""
    request.parameters()
    return json_response({"logs": [each.to_json() for each in request.platform.buffers.logs()]})


def get_log(request: ApiRequest) -> ApiResponse:
    """Tell how an open log is."""
    request.parameters()
    return json_response(request.platform.buffers.log(request.name()).to_json())


def put_log(request: ApiRequest) -> ApiResponse:
    """Begin a log, which has no parts yet; one that is open already is left as it is."""
    request.parameters()
    if request.body:
        raise InvalidInputError("A log begins without content: POST the parts to the same address.")
    log = request.platform.buffers.open_log(
        request.name(),
        request_content_type(request),
        header_texts(request, "moc-headers"),
        array=parse_array_headers(request.headers),
        origin=header_texts(request, "moc-origin"),
    )
    return created(request, log.record.to_json(), "buffers", request.name(), "log")


def append_to_log(request: ApiRequest) -> ApiResponse:
    """Append the body to a log as one part, all of it or nothing; the first part begins the log."""
    request.parameters()
    size: int = request.commit_body()
    return json_response({"name": request.name(), "size": size})


def seal_log(request: ApiRequest) -> ApiResponse:
    """Make a log the buffer of its name, in place of what was there."""
    request.parameters()
    record = request.platform.buffers.seal_log(request.name(), log_id=request.headers.get("moc-log-id"))
    return created(request, record.to_json(), "buffers", record.name)


def delete_log(request: ApiRequest) -> ApiResponse:
    """Remove an open log with all that was appended."""
    request.parameters()
    request.platform.buffers.abandon_log(request.name(), log_id=request.headers.get("moc-log-id"))
    return no_content()


def receive_part(request: ApiRequest) -> Receiver[int]:
    """Begin to take one part of a log."""
    request.parameters()
    return request.platform.buffers.receive_part(
        parse_name(request.name(), "buffer's name"),
        request_content_type(request),
        header_texts(request, "moc-headers"),
        array=parse_array_headers(request.headers),
        origin=header_texts(request, "moc-origin"),
        log_id=request.headers.get("moc-log-id"),
        offset=_offset(request.headers.get("moc-offset")),
    )


def _offset(text: str | None) -> int | None:
    if text is None:
        return None
    if not (text.isascii() and text.isdigit() and len(text) < 20):
        raise InvalidInputError(f"The header Moc-Offset is the size of the log in bytes, not {text[:32]!r}.")
    return int(text)
