"""From what a caller says to what an engine runs: mode, entry point, arguments and environment.

Pure functions over a function's exports; the rules are those that users see in the documentation. Looking
names up, limits and grants are the orchestrator's.
"""

from __future__ import annotations

import math
import re
import struct
from collections.abc import Mapping, Sequence
from typing import Final

from .errors import EntryPointNotFoundError, InvalidArgumentsError, InvalidInputError
from .model import ArraySpec, CallInput, Mode, Mount, Number, Signature, parse_limits
from .model.arrays import parse_array_headers
from .model.exports import ARRAY_PREFIX, RESET, entry_name, entry_names, is_array_export

START: Final = "_start"

MAX_TEXT_BYTES: Final = 1 << 20
"""Arguments and environment of one call, together."""

_ALLOCATORS: Final = frozenset({"malloc", "calloc", "realloc", "free", "aligned_alloc", "posix_memalign"})
_INTEGER: Final = re.compile(r"[+-]?(0[xX][0-9a-fA-F]{1,16}|[0-9]{1,20})")
_FLOAT: Final = re.compile(r"[+-]?([0-9]+(\.[0-9]*)?|\.[0-9]+)([eE][+-]?[0-9]{1,4})?|[+-]?(inf|infinity)|nan", re.I)
_BITS: Final = {"i32": 32, "i64": 64}


def choose_mode(requested: Mode | None, declared: Mode | None, exports: Mapping[str, Signature]) -> Mode:
    """Choose the mode: the caller's, else the declared one, else posix if ``_start`` is exported, else direct."""
    return requested or declared or (Mode.POSIX if START in exports else Mode.DIRECT)


def choose_entry(function: str, entry: str | None, exports: Mapping[str, Signature], *, has_array: bool = False) -> str:
    """Choose the entry point: the export to call.

    The one that was named; else ``_start``; else the export named like the function; else the only exported function,
    where what toolchains add (``_initialize``, names that begin with ``__``, the allocator) and ``moc_reset`` do not
    count unless there is nothing else. Array functions go by their names without the prefix of their exports.

    Parameters
    ----------
    has_array
        Whether the input is an array: it goes to the array function where another export has the same name.

    Raises
    ------
    EntryPointNotFoundError
        The named one is not exported, or none is the obvious one. Lists the exports.
    """
    if entry is not None:
        found = _export(entry, exports, has_array)
        if found is None:
            raise EntryPointNotFoundError(function, entry, exports=_offered(exports))
        return found
    for obvious in (START, function):
        found = _export(obvious, exports, has_array)
        if found is not None:
            return found
    candidates = _offered(exports)
    found = _export(candidates[0], exports, has_array) if len(candidates) == 1 else None
    if found is None:
        raise EntryPointNotFoundError(function, None, exports=candidates)
    return found


def _export(name: str, exports: Mapping[str, Signature], has_array: bool) -> str | None:
    """Give the export that `name` stands for."""
    array = f"{ARRAY_PREFIX}{name}"
    if array in exports and (has_array or name not in exports):
        return array
    return name if name in exports else None


def choose_start(
    function: str,
    *,
    requested: tuple[Mode | None, str | None],
    declared: tuple[Mode | None, str | None],
    exports: Mapping[str, Signature],
    has_array: bool,
) -> tuple[Mode, str]:
    """Choose mode and export together; raises as :func:`choose_entry` and :func:`check_posix_entry` do.

    Parameters
    ----------
    requested, declared
        What the caller said, and what was said when the function was registered. An array function that is named is
        called in direct mode, whatever else the module exports.
    """
    entry = choose_entry(function, requested[1] or declared[1], exports, has_array=has_array)
    mode = requested[0] or declared[0]
    if mode is None:
        mode = Mode.DIRECT if is_array_export(entry) else choose_mode(None, None, exports)
    if mode is Mode.POSIX:
        check_posix_entry(function, entry, exports[entry])
    return mode, entry


def has_array(headers: Mapping[str, str]) -> bool:
    """Tell whether an input with these lower-case headers is an array; InvalidInputError when they are wrong."""
    return bool(headers) and parse_array_headers(headers) is not None


def check_inputs(inputs: Sequence[CallInput], *, first: int = 0) -> None:
    """Refuse inputs whose headers say that they are arrays which they are not.

    Parameters
    ----------
    first
        The place of the first of them among the call's inputs.

    Raises
    ------
    InvalidInputError
        The headers are wrong, or the bytes are fewer or more than they say.
    """
    for index, each in enumerate(inputs, first):
        array = parse_array_headers(each.headers)
        size = memoryview(each.content).nbytes
        if array is not None and array.nbytes != size:
            raise wrong_array_size(f"input {index}", array, size)


def wrong_array_size(what: str, array: ArraySpec, found: int | str) -> InvalidInputError:
    """Make the error for an input that has not the bytes of the array that it is said to be."""
    shown = f"{found:,}" if isinstance(found, int) else found
    return InvalidInputError(
        f"A {array.dtype} array of the shape {list(array.shape)} has {array.nbytes:,} bytes; {what} has {shown}.",
        found=found,
        expected=array.nbytes,
    )


def check_posix_entry(function: str, entry: str, signature: Signature) -> None:
    """Refuse to start an export in posix mode that takes numbers or an array."""
    if is_array_export(entry):
        raise InvalidInputError(
            f"{entry_name(entry)!r} of function {function!r} takes an array, so it cannot start in posix mode. "
            "Call it with --mode direct, or without a mode.",
            function=function,
            entry=entry_name(entry),
        )
    if signature.params:
        raise InvalidInputError(
            f"{entry!r} of function {function!r} takes ({', '.join(signature.params)}), so it cannot start in posix "
            "mode. Call it with --mode direct.",
            function=function,
            entry=entry,
        )


def parse_numbers(
    function: str, entry: str, signature: Signature, arguments: Sequence[str | Number]
) -> tuple[Number, ...]:
    """Read the arguments of a direct call by the types of its entry point.

    Integers are decimal or ``0x…``, and may be given signed or unsigned: an ``i32`` takes -2^31 to 2^32-1 (and gives
    the signed value). Floats are decimal, ``inf`` or ``nan``.

    Raises
    ------
    InvalidArgumentsError
        Their number or the type of one is wrong.
    """
    wrong = None
    if len(arguments) == len(signature.params):
        numbers = [_parse_number(each, kind) for each, kind in zip(arguments, signature.params, strict=True)]
        if None not in numbers:
            return tuple(number for number in numbers if number is not None)
        wrong = numbers.index(None)
    raise InvalidArgumentsError(
        function, entry, expected=signature.params, found=[str(each)[:40] for each in arguments], wrong=wrong
    )


def check_arguments(arguments: Sequence[str]) -> int:
    """Check what a guest will find in ``argv``, and give its size in bytes."""
    return sum(_check_text(each, "argument") for each in arguments)


def check_env(env: Mapping[str, str]) -> int:
    """Check a guest's environment variables, and give their size in bytes."""
    size = 0
    for name, value in env.items():
        if not name or "=" in name:
            raise InvalidInputError(f"{name[:64]!r} cannot name an environment variable: expected NAME=VALUE.")
        size += _check_text(name, "environment variable's name") + _check_text(value, f"value of {name[:64]!r}")
    return size


def check_mounts(function: str, mode: Mode, mounts: Sequence[Mount], *, deterministic: bool) -> None:
    """Check that a call can have the directories of the host that are to be mounted, and that they can be opened.

    Raises
    ------
    InvalidInputError
        The call has no files, the function was declared deterministic, or a directory is missing or unreadable.
    """
    if not mounts:
        return
    if mode is not Mode.POSIX:
        raise InvalidInputError(
            f"A direct call has no files, so that no directory can be mounted for function {function!r}: "
            "leave the directories out, or call it with mode posix.",
            function=function,
        )
    if deterministic:
        raise InvalidInputError(
            f"Function {function!r} was declared deterministic, and what is in a directory of this machine may change: "
            "leave the directories out, or register the function without --deterministic.",
            function=function,
        )
    from .engines.wasi.hostfs import check_directories

    check_directories(mounts)


def check_text_size(size: int) -> None:
    """Refuse arguments and environment that are too large together."""
    if size > MAX_TEXT_BYTES:
        raise InvalidInputError(
            f"Arguments and environment take {size:,} bytes; at most {MAX_TEXT_BYTES:,} are allowed. "
            "Give large data as the call's input.",
            found=size,
            allowed=MAX_TEXT_BYTES,
        )


def check_limits(limits: Mapping[str, Number]) -> dict[str, Number]:
    """Check the names and values of limits that came from outside."""
    return parse_limits([f"{name}={value}" for name, value in limits.items()])


def _offered(exports: Mapping[str, Signature]) -> list[str]:
    """The names that a person may have meant; all of them when nothing else is left."""
    names = entry_names(exports)
    own = [each for each in names if each not in ("_initialize", RESET) and not each.startswith("__")]
    return [each for each in own if each not in _ALLOCATORS] or own or names


def _check_text(text: str, what: str) -> int:
    if "\0" in text:
        raise InvalidInputError(f"The {what} {text[:64]!r} contains a NUL character, which no guest can receive.")
    try:
        return len(text.encode()) + 1
    except UnicodeEncodeError:
        raise InvalidInputError(f"The {what} {text[:64]!r} is not valid Unicode text.") from None


def _parse_number(given: str | Number, kind: str) -> Number | None:
    """Read one number; None when it is none of this type."""
    bits = _BITS.get(kind)
    if bits is not None:
        if isinstance(given, str):
            if not _INTEGER.fullmatch(given):
                return None
            given = int(given, 16 if "x" in given.lower() else 10)
        if not isinstance(given, int) or not -(1 << bits - 1) <= given < 1 << bits:
            return None
        return given - (1 << bits) if given >= 1 << bits - 1 else int(given)
    if kind not in ("f32", "f64"):
        return None
    if isinstance(given, str):
        if not _FLOAT.fullmatch(given):
            return None
        given = float(given)
    try:
        number = float(given)
        if kind == "f32" and math.isfinite(number):
            struct.pack("<f", number)
    except OverflowError:
        return None
    return number
