"""A guest: one store and one instance, with what its callbacks need and what is told of its end.

How WebAssembly is entered is left to :mod:`.coroutine` (on a fibre, a slice at a time) and :mod:`.synchronous` (on the
caller's stack, in one go). Everything that the library gets by reference lives in the guest's own slots.
"""

from __future__ import annotations

import ctypes
import math
from collections.abc import Callable
from functools import partial
from typing import Any, Final

from ...guest_api.context import CallContext
from ...guest_api.registry import Waiting
from ...model import Mode
from ..wasi import GuestExit, WasiState
from . import capi
from .failures import failure
from .memory import LinearMemory
from .prepared import Export, Prepared
from .profiles import LARGE_TABLE_ELEMENTS
from .ticker import TICK_SECONDS

FIRST_SLICE_TICKS: Final = 2
SLICE_TICKS: Final = 5
_FOREVER: Final = 3600.0

Write = Callable[[int, Any], None]
"""Writes a host function's numbers at the address that it was given for them."""


class _Slots(ctypes.Structure):
    _fields_ = (
        ("trap", ctypes.c_void_p),
        ("error", ctypes.c_void_p),
        ("instance", capi.Instance),
        ("export", capi.Extern),
        ("memory", capi.Extern),
    )


TRAP: Final = _Slots.trap.offset
ERROR: Final = _Slots.error.offset
INSTANCE: Final = _Slots.instance.offset
EXPORT: Final = _Slots.export.offset
FUNC: Final = EXPORT + capi.EXTERN_OFFSET
MEMORY: Final = _Slots.memory.offset
MEMORY_ITEM: Final = MEMORY + capi.EXTERN_OFFSET


class Guest:
    """The store of one call, and what its callbacks need; subclasses enter WebAssembly.

    Parameters
    ----------
    memory_bytes
        How much linear memory it may have: what the call tree has left.

    Attributes
    ----------
    bound
        Whether the guest's memory is known; the first host function that it calls binds it.
    exit_code
        What the guest gave to ``proc_exit``; None if it did not.
    stopped
        The error with which the next epoch tick ends the guest.
    """

    __slots__ = ("_at", "_cause", "_context_pointer", "_current", "_failed_in", "_memory", "_noted_bytes", "_slots",
                 "_store", "_wasi", "bound",
                 "context", "exit_code", "memory_bytes", "prepared", "stopped")  # fmt: skip

    def __init__(self, prepared: Prepared, context: CallContext, memory_bytes: int) -> None:
        machine = prepared.machine
        self.prepared = prepared
        self.bound = False
        self.stopped: BaseException | None = None
        self._current = machine.current
        self._cause: BaseException | None = None
        self._failed_in = ""
        self._memory: LinearMemory | None = None
        self._noted_bytes = 0
        self._slots = _Slots()
        self._at = ctypes.addressof(self._slots)
        store = self._store = capi.store_new(machine.pointer, None, None)
        self._context_pointer = capi.store_context(store)
        capi.store_epoch_callback(store, machine.epoch_callback, None, None)
        self._take_up(context)
        self._limit(memory_bytes)

    def _take_up(self, context: CallContext) -> None:
        """Serve this call, with a WASI state of its own."""
        self.context = context
        self.exit_code: int | None = None
        self._wasi: WasiState | None = None
        if self.prepared.uses_wasi or context.invocation.mode is Mode.POSIX:
            self._wasi = context.wasi = WasiState(context)

    def _limit(self, memory_bytes: int) -> None:
        """Set how much memory the instance may grow to, and let its first slice begin."""
        self.memory_bytes = memory_bytes
        # The library counts each memory and each table by itself, and the limits hold for all of them together.
        memories, tables = self.prepared.memories, self.prepared.tables
        capi.store_limiter(self._store, memory_bytes // memories, LARGE_TABLE_ELEMENTS // tables, 1, tables, memories)
        capi.set_epoch_deadline(self._context_pointer, FIRST_SLICE_TICKS)

    def _let_go(self) -> None:
        """Give up what belongs to the call that was served: its files, and its sight of the guest's memory."""
        if self._memory is not None:
            self._memory.detach()
            self._memory = None
            self.bound = False
        if self._wasi is not None:
            self._wasi.close_all()
            self._wasi = None

    def close(self) -> None:
        """Give the store back, which ends a guest that has not ended; idempotent."""
        if self._store:
            self._let_go()
            capi.store_delete(self._store)
            self._store = 0

    # -- called back from inside --------------------------------------------------------------------------------------

    def bind(self, caller: int) -> None:
        """Find the guest's memory, for its host functions."""
        self._bind(bool(capi.caller_export_get(caller, b"memory", 6, self._at + MEMORY)))

    def fail(self, cause: BaseException, host_function: str) -> int:
        """Note why a host function ends the call, and make the trap that does so."""
        self._cause = cause
        self._failed_in = host_function
        return capi.trap_new(b"ended by a host function")

    def wait(self, waiting: Waiting, host_function: str, sign: int, write: Write, results: int, trap_ret: int) -> None:
        """Note what the guest waits for."""
        raise NotImplementedError

    def resume(self) -> bool:
        """Hand the number over that the guest waited for; False while there is none."""
        raise NotImplementedError

    def on_epoch(self, delta: int, kind: int) -> int:
        """Decide at an epoch tick whether the guest goes on; gives an error's pointer to end it, or 0."""
        raise NotImplementedError

    def _continue(
        self, now: float, deadline: float, delta: int, kind: int, *, is_fresh: bool, ticks: int = SLICE_TICKS
    ) -> int:
        if self.stopped is not None or now >= deadline or self.context.cancelled:
            self._cause = self.stopped or self.context.overdue()
            return capi.error_new(b"ended by the engine")
        left = math.ceil(min(deadline - now, _FOREVER) / TICK_SECONDS)
        capi.store_u64(delta, max(1, min(ticks, left)))
        capi.store_u8(kind, capi.EPOCH_CONTINUE if is_fresh else capi.EPOCH_YIELD)
        return 0

    def _bind(self, is_found: bool) -> LinearMemory:
        if is_found and self._slots.memory.kind == capi.EXTERN_MEMORY:
            item = self._at + MEMORY_ITEM
            base = capi.memory_data(self._context_pointer, item) or 0
            memory = LinearMemory(base, partial(capi.memory_data_size, self._context_pointer, item))
        else:
            memory = LinearMemory()
        self._memory = self.context.memory = memory
        self.bound = True
        return memory

    # -- outside ------------------------------------------------------------------------------------------------------

    @property
    def memory_held(self) -> int:
        """Bytes of linear memory, as far as they are known; exact while the guest is suspended."""
        length = self._noted_bytes if self._memory is None else self._memory.length
        if not length:
            return 0
        others = (self.prepared.memories - 1) * (self.memory_bytes // self.prepared.memories)
        return length + others

    def own_memory(self) -> LinearMemory:
        """Give the guest's memory to the host, between two calls of the instance."""
        if self._memory is not None:
            return self._memory
        at = self._at
        return self._bind(capi.export_get(self._context_pointer, at + INSTANCE, b"memory", 6, at + MEMORY))

    def grow(self, pages: int) -> bool:
        """Add pages to the guest's memory, between two calls of the instance; False when it can have no more."""
        before = ctypes.c_uint64()
        error = capi.memory_grow(self._context_pointer, self._at + MEMORY_ITEM, pages, ctypes.addressof(before))
        if error:
            capi.take_error(error)
        return not error

    def _note_memory(self) -> None:
        """Measure the memory of a guest that is about to be suspended."""
        if self._memory is None:
            self._noted_bytes = self._measure() if self.prepared.interface.exports_memory else 0
        else:
            self._memory.measure()

    def _find(self, export: Export) -> None:
        name = export.name
        if not capi.export_get(self._context_pointer, self._at + INSTANCE, name, len(name), self._at + EXPORT):
            raise RuntimeError(f"export {name!r} vanished")

    def _check(self) -> None:
        """Raise what ended the guest, if something did; ``GuestExit`` is kept as :attr:`exit_code` and ends it well."""
        slots = self._slots
        if slots.trap:
            found: Any = capi.take_trap(slots.trap)
            slots.trap = None
        elif slots.error:
            found = capi.take_error(slots.error)
            slots.error = None
        else:
            return
        if isinstance(self._cause, GuestExit):
            self.exit_code = self._cause.exit_code
            self._cause = None
            return
        raise self._failure(found)

    def _failure(self, found: Any) -> BaseException:
        # By itself: the cause is mostly what is raised, and in a frame of its own traceback it would keep itself, and
        # all that the call has, until the collector comes round.
        cause, self._cause = self._cause, None
        held = 0 if cause is not None else self._measure()
        return failure(self.context, found, cause, self._failed_in, held, self.memory_bytes)

    def _measure(self) -> int:
        name = b"memory"
        at = self._at
        if not self._slots.instance.store_id or not capi.export_get(
            self._context_pointer, at + INSTANCE, name, len(name), at + MEMORY
        ):
            return 0
        if self._slots.memory.kind != capi.EXTERN_MEMORY:
            return 0
        return int(capi.memory_data_size(self._context_pointer, at + MEMORY_ITEM))
