"""Long work of a server, told as it goes on: lines of JSON, of which the last one is the result or the error."""

from __future__ import annotations

import json
from collections.abc import Callable, Generator, Sequence
from typing import Any, TypeVar

from ..errors import ServerUnreachableError, from_json
from .transport import Transport

Step = TypeVar("Step")
Result = TypeVar("Result")


def progress_lines(
    transport: Transport,
    path: str,
    query: Sequence[tuple[str, str]],
    read_step: Callable[[Any], Step],
    read_result: Callable[[Any], Result],
) -> Generator[Step, None, Result]:
    """Begin the work by a POST, give each step as it comes, and return the result; ending it ends the work.

    Raises
    ------
    ServerUnreachableError
        The connection broke before the end, or it is no moc server that answers.
    MocError
        What the work failed with.
    """
    import httpx

    # Between two lines a server may read for long.
    response = transport.request("POST", path, query=query, answer_seconds=None, whole=False)
    try:
        for line in response.iter_lines():
            kind, body = _parse(transport, line)
            if kind == "error":
                raise from_json(body)
            try:
                found = read_step(body) if kind == "progress" else read_result(body)
            except (KeyError, TypeError, ValueError):
                raise _not_understood(transport) from None
            if kind == "result":
                return found  # type: ignore[return-value]  # what `read_result` gave
            yield found  # type: ignore[misc]  # what `read_step` gave
    except httpx.TransportError as error:
        raise _broken(transport) from error
    finally:
        response.close()
    raise _broken(transport)


def _parse(transport: Transport, line: str) -> tuple[str, Any]:
    try:
        body = json.loads(line)
    except (ValueError, RecursionError):
        raise _not_understood(transport) from None
    if not isinstance(body, dict) or len(body) != 1 or not body.keys() <= {"progress", "result", "error"}:
        raise _not_understood(transport)
    return next(iter(body.items()))


def _broken(transport: Transport) -> ServerUnreachableError:
    return ServerUnreachableError(transport.address.url, "the connection broke before the end of the work")


def _not_understood(transport: Transport) -> ServerUnreachableError:
    return ServerUnreachableError(transport.address.url, "its answer is not one that this client understands")
