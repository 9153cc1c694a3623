"""Long work that is told as it goes on: an answer of JSON lines.

``{"progress": …}`` any number of times, then ``{"result": …}`` or ``{"error": …}``. Closing the connection ends the
work at its next step.
"""

from __future__ import annotations

import time
from collections.abc import Generator
from typing import Any, Final, Protocol

from ..errors import MocError
from .messages import ApiResponse, to_json_bytes

JSON_LINES_CONTENT_TYPE: Final = "application/x-ndjson"
_EVERY_SECONDS: Final = 0.2


class Told(Protocol):
    """A step or a result, as the web API tells it."""

    def to_json(self) -> dict[str, Any]:
        """Give the shape of the web API."""
        ...


def json_lines(work: Generator[Told, None, Told]) -> ApiResponse:
    """Answer with the steps and the result of `work`, which runs while the answer is read."""
    return ApiResponse(parts=_lines(work), content_type=JSON_LINES_CONTENT_TYPE)


def _lines(work: Generator[Told, None, Told]) -> Generator[bytes, None, None]:
    said = float("-inf")
    try:
        while True:
            try:
                step = next(work)
            except StopIteration as end:
                yield to_json_bytes({"result": end.value.to_json()})
                return
            except MocError as error:
                yield to_json_bytes({"error": error.to_json()})
                return
            # A step may be as short as a millisecond; nobody reads so fast.
            if time.monotonic() - said >= _EVERY_SECONDS:
                said = time.monotonic()
                yield to_json_bytes({"progress": step.to_json()})
    finally:
        work.close()
