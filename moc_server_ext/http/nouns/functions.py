"""``functions``: registering, describing, removing and calling them."""

from __future__ import annotations

import secrets

from ...invocation import wrong_array_size
from ...model import (
    DEFAULT_CONTENT_TYPE,
    WASM_CONTENT_TYPE,
    CallRequest,
    Declaration,
    array_headers,
    parse_array_headers,
    parse_grants,
    parse_limits,
    parse_mode,
    parse_name,
)
from ..content import request_content_type
from ..messages import (
    ApiRequest,
    ApiResponse,
    created,
    json_response,
    no_content,
    parse_flag,
    parse_pairs,
    parse_single,
)
from ..multipart import form_boundary


def list_functions(request: ApiRequest) -> ApiResponse:
    """List all functions, sorted by name."""
    request.parameters()
    return json_response({"functions": [each.to_json() for each in request.platform.functions.list()]})


def get_function(request: ApiRequest) -> ApiResponse:
    """Describe one function."""
    request.parameters()
    return json_response(request.platform.functions.get(request.name()).to_json())


def put_function(request: ApiRequest) -> ApiResponse:
    """Register the body under a name, declared by the query."""
    name = parse_name(request.name(), "function's name")
    query = request.parameters("mode", "entry", "grant", "allow-host", "limit", "reusable", "deterministic")
    declaration = Declaration(
        mode=parse_mode(parse_single(query["mode"], "mode")),
        entry=parse_single(query["entry"], "entry") or None,
        grants=parse_grants(query["grant"], query["allow-host"]),
        limits=parse_limits(query["limit"]),
        reusable=parse_flag(query["reusable"], "reusable"),
        deterministic=parse_flag(query["deterministic"], "deterministic"),
    )
    content_type = request_content_type(request, WASM_CONTENT_TYPE)
    if content_type == DEFAULT_CONTENT_TYPE:
        content_type = WASM_CONTENT_TYPE
    record = request.platform.functions.put(name, request.body, declaration, content_type)
    return created(request, record.to_json(), "functions", name)


def delete_function(request: ApiRequest) -> ApiResponse:
    """Remove a name."""
    request.parameters()
    request.platform.functions.delete(request.name())
    return no_content()


def call_function(request: ApiRequest) -> CallRequest:
    """Call a function with the body as its input and answer with its output, both as they come.

    The parts of a multipart body are several inputs; such a body is received whole first.

    A non-zero exit code is a result: it comes as a header (or field) of a response with status 200.
    """
    query = request.parameters("mode", "entry", "arg", "env", "limit")
    return CallRequest(
        function=parse_name(request.name(), "function's name"),
        arguments=tuple(query["arg"]),
        mode=parse_mode(parse_single(query["mode"], "mode")),
        entry=parse_single(query["entry"], "entry") or None,
        env=parse_pairs(query["env"], "env"),
        limits=parse_limits(query["limit"]),
        # Those of a form's parts come with them.
        input_headers=_input_headers(request) if form_boundary(request.headers) is None else {},
        caller=request.caller,
        call_id=secrets.token_hex(8),
    )


def _input_headers(request: ApiRequest) -> dict[str, str]:
    """Give what the request says of its body, for the guest: its type, and whether it is an array.

    Raises
    ------
    InvalidInputError
        It is no well-formed type or array, or the body that is announced has not the array's size.
    """
    headers: dict[str, str] = {}
    # The type that clients send when they know none tells a guest nothing.
    if (content_type := request_content_type(request)) != DEFAULT_CONTENT_TYPE:
        headers["content-type"] = content_type
    array = parse_array_headers(request.headers)
    if array is not None:
        length = request.headers.get("content-length")
        if length is not None and length != str(array.nbytes):
            raise wrong_array_size("the body", array, length[:20])
        told = array_headers(array)
        headers |= {name: told[name] for name in ("moc-dtype", "moc-shape")}
    return headers
