"""Guests that run on their caller's own stack, in one go: quicker to enter than coroutines, and unable to wait."""

from __future__ import annotations

import time
from typing import Any

from ...guest_api.context import CallContext
from ...guest_api.registry import Waiting
from ...interrupts import DeferredInterrupt
from . import capi
from .guest import FUNC, INSTANCE, SLICE_TICKS, TRAP, Guest, Write
from .prepared import Export, Prepared


class SynchronousGuest(Guest):
    """A guest on the caller's own stack: it cannot wait, and leaves only at its end.

    Parameters
    ----------
    interrupt
        Tells whether Ctrl-C came.

    Attributes
    ----------
    deadline
        ``time.monotonic()`` at which the present call's time is over.
    """

    __slots__ = ("_export_at", "_interrupt", "_pre_pointer", "_trap_at", "deadline")

    def __init__(
        self, prepared: Prepared, context: CallContext, memory_bytes: int, interrupt: DeferredInterrupt
    ) -> None:
        super().__init__(prepared, context, memory_bytes)
        self.deadline = context.deadline
        self._interrupt = interrupt
        self._pre_pointer = prepared.pre_pointer(live=False)
        self._export_at = self._at + FUNC
        self._trap_at = self._at + TRAP

    def on_epoch(self, delta: int, kind: int) -> int:
        """End the guest when its time is over or Ctrl-C came."""
        if self._interrupt.pending:
            # The cause is whatever the real handler does once the guest is left.
            self.stopped = KeyboardInterrupt()
        return self._continue(time.monotonic(), self.deadline, delta, kind, is_fresh=True)

    def instantiate(self) -> None:
        """Make the instance, which runs its start function."""
        at = self._at
        current = self._current
        before = current.guest
        current.guest = self
        try:
            error = capi.instantiate(self._pre_pointer, self._context_pointer, at + INSTANCE, at + TRAP)
        finally:
            current.guest = before
        self._slots.error = error
        self._check()

    def find(self, export: Export) -> None:
        """Choose what :meth:`call` calls."""
        self._find(export)

    def call(self, space: Any, count: int) -> None:
        """Call the chosen export.

        Parameters
        ----------
        space, count
            Arguments as ``wasmtime_val_raw_t``, which the results overwrite, and how many fit there.
        """
        context, current = self._context_pointer, self._current
        capi.set_epoch_deadline(context, SLICE_TICKS)
        before = current.guest
        current.guest = self
        try:
            error = capi.func_call_unchecked(context, self._export_at, space, count, self._trap_at)
        finally:
            current.guest = before
        slots = self._slots
        if error or slots.trap:
            slots.error = error
            self._check()

    def renew(self, context: CallContext) -> None:
        """Serve another call with the same instance."""
        if self._memory is not None:
            context.memory = self._memory
        if self.prepared.uses_wasi:
            context.wasi = self.context.wasi
        self.context = context

    def wait(self, waiting: Waiting, host_function: str, sign: int, write: Write, results: int, trap_ret: int) -> None:
        """Cannot happen: modules that import waiting functions are not run synchronously."""
        raise RuntimeError(f"{host_function} waits in a synchronous guest")

    def resume(self) -> bool:
        """Cannot happen, as :meth:`wait`."""
        return True
