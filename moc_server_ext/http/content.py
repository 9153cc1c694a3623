"""Raw bytes over HTTP: content types that cannot inject anything, and byte ranges (RFC 9110, section 14)."""

from __future__ import annotations

import contextlib
import json
import re
from collections.abc import Generator, Mapping
from typing import Any

from ..abc import Content
from ..errors import RangeNotSatisfiableError
from ..model import DEFAULT_CONTENT_TYPE, is_content_type, parse_content_type
from .messages import ApiRequest, ApiResponse

_RANGE = re.compile(r"bytes=[ \t]*(\d{0,18})-(\d{0,18})[ \t]*", re.ASCII)
# Up to this size a body is read at once, which spares it the way to a thread and back for each part.
WHOLE_BYTES_MAX = 256 << 10
_RECORD_HEADER_MAX = 8 << 10
# What command-line clients send when nobody chose a type.
_MEANINGLESS_CONTENT_TYPES = frozenset({"", "application/x-www-form-urlencoded"})


def safe_content_type(text: str | None) -> str:
    """Give `text` if it is a well-formed media type, else ``application/octet-stream``.

    For types that guests or stored records supply: nothing of them can end the header or begin another.
    """
    return text if text and is_content_type(text) else DEFAULT_CONTENT_TYPE


def request_content_type(request: ApiRequest, default: str = DEFAULT_CONTENT_TYPE) -> str:
    """Read the type of a request's body.

    Raises
    ------
    InvalidInputError
        The header is there, and is no media type.
    """
    text = request.headers.get("content-type", "").strip()
    return default if text in _MEANINGLESS_CONTENT_TYPES else parse_content_type(text)


def parse_range(header: str | None, size: int) -> tuple[int, int] | None:
    """Read a Range header into the half-open ``[start, stop)``, or None for "all of it".

    What the server may ignore is ignored: other units, several ranges, syntax errors.

    Raises
    ------
    RangeNotSatisfiableError
        The range begins behind the end.
    """
    match = _RANGE.fullmatch(header.strip()) if header else None
    if match is None or match.groups() == ("", ""):
        return None
    first, last = match.groups()
    if not first:
        length = int(last)
        if length == 0 or size == 0:
            raise RangeNotSatisfiableError(size)
        return max(0, size - length), size
    start = int(first)
    stop = int(last) + 1 if last else size
    if stop <= start and last:
        return None
    if start >= size:
        raise RangeNotSatisfiableError(size)
    return start, min(stop, size)


def record_header(record: Mapping[str, Any]) -> dict[str, str]:
    """Give the header ``Moc-Record``: a record as ASCII JSON, so that one HEAD tells all about a thing."""
    text = json.dumps(record)
    if len(text) > _RECORD_HEADER_MAX:
        text = json.dumps({**record, "headers": {}})
    return {"Moc-Record": text}


class WholeContent:
    """Bytes that are in memory anyway, as :class:`~..abc.Content`."""

    def __init__(self, content: bytes) -> None:
        self._content = content
        self.size = len(content)

    def read(self, start: int = 0, stop: int | None = None) -> bytes:
        """Give bytes ``[start, stop)``."""
        return self._content[start:stop]

    def parts(self, start: int = 0, stop: int | None = None) -> Generator[bytes, None, None]:
        """Give the same in parts."""
        end = self.size if stop is None else min(stop, self.size)
        return (self._content[each : min(each + WHOLE_BYTES_MAX, end)] for each in range(start, end, WHOLE_BYTES_MAX))

    def close(self) -> None:
        """Do nothing: there is nothing to let go of."""


def bytes_response(
    request: ApiRequest,
    content: Content | None,
    *,
    size: int,
    content_type: str,
    etag: str,
    headers: Mapping[str, str],
) -> ApiResponse:
    """Answer GET or HEAD of stored bytes: conditional, and by range.

    Parameters
    ----------
    content
        The bytes; None for HEAD. Closed, or handed on to the response if they are many.
    etag
        Identity of the present content, without quotes.
    """
    with contextlib.ExitStack() as held:
        if content is not None:
            held.callback(content.close)
        quoted = f'"{etag}"'
        common = {"ETag": quoted, "Accept-Ranges": "bytes", **headers}
        wanted = request.headers.get("if-none-match", "")
        if wanted.strip() == "*" or quoted in (each.strip().removeprefix("W/") for each in wanted.split(",")):
            return ApiResponse(304, content_type=content_type, headers=common, sandboxed=True)
        header = request.headers.get("range")
        if request.headers.get("if-range", quoted) != quoted:
            header = None
        chosen = parse_range(header, size)
        start, stop = chosen or (0, size)
        body, parts = b"", None
        if content is not None and stop - start > WHOLE_BYTES_MAX:
            parts = content.parts(start, stop)
            held.pop_all()
        elif content is not None:
            body = content.read(start, stop)
    if chosen:
        common["Content-Range"] = f"bytes {start}-{stop - 1}/{size}"
    return ApiResponse(
        206 if chosen else 200,
        body,
        parts=parts,
        content_type=safe_content_type(content_type),
        headers=common,
        length=stop - start,
        sandboxed=True,
    )
