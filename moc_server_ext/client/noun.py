"""How a noun of the platform asks its server: names in addresses, ranges of bytes, bodies, answers that are read."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any
from urllib.parse import quote

from ..abc import Bytes
from ..errors import InvalidInputError, ServerUnreachableError
from .parts import OnceParts
from .transport import Transport

if TYPE_CHECKING:
    import httpx

_RANGE_NOT_SATISFIABLE = 416
# A large body is synchronised to the disk before the answer.
STORED_SECONDS = 600.0


class Noun:
    """What the nouns share: requests whose answers are read, ranges of bytes, and bodies."""

    def __init__(self, transport: Transport) -> None:
        self._transport = transport

    def _get(self, path: str, read: Callable[[Any], Any], query: Sequence[tuple[str, str]] = ()) -> Any:
        return read_json(self._transport, self._transport.request("GET", path, query=query), read)

    def _read(self, path: str, start: int, stop: int | None) -> bytes:
        """Read bytes ``[start, stop)``, cut off at the end."""
        if start < 0 or (stop is not None and stop < 0):
            raise InvalidInputError(f"A range of bytes is counted from the start: [{start}, {stop}) is none.")
        if stop is not None and stop <= start:
            self._transport.request("HEAD", path)
            return b""
        headers = range_headers(start, stop)
        response = self._transport.request("GET", path, headers=headers, expected=[_RANGE_NOT_SATISFIABLE])
        return b"" if response.status_code == _RANGE_NOT_SATISFIABLE else response.content

    def _parts(self, path: str, start: int, stop: int | None) -> Iterator[bytes]:
        if start < 0 or (stop is not None and stop <= start):
            part = self._read(path, start, stop)
            return iter([part] if part else [])
        return self._transport.parts(path, headers=range_headers(start, stop), expected=[_RANGE_NOT_SATISFIABLE])

    def _store(
        self,
        method: str,
        path: str,
        content: Bytes | Iterable[Bytes],
        headers: Mapping[str, str],
        query: Sequence[tuple[str, str]] = (),
    ) -> httpx.Response:
        body = bytes(content) if isinstance(content, bytes | bytearray | memoryview) else OnceParts(content)
        return self._transport.request(
            method, path, query=query, headers=headers, body=body, answer_seconds=STORED_SECONDS
        )

    def _stat(self, path: str, read: Callable[[Any], Any]) -> Any:
        response = self._transport.request("HEAD", path)
        return parse(self._transport, response.headers.get("moc-record", ""), read)


def range_headers(start: int, stop: int | None) -> dict[str, str]:
    """Give the header that asks for bytes ``[start, stop)``, of which there is at least one."""
    if not start and stop is None:
        return {}
    return {"Range": f"bytes={start}-{'' if stop is None else stop - 1}"}


def encode(name: str | bytes) -> str:
    """Give a name or key as one segment of an address; InvalidInputError if it is empty or no Unicode text."""
    try:
        encoded = quote(name, safe="")
    except UnicodeEncodeError:
        raise InvalidInputError("A name must be valid Unicode text.") from None
    if not encoded:
        raise InvalidInputError("A name or key cannot be empty.")
    # Clients resolve a segment of dots as a directory, and quote() leaves dots alone.
    return encoded.replace(".", "%2E") if not encoded.strip(".") else encoded


def listed(field: str, read: Callable[[Any], Any]) -> Callable[[Any], list[Any]]:
    """Give what reads each element of the list `field` of an answer."""
    return lambda body: [read(each) for each in body[field]]


def read_json(transport: Transport, response: httpx.Response, read: Callable[[Any], Any]) -> Any:
    """Read the body of an answer; see :func:`parse`."""
    return parse(transport, response.content, read)


def parse(transport: Transport, text: str | bytes, read: Callable[[Any], Any]) -> Any:
    """Read an answer; one that is not of the expected shape does not come from a moc server that we understand."""
    try:
        return read(json.loads(text))
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError):
        raise ServerUnreachableError(
            transport.address.url, "its answer is not one that this client understands"
        ) from None
