"""Path segments, query parameters and request headers. ``Content-Type`` and ``Accept`` are OpenAPI's own."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import fields
from typing import Any, Final

from ...model import COMPRESSIONS, GRANT_KINDS, Limits, Mode
from ...model.arrays import ITEM_BYTES
from ..messages import LIMIT_DEFAULT, LIMIT_MAX
from .schemas import BASE64, BLOB_ID

Parameter = Mapping[str, Any]

_LIMIT_NAMES: Final = "|".join(each.name for each in fields(Limits))
_TEXT: Final = {"type": "string"}
# A JSON list as a header takes it.
_NUMBERS: Final = {"type": "string", "pattern": r"^\[([0-9]{1,9}(,[0-9]{1,9})*)?\]$"}
_NAME: Final = {"type": "string", "minLength": 1, "maxLength": 512}


def _path(name: str, schema: Mapping[str, Any], description: str) -> Parameter:
    return {"name": name, "in": "path", "required": True, "schema": schema, "description": description}


def _query(name: str, schema: Mapping[str, Any], description: str) -> Parameter:
    return {"name": name, "in": "query", "schema": schema, "description": description}


def _repeated(name: str, pattern: str | None, description: str) -> Parameter:
    items = _TEXT if pattern is None else {**_TEXT, "pattern": pattern}
    found = _query(name, {"type": "array", "items": items}, description)
    return {**found, "style": "form", "explode": True}


def _header(name: str, description: str, **more: Any) -> Parameter:
    return {"name": name, "in": "header", "description": description, **(more or {"schema": _TEXT})}


PATH_PARAMETERS: Final[Mapping[tuple[str, str], Parameter]] = {
    ("functions", "name"): _path(
        "name",
        _NAME,
        "1 to 512 bytes of printable UTF-8 without surrounding space. A call also takes a blob's id.",
    ),
    ("blobs", "id"): _path("id", BLOB_ID, "The blob's id."),
    ("buffers", "name"): _path("name", _NAME, "1 to 512 bytes of printable UTF-8 without surrounding space."),
    ("kv", "key"): _path(
        "key", {"type": "string", "minLength": 1}, "1 to 4,096 bytes; any bytes, percent-encoded, so not only UTF-8."
    ),
    ("calls", "id"): _path("id", {"type": "string", "minLength": 1}, "The call's id, from `Moc-Call-Id`."),
    ("runs", "id"): _path("id", {"type": "string", "minLength": 1}, "The run's id."),
    ("zarr", "key"): _path(
        "key",
        {"type": "string", "minLength": 1},
        "A Zarr key: its slashes stay slashes, and each name between them is percent-encoded once more.",
    ),
}

_LIST_LIMIT: Final = _query(
    "limit",
    {"type": "integer", "minimum": 1, "maximum": LIMIT_MAX, "default": LIMIT_DEFAULT},
    "How many are listed at most.",
)
_MODE: Final = _query(
    "mode", {"type": "string", "enum": [each.value for each in Mode]}, "Without it the module's exports decide."
)
_ENTRY: Final = _query("entry", _TEXT, "The export that is called. Without it the mode's own is.")
_LIMIT: Final = _repeated(
    "limit",
    rf"^({_LIMIT_NAMES})=[0-9]",
    "`NAME=VALUE`; sizes take `KiB`, `MiB` and `GiB`. A limit only lowers the one that would be without it.",
)

QUERY_PARAMETERS: Final[Mapping[tuple[str, str], Parameter]] = {
    ("functions", "mode"): _MODE,
    ("functions", "entry"): _ENTRY,
    ("functions", "grant"): _repeated(
        "grant", rf"^({'|'.join(GRANT_KINDS)})(:|$)", "What the function may reach: `KIND` or `KIND:PATTERN`."
    ),
    ("functions", "allow-host"): _repeated(
        "allow-host",
        r"^(\[[0-9A-Fa-f:.]+\]|[A-Za-z0-9.-]+)(:[0-9]{1,5})?$",
        "A host that the function may reach: `HOST` or `HOST:PORT`.",
    ),
    ("functions", "limit"): _LIMIT,
    ("gc", "dry_run"): _query("dry_run", {"type": "boolean"}, "Whether to remove nothing, and tell what would be."),
    ("fsck", "quick"): _query("quick", {"type": "boolean"}, "Read no object files, but look at their sizes."),
    ("fsck", "repair"): _query("repair", {"type": "boolean"}, "Remove the files that nothing refers to."),
    ("fsck", "remove_damaged"): _query("remove_damaged", {"type": "boolean"}, "Remove them, and what is damaged."),
    ("functions", "reusable"): _query(
        "reusable",
        {"type": "boolean", "default": False},
        "Whether a warm instance may serve several direct calls of a caller. `1`, `0` and the bare name are taken too.",
    ),
    ("functions", "deterministic"): _query(
        "deterministic",
        {"type": "boolean", "default": False},
        "Whether equal inputs give equal outputs. `1`, `0` and the bare name are taken too.",
    ),
    ("functions", "arg"): _repeated("arg", None, "A command-line argument (posix), or a number (direct)."),
    ("functions", "env"): _repeated("env", "^[^=]+=", "An environment variable, `KEY=VALUE`."),
    ("buffers", "format"): _query(
        "format", {"type": "string", "enum": ["zarr"]}, "`zarr`: the body is a Zarr v3 node in a zip file."
    ),
    ("kv", "prefix"): _query("prefix", _TEXT, "Only keys that begin with this."),
    ("kv", "prefix_base64"): _query("prefix_base64", BASE64, "The same as exact bytes; counts instead of `prefix`."),
    ("kv", "after"): _query("after", _TEXT, "Only keys that come after this one."),
    ("kv", "after_base64"): _query("after_base64", BASE64, "The same as exact bytes; counts instead of `after`."),
    ("kv", "limit"): _LIST_LIMIT,
    ("kv", "values"): _query(
        "values",
        {"type": "boolean", "default": False},
        "Whether the values come along. `1`, `0` and the bare name are taken too.",
    ),
    ("kv", "by"): _query(
        "by",
        {"type": "integer", "format": "int64", "minimum": -1 << 63, "maximum": (1 << 63) - 1, "default": 1},
        "What is added.",
    ),
    ("calls", "limit"): _LIST_LIMIT,
    ("zarr", "prefix"): _query("prefix", _TEXT, "Only keys that begin with this."),
    ("zarr", "after"): _query("after", _TEXT, "Only keys that come after this one."),
    ("zarr", "limit"): _LIST_LIMIT,
}

HEADER_PARAMETERS: Final[Mapping[str, Parameter]] = {
    "Range": _header("Range", "One range of bytes. Others are ignored, as RFC 9110 has it."),
    "If-Range": _header("If-Range", "An `ETag`: with another one the range is ignored."),
    "If-Match": _header("If-Match", "The `ETag` of the value that is expected, one alone."),
    "If-None-Match": _header(
        "If-None-Match",
        "To read: `ETag`s of what the client has, and the answer is then 304. To change: `*`, nothing is expected.",
    ),
    "Moc-Client": _header(
        "Moc-Client",
        "Sets clients that share a token apart, so that they take turns.",
        schema={"type": "string", "pattern": "^[!-~]{1,64}$"},
    ),
    "Moc-Dtype": _header(
        "Moc-Dtype",
        "The body is an array of this type.",
        schema={"type": "string", "enum": sorted(ITEM_BYTES)},
    ),
    "Moc-Shape": _header("Moc-Shape", "Its shape: with `Moc-Dtype`, and never without it.", schema=_NUMBERS),
    "Moc-Chunks": _header("Moc-Chunks", "How it is cut; without it into runs of about 8 MiB.", schema=_NUMBERS),
    "Moc-Dimension-Names": _header(
        "Moc-Dimension-Names",
        "The names of its axes, null for one without: as many as it has axes.",
        content={"application/json": {"schema": {"type": "array", "items": {"type": ["string", "null"]}}}},
    ),
    "Moc-Attributes": _header(
        "Moc-Attributes",
        "Its attributes; `moc` is taken.",
        content={"application/json": {"schema": {"type": "object"}}},
    ),
    "Moc-Compression": _header(
        "Moc-Compression",
        "Stores chunks compressed; without it as they are.",
        schema={"type": "string", "enum": list(COMPRESSIONS)},
    ),
    "Moc-Origin": _header(
        "Moc-Origin",
        "What made it, such as `call_id` and `function`.",
        content={"application/json": {"schema": {"$ref": "#/components/schemas/Headers"}}},
    ),
    "Moc-Log-Id": _header(
        "Moc-Log-Id", "Only this log, as `log_id` tells it.", schema={"type": "string", "pattern": "^[0-9a-f]{16}$"}
    ),
    "Moc-Offset": _header(
        "Moc-Offset",
        "Only where the log has so many bytes; beside `Moc-Log-Id`.",
        schema={"type": "string", "pattern": "^[0-9]{1,18}$"},
    ),
    "Moc-Headers": _header(
        "Moc-Headers",
        "The buffer's own headers.",
        content={"application/json": {"schema": {"$ref": "#/components/schemas/Headers"}}},
    ),
}
