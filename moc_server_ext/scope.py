"""Call scopes: calls that are cancelled together, such as the tasks of a run or the call behind a coroutine."""

from __future__ import annotations

import threading

from .errors import CancelledError
from .guest_api.context import CallContext


class CallScope:
    """A set of running calls that end together. Thread-safe."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._contexts: set[CallContext] = set()
        self._cancelled = False

    @property
    def cancelled(self) -> bool:
        """Whether :meth:`cancel` was called."""
        return self._cancelled

    def cancel(self) -> None:
        """Cancel what runs in this scope and refuse what would start in it later; idempotent, returns at once."""
        with self._lock:
            self._cancelled = True
            for context in self._contexts:
                context.cancel()

    def add(self, context: CallContext) -> None:
        """Let `context` be cancelled with the scope; CancelledError if the scope is cancelled already."""
        with self._lock:
            if self._cancelled:
                raise CancelledError(context.invocation.function)
            self._contexts.add(context)

    def discard(self, context: CallContext) -> None:
        """Let go of a call that has ended; idempotent."""
        with self._lock:
            self._contexts.discard(context)
