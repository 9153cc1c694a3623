"""Drives guests to their end on the calling thread: for callers without an event loop (plans, the CLI, a cell).

Blocking work runs on the calling thread as well; what a guest waits for on a loop is awaited on one loop for all.
"""

from __future__ import annotations

import time
from concurrent.futures import CancelledError as WaitCancelledError
from concurrent.futures import Future, wait
from typing import Any, Final

from ...guest_api.context import CallContext
from ...guest_api.registry import NestedCall, Wait, Waiting, Work
from ...interrupts import DeferredInterrupt
from ...model import CallResult
from .loop_thread import LoopThread
from .tree import Callee, CallTree, Finish, Load, Resolve
from .warm_pool import WarmPool

# Python sees a Ctrl-C that came just before a lock was waited for only when the waiting ends.
_LOOK_SECONDS: Final = 0.5


class BlockingDriver:
    """Runs one call tree at a time on each thread that asks.

    Parameters
    ----------
    resolve, finish, pool
        See :class:`.tree.CallTree`.
    """

    def __init__(self, resolve: Resolve, finish: Finish, pool: WarmPool) -> None:
        self._resolve = resolve
        self._finish = finish
        self._pool = pool
        self._waits = LoopThread()

    def run(self, context: CallContext, load: Load) -> CallResult:
        """Run `context` and all calls that its guests make; returns when the root guest has ended.

        Raises
        ------
        MocError
            The root guest failed, or reached a limit. All guests of the tree are gone.
        KeyboardInterrupt
            On the main thread only. All guests of the tree are gone.
        """
        prepared, entry = self._resolve(context, load)
        run = _Run(CallTree(context, self._resolve, self._finish, self._pool), self._waits)
        interrupt = run.interrupt
        # From here on only the waiting may be interrupted: a guest must be on the stack, from which it is closed.
        interrupt.hold()
        try:
            run.tree.begin(prepared, entry)
            return run.to_end()
        finally:
            # Ctrl-C a second time must not come between a guest and its end.
            interrupt.hold()
            context.when_cancelled(None)
            run.tree.close()
            interrupt.release()

    def close(self) -> None:
        """End what guests wait for; idempotent."""
        self._waits.close()


class _Run:
    """One call tree on its thread, with Ctrl-C held back while one of its guests runs."""

    def __init__(self, tree: CallTree, waits: LoopThread) -> None:
        self.tree = tree
        self.interrupt = DeferredInterrupt()
        self._waits = waits
        self._waited: Future[Any] | None = None

    def to_end(self) -> CallResult:
        tree, interrupt = self.tree, self.interrupt
        place = tree.context.place
        tree.context.when_cancelled(self._on_cancel)
        while True:
            result = tree.poll()
            if interrupt.pending:
                interrupt.release()
                interrupt.hold()
            if result is not None:
                return result
            if place is not None:
                place.hold(tree.memory_held, tree.context.invocation.function)
            waiting = tree.waiting_for
            if waiting is not None:
                if place is not None:
                    place.suspend()
                outcome = self._outcome(waiting)
                if place is not None:
                    place.resume()
                interrupt.hold()
                if isinstance(waiting, NestedCall):
                    tree.enter(waiting, outcome)
                else:
                    tree.settle(waiting, outcome)

    def _outcome(self, waiting: Waiting) -> Any:
        """Give what `waiting` gives, or the exception that it raises."""
        try:
            if isinstance(waiting, Wait):
                return self._await(waiting)
            self.interrupt.release()
            if isinstance(waiting, Work):
                return waiting.run()
            callee: Callee = self.tree.find_callee(waiting)
            return callee
        except Exception as error:
            return error

    def _await(self, waiting: Wait) -> Any:
        context = self.tree.context
        # Ctrl-C before it is submitted would leave a coroutine that nobody runs, or a loop without its thread.
        self._waited = future = self._waits.submit(waiting.start())
        try:
            self.interrupt.release()
            if context.cancelled:
                # It may have been before there was anything to cancel.
                future.cancel()
            while not future.done() and (left := context.deadline - time.monotonic()) > 0:
                wait((future,), min(left, _LOOK_SECONDS))
            return future.result(0)
        except (TimeoutError, WaitCancelledError):
            if future.done() and not future.cancelled():
                raise  # Its own.
            raise context.overdue() from None
        finally:
            future.cancel()
            self._waited = None

    def _on_cancel(self) -> None:
        waited = self._waited
        if waited is not None:
            waited.cancel()
