"""Host functions that are other functions: what an import calls that is bound to an export of a registered function.

Whether the function is there, has the type and may be called is asked at every call, of ``CallServices.bound``; nothing
of it is kept here. A callee that fails ends its caller: an import has no number to spare for "it failed".
"""

from __future__ import annotations

import math
from typing import Any

from ..errors import GuestError, GuestExitError, MocError
from ..model import BoundImport, CallResult, Number
from .context import CallContext
from .registry import HostFunction, NestedCall


class CalleeFailedError(Exception):
    """A callee's failure on its way into its caller, whose end it is; never leaves the engine.

    Attributes
    ----------
    error
        What the callee ended with.
    """

    def __init__(self, error: GuestError) -> None:
        super().__init__(error.message)
        self.error = error


def bound_function(wanted: BoundImport) -> HostFunction:
    """Make the host function behind an import: it calls the export that satisfies it, in an instance of its own."""

    def body(call: CallContext, *numbers: Number) -> NestedCall:
        child: CallContext | None = None

        def prepare() -> CallContext:
            nonlocal child
            if call.services is None:
                raise RuntimeError("an import that is bound to a function needs services to find it")
            child = call.services.bound(call, wanted, tuple(map(canonical, numbers)))
            return child

        def finish(outcome: CallResult | MocError) -> Number | tuple[Number, ...] | None:
            if child is not None:
                call.take_stderr(child)
            if isinstance(outcome, GuestError):
                raise CalleeFailedError(outcome)
            if isinstance(outcome, MocError):
                raise outcome
            if outcome.exit_code is not None:
                raise CalleeFailedError(GuestExitError(wanted.function, outcome.exit_code))
            result = outcome.result
            return tuple(map(canonical, result)) if isinstance(result, tuple) else canonical(result)

        return NestedCall(prepare, finish)

    parameters = tuple(f"p{index}" for index in range(len(wanted.signature.params)))
    return HostFunction(f"{wanted.function}.{wanted.export}", wanted.signature, parameters, body, waits=True)


def canonical(number: Number | None) -> Any:
    """Give a number as all processors pass it on: a NaN loses its sign and payload."""
    return math.nan if number != number else number
