"""What a compiled module takes and offers, as ``model.ModuleInterface``, and whether the guest API satisfies it."""

from __future__ import annotations

import ctypes
from collections.abc import Collection, Iterable, Mapping, Sequence
from typing import Any, Final

import wasmtime
from wasmtime import _bindings

from ...errors import InvalidModuleError, MissingImportError, nearest
from ...guest_api.registry import GuestModule, HostFunction
from ...model import BoundImport, ModuleInterface, Signature
from ...model.exports import ARRAY_PREFIXES, RESET, array_type_error, is_array_export
from .values import is_numeric

_TYPE_NAMES: Final = ("i32", "i64", "f32", "f64", "v128")
# An interface is kept in memory and listed with its function; a module of some megabytes could have a million entries.
MAX_ENTRIES: Final = 10_000
MAX_NAME_BYTES: Final = 1 << 20
# Each has a callback of its own; their types are stored and listed with the function, name by name.
MAX_BOUND_IMPORTS: Final = 1000
MAX_BOUND_NUMBERS: Final = 10_000
_KINDS: Final = {
    wasmtime.MemoryType: "a memory",
    wasmtime.TableType: "a table",
    wasmtime.GlobalType: "a global",
}


def read_interface(function: str, module: wasmtime.Module, provided: Collection[str]) -> ModuleInterface:
    """Read imports and exports of a compiled module.

    Parameters
    ----------
    provided
        Names of the import modules that the host has; functions of all others are left for functions to provide.

    Raises
    ------
    InvalidModuleError
        There are more than 10,000 of them, or their names take more than 1 MiB. An export is declared an array function
        and cannot be one, or is named ``moc_reset`` and cannot be called as that. More than 1,000 imports are left for
        functions to provide, or they have more than 10,000 parameters and results.
    MissingImportError
        Such an import has types that are no numbers, or is there twice, with two types.
    """
    imports, exports = module.imports, module.exports
    check_entries(function, len(imports) + len(exports))
    size = sum(len(each.module) + len(each.name or "") for each in imports) + sum(len(each.name) for each in exports)
    if size > MAX_NAME_BYTES:
        raise InvalidModuleError(
            function,
            f"the names of its imports and exports are {size:,} characters, and at most {MAX_NAME_BYTES:,} are taken.",
        )
    found = tuple((each.module, each.name or "", _signature(each.type)) for each in imports)
    interface = ModuleInterface(
        imports=found,
        exports={each.name: signature for each in exports if (signature := _signature(each.type)) is not None},
        exports_memory=any(each.name == "memory" and isinstance(each.type, wasmtime.MemoryType) for each in exports),
        bound_imports=_bound_imports(function, found, provided),
    )
    _check_array_functions(function, interface)
    reset = interface.exports.get(RESET, Signature())
    if reset != Signature():
        raise InvalidModuleError(
            function,
            f"it exports {RESET!r} with the type {reset}, which is called after each call of a reusable function and "
            f"so must have the type {Signature()}. Give it no parameters and no result, or another name.",
        )
    return interface


def check_entries(function: str, entries: int) -> None:
    """Refuse a module that has more imports and exports than are taken.

    Raises
    ------
    InvalidModuleError
        It has more than 10,000.
    """
    if entries > MAX_ENTRIES:
        raise InvalidModuleError(
            function, f"it has {entries:,} imports and exports, and at most {MAX_ENTRIES:,} are taken."
        )


def _check_array_functions(function: str, interface: ModuleInterface) -> None:
    """Refuse what would only fail when it is called."""
    for name, signature in interface.exports.items():
        if not name.startswith(ARRAY_PREFIXES):
            continue
        shown = repr(name[:64])
        if not is_array_export(name):
            raise InvalidModuleError(
                function, f"it exports {shown}, and this moc knows array functions of chunk/1 only."
            )
        if reason := array_type_error(signature):
            raise InvalidModuleError(function, f"it exports {shown}, but {reason}.")
        if not interface.exports_memory:
            raise InvalidModuleError(
                function, f"it exports {shown}, but no memory named 'memory' in which arrays could be passed."
            )


def _bound_imports(
    function: str, imports: Iterable[tuple[str, str, Signature | None]], provided: Collection[str]
) -> tuple[BoundImport, ...]:
    found: dict[tuple[str, str], Signature] = {}
    for namespace, name, signature in imports:
        if namespace in provided or signature is None:
            continue
        if not is_numeric(signature):
            reason = f"with the type {signature}, and only i32, i64, f32 and f64 pass from one function to another"
        elif found.setdefault((namespace, name), signature) != signature:
            reason = f"with the type {signature} and also with {found[namespace, name]}"
        else:
            continue
        raise MissingImportError(function, namespace, name, available=sorted(provided), reason=reason)
    if len(found) > MAX_BOUND_IMPORTS:
        raise InvalidModuleError(
            function,
            f"it imports {len(found):,} functions of other functions, and at most {MAX_BOUND_IMPORTS:,} are bound.",
        )
    numbers = sum(len(each.params) + len(each.results) for each in found.values())
    if numbers > MAX_BOUND_NUMBERS:
        raise InvalidModuleError(
            function,
            f"what it imports from other functions has {numbers:,} parameters and results, and at most "
            f"{MAX_BOUND_NUMBERS:,} are bound.",
        )
    return tuple(BoundImport(*key, signature) for key, signature in found.items())


def _signature(type_: Any) -> Signature | None:
    if not isinstance(type_, wasmtime.FuncType):
        return None
    pointer = type_.ptr()
    return Signature(_types(_bindings.wasm_functype_params(pointer)), _types(_bindings.wasm_functype_results(pointer)))


def _types(vector: Any) -> tuple[str, ...]:
    # wasm_valtype_kind, which the wheel's own ValType uses, ends the process for types newer than references.
    names = []
    for index in range(vector.contents.size):
        found = _bindings.wasmtime_valtype_t()
        _bindings.wasmtime_valtype_new(vector.contents.data[index], ctypes.byref(found))
        kind = int(found.kind)
        _bindings.wasmtime_valtype_delete(ctypes.byref(found))
        names.append(_TYPE_NAMES[kind] if kind < len(_TYPE_NAMES) else "ref")
    return tuple(names)


def resolve_imports(
    function: str, module: wasmtime.Module, interface: ModuleInterface, modules: Mapping[str, GuestModule]
) -> Sequence[HostFunction]:
    """Find the host function behind each import, but for those that functions provide.

    Parameters
    ----------
    modules
        By import module name, aliases included.

    Raises
    ------
    MissingImportError
        Something is imported that is no function, that nothing provides, or with another type.
    """
    return [
        _resolve(function, module, modules, namespace, name, signature)
        for namespace, name, signature in interface.imports
        if namespace in modules or signature is None
    ]


def _resolve(
    function: str,
    module: wasmtime.Module,
    modules: Mapping[str, GuestModule],
    namespace: str,
    name: str,
    signature: Signature | None,
) -> HostFunction:
    if signature is None:
        kind = next((_KINDS.get(type(each.type), "a tag") for each in module.imports
                     if each.module == namespace and each.name == name), "no function")  # fmt: skip
        reason = f"which is {kind}, and guests can import functions only"
        raise MissingImportError(function, namespace, name, available=sorted(modules), reason=reason)
    provider = modules[namespace]
    found = provider.functions.get(name)
    if found is None:
        raise MissingImportError(
            function, namespace, name, available=sorted(provider.functions),
            reason=f"and module {namespace!r} has no such function", nearest=nearest(name, provider.functions),
        )  # fmt: skip
    if found.signature != signature:
        raise MissingImportError(
            function, namespace, name, available=[f"{name}{found.signature}"],
            reason=f"which has the type {found.signature}, and not {signature}",
        )  # fmt: skip
    return found
