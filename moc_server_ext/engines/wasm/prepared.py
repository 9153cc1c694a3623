"""A module that is ready to be instantiated: linked, with all that a call needs looked up once."""

from __future__ import annotations

import threading
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cached_property
from typing import Final

import wasmtime

from ...errors import EntryPointNotFoundError, InvalidInputError, InvalidModuleError
from ...guest_api.bound import bound_function
from ...guest_api.registry import GuestModule
from ...model import ModuleInterface, Signature
from ...model.exports import caller_signature, entry_name, is_array_export
from .disk_cache import Artifact
from .interface import read_interface, resolve_imports
from .machine import BoundFunctions, Linked, Machine
from .values import Numbers, RawNumbers, is_numeric

# A program whose exports are called has no `_initialize`; the second is the linker's, and whoever exports it leaves it
# to the host to call it first.
INITIALIZERS: Final = ("_initialize", "__wasm_call_ctors")
_WASI_PREFIX: Final = "wasi_"


@dataclass(frozen=True)
class Export:
    """An exported function that can be called with numbers.

    Parameters
    ----------
    takes_array
        Whether pointers to an array and to a result go around the numbers.
    """

    name: bytes
    signature: Signature
    takes_array: bool = False

    @property
    def shown_name(self) -> str:
        """What callers call it."""
        return entry_name(self.name.decode())

    @cached_property
    def numbers(self) -> Signature:
        """What callers pass."""
        return caller_signature(self.name.decode(), self.signature)

    @cached_property
    def values(self) -> Numbers:
        """Layout of arguments and results of an asynchronous call."""
        return Numbers(self.signature)

    @cached_property
    def raw(self) -> RawNumbers:
        """Layout of arguments and results of a synchronous call."""
        return RawNumbers(self.signature)


@dataclass(frozen=True)
class Prepared:
    """One module under one machine.

    Parameters
    ----------
    memories, tables
        How many of them it may have; at least 1.
    uses_wasi
        Whether it imports anything of WASI.
    waits
        Whether it imports a function that may always wait, and so can only run as a coroutine.
    waits_live
        Whether it imports one that waits for live streams.
    imports_any
        Whether it calls host functions at all.
    size
        Bytes of its machine code.
    initialize
        What is called first in direct mode; None where there is no such export.
    bound
        What its imports call that are bound to functions; each call asks anew which functions these are.
    """

    machine: Machine
    module: wasmtime.Module
    interface: ModuleInterface
    memories: int
    tables: int
    uses_wasi: bool
    waits: bool
    waits_live: bool
    imports_any: bool
    size: int
    initialize: Export | None
    bound: BoundFunctions = field(default_factory=dict)
    _exports: dict[str, Export] = field(default_factory=dict)
    _linked: dict[bool, Linked] = field(default_factory=dict)
    _lock: threading.Lock = field(default_factory=threading.Lock)

    def pre_pointer(self, live: bool) -> int:
        """Give what instances are made from: with streams that can wait, or without."""
        live = live and self.waits_live
        found = self._linked.get(live)
        if found is None:
            # Under a lock: whoever was given a pointer relies on nobody replacing what it points to.
            with self._lock:
                found = self._linked.get(live)
                if found is None:
                    found = self._linked[live] = self.machine.link(self.module, self.bound, live=live)
        return found.pointer

    def entry(self, function: str, name: str) -> Export:
        """Look an entry point up.

        Raises
        ------
        EntryPointNotFoundError
            No function of this name is exported.
        InvalidInputError
            It is, with types that are no numbers.
        """
        found = self._exports.get(name)
        if found is None:
            signature = self.interface.exports.get(name)
            if signature is None:
                raise EntryPointNotFoundError(function, name, exports=sorted(self.interface.exports))
            if not is_numeric(signature):
                raise InvalidInputError(
                    f"{name!r} of function {function!r} has the type {signature}; "
                    "only i32, i64, f32 and f64 can be passed.",
                    entry=name,
                )
            found = self._exports[name] = Export(name.encode(), signature, is_array_export(name))
        return found


def prepare(
    function: str,
    machine: Machine,
    module: wasmtime.Module,
    modules: Mapping[str, GuestModule],
    artifact: Artifact,
) -> Prepared:
    """Check what `module`, which was loaded from `artifact`, imports, and link it.

    Raises
    ------
    InvalidModuleError
        It has too much of something, or imports from functions and hides its memory.
    MissingImportError
        It imports something that nothing here provides and no function can.
    """
    interface = read_interface(function, module, modules)
    imports = resolve_imports(function, module, interface, modules)
    if interface.bound_imports and artifact.memories and not interface.exports_memory:
        # What nobody can measure would not count: each call in a tree could take the whole limit once more.
        raise InvalidModuleError(
            function,
            "it imports from other functions and has a memory that it does not export as 'memory', so that the memory "
            "of a call with its callees cannot be limited. Export it.",
        )
    bound = {(each.function, each.export): bound_function(each) for each in interface.bound_imports}
    initialize = next((name for name in INITIALIZERS if interface.exports.get(name) == Signature()), None)
    prepared = Prepared(
        machine=machine,
        module=module,
        interface=interface,
        memories=max(1, artifact.memories),
        tables=max(1, artifact.tables),
        uses_wasi=any(namespace.startswith(_WASI_PREFIX) for namespace, _, _ in interface.imports),
        waits=bool(bound) or any(each.waits is True for each in imports),
        waits_live=any(each.waits == "live" for each in imports),
        imports_any=bool(imports or bound),
        size=len(artifact.machine_code),
        initialize=None if initialize is None else Export(initialize.encode(), Signature()),
        bound=bound,
    )
    prepared.pre_pointer(live=False)
    return prepared
