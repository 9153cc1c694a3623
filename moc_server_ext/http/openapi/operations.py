"""What each operation takes and answers, beyond what the route table and its docstring say."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

from ... import frames
from ...model import DEFAULT_CONTENT_TYPE, INPUTS_MAX, WASM_CONTENT_TYPE
from ..messages import JSON_CONTENT_TYPE
from ..multipart import FORM_CONTENT_TYPE
from ..nouns import (
    blobs,
    buffers,
    calls,
    description,
    functions,
    handover,
    keyvalues,
    metrics,
    promotion,
    runs,
    status,
    zarr,
)
from ..nouns.uploads import STAGED_CONTENT_TYPE, ZIP_CONTENT_TYPE
from ..routes import CallOperation, Operation
from .responses import Response, bytes_answer, empty_answer, json_answer

# Any request may be malformed, have a body that is too large, meet a failing server or too much work.
_ANY: Final = frozenset({400, 413, 500, 503})
_STORES: Final = _ANY | {507}
_RUNS: Final = _ANY | {404, 409, 422, 507}
_CONDITIONS: Final = ("Range", "If-Range", "If-None-Match")
_OF_ARRAYS: Final = ("Moc-Dtype", "Moc-Shape", "Moc-Chunks")
_OF_BYTES: Final = ("ETag", "Accept-Ranges")
_FORM: Final = {"type": "object", "minProperties": 1, "maxProperties": INPUTS_MAX}
_RAW: Final[Mapping[str, Any]] = {DEFAULT_CONTENT_TYPE: {}, "*/*": {}}


@dataclass(frozen=True, slots=True)
class Description:
    """One operation; HEAD is made from GET.

    Parameters
    ----------
    query, headers
        Names of the parameters, of :mod:`.parameters`.
    body
        OpenAPI's request body, or None where a body means nothing.
    answers
        What it answers when it succeeds, by status.
    errors
        The error statuses that it can answer, without those of who may pass.
    note
        Added to the docstring's text.
    """

    noun: str
    answers: Mapping[int, Response]
    query: tuple[str, ...] = ()
    headers: tuple[str, ...] = ()
    body: Mapping[str, Any] | None = None
    errors: frozenset[int] = _ANY
    note: str = ""


def _body(text: str, content: Mapping[str, Any], *, required: bool = False) -> dict[str, Any]:
    return {"description": text, "content": content, "required": required}


def _reads_bytes(noun: str, *names: str, errors: frozenset[int] = frozenset()) -> Description:
    own = (*_OF_BYTES, *names)
    return Description(
        noun,
        {
            200: bytes_answer("All bytes.", *own),
            206: bytes_answer("The bytes of the range.", "Content-Range", *own),
            304: empty_answer("The client has them already.", *own),
        },
        headers=_CONDITIONS,
        errors=_ANY | {404, 416} | errors,
    )


def _removes(noun: str) -> Description:
    return Description(noun, {204: empty_answer("It is removed.")}, errors=_STORES | {404})


def _lists(noun: str, shape: str) -> Description:
    return Description(noun, {200: json_answer(shape, "All of them.")})


DESCRIPTIONS: Final[Mapping[Operation | CallOperation, Description]] = {
    status.get_status: Description("status", {200: json_answer("Status", "What runs.")}),
    description.get_openapi: Description(
        "openapi.json",
        {200: {"description": "OpenAPI 3.1.", "content": {JSON_CONTENT_TYPE: {"schema": {"type": "object"}}}}},
    ),
    metrics.get_metrics: Description(
        "metrics",
        {200: {"description": "The metrics.", "content": {metrics.METRICS_CONTENT_TYPE: {}}}},
        note="Names begin with `moc_`. Jupyter's own `/metrics` tells them too.",
    ),
    functions.list_functions: _lists("functions", "Functions"),
    functions.get_function: Description(
        "functions", {200: json_answer("Function", "The function.")}, errors=_ANY | {404}
    ),
    functions.put_function: Description(
        "functions",
        {201: json_answer("Function", "It is registered.", "Location")},
        query=("mode", "entry", "grant", "allow-host", "limit", "reusable", "deterministic"),
        body=_body("The module.", {WASM_CONTENT_TYPE: {}, DEFAULT_CONTENT_TYPE: {}}, required=True),
        errors=_STORES | {403, 404, 422},
    ),
    functions.delete_function: _removes("functions"),
    functions.call_function: Description(
        "functions",
        {
            200: bytes_answer(
                "The output, of the type that the guest set; with `Accept: application/json` Call instead, and with "
                f"`Accept: {frames.CONTENT_TYPE}` frames of output, stderr and the end.",
                "Moc-Call-Id",
                "Moc-Duration-Us",
                "Moc-Result",
                "Moc-Exit-Code",
                "Moc-Dtype",
                "Moc-Shape",
                **{
                    JSON_CONTENT_TYPE: {"schema": {"$ref": "#/components/schemas/Call"}},
                    frames.CONTENT_TYPE: {},
                },
            )
        },
        query=("mode", "entry", "arg", "env", "limit"),
        headers=("Moc-Client", "Moc-Dtype", "Moc-Shape"),
        body=_body(
            f"The input, raw; or up to {INPUTS_MAX} inputs, each a part of a form, in order. What a part says of "
            "itself by `Content-Type`, `Moc-Dtype` and `Moc-Shape` goes to its buffer; its name means nothing.",
            {**_RAW, FORM_CONTENT_TYPE: {"schema": _FORM}},
        ),
        errors=_RUNS,
        note="The call begins with the first bytes of a body that is longer than 64 KiB or chunked, and answers while "
        "it runs; with several inputs it begins when all are there. A raw answer, which it is even if the guest says "
        "that its output is JSON, has `Moc-Call-Id`; up to 64 KiB it has the other headers as well, and a longer one "
        "that fails is cut off. A frame is a byte for its kind (`C` begin, `O` output, `E` stderr, `R` result, `X` "
        "error), four bytes of length, big-endian, and the content. A client that closes the connection ends its "
        "guest.",
    ),
    blobs.post_blob: Description(
        "blobs",
        {201: json_answer("Blob", "It is stored.", "Location")},
        body=_body("The bytes.", _RAW),
        errors=_STORES,
    ),
    blobs.get_blob: _reads_bytes("blobs", "Moc-Record.Blob"),
    buffers.list_buffers: _lists("buffers", "Buffers"),
    buffers.put_buffer: Description(
        "buffers",
        {201: json_answer("Buffer", "It is stored.", "Location")},
        query=("format",),
        headers=("Moc-Headers", "Moc-Origin", *_OF_ARRAYS, "Moc-Dimension-Names", "Moc-Attributes"),
        body=_body(
            "The bytes; with `Moc-Dtype` and `Moc-Shape` exactly those of the array's elements in C order, "
            "little-endian; with `format=zarr` a zip file; or the names of files that a client on the same machine "
            "has staged.",
            {**_RAW, ZIP_CONTENT_TYPE: {}, STAGED_CONTENT_TYPE: {"schema": {"$ref": "#/components/schemas/Staged"}}},
        ),
        errors=_STORES,
        note="A zip file has the keys of one Zarr v3 node, an array or a group, stored or deflated.",
    ),
    buffers.append_buffer: Description(
        "buffers",
        {200: json_answer("Buffer", "It is stored; the whole array as it is now.")},
        headers=_OF_ARRAYS,
        body=_body("The elements to add, in C order, little-endian.", _RAW),
        errors=_STORES | {404, 409},
        note="`Moc-Dtype` and `Moc-Shape` say what comes: as the array, but for the first axis. All of it is added or "
        "nothing.",
    ),
    buffers.get_buffer: _reads_bytes("buffers", *_OF_ARRAYS, "Moc-Record.Buffer", errors=frozenset({409})),
    buffers.get_buffer_chunks: Description(
        "buffers",
        {200: json_answer("Chunks", "The chunks of one version, which its `etag` tells.")},
        errors=_ANY | {404, 409},
        note="409 for a group without a main array, and for chunks that are not the elements as they are.",
    ),
    buffers.delete_buffer: _removes("buffers"),
    keyvalues.list_keys: Description(
        "kv",
        {200: json_answer("Keys", "Up to `limit` keys.")},
        query=("prefix", "prefix_base64", "after", "after_base64", "limit"),
    ),
    keyvalues.put_key: Description(
        "kv",
        {201: json_answer("StoredKey", "It is stored.", "Location")},
        body=_body("The value, up to 64 MiB.", _RAW),
        errors=_STORES,
    ),
    keyvalues.get_key: _reads_bytes("kv"),
    keyvalues.delete_key: _removes("kv"),
    calls.list_calls: Description(
        "calls", {200: json_answer("Calls", "Up to `limit` calls, those that began last first.")}, query=("limit",)
    ),
    calls.get_call: Description("calls", {200: json_answer("CallRecord", "How it is.")}, errors=_ANY | {404}),
    calls.delete_call: Description(
        "calls", {200: json_answer("CallRecord", "Its state, which may be an earlier end.")}, errors=_ANY | {404}
    ),
    runs.list_runs: _lists("runs", "Runs"),
    runs.post_run: Description(
        "runs",
        {201: json_answer("Run", "It has begun.", "Location")},
        body=_body("The plan.", {JSON_CONTENT_TYPE: {"schema": {"$ref": "#/components/schemas/Plan"}}}, required=True),
        errors=_STORES | {404, 422},
    ),
    runs.get_run: Description("runs", {200: json_answer("Run", "How far it is.")}, errors=_ANY | {404}),
    runs.delete_run: Description(
        "runs", {200: json_answer("Run", "Its state, which may be an earlier end.")}, errors=_ANY | {404}
    ),
    runs.get_run_output: Description(
        "runs",
        {200: {"description": "The output.", "content": {DEFAULT_CONTENT_TYPE: {}}}},
        errors=_RUNS,
        note="409 while it runs; if it failed, the run's own error.",
    ),
    zarr.list_zarr_keys: Description(
        "zarr", {200: json_answer("ZarrKeys", "Up to `limit` keys.")}, query=("prefix", "after", "limit")
    ),
    zarr.get_zarr_value: _reads_bytes("zarr"),
    promotion.post_promote: Description(
        "promote",
        {200: json_answer("Promotion", "It is the primary.")},
        errors=_STORES | {409},
        note="409 from what is no standby.",
    ),
    handover.post_handover: Description(
        "handover",
        {204: empty_answer("The storage is closed and unlocked.")},
        body=_body("Who asks.", {JSON_CONTENT_TYPE: {"schema": {"$ref": "#/components/schemas/Heir"}}}),
        errors=_ANY | {409},
        note="409 from a server, and from an embedded owner with a call or a run under way.",
    ),
}
