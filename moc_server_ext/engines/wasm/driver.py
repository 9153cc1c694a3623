"""Drives guests to their end on the calling thread, without an event loop.

A call made by a guest is a guest of its own on an explicit stack; no host callback ever enters WebAssembly. Only the
guest on top is polled; those below wait for it.
"""

from __future__ import annotations

from collections.abc import Callable

from ...errors import MocError
from ...guest_api.context import CallContext
from ...guest_api.registry import NestedCall, Work
from ...model import CallResult
from .guest import CoroutineGuest
from .interrupts import DeferredInterrupt
from .prepared import Export, Prepared

Load = Callable[[], bytes]
Resolve = Callable[[CallContext, Load], tuple[Prepared, Export]]
Finish = Callable[[CoroutineGuest], CallResult]


class BlockingDriver:
    """Runs one call tree at a time on each thread that asks.

    Parameters
    ----------
    resolve
        Gives the module and the entry point of a context, from what loads the module; may compile.
    finish
        Makes the result of a guest that is done.
    """

    def __init__(self, resolve: Resolve, finish: Finish) -> None:
        self._resolve = resolve
        self._finish = finish

    def run(self, context: CallContext, load: Load) -> CallResult:
        """Run `context` and all calls that its guests make; returns when the root guest has ended.

        Raises
        ------
        MocError
            The root guest failed, or reached a limit. All guests of the tree are gone.
        KeyboardInterrupt
            On the main thread only. All guests of the tree are gone.
        """
        tree = _Tree(self._resolve, self._finish)
        return tree.run(context, load)


class _Tree:
    """One call tree: its guests, the calls between them, and Ctrl-C held back while one of them runs."""

    def __init__(self, resolve: Resolve, finish: Finish) -> None:
        self._resolve = resolve
        self._finish = finish
        self._interrupt = DeferredInterrupt()
        self._guests: list[CoroutineGuest] = []
        self._calls: list[NestedCall] = []

    def run(self, context: CallContext, load: Load) -> CallResult:
        guests, interrupt = self._guests, self._interrupt
        try:
            self._push(context, load, context.invocation.limits.memory_bytes)
            while True:
                guest = guests[-1]
                outcome: CallResult | MocError
                try:
                    done = guest.poll()
                    if done:
                        outcome = self._finish(guest)
                except MocError as error:
                    if len(guests) == 1:
                        raise
                    done, outcome = True, error
                if interrupt.pending:
                    interrupt.release()
                    interrupt.hold()
                if done:
                    guests.pop().close()
                    if not guests:
                        return outcome  # type: ignore[return-value] # the root's errors were raised
                    self._hand_back(guests[-1], self._calls.pop(), outcome)
                elif guest.waiting_for is not None:
                    interrupt.release()
                    self._serve(guest)
                    interrupt.hold()
        finally:
            # Ctrl-C a second time must not come between a guest and its end.
            interrupt.hold()
            for each in reversed(guests):
                each.close()
            interrupt.release()

    def _push(self, context: CallContext, load: Load, memory_bytes: int) -> None:
        prepared, entry = self._resolve(context, load)
        # From here on nothing may be interrupted: the guest must be on the stack, from which it is closed.
        self._interrupt.hold()
        self._guests.append(CoroutineGuest(prepared, context, memory_bytes, entry, context.invocation.numbers))

    def _serve(self, guest: CoroutineGuest) -> None:
        wanted = guest.waiting_for
        try:
            if isinstance(wanted, Work):
                guest.answer(wanted.run())
            elif isinstance(wanted, NestedCall):
                self._call(guest, wanted)
            else:
                raise TypeError(f"a waiting host function gave {wanted!r}, which is no Work")
        except Exception as error:
            # Whatever a host function raises is its guest's end, or its number.
            guest.answer(error)

    def _call(self, parent: CoroutineGuest, call: NestedCall) -> None:
        child: CallContext = call.prepare()
        services, blob_id = child.services, child.invocation.blob_id
        if services is None:
            raise RuntimeError("a nested call needs services to read its module from")
        memory_bytes = min(parent.memory_bytes - parent.memory_held, child.invocation.limits.memory_bytes)
        try:
            self._push(child, lambda: services.blobs.read(blob_id), memory_bytes)
        except MocError as error:
            self._hand_back(parent, call, error)
        else:
            self._calls.append(call)

    @staticmethod
    def _hand_back(guest: CoroutineGuest, call: NestedCall, outcome: CallResult | MocError) -> None:
        try:
            guest.answer(call.finish(outcome))
        except Exception as error:
            # As in _serve.
            guest.answer(error)
