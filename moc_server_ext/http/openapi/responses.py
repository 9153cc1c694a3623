"""Answers: their headers, and one response an error status with the codes that leave under it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

from .schemas import error_classes

Response = Mapping[str, Any]

_TEXT: Final = {"type": "string"}
_INTEGER: Final = {"type": "integer"}


def _header(description: str, schema: Mapping[str, Any] = _TEXT, *, required: bool = True) -> dict[str, Any]:
    return {"description": description, "required": required, "schema": schema}


def _json_header(description: str, shape: str, *, required: bool = True) -> dict[str, Any]:
    content = {"application/json": {"schema": {"$ref": f"#/components/schemas/{shape}"}}}
    return {"description": description, "required": required, "content": content}


# The key is the header's name, but where two answers give one name different meanings.
HEADERS: Final[Mapping[str, Any]] = {
    "Location": _header("Address of what was made, as a path."),
    "ETag": _header("Identity of the content, in quotes; for a blob its id."),
    "Accept-Ranges": _header("`bytes`."),
    "Content-Range": _header("`bytes FIRST-LAST/SIZE`; in an error `bytes */SIZE`."),
    "Moc-Record.Blob": _json_header("The blob's record.", "Blob"),
    "Moc-Record.Buffer": _json_header("The buffer's record, without its headers if they would be too long.", "Buffer"),
    "Moc-Call-Id": _header("Id of the call.", required=False),
    "Moc-Duration-Us": _header("Wall time of the call in microseconds.", _INTEGER, required=False),
    "Moc-Result": _json_header("What a direct call gave.", "Result", required=False),
    "Moc-Exit-Code": _header("Exit code of a posix call.", _INTEGER, required=False),
    "Moc-Dtype": _header("The bytes are an array of this type.", required=False),
    "Moc-Shape": _json_header("Its shape.", "Numbers", required=False),
    "Moc-Chunks": _json_header("The shape of its chunks.", "Numbers", required=False),
    "Moc-Error": _json_header("The error, whose body HEAD does not have.", "Error", required=False),
    "Allow": _header("The methods that the address takes."),
    "Retry-After": _header("Seconds after which to try again; there when there was too much work.", required=False),
    "WWW-Authenticate": _header("`Bearer`."),
}
_ERROR_HEADERS: Final[Mapping[int, str]] = {
    401: "WWW-Authenticate",
    405: "Allow",
    416: "Content-Range",
    503: "Retry-After",
}
_MEANINGS: Final[Mapping[int, str]] = {
    400: "The request, a module or an argument is not what it must be.",
    401: "No valid token. It never tells whether the thing exists.",
    403: "The caller may not do this.",
    404: "No such address, function, entry point, blob, buffer, key, call or run.",
    405: "The address does not take this method.",
    409: "The present state does not allow it.",
    413: "The body is too large.",
    416: "The range begins behind the end.",
    422: "The guest failed, or reached a limit; a run failed.",
    500: "The storage is damaged or cannot be written, or the server failed: its log tells more.",
    501: "An optional part is not installed.",
    503: "Too much work, or the server is shutting down.",
    507: "The disk is full.",
}


def headers(*names: str) -> dict[str, Any]:
    """Refer to headers; what stands behind a dot in `names` tells which of two meanings."""
    return {name.partition(".")[0]: {"$ref": f"#/components/headers/{name}"} for name in names}


def json_answer(shape: str, description: str, *names: str) -> Response:
    """Answer with a JSON shape, and headers of these `names`."""
    content = {"application/json": {"schema": {"$ref": f"#/components/schemas/{shape}"}}}
    return _answer(description, content, names)


def bytes_answer(description: str, *names: str, **content: Mapping[str, Any]) -> Response:
    """Answer with raw bytes of any type, and headers of these `names`."""
    return _answer(description, {"*/*": {}, **content}, names)


def empty_answer(description: str, *names: str) -> Response:
    """Answer with no body, and headers of these `names`."""
    return _answer(description, None, names)


def _answer(description: str, content: Mapping[str, Any] | None, names: tuple[str, ...]) -> Response:
    found: dict[str, Any] = {"description": description}
    if names:
        found["headers"] = headers(*names)
    if content is not None:
        found["content"] = content
    return found


def without_content(response: Response) -> Response:
    """Give what HEAD answers where GET answers `response`."""
    return {name: each for name, each in response.items() if name != "content"}


def reference(status: int, *, head: bool) -> Response:
    """Refer to the response of an error status."""
    return {"$ref": f"#/components/responses/{'Head' if head else 'Error'}{status}"}


def error_responses() -> dict[str, Response]:
    """Give the response of every error status, with a body, and without one for HEAD."""
    codes: dict[int, list[str]] = {}
    for each in error_classes():
        codes.setdefault(each.http_status, []).append(each.code)
    found: dict[str, Response] = {}
    for status, of_status in sorted(codes.items()):
        own = (_ERROR_HEADERS[status],) if status in _ERROR_HEADERS else ()
        narrowed = {"properties": {"error": {"properties": {"code": {"enum": sorted(of_status)}}}}}
        schema = {"allOf": [{"$ref": "#/components/schemas/Error"}, narrowed]}
        content = {"application/json": {"schema": schema}}
        found[f"Error{status}"] = _answer(_MEANINGS[status], content, own)
        found[f"Head{status}"] = _answer(_MEANINGS[status], None, (*own, "Moc-Error"))
    return found
