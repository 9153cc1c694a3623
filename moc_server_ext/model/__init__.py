"""The facts of the platform as frozen dataclasses: what a function, a call, a buffer, an array and a run *are*.

Nothing here acts. ``parse_*`` turn text from outside into these objects, so that the inside works with valid ones only.
``to_json``/``from_json`` are the shapes of the web API.
"""

from __future__ import annotations

from .arrays import (
    CHUNK_BYTES,
    ArraySpec,
    array_headers,
    default_chunks,
    label_headers,
    parse_array,
    parse_array_headers,
    parse_dtype,
    parse_shape,
)
from .calls import (
    INPUTS_MAX,
    Activity,
    CallInput,
    CallRecord,
    CallRequest,
    CallResult,
    CallState,
    Invocation,
    result_from_json,
    result_to_json,
    too_many_inputs,
)
from .functions import BoundImport, Declaration, FunctionRecord, ModuleInterface, Signature
from .limits import GRANT_KINDS, PREFIX_KINDS, Grants, Limits, parse_grants, parse_limits, parse_size
from .mounts import Mount, parse_mount, parse_mounts
from .plans import MapReduce, RunRecord, RunState
from .stored import BlobRecord, BufferRecord, LogRecord
from .words import (
    COMPRESSIONS,
    DEFAULT_CONTENT_TYPE,
    EXECUTABLE_CONTENT_TYPES,
    WASM_CONTENT_TYPE,
    Mode,
    Number,
    format_size,
    is_blob_id,
    is_content_type,
    parse_blob_id,
    parse_compression,
    parse_content_type,
    parse_mode,
    parse_name,
)

__all__ = [
    "CHUNK_BYTES",
    "COMPRESSIONS",
    "DEFAULT_CONTENT_TYPE",
    "EXECUTABLE_CONTENT_TYPES",
    "GRANT_KINDS",
    "INPUTS_MAX",
    "PREFIX_KINDS",
    "WASM_CONTENT_TYPE",
    "Activity",
    "ArraySpec",
    "BlobRecord",
    "BoundImport",
    "BufferRecord",
    "CallInput",
    "CallRecord",
    "CallRequest",
    "CallResult",
    "CallState",
    "Declaration",
    "FunctionRecord",
    "Grants",
    "Invocation",
    "Limits",
    "LogRecord",
    "MapReduce",
    "Mode",
    "ModuleInterface",
    "Mount",
    "Number",
    "RunRecord",
    "RunState",
    "Signature",
    "array_headers",
    "default_chunks",
    "format_size",
    "is_blob_id",
    "is_content_type",
    "label_headers",
    "parse_array",
    "parse_array_headers",
    "parse_blob_id",
    "parse_compression",
    "parse_content_type",
    "parse_dtype",
    "parse_grants",
    "parse_limits",
    "parse_mode",
    "parse_mount",
    "parse_mounts",
    "parse_name",
    "parse_shape",
    "parse_size",
    "result_from_json",
    "result_to_json",
    "too_many_inputs",
]
