"""Exported functions as callers see them: the entry points that take numbers, and those that take an array.

An export named ``chunk/1:NAME`` makes ``NAME`` an *array function*: the name is the declaration. Its WebAssembly type
is ``(i32 array, numbers…, i32 result) -> i32``; callers give the numbers, and the host puts the two pointers around
them. How the array lies in memory is the engine's business.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Final

from .functions import Signature

ARRAY_PREFIX: Final = "chunk/1:"
"""Begins the export of an array function, in the first version of the interface."""

ARRAY_PREFIXES: Final = "chunk/"
"""Begins the exports of all versions, of which only the first is known here."""

RESET: Final = "moc_reset"
"""The export that makes an instance ready for its next call, where there is one; of type ``() -> ()``."""


def is_array_export(export: str) -> bool:
    """Tell whether an export is an array function."""
    return export.startswith(ARRAY_PREFIX)


def entry_name(export: str) -> str:
    """Give the name that callers use for an export: without the prefix of array functions."""
    return export.removeprefix(ARRAY_PREFIX)


def entry_names(exports: Iterable[str]) -> list[str]:
    """Give the names that callers use, each once, in the order of the exports."""
    return list(dict.fromkeys(map(entry_name, exports)))


def caller_signature(export: str, signature: Signature) -> Signature:
    """Give what a caller passes to an export and gets back as numbers: for an array function, without its pointers."""
    return Signature(signature.params[1:-1]) if is_array_export(export) else signature


def describe_export(export: str, signature: Signature) -> str:
    """Write an export for people: ``add(i32, i32) -> (i32)``, ``blur(array, i32) -> array``."""
    if is_array_export(export):
        return f"{entry_name(export)}({', '.join(('array', *signature.params[1:-1]))}) -> array"
    return f"{export}{signature}"


def describe_exports(exports: Mapping[str, Signature]) -> list[str]:
    """Write all of a function's exports for people, by name."""
    return [describe_export(name, signature) for name, signature in sorted(exports.items(), key=_by_name)]


def array_type_error(signature: Signature) -> str | None:
    """Say what is wrong with the type of an array function; None if nothing is."""
    params, results = signature.params, signature.results
    numbers = params[1:-1]
    if (
        len(params) >= 2
        and params[0] == params[-1] == "i32"
        and results == ("i32",)
        and all(each in ("i32", "i64", "f32", "f64") for each in numbers)
    ):
        return None
    return f"it has the type {signature}, and an array function has (i32, numbers…, i32) -> (i32)"


def _by_name(item: tuple[str, Signature]) -> tuple[str, str]:
    return entry_name(item[0]), item[0]
