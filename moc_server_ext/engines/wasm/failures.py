"""What went wrong in a guest, as one error of the platform: with the guest's backtrace and the end of its stderr."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Final

import wasmtime

from ...errors import GuestError, HostCallError, InvalidModuleError, MocError, OverloadedError, TrapError
from ...guest_api.bound import CalleeFailedError
from ...guest_api.context import CallContext
from ...guest_api.errno import GuestErrno
from . import capi

_STDERR_TAIL_BYTES: Final = 4096
_MAX_FRAMES: Final = 50
_MAX_FRAME_CHARS: Final = 300
_PAGE_BYTES: Final = 1 << 16

_FRAME: Final = re.compile(r"^\s*(?:(\d+):)?\s*(?:0x[0-9a-f]+)? - (.+)$")
_LINE: Final = re.compile(r"^\s+at (.+:\d+(?::\d+)?)$")
_MANGLED: Final = ("_Z", "_R")
_UNNAMED: Final = re.compile(r"^<wasm function (\d+)>$")
# What a language's own way to fail puts above the frame of whoever failed: abort, assert, a Rust panic.
_FAILING: Final = re.compile(
    r"(abort|raise|__assert_fail|__rust\w*|rust_\w+|_?_rg_oom)(?= at |$)|<?(std|core|alloc)::|~lib/builtins/abort"
)
_RUST_HASH: Final = re.compile(r"::h[0-9a-f]{16}$")
_MEMORY_MINIMUM: Final = re.compile(r"memory minimum size of (\d+) pages exceeds memory limits")


def failure(
    context: CallContext,
    found: wasmtime.Trap | wasmtime.WasmtimeError,
    cause: BaseException | None,
    host_function: str,
    memory_bytes: int,
    memory_limit: int,
) -> BaseException:
    """Make the error with which a call ends.

    Parameters
    ----------
    found
        What the library reports; it has the backtrace.
    cause
        What a host function or the engine raised to end the call, None when the guest trapped by itself.
    host_function
        Name of the function that raised `cause`; empty for the engine itself.
    memory_bytes, memory_limit
        What the guest held at the end, and what it might have held.

    Returns
    -------
    BaseException
        A ``MocError``; or `cause` itself when it is meant for nobody here (``KeyboardInterrupt``).
    """
    text = str(found)
    backtrace = frames(text, capi.frame_names(found))
    if cause is None:
        return _own_failure(context, text, backtrace, memory_bytes, memory_limit)
    if isinstance(cause, CalleeFailedError):
        cause.error.ended_caller(context.invocation.function, backtrace, stderr_tail(context))
        return cause.error
    if isinstance(cause, MocError):
        if isinstance(cause, GuestError):
            cause.details["backtrace"] = cause.backtrace or backtrace
            cause.details["stderr"] = cause.stderr or stderr_tail(context)
        # The frames of a host function hold what it copied out of the guest, which may be as large as the guest.
        return cause.with_traceback(None)
    if not isinstance(cause, Exception):
        return cause
    reason = f"it gave errno {cause}, which its type has no room for." if isinstance(cause, GuestErrno) else (
        f"{type(cause).__name__}: {cause}"
    )  # fmt: skip
    error = HostCallError(context.invocation.function, host_function, reason)
    error.details |= {"backtrace": backtrace, "stderr": stderr_tail(context)}
    error.__cause__ = cause
    return error


def _own_failure(
    context: CallContext, text: str, backtrace: list[str], memory_bytes: int, memory_limit: int
) -> MocError:
    function = context.invocation.function
    if minimum := _MEMORY_MINIMUM.search(text):
        return context.limit_exceeded("memory_bytes", int(minimum[1]) * _PAGE_BYTES)
    if "maximum concurrent" in text:
        return OverloadedError()
    reason = root_cause(text)
    if "exceeds table limits" in text or "resource limit exceeded" in text:
        return InvalidModuleError(function, f"{reason}.")
    note = memory_note(memory_bytes, memory_limit)
    return TrapError(
        function, reason, where=culprit(backtrace), backtrace=backtrace, stderr=stderr_tail(context), note=note
    )


def memory_note(memory_bytes: int, memory_limit: int) -> str:
    """Say that a guest may have run out of memory, if it held most of what it might; else nothing."""
    if memory_bytes * 4 < memory_limit * 3:
        return ""
    return (
        f"It held {memory_bytes:,} bytes of its limit memory_bytes = {memory_limit:,}, so it may have run out of "
        "memory; --limit memory_bytes=… sets that limit, below the server's own."
    )


def stderr_tail(context: CallContext) -> str:
    """Give the last 4 KiB that the guest wrote to stderr, as text."""
    return bytes(context.stderr[-_STDERR_TAIL_BYTES:]).decode(errors="replace")


def root_cause(text: str) -> str:
    """Give the innermost cause of one of the library's messages, in one line."""
    lines = [line.strip() for line in text.splitlines() if line.strip()]
    cause = re.sub(r"^\d+: ", "", lines[-1]) if lines else "unknown"
    cause = cause.removeprefix("wasm trap: ").removeprefix("wasm ").rstrip(".").replace("`", "")
    return _printable(cause)


def frames(text: str, names: Sequence[str | None] = ()) -> list[str]:
    """Read the guest's frames, innermost first, out of one of the library's messages.

    Each is ``name`` or ``name at file:line``. Names come from the module and are hostile: what is not printable is
    replaced, and long ones are cut.

    Parameters
    ----------
    names
        The names as the module has them, by frame. The message has them demangled, which is right for C++ and Rust and
        wrong for C: a function ``f`` is called ``float`` there.
    """
    found: list[str] = []
    for line in text.partition("\n\nCaused by:")[0].splitlines()[1:]:
        if where := _LINE.match(line):
            if found and " at " not in found[-1]:
                found[-1] += f" at {_printable(where[1])}"
        elif frame := _FRAME.match(line):
            if len(found) == _MAX_FRAMES:
                found.append("…")
                break
            name = frame[2].partition("!")[2] or frame[2]
            index = int(frame[1]) if frame[1] else len(names)
            own = names[index] if index < len(names) else None
            if own and not own.startswith(_MANGLED):
                name = own
            found.append(_printable(_RUST_HASH.sub("", _UNNAMED.sub(r"function \1", name))))
    return found


def culprit(backtrace: Sequence[str]) -> str:
    """Give the frame to name first: the innermost one that is not part of how a language fails; empty without any."""
    return next((frame for frame in backtrace if not _FAILING.match(frame)), backtrace[0] if backtrace else "")


def _printable(text: str) -> str:
    return "".join(each if each.isprintable() else "\ufffd" for each in text[:_MAX_FRAME_CHARS])
