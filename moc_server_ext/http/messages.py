"""Requests and responses of the web API as plain objects, free of any web framework.

Operations (``nouns/``) turn an :class:`ApiRequest` into an :class:`ApiResponse`; :mod:`.handler` carries both over
HTTP. Everything in a request is hostile until a method here has parsed it.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Generator, Mapping, Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any, Final, Protocol
from urllib.parse import parse_qsl, quote, unquote_to_bytes

from ..abc import LocalBlobs, LocalBuffers, LocalHierarchy, Platform, Receiver
from ..buffers.channel import Channel
from ..errors import InvalidInputError
from ..model import CallRequest, CallResult

JSON_CONTENT_TYPE = "application/json"
# Newer versions of Tornado take no more either.
_QUERY_FIELDS_MAX = 1_000
LIMIT_DEFAULT: Final = 1000
LIMIT_MAX: Final = 10_000


class ServedPlatform(Platform, Protocol):
    """The platform of the process that serves it.

    Stored things come and go in parts; calls run on the event loop, with streams at both ends.
    """

    @property
    def blobs(self) -> LocalBlobs:
        """Immutable bytes by the SHA-256 of their content."""
        ...

    @property
    def buffers(self) -> LocalBuffers:
        """Stored, named buffers."""
        ...

    @property
    def zarr(self) -> LocalHierarchy:
        """All that is stored, as one Zarr hierarchy."""
        ...

    async def call(
        self,
        request: CallRequest,
        *,
        input: Channel | bytes | None = None,
        output: Channel | None = None,
        stderr: Callable[[bytes], None] | None = None,
    ) -> CallResult:
        """Run a function; cancelling the coroutine ends it. See :meth:`.Cluster.call`."""
        ...


class Door(StrEnum):
    """Which port a request came in by."""

    GATEWAY = "gateway"
    JUPYTER = "jupyter"


@dataclass(frozen=True, slots=True)
class ApiRequest:
    """One request behind its authentication.

    Parameters
    ----------
    root
        Path of the API's root as the client sees it, ending in a slash; `Location` headers begin with it.
    describe
        Gives the API's own description as JSON, for the door that the request came in by.
    measure
        Gives the server's metrics as text.
    segments
        The path behind the root, still percent-encoded, so that an encoded slash belongs to its name.
    query
        Names and values in the order of the URL.
    headers
        Lower-case names.
    body
        The whole body; empty where the route takes it in parts.
    received
        What the body was received into, where the route takes it in parts. The operation commits it.
    caller
        Who asks; see :attr:`.CallRequest.caller`.
    hand_over
        Closes the storage for another process, whose id it is given; None where the owner keeps it.
    max_body_bytes
        Largest body that a request may have, also once it is unpacked.
    """

    platform: ServedPlatform
    method: str
    root: str
    segments: tuple[str, ...]
    describe: Callable[[], bytes]
    measure: Callable[[], bytes]
    query: tuple[tuple[str, str], ...] = ()
    headers: Mapping[str, str] = field(default_factory=dict)
    body: bytes = b""
    received: Receiver[Any] | None = None
    caller: str = "local"
    hand_over: Callable[[int | None], None] | None = None
    max_body_bytes: int = 0

    def commit_body(self) -> Any:
        """Store what was received, and give its record."""
        if self.received is None:
            raise InvalidInputError("This address takes a body.")
        return self.received.commit()

    def name(self, index: int = 1) -> str:
        """Give one path segment, decoded, as text."""
        try:
            return self.raw_name(index).decode()
        except UnicodeDecodeError:
            raise InvalidInputError(f"{self.segments[index]!r} in the path is not percent-encoded UTF-8.") from None

    def raw_name(self, index: int = 1) -> bytes:
        """Give one path segment, decoded, as bytes."""
        return unquote_to_bytes(self.segments[index])

    def parameters(self, *known: str) -> Mapping[str, Sequence[str]]:
        """Give the values of each `known` query parameter.

        Raises
        ------
        InvalidInputError
            The query has a parameter that is not `known`: a misspelt limit must not be ignored.
        """
        values: dict[str, list[str]] = {each: [] for each in known}
        for name, value in self.query:
            if name not in values:
                expected = f"expected {', '.join(known)}" if known else "this address takes none"
                raise InvalidInputError(f"Unknown query parameter {name!r}: {expected}.", parameter=name)
            values[name].append(value)
        return values

    def json_body(self) -> Mapping[str, Any]:
        """Read the body as a JSON object."""
        return parse_json_object(self.body)


@dataclass(frozen=True, slots=True)
class ApiResponse:
    """What an operation answers.

    Parameters
    ----------
    parts
        The body in parts, instead of `body`; `length` is their size, None where nobody knows it. Reading them blocks.
    length
        Size of the body that a GET would have, for an answer to HEAD; None is the size of `body`.
    sandboxed
        Whether `body` came from a guest or a user: a browser must then never run it on the API's own origin.
    """

    status: int = 200
    body: bytes = b""
    content_type: str = JSON_CONTENT_TYPE
    headers: Mapping[str, str] = field(default_factory=dict)
    parts: Generator[bytes, None, None] | None = None
    length: int | None = None
    sandboxed: bool = False


def json_response(body: Mapping[str, Any], status: int = 200, **headers: str) -> ApiResponse:
    """Answer with a JSON object; keyword ``Location="…"`` and the like become headers."""
    return ApiResponse(status, to_json_bytes(body), JSON_CONTENT_TYPE, headers)


def created(request: ApiRequest, body: Mapping[str, Any], *path: str | bytes) -> ApiResponse:
    """Answer 201 with the address of what now exists."""
    location = request.root + "/".join(quote(each, safe="") for each in path)
    return json_response(body, 201, Location=location)


def no_content() -> ApiResponse:
    """Answer 204."""
    return ApiResponse(204)


def to_json_bytes(body: Any) -> bytes:
    """Encode as ASCII JSON with a newline, so that it reads well in a terminal."""
    return json.dumps(body, allow_nan=False).encode() + b"\n"


def parse_json_object(text: bytes) -> Mapping[str, Any]:
    """Read a body that is a JSON object."""
    try:
        body = json.loads(text)
    except (ValueError, RecursionError):
        raise InvalidInputError("The request's body is not JSON in UTF-8.") from None
    if not isinstance(body, dict):
        raise InvalidInputError("The request's body is not a JSON object.")
    return body


def parse_query(text: str) -> tuple[tuple[str, str], ...]:
    """Read a URL's query; a value that is no UTF-8 is refused."""
    try:
        return tuple(
            parse_qsl(text, keep_blank_values=True, errors="strict", max_num_fields=_QUERY_FIELDS_MAX, separator="&")
        )
    except ValueError:
        raise InvalidInputError(
            f"The query is not percent-encoded UTF-8, or has more than {_QUERY_FIELDS_MAX:,} parameters."
        ) from None


def parse_single(values: Sequence[str], name: str) -> str | None:
    """Give the one value of a parameter that may be there once, or None."""
    if len(values) > 1:
        raise InvalidInputError(f"Query parameter {name!r} is given {len(values)} times; expected once.")
    return values[0] if values else None


def parse_limit(values: Sequence[str]) -> int:
    """Read ``limit``, how much of a list is given at most."""
    text = parse_single(values, "limit")
    if text is None:
        return LIMIT_DEFAULT
    if not (text.isascii() and text.isdigit() and 1 <= int(text[:9]) <= LIMIT_MAX):
        raise InvalidInputError(
            f"Query parameter 'limit' is a whole number from 1 to {LIMIT_MAX:,}, not {text[:32]!r}."
        )
    return int(text[:9])


def parse_flag(values: Sequence[str], name: str) -> bool:
    """Read a parameter that is a flag: absent, bare, or one of true, false, 1 and 0."""
    text = parse_single(values, name)
    if text in (None, "false", "0"):
        return False
    if text in ("", "true", "1"):
        return True
    raise InvalidInputError(f"Query parameter {name!r} is a flag: expected true or false, not {text!r}.")


def parse_pairs(values: Sequence[str], name: str) -> dict[str, str]:
    """Read ``KEY=VALUE`` parameters."""
    pairs: dict[str, str] = {}
    for value in values:
        key, equals, rest = value.partition("=")
        if not key or not equals:
            raise InvalidInputError(f"Query parameter {name} = {value!r} is not of the form KEY=VALUE.")
        pairs[key] = rest
    return pairs
