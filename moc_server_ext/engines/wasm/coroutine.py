"""Guests as coroutines: on a fibre each, with at most one future, which only its driver polls.

What the library gets by reference lives as long as the future does; while a future lives, the store is touched only
inside callbacks. The guest knows nothing of how it is driven: a poll ends when the guest is done, waits for something
(:attr:`CoroutineGuest.waiting_for`), or has computed for a slice.
"""

from __future__ import annotations

import ctypes
import time
from typing import Any

from ...guest_api.context import CallContext
from ...guest_api.errno import GuestErrno
from ...guest_api.registry import Waiting
from ...model import Mode, Number
from . import capi
from .guest import ERROR, FIRST_SLICE_TICKS, FUNC, INSTANCE, SLICE_TICKS, TRAP, Guest, Write
from .prepared import Export, Prepared
from .ticker import TICK_SECONDS

Answer = Number | tuple[Number, ...] | BaseException | None
"""What a host function gives in the end: numbers as its type says, or the exception with which it ends."""

Use = tuple[tuple[Any, ...], tuple[Any, ...]]
"""Which calls an instance may serve: those of this function, caller and kind, as long as the function is this one.

First function, caller, and how the instance was made and linked; then blob, grants, and whether it is deterministic.
"""


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
            # Much memory takes long to give back: that is for whoever ends the guest, not for whoever has its result.
            self.context.forget_buffers()
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
