"""One ``wasmtime.Engine`` with all that belongs to it and never crosses to another: linkers, callbacks, clock."""

from __future__ import annotations

import contextlib
import ctypes
import threading
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import wasmtime

from ...guest_api.registry import GuestModule, HostFunction
from . import capi
from .disk_cache import Artifact
from .profiles import ProfileName, make_engine
from .ticker import Ticker
from .trampolines import Continuations, Current, define, define_bound, inside

BoundFunctions = Mapping[tuple[str, str], HostFunction]
"""What imports are bound to that no guest module provides, by module and name."""


class Linked(NamedTuple):
    """What instances of a module are made from.

    Parameters
    ----------
    pointer
        The address of `pre`.
    callbacks
        What its bound imports call; they must live as long as its instances.
    """

    pre: wasmtime.InstancePre
    pointer: int
    callbacks: list[Any]


class Machine:
    """A place where modules are loaded, linked and run.

    Parameters
    ----------
    profile
        Where instances live; see :mod:`.profiles`.
    modules
        What guests may import.

    Attributes
    ----------
    current
        The guest that runs on the calling thread.
    slots
        How many guests it can hold.
    """

    def __init__(self, profile: ProfileName, modules: Sequence[GuestModule]) -> None:
        self.profile: ProfileName = profile
        self.engine, self.slots = make_engine(profile)
        self.pointer = capi.address(self.engine.ptr())
        self.current = current = Current()
        # The clock's thread holds the engine and not the machine: what is let go of is gone at once, without a ring.
        self.ticker = Ticker(self.engine.increment_epoch)
        self._modules = tuple(modules)
        self._lock = threading.Lock()
        self._linkers: dict[bool, wasmtime.Linker] = {}
        self._continuations = Continuations(current)

        def on_epoch(_context: int, _data: int, delta: int, kind: int) -> int:
            return inside(current).on_epoch(delta, kind)

        callback = capi.EpochCallback(on_epoch)
        self._callbacks: list[Any] = [callback]
        self.epoch_callback = capi.callback_address(callback)

    def compile(self, content: bytes) -> bytes:
        """Compile to machine code, in this process.

        Raises
        ------
        wasmtime.WasmtimeError
            The module is not valid, or cannot run under this profile.
        """
        return bytes(self._module(capi.module_new, content, len(content)).serialize())

    def load(self, artifact: Artifact) -> wasmtime.Module:
        """Make a module of machine code that :meth:`compile` gave, and of nothing else: it is native code.

        A file is mapped, which takes a tenth of the time of copying it.

        Raises
        ------
        wasmtime.WasmtimeError
            It was made by another version or configuration, or cannot run under this profile.
        """
        if artifact.path:
            # Some places allow nothing that lies there to be executed, and then only a copy can be.
            with contextlib.suppress(wasmtime.WasmtimeError):
                return self._module(capi.module_deserialize_file, artifact.path.encode())
        machine_code = bytes(artifact.machine_code)
        return self._module(capi.module_deserialize, machine_code, len(machine_code))

    def _module(self, make: Any, *source: Any) -> wasmtime.Module:
        pointer = ctypes.POINTER(wasmtime._bindings.wasmtime_module_t)()
        error = make(self.pointer, *source, ctypes.addressof(pointer))
        if error:
            raise capi.take_error(error)
        return wasmtime.Module._from_ptr(pointer)

    def make_ready(self) -> None:
        """Define all host functions, which else the first module has to wait for."""
        with self._lock:
            self._linker(False)
            self._linker(True)

    def _linker(self, live: bool) -> wasmtime.Linker:
        linker = self._linkers.get(live)
        if linker is None:
            linker = wasmtime.Linker(self.engine)
            self._callbacks += define(linker, self._modules, self.current, self._continuations, live=live)
            self._linkers[live] = linker
        return linker

    def link(self, module: wasmtime.Module, bound: BoundFunctions, *, live: bool) -> Linked:
        """Satisfy the imports of a module, all of which are known to be provided.

        Parameters
        ----------
        bound
            What provides those of its imports that no guest module does.
        live
            Whether reading and writing of streams can wait; see ``waits="live"`` in :mod:`~...guest_api.registry`.
        """
        with self._lock:
            linker = self._linker(live)
            callbacks: list[Any] = []
            if bound:
                # They are this module's alone, and go with it.
                linker = capi.clone_linker(linker)
                callbacks = define_bound(linker, bound, self.current, self._continuations)
            pre = linker.instantiate_pre(module)
            return Linked(pre, capi.address(pre.ptr()), callbacks)
