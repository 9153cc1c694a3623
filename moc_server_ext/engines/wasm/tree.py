"""A call tree: the guest that was called, the guests that it called, and so on, on an explicit stack.

No host callback ever enters WebAssembly: a call made by a guest is a guest of its own. Only the one on top is polled;
those below wait for it. Who polls, on which thread and when, is the drivers' business (:mod:`.driver`,
:mod:`.loop_driver`); so is what the tree waits for.
"""

from __future__ import annotations

from collections.abc import Callable

from ...errors import MocError, OverloadedError
from ...guest_api.context import CallContext
from ...guest_api.registry import NestedCall, Wait, Waiting, Work
from ...model import CallResult
from .coroutine import CoroutineGuest
from .guest import SLICE_TICKS
from .prepared import Export, Prepared
from .warm_pool import WarmPool, tell_reset_failed

Load = Callable[[], bytes]
Resolve = Callable[[CallContext, Load], tuple[Prepared, Export]]
Finish = Callable[[CoroutineGuest], CallResult]


class CallTree:
    """The guests of one call from outside. Belongs to one driver, and to one thread at a time.

    Parameters
    ----------
    context
        The root's.
    resolve
        Gives the module and the entry point of a context, from what loads the module; may compile.
    finish
        Makes the result of a guest that is done.
    pool
        Lends the guests.
    """

    __slots__ = ("_calls", "_finish", "_guests", "_pool", "_resetting", "_resolve", "context")

    def __init__(self, context: CallContext, resolve: Resolve, finish: Finish, pool: WarmPool) -> None:
        self.context = context
        self._resolve = resolve
        self._finish = finish
        self._pool = pool
        # What the calls gave whose instances are being made ready for the next, innermost last.
        self._resetting: list[CallResult] = []
        self._guests: list[CoroutineGuest] = []
        self._calls: list[NestedCall] = []

    @property
    def waiting_for(self) -> Waiting | None:
        """What must happen before the next poll; None when there is nothing."""
        return self._guests[-1].waiting_for

    @property
    def top(self) -> CallContext:
        """The context of the guest that runs or waits."""
        return self._guests[-1].context

    @property
    def memory_held(self) -> int:
        """Bytes of linear memory of all guests, as far as they are known."""
        return sum(each.memory_held for each in self._guests)

    def begin(self, prepared: Prepared, entry: Export) -> None:
        """Make the root's guest."""
        context = self.context
        self._push(context, prepared, entry, context.invocation.limits.memory_bytes)

    def poll(self, slice_ticks: int = SLICE_TICKS) -> CallResult | None:
        """Run the guest on top for a slice; gives the root's result once that is done.

        Parameters
        ----------
        slice_ticks
            How long a slice is, for a guest that goes on after a wait.

        Raises
        ------
        MocError
            The root failed, or reached a limit. The tree only remains to be closed.
        """
        guests = self._guests
        guest = guests[-1]
        outcome: CallResult | MocError
        try:
            if not guest.poll(slice_ticks):
                return None
            if guest.resets:
                outcome = self._resetting.pop()
            else:
                outcome = self._finish(guest)
                if self._pool.begin_reset(guest):
                    self._resetting.append(outcome)
                    return None
            self._pool.take_back(guest)
        except MocError as error:
            if guest.resets:
                outcome = self._resetting.pop()
                tell_reset_failed(guest.context, error)
            elif len(guests) == 1:
                raise
            else:
                # Its traceback leads back here, and so to itself and to all guests.
                outcome = error.with_traceback(None)
            guest.close()
        guests.pop()
        if not guests:
            return outcome  # type: ignore[return-value] # the root's errors were raised
        self._hand_back(self._calls.pop(), outcome)
        return None

    def settle(self, waiting: Work | Wait, outcome: object) -> None:
        """Give the guest on top what it waited for: a value, or the exception that came instead."""
        guest = self._guests[-1]
        try:
            if isinstance(outcome, BaseException):
                raise outcome
            guest.answer(waiting.finish(outcome))
        except Exception as error:
            # Whatever a host function raises is its guest's end, or its number.
            guest.answer(error)

    def find_callee(self, call: NestedCall) -> Callee:
        """Resolve a call that the guest on top makes; may block, and touches no guest."""
        child: CallContext = call.prepare()
        services, blob_id = child.services, child.invocation.blob_id
        if services is None:
            raise RuntimeError("a nested call needs services to read its module from")
        try:
            return Callee(child, *self._resolve(child, lambda: services.blobs.read(blob_id)))
        except MocError as error:
            return Callee(child, error=error)

    def enter(self, call: NestedCall, callee: Callee | BaseException) -> None:
        """Begin a call that the guest on top makes, or tell it why that cannot be."""
        guest = self._guests[-1]
        if isinstance(callee, BaseException):
            guest.answer(callee)
        elif self.context.place is not None and not self.context.place.has_room:
            self._hand_back(call, OverloadedError())
        elif callee.prepared is None or callee.entry is None:
            self._hand_back(call, callee.error or RuntimeError("a callee without module and error"))
        else:
            limits = callee.context.invocation.limits
            room = min(guest.memory_bytes - guest.memory_held, limits.memory_bytes)
            self._push(callee.context, callee.prepared, callee.entry, room)
            self._calls.append(call)

    def close(self) -> None:
        """End all guests and give their memory back; idempotent."""
        while self._guests:
            self._guests.pop().close()

    def _push(self, context: CallContext, prepared: Prepared, entry: Export, memory_bytes: int) -> None:
        self._guests.append(self._pool.lend(prepared, context, entry, memory_bytes))

    def _hand_back(self, call: NestedCall, outcome: CallResult | Exception) -> None:
        guest = self._guests[-1]
        try:
            guest.answer(call.finish(outcome))
        except Exception as error:
            # As in settle.
            guest.answer(error)


class Callee:
    """What a nested call was resolved to: a module, or the error why there is none."""

    __slots__ = ("context", "entry", "error", "prepared")

    def __init__(
        self,
        context: CallContext,
        prepared: Prepared | None = None,
        entry: Export | None = None,
        error: MocError | None = None,
    ) -> None:
        self.context = context
        self.prepared = prepared
        self.entry = entry
        self.error = error
