"""What each operation takes and answers, beyond what the route table and its docstring say."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

from ... import frames
from ...model import DEFAULT_CONTENT_TYPE, INPUTS_MAX, WASM_CONTENT_TYPE
from ..lines import JSON_LINES_CONTENT_TYPE
from ..messages import JSON_CONTENT_TYPE
from ..multipart import FORM_CONTENT_TYPE
from ..nouns import (
    backups,
    blobs,
    buffers,
    calls,
    description,
    fsck,
    functions,
    garbage,
    handover,
    keyvalues,
    logs,
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
_KEY_CONDITIONS: Final = (
    "`If-Match` is the `ETag` of the value that the caller expects; `If-None-Match: *` expects that the key is not "
    "there. 409 if it is otherwise, and nothing is changed."
)
_OF_ARRAYS: Final = ("Moc-Dtype", "Moc-Shape", "Moc-Chunks")
_OF_LOGS: Final = ("Moc-Headers", "Moc-Origin", *_OF_ARRAYS, "Moc-Dimension-Names", "Moc-Attributes")
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


def _relocates(text: str) -> Description:
    shape = {"schema": {"$ref": "#/components/schemas/Target"}}
    return Description(
        "buffers",
        {201: json_answer("Buffer", text, "Location")},
        body=_body("The new name.", {JSON_CONTENT_TYPE: shape}, required=True),
        errors=_STORES | {404, 409},
        note="409 if the new name is taken, unless `overwrite` is true.",
    )


def _lists(noun: str, shape: str) -> Description:
    return Description(noun, {200: json_answer(shape, "All of them.")})


def _lines(result: str) -> Response:
    return {
        "description": 'A line `{"progress": …}` now and then, and at the end `{"result": …}` with '
        f'{result}, or `{{"error": …}}`.',
        "content": {JSON_LINES_CONTENT_TYPE: {}},
    }


DESCRIPTIONS: Final[Mapping[Operation | CallOperation, Description]] = {
    status.get_status: Description("status", {200: json_answer("Status", "What runs.")}),
    garbage.post_gc: Description(
        "gc",
        {200: json_answer("Garbage", "What was removed, and what is held and why.")},
        query=("dry_run",),
        errors=_STORES,
    ),
    description.get_openapi: Description(
        "openapi.json",
        {200: {"description": "OpenAPI 3.1.", "content": {JSON_CONTENT_TYPE: {"schema": {"type": "object"}}}}},
    ),
    metrics.get_metrics: Description(
        "metrics",
        {200: {"description": "The metrics.", "content": {metrics.METRICS_CONTENT_TYPE: {}}}},
        note="Names begin with `moc_`. Jupyter's own `/metrics` tells them too.",
    ),
    backups.list_backups: _lists("backups", "Backups"),
    backups.post_backup: Description(
        "backups",
        {200: _lines("the backup")},
        query=("target", "keep", "include_tls_key", "adopt", "proof"),
        errors=_STORES | {403, 409, 422},
        note="All parameters but `proof` are for the server's own user on its own machine: `proof` names an empty file "
        "that this user has put into the `staging` directory of the storage.",
    ),
    backups.post_verify: Description(
        "backups", {200: _lines("the report")}, query=("backup",), errors=_ANY | {404, 422}
    ),
    backups.post_take_over: Description("backups", {204: empty_answer("Schedules start from now on.")}, errors=_STORES),
    fsck.post_fsck: Description(
        "fsck",
        {200: _lines("the report")},
        query=("quick", "repair", "remove_damaged"),
        errors=_STORES,
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
        headers=(
            "Moc-Headers",
            "Moc-Origin",
            "Moc-Compression",
            *_OF_ARRAYS,
            "Moc-Dimension-Names",
            "Moc-Attributes",
        ),
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
    buffers.copy_buffer: _relocates("It is stored under both names."),
    buffers.rename_buffer: _relocates("It has the new name."),
    logs.list_logs: _lists("logs", "Logs"),
    logs.get_log: Description("buffers", {200: json_answer("Log", "How it is.")}, errors=_ANY | {404}),
    logs.put_log: Description(
        "buffers",
        {201: json_answer("Log", "It is open.", "Location")},
        headers=_OF_LOGS,
        errors=_STORES | {409},
        note="409 if a log of the name is open already.",
    ),
    logs.append_to_log: Description(
        "buffers",
        {200: json_answer("LogSize", "It is appended.")},
        headers=(*_OF_LOGS, "Moc-Log-Id", "Moc-Offset"),
        body=_body("The part.", _RAW),
        errors=_STORES | {404, 409},
        note="With `Moc-Log-Id` it belongs to that log, and none is begun. With `Moc-Offset` the log must have this "
        "size, else 409 with the size that it has: a part whose answer was lost can be sent again.",
    ),
    logs.seal_log: Description(
        "buffers",
        {201: json_answer("Buffer", "It is the buffer.", "Location")},
        headers=("Moc-Log-Id",),
        errors=_STORES | {404, 409},
    ),
    logs.delete_log: Description(
        "buffers", {204: empty_answer("It is removed.")}, headers=("Moc-Log-Id",), errors=_STORES | {404, 409}
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
        query=("prefix", "prefix_base64", "after", "after_base64", "limit", "values"),
    ),
    keyvalues.post_changes: Description(
        "kv",
        {200: json_answer("ChangeResults", "All of them are made.")},
        body=_body(
            "The changes, in their order: up to 10,000, with up to 64 MiB of keys and values together. Bytes are text, "
            "or exact under the name with `_base64` behind it.",
            {JSON_CONTENT_TYPE: {"schema": {"$ref": "#/components/schemas/Changes"}}},
            required=True,
        ),
        errors=_STORES | {404, 409},
        note="409 if a key is not as a `compare_and_set` expects, 404 if one that is to be removed is not there.",
    ),
    keyvalues.put_key: Description(
        "kv",
        {201: json_answer("StoredKey", "It is stored.", "Location")},
        headers=("If-Match", "If-None-Match"),
        body=_body("The value, up to 64 MiB.", _RAW),
        errors=_STORES | {409},
        note=_KEY_CONDITIONS,
    ),
    keyvalues.get_key: _reads_bytes("kv"),
    keyvalues.delete_key: Description(
        "kv",
        {204: empty_answer("It is removed.")},
        headers=("If-Match", "If-None-Match"),
        errors=_STORES | {404, 409},
        note=_KEY_CONDITIONS,
    ),
    keyvalues.increment_key: Description(
        "kv", {200: json_answer("Incremented", "The sum.")}, query=("by",), errors=_STORES
    ),
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
