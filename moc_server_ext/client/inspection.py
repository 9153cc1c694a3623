"""What Python's inspection shows of registered functions: a signature, and a few lines that describe one or all."""

from __future__ import annotations

import inspect
from collections.abc import Sequence

from ..errors import EntryPointNotFoundError
from ..invocation import choose_entry, choose_mode
from ..model import BufferRecord, FunctionRecord, Mode, format_size
from ..model.exports import caller_signature, describe_exports, entry_name, is_array_export

_ID_CHARACTERS = 12
_NUMBERS = {"i32": int, "i64": int, "f32": float, "f64": float}
_MOST = 50


class SignatureOfInstances:
    """The attribute ``__signature__`` for instances alone: the class keeps the signature of its constructor."""

    def __get__(self, handle: object, owner: type | None = None) -> inspect.Signature:
        record = getattr(handle, "record", None)
        if handle is None or not isinstance(record, FunctionRecord):
            raise AttributeError("__signature__")
        return call_signature(record)


def call_signature(record: FunctionRecord) -> inspect.Signature:
    """Give what a call of the function takes: the numbers of its entry point, or arguments of a program."""
    options = [
        inspect.Parameter(name, inspect.Parameter.KEYWORD_ONLY, default=None)
        for name in ("input", "inputs", "mode", "entry", "env", "limits", "dirs")
    ]
    return inspect.Signature([*_positional(record), *options])


def _positional(record: FunctionRecord) -> list[inspect.Parameter]:
    declared = record.declaration
    if choose_mode(None, declared.mode, record.exports) is Mode.DIRECT:
        entry = _entry(record)
        if entry is not None:
            kinds = caller_signature(entry, record.exports[entry]).params
            numbers = [
                inspect.Parameter(
                    f"{kind}_{number}",
                    inspect.Parameter.POSITIONAL_ONLY,
                    annotation=_NUMBERS.get(kind, inspect.Parameter.empty),
                )
                for number, kind in enumerate(kinds, 1)
            ]
            array = inspect.Parameter("array", inspect.Parameter.POSITIONAL_ONLY)
            return [array, *numbers] if is_array_export(entry) else numbers
    return [inspect.Parameter("arguments", inspect.Parameter.VAR_POSITIONAL)]


def _entry(record: FunctionRecord) -> str | None:
    """Give the entry point of a call that names none; None where each call has to."""
    try:
        return choose_entry(record.name, record.declaration.entry, record.exports)
    except EntryPointNotFoundError:
        return None


def describe_function(record: FunctionRecord) -> str:
    """Write what there is to know before a call."""
    declared = record.declaration
    mode = choose_mode(None, declared.mode, record.exports).value
    entry = _entry(record)
    facts = [
        ("mode", mode if declared.mode else f"{mode} (from its exports)"),
        ("entry point", "named at the call" if entry is None else entry_name(entry)),
        ("imports", ", ".join(map(str, record.imports[:_MOST])) + (", …" if len(record.imports) > _MOST else "")),
        ("grants", ", ".join(sorted(declared.grants.permissions)) or "none"),
        ("allowed hosts", ", ".join(sorted(declared.grants.allowed_hosts))),
        ("limits", ", ".join(f"{name}={value:,}" for name, value in declared.limits.items())),
        ("reusable", "yes" if declared.reusable else ""),
        ("deterministic", "yes" if declared.deterministic else ""),
        ("blob id", f"{record.blob_id[:_ID_CHARACTERS]}…"),
        ("size", f"{record.size:,} bytes"),
    ]
    lines = [f"The registered function {record.name!r}.", "", *_exports(record), ""]
    return "\n".join([*lines, *(f"{f'{label}:':<15}{value}" for label, value in facts if value)])


def describe_functions(records: Sequence[FunctionRecord]) -> str:
    """Write the exports of each function, a few lines for all."""
    lines = ["The registered functions: call functions.NAME(…) or functions[NAME](…).", ""]
    for record in records[:_MOST]:
        lines += [record.name, *_exports(record)]
    left = len(records) - _MOST
    return "\n".join([*lines, *([f"… and {left:,} more"] if left > 0 else [])])


def describe_buffer(record: BufferRecord) -> str:
    """Write what a buffer is in a few words, always the same for the same content."""
    what = describe_content(record)
    if record.array is None and not record.arrays:
        return f"<buffer {record.name!r}: {_count(record.size, 'byte')}, {what}>"
    return f"<buffer {record.name!r}: {what}, {format_size(record.size)}>"


def describe_content(record: BufferRecord) -> str:
    """Write what is in a buffer: data type and shape of an array, the content type of bytes."""
    if record.array is not None:
        others = f" with {len(record.arrays) - 1} more in its group" if record.arrays else ""
        return f"{record.array.dtype} {record.array.shape}{others}"
    if record.arrays:
        return f"group of {', '.join(sorted(record.arrays)[:_MOST])}"
    return record.content_type


def _count(number: int, word: str) -> str:
    return f"{number:,} {word}{'' if number == 1 else 's'}"


def _exports(record: FunctionRecord) -> list[str]:
    return [f"    {each}" for each in describe_exports(record.exports)] or ["    no exports"]
