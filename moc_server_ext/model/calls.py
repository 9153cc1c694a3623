"""Calls: what a caller asks for, what is run, and what it gave."""

from __future__ import annotations

import base64
import math
from collections.abc import Mapping
from dataclasses import dataclass, field, fields
from enum import StrEnum
from typing import TYPE_CHECKING, Any, Final, Self

from ..errors import InvalidInputError
from .arrays import ArraySpec, parse_array_headers
from .limits import Grants, Limits
from .mounts import Mount
from .words import Mode, Number

if TYPE_CHECKING:
    import numpy


INPUTS_MAX: Final = 64
"""How many inputs one call may have."""


@dataclass(frozen=True, slots=True)
class CallInput:
    """One input of a call: what an input buffer holds from the start.

    Parameters
    ----------
    headers
        By lower-case name; ``moc-dtype`` and ``moc-shape`` say that the bytes are an array.
    """

    content: bytes | bytearray | memoryview
    headers: Mapping[str, str] = field(default_factory=dict)


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
    call_id
        Unguessable; chosen by a door that tells it before the call ends. Empty leaves it to the platform.
    input_headers
        Headers of input buffer 0 by lower-case name, also where a door gives the bytes themselves otherwise.
        ``moc-dtype`` and ``moc-shape`` say that the bytes are an array.
    program
        What a posix guest finds as its own name (``argv[0]``); empty is the function's.
    mounts
        Directories of the host that the guest may reach. Nothing that is parsed from a request of others has any: only
        a person's own process makes them.
    more_inputs
        Input buffers 1 and on: ``api://input/1`` and so on.

    Raises
    ------
    InvalidInputError
        There are more than :data:`INPUTS_MAX` inputs.
    """

    function: str
    arguments: tuple[str, ...] = ()
    mode: Mode | None = None
    entry: str | None = None
    env: Mapping[str, str] = field(default_factory=dict)
    input: bytes | bytearray | memoryview = b""
    limits: Mapping[str, Number] = field(default_factory=dict)
    caller: str = "local"
    call_id: str = ""
    input_headers: Mapping[str, str] = field(default_factory=dict)
    program: str = ""
    more_inputs: tuple[CallInput, ...] = ()
    mounts: tuple[Mount, ...] = ()

    def __post_init__(self) -> None:
        if len(self.more_inputs) >= INPUTS_MAX:
            raise too_many_inputs(1 + len(self.more_inputs))


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
        ``argv[1:]`` in posix mode.
    program
        ``argv[0]`` in posix mode; `function` where nothing else was said.
    mounts
        Directories of the host that the guest may reach. Only doors on the machine of whoever asks make any.
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
    program: str = ""
    mounts: tuple[Mount, ...] = ()


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
        Lower-case headers that the guest set on its output buffer. What they say is the guest's word.
    function
        Name of what ran.
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
    function: str = ""

    @property
    def array(self) -> ArraySpec | None:
        """The array that the output is, by headers ``moc-dtype`` and ``moc-shape`` that fit its bytes; else None."""
        try:
            array = parse_array_headers(self.output_headers)
        except InvalidInputError:
            return None
        return array if array is not None and array.nbytes == len(self.output) else None

    def to_numpy(self) -> numpy.ndarray[Any, Any]:
        """Give the output as a NumPy array, which shares its bytes and so cannot be written.

        Raises
        ------
        InvalidInputError
            The output is no array; see :attr:`array`.
        """
        array = self.array
        if array is None:
            said = {name: value for name, value in self.output_headers.items() if name in ("moc-dtype", "moc-shape")}
            raise InvalidInputError(
                f"The output of function {self.function!r} is no array: it has {len(self.output):,} bytes, and its "
                f"headers say {said or 'nothing of a data type and a shape'}.",
                function=self.function,
            )
        import numpy

        dtype = numpy.dtype(array.dtype).newbyteorder("<")
        return numpy.frombuffer(self.output, dtype).reshape(array.shape)

    @property
    def duration(self) -> float:
        """Wall time in seconds."""
        return self.duration_us / 1e6

    def to_json(self) -> dict[str, Any]:
        """Give the shape of a call answered as ``application/json``."""
        return {
            "call_id": self.call_id,
            "function": self.function,
            "result": result_to_json(self.result),
            "exit_code": self.exit_code,
            "output": base64.b64encode(self.output).decode(),
            "stderr": self.stderr.decode(errors="replace"),
            "duration_us": self.duration_us,
            "output_headers": dict(self.output_headers),
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
            output_headers=dict(body.get("output_headers", {})),
            function=body.get("function", ""),
        )


class CallState(StrEnum):
    """How far a call is."""

    RUNNING = "running"
    DONE = "done"
    """It gave a result, with whatever exit code."""
    FAILED = "failed"
    CANCELLED = "cancelled"


@dataclass(frozen=True, slots=True)
class CallRecord:
    """One call as it is now, without its input and its output.

    Parameters
    ----------
    started_at
        Seconds since 1970, UTC.
    duration_us
        Wall time in microseconds: so far, or from the start of the instance to its end.
    result, exit_code
        As in :class:`CallResult`; None while it runs and if it failed.
    input_bytes, output_bytes
        How many bytes of each there were, so far or in all; of several inputs together.
    stderr
        The end of what the guest wrote to stderr, up to 4 KiB.
    error
        The error's JSON when the call failed or was cancelled.
    """

    call_id: str
    function: str
    mode: Mode
    caller: str
    state: CallState
    started_at: float
    duration_us: int = 0
    result: Number | tuple[Number, ...] | None = None
    exit_code: int | None = None
    input_bytes: int = 0
    output_bytes: int = 0
    stderr: bytes = b""
    error: Mapping[str, Any] | None = None

    def to_json(self) -> dict[str, Any]:
        """Give the shape of ``GET calls/{id}``."""
        body = {each.name: getattr(self, each.name) for each in fields(self)}
        return {
            **body,
            "mode": self.mode.value,
            "state": self.state.value,
            "result": result_to_json(self.result),
            "stderr": self.stderr.decode(errors="replace"),
        }

    @classmethod
    def from_json(cls, body: Mapping[str, Any]) -> Self:
        """Read what :meth:`to_json` gave."""
        known = {each.name: body[each.name] for each in fields(cls)}
        return cls(
            **{
                **known,
                "mode": Mode(body["mode"]),
                "state": CallState(body["state"]),
                "result": result_from_json(body["result"]),
                "stderr": body["stderr"].encode(),
            }
        )


@dataclass(frozen=True, slots=True)
class Activity:
    """How busy a cluster is with calls from outside.

    Parameters
    ----------
    running
        Calls that have begun and not ended.
    waiting
        Of these, calls that wait for storage, a clock, a stream or the network.
    queued
        Calls that wait for their turn now.
    refused
        Calls that were refused since the start, because there was too much work.
    memory_bytes
        Linear memory that all guests hold, as far as it is known.
    warm_instances, warm_bytes
        Instances of reusable functions that wait for their next call, and the linear memory that they hold.
    """

    running: int
    waiting: int
    queued: int
    refused: int
    memory_bytes: int
    warm_instances: int = 0
    warm_bytes: int = 0


def too_many_inputs(found: int) -> InvalidInputError:
    """Make the error for more inputs than a call can have."""
    return InvalidInputError(
        f"A call has at most {INPUTS_MAX} inputs; found {found}. Put what belongs together into one of them.",
        found=found,
        allowed=INPUTS_MAX,
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
