"""Warm instances: one instance that answers many direct calls of one caller, for functions that say they are reusable.

The store is synchronous, so a call costs a few microseconds. It ends at its deadline by the epoch, and Ctrl-C is seen
at each tick. Modules that import waiting functions cannot run so; the engine gives them the instances
of the engine's pool.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from types import TracebackType
from typing import Any, Protocol, Self

from ...abc import CallServices
from ...buffers.exchange import ExchangeBuffer
from ...errors import ConflictError, MocError, TrapError
from ...guest_api.context import CallContext
from ...interrupts import DeferredInterrupt
from ...model import CallResult, Invocation, Number
from .array_calls import ArrayCall, Region
from .prepared import Export, Prepared
from .results import finished
from .synchronous import SynchronousGuest
from .warm_pool import CALLS_PER_INSTANCE, tell_reset_failed


class WarmInstance(Protocol):
    """Answers direct calls; a context manager. Belongs to one thread at a time.

    Attributes
    ----------
    is_worn
        Whether the next call had better get a fresh one: it has served many, holds too much memory, or could not be
        made ready for another.
    """

    is_worn: bool

    def call(self, *numbers: Number) -> Number | tuple[Number, ...] | None:
        """Call the export once.

        Raises
        ------
        InvalidArgumentsError
            Count or types are wrong. The instance stays usable.
        TrapError, LimitExceededError
            The guest failed. The instance is retired: further calls raise ConflictError.
        """
        ...

    def run(self, context: CallContext) -> CallResult:
        """Call the export, an array function, with the input and the numbers of `context`.

        Raises
        ------
        MocError
            The guest failed, or was given no array. The instance is retired.
        """
        ...

    def close(self) -> None:
        """Let go of the instance; idempotent."""
        ...

    def __enter__(self) -> Self: ...
    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None: ...


class _Closing:
    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """Let go of the instance; idempotent."""


class WarmGuest(_Closing):
    """The usual :class:`WarmInstance`.

    Parameters
    ----------
    services
        What host functions may reach outside of the call.
    """

    def __init__(
        self, prepared: Prepared, invocation: Invocation, entry: Export, services: CallServices | None
    ) -> None:
        self._imports_any = prepared.imports_any
        self._invocation = invocation
        self._timeout = invocation.limits.timeout_seconds
        self._services = services
        self._layout = entry.raw
        self._entry = entry
        self._reset = prepared.reset
        self._region = Region()
        self._left = CALLS_PER_INSTANCE
        self.is_worn = False
        self._space = self._layout.allocate()
        self._interrupt = DeferredInterrupt()
        context = self._context()
        self._guest: SynchronousGuest | None = SynchronousGuest(
            prepared, context, invocation.limits.memory_bytes, self._interrupt
        )
        self._inside(self._guest.instantiate)
        initialize = prepared.initialize
        if initialize is not None:
            self._guest.find(initialize)
            self._inside(self._guest.call, initialize.raw.allocate(), 1)
        self._guest.find(entry)

    def call(self, *numbers: Number) -> Number | tuple[Number, ...] | None:
        """Call the export once; see :class:`WarmInstance`."""
        guest = self._guest
        if guest is None:
            raise _gone()
        layout, space = self._layout, self._space
        layout.put(space, self._invocation.function, self._entry.shown_name, numbers)
        if self._imports_any:
            guest.renew(self._context())
        guest.deadline = time.monotonic() + self._timeout
        interrupt = self._interrupt
        # As in _inside; this is where a microsecond counts.
        interrupt.hold()
        try:
            guest.call(space, layout.slots)
        except BaseException:
            self.close()
            raise
        finally:
            interrupt.release()
        result = layout.get(space) if guest.exit_code is None else None
        self._left -= 1
        if self._reset is not None or not self._left or guest.exit_code is not None:
            self._make_ready(guest)
        return result

    def run(self, context: CallContext) -> CallResult:
        """Call the export, an array function; see :class:`WarmInstance`."""
        guest = self._guest
        if guest is None:
            raise _gone()
        began_ns = time.perf_counter_ns()
        guest.renew(context)
        guest.deadline = context.deadline
        try:
            self._pass_array(guest, context)
        except BaseException:
            self.close()
            raise
        result = finished(context, result=None, exit_code=None, began_ns=began_ns)
        self._left -= 1
        # Guests cannot give memory back, and few use again what they took for a result.
        self.is_worn = 2 * guest.memory_held > guest.memory_bytes
        self._make_ready(guest)
        return result

    def _make_ready(self, guest: SynchronousGuest) -> None:
        """Prepare the instance for its next call, or say that it had better have none."""
        if not self._left or guest.exit_code is not None:
            self.is_worn = True
        elif self._reset is not None and not self.is_worn:
            guest.renew(self._context())
            guest.find(self._reset)
            try:
                self._inside(guest.call, self._reset.raw.allocate(), 1)
                guest.find(self._entry)
            except MocError as error:
                tell_reset_failed(guest.context, error)
            self.is_worn = self._guest is None or guest.exit_code is not None

    def _pass_array(self, guest: SynchronousGuest, context: CallContext) -> None:
        layout, space, entry = self._layout, self._space, self._entry
        call = ArrayCall(context, entry)
        call.place(guest, self._region)
        while not call.fill():
            pass
        layout.put(space, context.invocation.function, entry.shown_name, call.arguments(context.invocation.numbers))
        self._inside(self._enter_with, guest, call)
        call.check(layout.get(space), guest.exit_code)
        while not call.take():
            pass

    def _enter_with(self, guest: SynchronousGuest, array_call: ArrayCall) -> None:
        try:
            guest.call(self._space, self._layout.slots)
        except TrapError as error:
            array_call.check_memory(error)
            raise

    def close(self) -> None:
        """Let go of the instance; idempotent."""
        guest, self._guest = self._guest, None
        if guest is not None:
            guest.close()

    def _context(self) -> CallContext:
        return CallContext(self._invocation, ExchangeBuffer(b""), services=self._services)

    def _inside(self, act: Callable[..., None], *arguments: Any) -> None:
        interrupt = self._interrupt
        interrupt.hold()
        try:
            act(*arguments)
        except BaseException:
            self.close()
            raise
        finally:
            interrupt.release()


def _gone() -> ConflictError:
    return ConflictError("The warm instance is gone: it was closed, or its guest failed. Make a new one.")


class PooledInstances(_Closing):
    """A :class:`WarmInstance` for modules that wait, whose instances are those of :mod:`.warm_pool`.

    Parameters
    ----------
    run
        Runs the module once.
    context
        Makes a context of these numbers.
    """

    is_worn = False

    def __init__(
        self, run: Callable[[CallContext], CallResult], context: Callable[[tuple[Number, ...]], CallContext]
    ) -> None:
        self._run = run
        self._context = context

    def call(self, *numbers: Number) -> Number | tuple[Number, ...] | None:
        """Call the export once; see :class:`WarmInstance`."""
        return self._run(self._context(numbers)).result

    def run(self, context: CallContext) -> CallResult:
        """Call the export, an array function; see :class:`WarmInstance`."""
        return self._run(context)
