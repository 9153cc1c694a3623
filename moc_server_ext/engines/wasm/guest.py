"""A guest: one store, one instance and at most one future, which only its driver polls.

Everything that the library gets by reference lives in the guest's own slots, as long as its future does. While a future
lives, the store is touched only inside callbacks. The guest knows nothing of how it is driven: a poll ends when the
guest is done, waits for something (:attr:`Guest.waiting_for`), or has computed for a slice.
"""

from __future__ import annotations

import ctypes
import math
import time
from collections.abc import Callable
from functools import partial
from typing import Any, Final

from ...guest_api.context import CallContext
from ...guest_api.errno import GuestErrno
from ...guest_api.registry import Waiting
from ...model import Mode, Number
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

Answer = Number | tuple[Number, ...] | BaseException | None
"""What a host function gives in the end: numbers as its type says, or the exception with which it ends."""

Write = Callable[[int, Any], None]
"""Writes a host function's numbers at the address that it was given for them."""

Use = tuple[tuple[Any, ...], tuple[Any, ...]]
"""Which calls an instance may serve: those of this function, caller and kind, as long as the function is this one.

First function, caller, and how the instance was made and linked; then blob, grants, and whether it is deterministic.
"""


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
        cause, self._cause = self._cause, None
        if isinstance(cause, GuestExit):
            self.exit_code = cause.exit_code
            return
        held = 0 if cause is not None else self._measure()
        raise failure(self.context, found, cause, self._failed_in, held, self.memory_bytes)

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


class CoroutineGuest(Guest):
    """A guest on a fibre of its own: it can wait, and gives the thread back after each slice.

    Parameters
    ----------
    entry
        The export to call once there is an instance.
    numbers
        Its checked arguments.

    Attributes
    ----------
    waiting_for
        What the driver must do before it polls again; None while the guest computes.
    result
        The numbers that the entry point returned.
    began_ns
        ``time.perf_counter_ns()`` at the start.
    calls
        How many calls the instance has begun to serve.
    use
        Which calls the instance may serve after this one; None for no other.
    resets
        Whether the polls run the module's reset, and no longer the call.
    """

    __slots__ = ("_answer", "_calls", "_future", "_host_function", "_is_over", "_rests", "_resume_at", "_sign",
                 "_slice_began", "_slice_ticks", "_values", "_wanted", "began_ns", "calls", "resets",
                 "result", "use", "waiting_for")  # fmt: skip

    def __init__(
        self,
        prepared: Prepared,
        context: CallContext,
        memory_bytes: int,
        entry: Export,
        numbers: tuple[Number, ...],
    ) -> None:
        super().__init__(prepared, context, memory_bytes)
        self.calls = 0
        self.use: Use | None = None
        self.waiting_for: Waiting | None = None
        self._answer: Answer = None
        self._host_function = ""
        self._sign = 1
        self._resume_at: tuple[Write, int, int]
        self._slice_began = 0.0
        self._slice_ticks = FIRST_SLICE_TICKS
        self._values: Any = None
        self._begin(entry, numbers)
        if prepared.initialize is not None and context.invocation.mode is Mode.DIRECT:
            self._calls.append((prepared.initialize, ()))
        at = self._at
        self._future = capi.instantiate_async(
            prepared.pre_pointer(context.live), self._context_pointer, at + INSTANCE, at + TRAP, at + ERROR
        )

    def _begin(self, entry: Export, numbers: tuple[Number, ...]) -> None:
        self.prepared.machine.ticker.enter()
        self.began_ns = time.perf_counter_ns()
        self.calls += 1
        self.result: Number | tuple[Number, ...] | None = None
        self.resets = self._rests = self._is_over = False
        self._wanted: Export | None = None
        self._calls = [(entry, numbers)]

    def close(self) -> None:
        """End the guest wherever it is and give its memory back; idempotent."""
        if self._future:
            capi.future_delete(self._future)
            self._future = 0
        if self._store and not self._rests:
            self.prepared.machine.ticker.leave()
        super().close()

    # -- one instance, several calls ----------------------------------------------------------------------------------

    def reset(self, export: Export, context: CallContext) -> None:
        """Let the polls that follow run what makes an instance that has served its call ready for the next.

        Parameters
        ----------
        context
            A call of its own: what the reset reads and writes is none of the call that was served.
        """
        self._let_go()
        self._take_up(context)
        self.resets = True
        self._is_over = False
        self._wanted = None
        self._calls = [(export, ())]

    def rest(self) -> int:
        """Forget the call that was served; only :meth:`renew` and :meth:`close` may follow. Gives the memory held."""
        self._note_memory()
        if self._memory is not None:
            self._noted_bytes = self._memory.length
        self._let_go()
        del self.context
        self._answer = None
        self._rests = True
        self.prepared.machine.ticker.leave()
        return self.memory_held

    def renew(self, context: CallContext, memory_bytes: int, entry: Export, numbers: tuple[Number, ...]) -> None:
        """Serve another call with the same instance; the parameters are those of a new guest."""
        self._take_up(context)
        if memory_bytes != self.memory_bytes:
            self._limit(memory_bytes)
        self._begin(entry, numbers)

    def poll(self, slice_ticks: int = SLICE_TICKS) -> bool:
        """Run until the guest is done (True), waits, or has computed for a slice (False).

        What a program that ended by itself has left open is waited for as well: it is done once that is stored.

        Parameters
        ----------
        slice_ticks
            How long a slice is, for a guest that goes on after a wait.

        Raises
        ------
        MocError
            The guest failed, or reached a limit. It only remains to be closed.
        """
        current = self._current
        before = current.guest
        current.guest = self
        self._slice_ticks = slice_ticks
        self._slice_began = time.monotonic()
        try:
            if not self._is_over and not self._run():
                return False
            return self._end()
        finally:
            current.guest = before

    def _run(self) -> bool:
        """Run until the guest has ended by itself (True), waits, or has computed for a slice (False)."""
        while not self._future or capi.future_poll(self._future):
            if self._future:
                capi.future_delete(self._future)
                self._future = 0
                self._check()
                if self.exit_code is not None:
                    self._is_over = True
                    return True
            began = self._next()
            if not began:
                self._is_over = began is False
                return self._is_over
        return False

    def _end(self) -> bool:
        """See to it that what the program left open is stored: the call's result says that it is. False to wait."""
        wasi = self.context.wasi
        if wasi is None or not self.context.live:
            return True
        answer, self._answer = self._answer, None
        if isinstance(answer, BaseException):
            raise answer
        self.waiting_for = wasi.before_end(self.context)
        return self.waiting_for is None

    def _next(self) -> bool | None:
        """Begin the instance's next call: True. False when there is none; None to be asked again at a later poll."""
        if self._wanted is not None and not self._calls:
            self.result = self._wanted.values.get(ctypes.addressof(self._values))
            return False
        export, numbers = self._calls.pop()
        self._find(export)
        layout = export.values
        self._wanted = export
        self._values = layout.allocate()
        values = ctypes.addressof(self._values)
        layout.put(values, numbers)
        signature = layout.signature
        at = self._at
        self._future = capi.func_call_async(
            self._context_pointer, at + FUNC, values, len(signature.params), values + layout.results_offset,
            len(signature.results), at + TRAP, at + ERROR,
        )  # fmt: skip
        return True

    def answer(self, outcome: Answer) -> None:
        """Give the guest what it waited for: its numbers, or the exception with which its host function ends.

        A ``GuestErrno`` becomes the guest's number; anything else ends the guest at its next poll, and so does an
        answer that comes after the guest's time.
        """
        if time.monotonic() >= self.context.deadline:
            outcome = self.context.overdue()
        self._answer = self._sign * outcome.number if isinstance(outcome, GuestErrno) else outcome
        self.waiting_for = None

    def wait(self, waiting: Waiting, host_function: str, sign: int, write: Write, results: int, trap_ret: int) -> None:
        """Note what the guest waits for."""
        if self._memory is not None:
            self._memory.freeze()
        self._host_function = host_function
        self._sign = sign
        self._resume_at = (write, results, trap_ret)
        self.waiting_for = waiting

    def resume(self) -> bool:
        """Hand the number over that the guest waited for; False while there is none."""
        if self.waiting_for is not None:
            return False
        if self._memory is not None:
            self._memory.thaw()
        write, results, trap_ret = self._resume_at
        # An exception's traceback leads back to the guest: kept, it would be a ring.
        answer, self._answer = self._answer, None
        if not isinstance(answer, BaseException):
            try:
                write(results, answer)
                return True
            except Exception as error:
                # Not of the function's type, which no body should give; a continuation must not raise.
                answer = error
        capi.store_pointer(trap_ret, self.fail(answer, self._host_function))
        return True

    def on_epoch(self, delta: int, kind: int) -> int:
        """End the guest when its time is over, else give the thread back."""
        now = time.monotonic()
        # After a wait the deadline is stale, and is reached at once although the guest has hardly begun.
        is_fresh = now - self._slice_began < TICK_SECONDS
        if not is_fresh:
            self._note_memory()
        # Whoever has computed for a slice goes on where slices are long.
        ticks = self._slice_ticks if is_fresh else SLICE_TICKS
        return self._continue(now, self.context.deadline, delta, kind, is_fresh=is_fresh, ticks=ticks)
