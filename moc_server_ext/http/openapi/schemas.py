"""The JSON shapes. Words, limits and codes come from the model and the errors; any version may add a field."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import MISSING, fields
from typing import Any, Final

from ... import errors
from ...model import CHANGES_MAX, GRANT_KINDS, CallState, Limits, MapReduce, Mode, RunState
from ...model.arrays import DIMENSIONS_MAX, ITEM_BYTES

Schema = Mapping[str, Any]

BLOB_ID: Final = {"type": "string", "pattern": "^[0-9a-f]{64}$", "description": "SHA-256 of the content."}
BASE64: Final = {
    "type": "string",
    "contentEncoding": "base64",
    "pattern": "^([A-Za-z0-9+/]{4})*([A-Za-z0-9+/]{2}==|[A-Za-z0-9+/]{3}=)?$",
}
_TEXT: Final = {"type": "string"}
_TEXT_OR_NULL: Final = {"type": ["string", "null"]}
_INTEGER: Final = {"type": "integer", "format": "int64"}
_COUNT: Final = {"type": "integer", "minimum": 0}
_AMOUNT: Final = {"objects": _COUNT, "bytes": _COUNT}
_REASONS: Final = ("grace", "reader", "look", "failure")
_TIME: Final = {"type": "number", "description": "Seconds since 1970, UTC."}
_TYPES: Final = {"type": "array", "items": _TEXT}
_NUMBER: Final = {"type": ["number", "string"], "description": "A string is NaN, Infinity or -Infinity."}


def error_classes() -> list[type[errors.MocError]]:
    """Give every error that has a code, the most general one of a status first."""
    found = (getattr(errors, name) for name in errors.__all__)
    classes = {each for each in found if isinstance(each, type) and issubclass(each, errors.MocError)}
    return sorted(classes, key=lambda each: (each.http_status, len(each.__mro__), each.code))


def _object(properties: Mapping[str, Schema], *, optional: frozenset[str] = frozenset(), **more: Any) -> Schema:
    required = [name for name in properties if name not in optional]
    return {"type": "object", "properties": properties, "required": required, **more}


def _ref(name: str) -> Schema:
    return {"$ref": f"#/components/schemas/{name}"}


def _list(field: str, shape: str) -> Schema:
    return _object({field: {"type": "array", "items": _ref(shape)}})


def _limits(*, required: bool) -> Schema:
    numbers = {each.name: {"type": "number", "exclusiveMinimum": 0} for each in fields(Limits)}
    return _object(numbers, optional=frozenset() if required else frozenset(numbers))


def _plan() -> Schema:
    kinds: Mapping[str, Schema] = {
        "source": {**_TEXT, "description": "Name of the buffer whose lines are the input."},
        "map": {**_TEXT, "description": "Name of the function that maps."},
        "combine": {**_TEXT_OR_NULL, "description": "Name of the function that combines a split's pairs."},
        "reduce": {**_TEXT_OR_NULL, "description": "Name of the function that reduces."},
        "split_bytes": {"type": "integer", "minimum": 1, "description": "Size of a split, which ends at a line's end."},
        "partitions": {"type": "integer", "minimum": 1, "description": "Parts that the pairs are cut into."},
        "sink": {**_TEXT_OR_NULL, "description": "Name of the buffer that receives the output; null: none does."},
        "threads": {"type": "integer", "minimum": 0, "description": "Tasks at once; 0 is one per processor."},
    }
    defaults = {each.name: each.default for each in fields(MapReduce) if each.default is not MISSING}
    properties = {
        name: {**kind, "default": defaults[name]} if name in defaults else kind for name, kind in kinds.items()
    }
    return _object(properties, optional=frozenset(defaults), additionalProperties=False)


_ERROR_BODY: Final = _object(
    {
        "code": {"type": "string", "enum": sorted(each.code for each in error_classes())},
        "message": {**_TEXT, "description": "One or two sentences for people."},
        "details": {"type": "object", "description": "The facts of the message."},
    }
)

SCHEMAS: Final[Mapping[str, Schema]] = {
    "Error": _object({"error": _ref("ErrorBody")}),
    "ErrorBody": _ERROR_BODY,
    "Headers": {"type": "object", "additionalProperties": _TEXT},
    "Limits": _limits(required=True),
    "Function": _object(
        {
            "name": _TEXT,
            "blob_id": BLOB_ID,
            "size": _COUNT,
            "content_type": _TEXT,
            "mode": {"enum": [*(each.value for each in Mode), None]},
            "entry": _TEXT_OR_NULL,
            "grants": {"type": "array", "items": {**_TEXT, "pattern": rf"^({'|'.join(GRANT_KINDS)})(:|$)"}},
            "allowed_hosts": {"type": "array", "items": _TEXT},
            "limits": _limits(required=False),
            "reusable": {"type": "boolean"},
            "deterministic": {"type": "boolean"},
            "exports": {"type": "object", "additionalProperties": _object({"params": _TYPES, "results": _TYPES})},
            "imports": {
                "type": "array",
                "items": _object({"function": _TEXT, "export": _TEXT, "params": _TYPES, "results": _TYPES}),
            },
            "created_at": _TIME,
        }
    ),
    "Functions": _list("functions", "Function"),
    "Blob": _object({"blob_id": BLOB_ID, "size": _COUNT, "content_type": _TEXT}),
    "Array": _object(
        {
            "dtype": {"enum": sorted(ITEM_BYTES)},
            "shape": {"type": "array", "items": _COUNT, "maxItems": DIMENSIONS_MAX},
            "chunks": {"type": "array", "items": {"type": "integer", "minimum": 1}, "maxItems": DIMENSIONS_MAX},
            "dimension_names": {"anyOf": [{"type": "null"}, {"type": "array", "items": _TEXT_OR_NULL}]},
            "attributes": {"type": "object"},
        }
    ),
    "Buffer": _object(
        {
            "name": _TEXT,
            "size": _COUNT,
            "content_type": _TEXT,
            "headers": _ref("Headers"),
            "created_at": _TIME,
            "array": {"anyOf": [{"type": "null"}, _ref("Array")]},
            "arrays": {"type": "object", "additionalProperties": _ref("Array")},
            "origin": _ref("Headers"),
        }
    ),
    "Buffers": _list("buffers", "Buffer"),
    "Log": _object(
        {
            "name": {**_TEXT, "description": "That of the buffer which it will be."},
            "log_id": {"type": "string", "pattern": "^[0-9a-f]{16}$", "description": "This log and no other."},
            "size": _COUNT,
            "parts": _COUNT,
            "content_type": _TEXT,
            "headers": _ref("Headers"),
            "created_at": _TIME,
            "array": {"anyOf": [{"type": "null"}, _ref("Array")]},
            "origin": _ref("Headers"),
        }
    ),
    "Logs": _list("logs", "Log"),
    "LogSize": _object({"name": _TEXT, "size": {**_COUNT, "description": "Of the whole log, in bytes."}}),
    "Target": _object(
        {
            "to": {**_TEXT, "description": "The new name."},
            "overwrite": {"type": "boolean", "description": "Whether a buffer that has it is replaced."},
        },
        optional=frozenset({"overwrite"}),
        additionalProperties=False,
    ),
    "Numbers": {"type": "array", "items": _COUNT, "maxItems": DIMENSIONS_MAX},
    "Staged": _object(
        {
            "files": {
                "type": "object",
                "additionalProperties": {**_TEXT, "pattern": "^[0-9a-f]{32}$"},
                "description": "Names of files in `staging/` by the chunks that they are.",
            },
            "content_type": {**_TEXT, "description": "That of the buffer."},
        },
        optional=frozenset({"content_type"}),
    ),
    "Chunk": _object(
        {
            "file": {**_TEXT, "description": "Path below the storage directory; its content never changes."},
            "size": _COUNT,
            "crc32c": _COUNT,
        }
    ),
    "Chunks": _object({"etag": _TEXT, "chunks": {"type": "object", "additionalProperties": _ref("Chunk")}}),
    "Key": _object(
        {
            "key": {**_TEXT, "description": "To look at."},
            "base64": {**BASE64, "description": "Exact."},
            "value_base64": {**BASE64, "description": "With `values`."},
        },
        optional=frozenset({"value_base64"}),
    ),
    "Keys": _object(
        {
            "keys": {"type": "array", "items": _ref("Key")},
            "after_base64": {
                "anyOf": [{"type": "null"}, BASE64],
                "description": "With `values`: where the next page begins; null if there is none.",
            },
        },
        optional=frozenset({"after_base64"}),
    ),
    "Changes": {"type": "array", "items": _ref("Change"), "maxItems": CHANGES_MAX},
    "Change": _object(
        {
            "change": {"enum": ["set", "delete", "compare_and_set", "increment"]},
            "key": _TEXT,
            "key_base64": BASE64,
            "value": {**_TEXT_OR_NULL, "description": "Of `set` and `compare_and_set`, which null makes remove it."},
            "value_base64": BASE64,
            "expected": {**_TEXT_OR_NULL, "description": "Of `compare_and_set`; null: the key is not there."},
            "expected_base64": BASE64,
            "by": {**_INTEGER, "description": "Of `increment`; 1 without it."},
        },
        optional=frozenset({"key", "key_base64", "value", "value_base64", "expected", "expected_base64", "by"}),
        additionalProperties=False,
    ),
    "ChangeResults": _object(
        {
            "results": {
                "type": "array",
                "items": {"anyOf": [{"type": "null"}, _INTEGER]},
                "description": "The sum of each increment; null for each other change.",
            }
        }
    ),
    "Incremented": _object({"key": {**_TEXT, "description": "To look at."}, "value": _INTEGER}),
    "ZarrKeys": _object({"keys": {"type": "array", "items": _TEXT}}),
    "StoredKey": _object({"key": {**_TEXT, "description": "To look at."}, "size": _COUNT}),
    "Result": {"anyOf": [{"type": "null"}, _NUMBER, {"type": "array", "items": _NUMBER}]},
    "Call": _object(
        {
            "call_id": _TEXT,
            "function": _TEXT,
            "result": _ref("Result"),
            "exit_code": {"type": ["integer", "null"]},
            "output": BASE64,
            "stderr": _TEXT,
            "duration_us": _COUNT,
            "output_headers": _ref("Headers"),
        }
    ),
    "CallRecord": _object(
        {
            "call_id": _TEXT,
            "function": _TEXT,
            "mode": {"enum": [each.value for each in Mode]},
            "caller": _TEXT,
            "state": {"enum": [each.value for each in CallState]},
            "started_at": _TIME,
            "duration_us": _COUNT,
            "result": _ref("Result"),
            "exit_code": {"type": ["integer", "null"]},
            "input_bytes": _COUNT,
            "output_bytes": _COUNT,
            "stderr": {**_TEXT, "description": "The end of it, up to 4 KiB."},
            "error": {"anyOf": [{"type": "null"}, _ref("ErrorBody")]},
        }
    ),
    "Plan": _plan(),
    "Run": _object(
        {
            "run_id": _TEXT,
            "plan": _ref("Plan"),
            "state": {"enum": [each.value for each in RunState]},
            "stage": _TEXT,
            "tasks_done": _COUNT,
            "tasks_total": _COUNT,
            "output_bytes": _COUNT,
            "duration_us": _COUNT,
            "error": {"anyOf": [{"type": "null"}, _ref("ErrorBody")]},
        }
    ),
    "Calls": _list("calls", "CallRecord"),
    "Runs": _list("runs", "Run"),
    "Backup": _object(
        {
            **dict.fromkeys(("id", "created_at", "instance_id", "version"), _TEXT),
            **dict.fromkeys(
                ("number", "sequence", "objects", "object_bytes", "catalog_bytes", "copied_objects", "copied_bytes"),
                _COUNT,
            ),
            "counts": {"type": "object", "additionalProperties": _COUNT},
            "has_tls_key": {"type": "boolean"},
        }
    ),
    "Backups": _list("backups", "Backup"),
    "Promotion": _object(
        {"epoch": _COUNT, "sequence": _COUNT, "former_instance_id": _TEXT}, optional=frozenset({"former_instance_id"})
    ),
    "Heir": _object(
        {"pid": {"type": ["integer", "null"], "minimum": 1, "maximum": 2**31 - 1, "description": "Its process id."}},
        optional=frozenset({"pid"}),
    ),
    "Garbage": _object(
        {
            "dry_run": {"type": "boolean"},
            **_AMOUNT,
            "held": _object({reason: _object(_AMOUNT) for reason in _REASONS}, optional=frozenset(_REASONS)),
            "unknown": _object(_AMOUNT),
        },
        optional=frozenset({"unknown"}),
    ),
    "Status": _object(
        {
            "version": _TEXT,
            "pid": _COUNT,
            "instance_id": _TEXT,
            "storage": _object(
                {
                    "path": _TEXT,
                    "file_system": _TEXT,
                    "durable": {"type": "boolean"},
                    "read_only": _TEXT,
                    "format": _COUNT,
                    "instance_id": _TEXT,
                    "blobs": _COUNT,
                    "buffers": _COUNT,
                    "keys": _COUNT,
                    "names": _COUNT,
                    "stored_bytes": _COUNT,
                    "quota_bytes": {"type": ["integer", "null"], "minimum": 1},
                    "garbage": _object({**_AMOUNT, "failure": _TEXT}),
                    "catalog_bytes": _COUNT,
                    "free_bytes": _COUNT,
                    "growth": _object(
                        {
                            "bytes_per_day": {"type": ["integer", "null"]},
                            "since": {"type": ["number", "null"]},
                            "days_left": {"type": ["number", "null"]},
                        }
                    ),
                    "last_check": {"type": ["object", "null"]},
                    "restored_from": {"type": "object"},
                    "schedules_held": {"type": "boolean"},
                },
                optional=frozenset({"restored_from", "schedules_held"}),
            ),
            "backup": _object(
                {
                    "target": _TEXT_OR_NULL,
                    "last": {"type": ["object", "null"]},
                    "failures": _COUNT,
                    "failure": {"type": ["object", "null"]},
                }
            ),
            "replication": {
                "type": "object",
                "description": "Whom it ships to or follows, and how far.",
            },
            "functions": _COUNT,
            "buffers": _COUNT,
            "runs": _COUNT,
            "calls": _object(
                dict.fromkeys(
                    ("running", "active", "places", "queued", "queue", "memory_bytes", "memory_budget_bytes"), _COUNT
                )
            ),
            "warm": _object(dict.fromkeys(("instances", "memory_bytes"), _COUNT)),
            "limits": _ref("Limits"),
        }
    ),
}
