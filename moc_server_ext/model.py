"""The facts of the platform as frozen dataclasses: what a function, a call, a buffer and a run *are*.

Nothing here acts. ``parse_*`` turn text from outside into these objects, so that the inside works with valid ones only.
``to_json``/``from_json`` are the shapes of the web API.
"""

from __future__ import annotations

import base64
import fnmatch
import math
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, fields, replace
from enum import StrEnum
from typing import Any, Final, Self

from .errors import InvalidInputError

WASM_CONTENT_TYPE: Final = "application/wasm"
DEFAULT_CONTENT_TYPE: Final = "application/octet-stream"
EXECUTABLE_CONTENT_TYPES: Final = frozenset({WASM_CONTENT_TYPE})

Number = int | float

_BLOB_ID = re.compile(r"[0-9a-f]{64}")
_NAME_MAX_BYTES = 512
_TOKEN = r"[A-Za-z0-9!#$&^_.+-]{1,127}"  # noqa: S105 - a token of RFC 9110, no secret
_CONTENT_TYPE = re.compile(
    rf'{_TOKEN}/{_TOKEN}(?:[ \t]*;[ \t]*{_TOKEN}=(?:{_TOKEN}|"[ !#-\[\]-~]{{0,127}}")){{0,8}}', re.ASCII
)
_CONTENT_TYPE_MAX = 512


class Mode(StrEnum):
    """How a call starts its function."""

    POSIX = "posix"
    DIRECT = "direct"


def parse_mode(text: str | None) -> Mode | None:
    """Read a mode; None and the empty string mean "choose by the module's exports"."""
    if not text:
        return None
    try:
        return Mode(text)
    except ValueError:
        raise InvalidInputError(f"Mode {text!r} is unknown: it is 'posix' or 'direct'.", mode=text) from None


def parse_blob_id(text: str) -> str:
    """Check that `text` is a blob id: 64 lower-case hex digits."""
    if not _BLOB_ID.fullmatch(text):
        raise InvalidInputError(f"{text!r} is no blob id: expected 64 lower-case hex digits.", blob_id=text)
    return text


def parse_name(text: str, what: str = "name") -> str:
    """Check the name of a function or buffer: 1 to 512 bytes of UTF-8, printable, no surrounding space."""
    try:
        size = len(text.encode())
    except UnicodeEncodeError:
        raise InvalidInputError(f"A {what} must be valid Unicode text.") from None
    if not 0 < size <= _NAME_MAX_BYTES or not text.isprintable() or text != text.strip():
        raise InvalidInputError(
            f"{text[:64]!r} cannot be a {what}: expected 1 to {_NAME_MAX_BYTES} bytes of printable text "
            "without surrounding space.",
            name=text[:64],
        )
    return text


def is_content_type(text: str) -> bool:
    """Tell whether `text` is a well-formed media type (RFC 9110, section 8.3.1), which no header can be broken with."""
    return len(text) <= _CONTENT_TYPE_MAX and _CONTENT_TYPE.fullmatch(text) is not None


def parse_content_type(text: str) -> str:
    """Check a media type that came from outside."""
    if not is_content_type(text):
        raise InvalidInputError(f"Content type {text[:128]!r} is no media type; expected TYPE/SUBTYPE.")
    return text


# -- limits and grants ------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Limits:
    """What one call tree may use. Bytes are bytes, time is wall time in seconds."""

    memory_bytes: int = 256 << 20
    timeout_seconds: float = 60.0
    output_bytes: int = 256 << 20
    stderr_bytes: int = 1 << 20
    scratch_bytes: int = 64 << 20
    open_files: int = 128
    call_depth: int = 16
    buffers: int = 1024

    def narrowed(self, changes: Mapping[str, Number]) -> Self:
        """Apply `changes`, each of which may only lower its limit; a higher one leaves it as it is."""
        return replace(self, **{name: min(value, getattr(self, name)) for name, value in changes.items()})

    def to_json(self) -> dict[str, Number]:
        """Give all limits by name."""
        return {each.name: getattr(self, each.name) for each in fields(self)}


def parse_limits(pairs: Sequence[str]) -> dict[str, Number]:
    """Read ``NAME=VALUE`` pairs such as ``timeout_seconds=2``; sizes take KiB, MiB and GiB."""
    kinds = {each.name: float if each.name == "timeout_seconds" else int for each in fields(Limits)}
    limits: dict[str, Number] = {}
    for pair in pairs:
        name, equals, text = pair.partition("=")
        if not equals or name not in kinds:
            raise InvalidInputError(
                f"{pair!r} is no limit: expected NAME=VALUE with a name of {', '.join(kinds)}.", limit=pair
            )
        try:
            value: Number = float(text) if kinds[name] is float else parse_size(text)
        except ValueError:
            value = -1
        if not 0 < value < math.inf:
            raise InvalidInputError(f"Limit {name} = {text!r} is not a positive number.", limit=pair)
        limits[name] = value
    return limits


def parse_size(text: str) -> int:
    """Read a number of bytes: ``4096``, ``64KiB``, ``4MiB``, ``1GiB``.

    Raises
    ------
    ValueError
        `text` is none of these.
    """
    for suffix, shift in (("KiB", 10), ("MiB", 20), ("GiB", 30)):
        if text.endswith(suffix):
            return int(text.removesuffix(suffix)) << shift
    return int(text)


@dataclass(frozen=True, slots=True)
class Grants:
    """What a function may reach beyond itself.

    Parameters
    ----------
    permissions
        ``KIND`` or ``KIND:PATTERN``, as given to ``moc push --grant``. ``kv`` and ``plug`` take a prefix, the others a
        glob.
    allowed_hosts
        ``HOST[:PORT]``, as given to ``--allow-host``.
    """

    permissions: frozenset[str] = frozenset()
    allowed_hosts: frozenset[str] = frozenset()

    def allows(self, kind: str, target: str = "") -> bool:
        """Tell whether a permission of `kind` covers `target`."""
        for permission in self.permissions:
            own_kind, colon, pattern = permission.partition(":")
            if own_kind != kind:
                continue
            if not colon:
                return True
            if target.startswith(pattern) if kind in _PREFIX_KINDS else fnmatch.fnmatchcase(target, pattern):
                return True
        return False


_PREFIX_KINDS = frozenset({"kv", "plug"})
_GRANT_KINDS = ("kv", "buffer", "blob", "call", "plan", "plug", "register", "schedule", "status", "export")


def parse_grants(permissions: Sequence[str], allowed_hosts: Sequence[str] = ()) -> Grants:
    """Check permissions and hosts and seal them."""
    for permission in permissions:
        if permission.partition(":")[0] not in _GRANT_KINDS:
            raise InvalidInputError(
                f"{permission!r} is no grant: expected one of {', '.join(_GRANT_KINDS)}, "
                "with a pattern behind a colon where it has one.",
                grant=permission,
            )
    for host in allowed_hosts:
        if not re.fullmatch(r"(\[[0-9A-Fa-f:.]+\]|[A-Za-z0-9.-]+)(:\d{1,5})?", host):
            raise InvalidInputError(f"{host!r} is no host: expected HOST or HOST:PORT.", host=host)
    return Grants(frozenset(permissions), frozenset(allowed_hosts))


# -- modules and functions --------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Signature:
    """Parameter and result types of a WebAssembly function (``i32``, ``i64``, ``f32``, ``f64``, ``v128``, …)."""

    params: tuple[str, ...] = ()
    results: tuple[str, ...] = ()

    def __str__(self) -> str:
        return f"({', '.join(self.params)}) -> ({', '.join(self.results)})"


@dataclass(frozen=True, slots=True)
class ModuleInterface:
    """What a module takes from its host and offers to its callers.

    Parameters
    ----------
    imports
        ``(module, name, signature)``; the signature is None for what is no function.
    exports
        Exported functions by name.
    exports_memory
        Whether a memory named ``memory`` is exported, which the guest API and WASI need.
    """

    imports: tuple[tuple[str, str, Signature | None], ...]
    exports: Mapping[str, Signature]
    exports_memory: bool

    def to_json(self) -> dict[str, Any]:
        """Give the exports as ``{name: {"params": […], "results": […]}}`` and the imported modules."""
        return {
            "exports": {
                name: {"params": list(each.params), "results": list(each.results)}
                for name, each in self.exports.items()
            },
            "imports": sorted({module for module, _, _ in self.imports}),
        }


@dataclass(frozen=True, slots=True)
class Declaration:
    """What is said about a function when it is registered.

    Parameters
    ----------
    limits
        Overrides of the server's default limits, downwards only.
    reusable
        Whether a warm instance may serve several calls of one caller.
    deterministic
        Whether equal inputs give equal outputs (no clock, no random numbers).
    """

    mode: Mode | None = None
    entry: str | None = None
    grants: Grants = Grants()
    limits: Mapping[str, Number] = field(default_factory=dict)
    reusable: bool = False
    deterministic: bool = False

    def to_json(self) -> dict[str, Any]:
        """Give the declaration as it is stored and sent."""
        return {
            "mode": self.mode and self.mode.value,
            "entry": self.entry,
            "grants": sorted(self.grants.permissions),
            "allowed_hosts": sorted(self.grants.allowed_hosts),
            "limits": dict(self.limits),
            "reusable": self.reusable,
            "deterministic": self.deterministic,
        }

    @classmethod
    def from_json(cls, body: Mapping[str, Any]) -> Self:
        """Read what :meth:`to_json` gave."""
        return cls(
            mode=parse_mode(body.get("mode")),
            entry=body.get("entry"),
            grants=parse_grants(body.get("grants", ()), body.get("allowed_hosts", ())),
            limits=dict(body.get("limits", {})),
            reusable=bool(body.get("reusable", False)),
            deterministic=bool(body.get("deterministic", False)),
        )


@dataclass(frozen=True, slots=True)
class FunctionRecord:
    """A registered function: a name that points to an executable blob.

    Parameters
    ----------
    exports
        Exported functions by name, read from the module at registration.
    """

    name: str
    blob_id: str
    size: int
    content_type: str
    declaration: Declaration
    exports: Mapping[str, Signature]
    created_at: float

    def to_json(self) -> dict[str, Any]:
        """Give the shape of ``GET functions/{name}``."""
        return {
            "name": self.name,
            "blob_id": self.blob_id,
            "size": self.size,
            "content_type": self.content_type,
            **self.declaration.to_json(),
            "exports": {
                name: {"params": list(each.params), "results": list(each.results)}
                for name, each in self.exports.items()
            },
            "created_at": self.created_at,
        }

    @classmethod
    def from_json(cls, body: Mapping[str, Any]) -> Self:
        """Read what :meth:`to_json` gave."""
        return cls(
            name=body["name"],
            blob_id=body["blob_id"],
            size=body["size"],
            content_type=body["content_type"],
            declaration=Declaration.from_json(body),
            exports={
                name: Signature(tuple(each["params"]), tuple(each["results"]))
                for name, each in body.get("exports", {}).items()
            },
            created_at=body.get("created_at", 0.0),
        )


# -- stored things ----------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class BlobRecord:
    """An immutable, stored sequence of bytes. `blob_id` is its SHA-256 in hex."""

    blob_id: str
    size: int
    content_type: str

    def to_json(self) -> dict[str, Any]:
        """Give the shape of ``POST blobs``."""
        return {"blob_id": self.blob_id, "size": self.size, "content_type": self.content_type}

    @classmethod
    def from_json(cls, body: Mapping[str, Any]) -> Self:
        """Read what :meth:`to_json` gave."""
        return cls(body["blob_id"], body["size"], body["content_type"])


@dataclass(frozen=True, slots=True)
class BufferRecord:
    """A stored, named buffer.

    Parameters
    ----------
    size
        Bytes of the body.
    headers
        Lower-case header names and their values, such as those that a call wrote.
    created_at
        Seconds since the epoch, UTC.
    """

    name: str
    size: int
    content_type: str
    headers: Mapping[str, str]
    created_at: float

    def to_json(self) -> dict[str, Any]:
        """Give the shape of one element of ``GET buffers``."""
        return {
            "name": self.name,
            "size": self.size,
            "content_type": self.content_type,
            "headers": dict(self.headers),
            "created_at": self.created_at,
        }

    @classmethod
    def from_json(cls, body: Mapping[str, Any]) -> Self:
        """Read what :meth:`to_json` gave."""
        return cls(body["name"], body["size"], body["content_type"], dict(body.get("headers", {})), body["created_at"])


# -- calls ------------------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class CallRequest:
    """What a caller asks for, before any name is resolved.

    Parameters
    ----------
    function
        A function's name, or a blob id.
    arguments
        Command-line arguments (posix), or the numbers of a direct call as text.
    input
        Input buffer 0: the guest's stdin and ``api://input``.
    limits
        Limits of this call; they only lower those of the function.
    caller
        Who asks, for fairness and for keeping warm instances apart. Set by the door, never by the request.
    """

    function: str
    arguments: tuple[str, ...] = ()
    mode: Mode | None = None
    entry: str | None = None
    env: Mapping[str, str] = field(default_factory=dict)
    input: bytes = b""
    limits: Mapping[str, Number] = field(default_factory=dict)
    caller: str = "local"


@dataclass(frozen=True, slots=True)
class Invocation:
    """A call with everything resolved and sealed: the one thing that engines run.

    Parameters
    ----------
    function
        Name for messages.
    blob_id
        The module.
    numbers
        Arguments of a direct call, of the types of the export; empty in posix mode.
    arguments
        ``argv[1:]`` in posix mode; ``argv[0]`` is `function`.
    """

    function: str
    blob_id: str
    mode: Mode
    entry: str
    numbers: tuple[Number, ...] = ()
    arguments: tuple[str, ...] = ()
    env: Mapping[str, str] = field(default_factory=dict)
    grants: Grants = Grants()
    limits: Limits = Limits()
    reusable: bool = False
    deterministic: bool = False
    caller: str = "local"


@dataclass(frozen=True, slots=True)
class CallResult:
    """What a finished call gave.

    Parameters
    ----------
    result
        The number of a direct call, a tuple of several, or None.
    exit_code
        The exit code of a posix call, else None. Not zero is a result, not an error.
    output
        The bytes of the output buffer.
    output_headers
        Lower-case headers that the guest set on its output buffer.
    stderr
        What the guest wrote to stderr (and logged), as bytes.
    duration_us
        Wall time in microseconds, from the start of the instance to its end.
    """

    call_id: str
    result: Number | tuple[Number, ...] | None
    exit_code: int | None
    output: bytes
    stderr: bytes = b""
    duration_us: int = 0
    output_headers: Mapping[str, str] = field(default_factory=dict)

    @property
    def duration(self) -> float:
        """Wall time in seconds."""
        return self.duration_us / 1e6

    def to_json(self) -> dict[str, Any]:
        """Give the shape of a call answered as ``application/json``."""
        return {
            "call_id": self.call_id,
            "result": result_to_json(self.result),
            "exit_code": self.exit_code,
            "output": base64.b64encode(self.output).decode(),
            "stderr": self.stderr.decode(errors="replace"),
            "duration_us": self.duration_us,
        }

    @classmethod
    def from_json(cls, body: Mapping[str, Any]) -> Self:
        """Read what :meth:`to_json` gave."""
        return cls(
            call_id=body["call_id"],
            result=result_from_json(body["result"]),
            exit_code=body["exit_code"],
            output=base64.b64decode(body["output"]),
            stderr=body["stderr"].encode(),
            duration_us=body["duration_us"],
        )


def result_to_json(result: Number | tuple[Number, ...] | None) -> Any:
    """Give a direct result as JSON; what JSON has no number for becomes ``"NaN"``, ``"Infinity"``, ``"-Infinity"``."""
    if isinstance(result, tuple):
        return [result_to_json(each) for each in result]
    if isinstance(result, float) and not math.isfinite(result):
        return "NaN" if math.isnan(result) else "Infinity" if result > 0 else "-Infinity"
    return result


def result_from_json(result: Any) -> Number | tuple[Number, ...] | None:
    """Read what :func:`result_to_json` gave."""
    if isinstance(result, list):
        return tuple(float(each) if isinstance(each, str) else each for each in result)
    return float(result) if isinstance(result, str) else result


# -- plans and runs ---------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class MapReduce:
    """An immutable map-reduce plan over the lines of one stored buffer.

    Parameters
    ----------
    source
        Name of the buffer whose lines are the input.
    map, combine, reduce
        Function names; `map` and `reduce` follow the Hadoop Streaming convention (lines in, ``key<TAB>value`` lines
        out).
    split_bytes
        Size of a split; splits end at a line's end.
    partitions
        Into how many parts the sorted pairs are cut for the reducers.
    sink
        Name of the buffer that receives the output; None returns it only.
    threads
        How many tasks run at once; 0 is one per processor.
    """

    source: str
    map: str
    combine: str | None = None
    reduce: str | None = None
    split_bytes: int = 4 << 20
    partitions: int = 1
    sink: str | None = None
    threads: int = 0

    def to_json(self) -> dict[str, Any]:
        """Give the body of ``POST runs``."""
        return {each.name: getattr(self, each.name) for each in fields(self)}

    @classmethod
    def from_json(cls, body: Mapping[str, Any]) -> Self:
        """Read and check a plan that came from outside."""
        known = {each.name for each in fields(cls)}
        unknown = sorted(set(body) - known)
        if unknown:
            raise InvalidInputError(f"A plan has no field {unknown[0]!r}; its fields are {', '.join(sorted(known))}.")
        for name in ("source", "map"):
            if not isinstance(body.get(name), str):
                raise InvalidInputError(f"A plan needs {name!r}, a name as text.")
        for name in ("combine", "reduce", "sink"):
            if not isinstance(body.get(name), str | None):
                raise InvalidInputError(f"Field {name!r} of a plan is a name as text.")
        for name, least in (("split_bytes", 1), ("partitions", 1), ("threads", 0)):
            value = body.get(name, least)
            if not isinstance(value, int) or isinstance(value, bool) or not least <= value <= 1 << 40:
                raise InvalidInputError(f"Field {name!r} of a plan is a whole number of at least {least}.")
        return cls(**body)


class RunState(StrEnum):
    """Where a run is in its life."""

    RUNNING = "running"
    DONE = "done"
    FAILED = "failed"
    CANCELLED = "cancelled"


@dataclass(frozen=True, slots=True)
class RunRecord:
    """One execution of a plan, as it is now.

    Parameters
    ----------
    stage
        The stage that is running: ``map`` or ``reduce``.
    tasks_done, tasks_total
        Progress of the whole run, in tasks; the total can grow when a stage begins.
    output_bytes
        Size of the output once it is done.
    duration_us
        Wall time so far, in microseconds.
    error
        The error's JSON when the run failed.
    """

    run_id: str
    plan: MapReduce
    state: RunState
    stage: str
    tasks_done: int
    tasks_total: int
    output_bytes: int = 0
    duration_us: int = 0
    error: Mapping[str, Any] | None = None

    def to_json(self) -> dict[str, Any]:
        """Give the shape of ``GET runs/{id}``."""
        body = {each.name: getattr(self, each.name) for each in fields(self)}
        return {**body, "plan": self.plan.to_json(), "state": self.state.value}

    @classmethod
    def from_json(cls, body: Mapping[str, Any]) -> Self:
        """Read what :meth:`to_json` gave."""
        return cls(**{**body, "plan": MapReduce.from_json(body["plan"]), "state": RunState(body["state"])})
