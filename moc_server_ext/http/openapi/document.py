"""From the route table to one document a door, built when it is first asked for and kept as bytes."""

from __future__ import annotations

import inspect
from importlib.metadata import version
from typing import Any

from ..messages import Door, to_json_bytes
from ..routes import ROUTES, CallOperation, Operation, Route
from .operations import DESCRIPTIONS, Description
from .parameters import HEADER_PARAMETERS, PATH_PARAMETERS, QUERY_PARAMETERS
from .responses import HEADERS, error_responses, reference, without_content
from .schemas import SCHEMAS
from .security import CHALLENGED_BY, SECURITY_SCHEMES, security_of

_ABOUT = """\
Functions, calls, blobs, buffers, key-values and runs of one cluster.

- Names, keys and ids in a path are one percent-encoded segment: a slash in a name is `%2F`.
- An unknown query parameter is refused with 400. A body with a `Content-Encoding` is refused with 400.
- An address that is not in this document answers 404, another method of one that is 405 with `Allow`; without a valid
  token both answer 401.
- Every answer has `X-Content-Type-Options: nosniff` and a `Cache-Control`; bytes that a guest or a user supplied have
  `Content-Security-Policy: sandbox`.
- What is stored is on the disk before the answer comes. Times are seconds since 1970, UTC; sizes are bytes.
"""
_TAGS = {
    "status": "What runs.",
    "openapi.json": "This document.",
    "metrics": "What the server measures of itself.",
    "functions": "WebAssembly modules under a name, and their calls.",
    "blobs": "Immutable bytes by the SHA-256 of their content.",
    "buffers": "Stored, named bytes.",
    "kv": "Durable bytes by key.",
    "calls": "Calls that run, and the last ones that ended.",
    "runs": "Executions of map-reduce plans.",
    "zarr": "All that is stored, as one Zarr v3 hierarchy; read-only.",
    "gc": "Files that nothing refers to any more.",
    "backups": "Copies of everything that is stored, in the server's own target.",
    "promote": "Who is the primary.",
    "handover": "Who owns the storage.",
}


class Documents:
    """The documents of one server, each built once. Thread-safe: who builds one twice builds the same."""

    def __init__(self) -> None:
        self._bodies: dict[Door, bytes] = {}

    def body(self, door: Door) -> bytes:
        """Give the document of `door` as JSON."""
        body = self._bodies.get(door)
        if body is None:
            body = self._bodies[door] = to_json_bytes(build_document(door))
        return body


def build_document(door: Door) -> dict[str, Any]:
    """Describe every route as it is behind `door`."""
    return {
        "openapi": "3.1.1",
        "info": {
            "title": "My Own Cluster",
            "summary": "Functions in WebAssembly, durable storage and map-reduce.",
            "description": _ABOUT,
            "license": {"name": "Apache License 2.0", "identifier": "Apache-2.0"},
            "version": version("my-own-cluster"),
        },
        # Relative to the document's own address, so that a base URL needs no mention; and without a slash at its end.
        "servers": [{"url": "../v1", "description": "The server that this document came from"}],
        "security": security_of(door, "write"),
        "tags": [{"name": name, "description": text} for name, text in _TAGS.items()],
        "paths": {"/" + "/".join(route.pattern): _path_item(route, door) for route in ROUTES},
        "components": {
            "schemas": SCHEMAS,
            "responses": error_responses(),
            "headers": HEADERS,
            "securitySchemes": SECURITY_SCHEMES[door],
        },
    }


def _path_item(route: Route, door: Door) -> dict[str, Any]:
    noun = route.pattern[0]
    item: dict[str, Any] = {}
    parameters = [PATH_PARAMETERS[noun, segment.strip("{}")] for segment in route.pattern if segment.startswith("{")]
    if parameters:
        item["parameters"] = parameters
    for method, operation in sorted(route.operations.items()):
        item[method.lower()] = {
            "tags": [noun],
            **_operation(method, operation, DESCRIPTIONS[operation], door),
        }
    return item


def _operation(
    method: str, operation: Operation | CallOperation, description: Description, door: Door
) -> dict[str, Any]:
    summary, _, text = (inspect.getdoc(operation) or "").partition("\n\n")
    name = operation.__name__
    if method == "HEAD":
        name = "head_" + name.partition("_")[2]
        summary = f"As GET, without the body: {summary[:1].lower()}{summary[1:]}"
    found: dict[str, Any] = {"operationId": name, "summary": summary.rstrip(".")}
    if text or description.note:
        found["description"] = "\n\n".join(each for each in (text, description.note) if each)
    parameters = [QUERY_PARAMETERS[description.noun, each] for each in description.query]
    parameters += [HEADER_PARAMETERS[each] for each in description.headers]
    if parameters:
        found["parameters"] = parameters
    if description.body is not None:
        found["requestBody"] = description.body
    if method in ("GET", "HEAD"):
        read = security_of(door, "read")
        if read != security_of(door, "write"):
            found["security"] = read
    found["responses"] = _responses(method, description, door)
    return found


def _responses(method: str, description: Description, door: Door) -> dict[str, Any]:
    answers = dict(description.answers)
    errors = description.errors | CHALLENGED_BY[door]
    if method == "HEAD":
        answers = {status: without_content(answer) for status, answer in answers.items()}
    answers |= {status: reference(status, head=method == "HEAD") for status in errors}
    return {str(status): answers[status] for status in sorted(answers)}
