"""Drives guests on an event loop: no thread for a call, and none for one that waits.

A call of a function that is known to be short runs on the loop itself; all others run on the workers
(:mod:`.run_queue`), since some things that a guest can do are done in one go, however long they take. One that waits
is nowhere, until what it waits for has come. Each turn of the loop spends a bounded time inside of guests, however
many are ready.
"""

from __future__ import annotations

import asyncio
import time
from collections import OrderedDict, deque
from collections.abc import Callable
from concurrent.futures import Executor
from functools import partial
from typing import Any, Final

from ...errors import CancelledError, MocError
from ...guest_api.context import CallContext
from ...guest_api.registry import NestedCall, Wait, Waiting
from ...interrupts import DeferredInterrupt
from ...model import CallResult
from .guest import FIRST_SLICE_TICKS, SLICE_TICKS
from .prepared import Export, Prepared
from .run_queue import RunQueue
from .ticker import TICK_SECONDS
from .tree import CallTree, Finish, Load, Resolve
from .warm_pool import WarmPool

_LOOP_SECONDS: Final = FIRST_SLICE_TICKS * TICK_SECONDS
"""How long one turn of the loop may spend inside of guests before others are served."""

_SLICE_SECONDS: Final = SLICE_TICKS * TICK_SECONDS
_KNOWN_KEPT: Final = 4096
_HELD_UP_SECONDS: Final = 5 * _LOOP_SECONDS
"""Processor time of one poll from which on it has held the loop up: a slice that was not cut in time."""


class LoopDriver:
    """Runs call trees on one event loop.

    Parameters
    ----------
    resolve, finish, pool
        See :class:`.tree.CallTree`.
    at_hand
        Gives what `resolve` would, if that needs neither the disk nor the compiler; else None.
    queue
        Takes guests that compute.
    blocking
        Runs work that blocks.
    """

    def __init__(
        self,
        *,
        resolve: Resolve,
        at_hand: Callable[[CallContext], tuple[Prepared, Export] | None],
        finish: Finish,
        pool: WarmPool,
        queue: RunQueue,
        blocking: Executor,
    ) -> None:
        self._loop = asyncio.get_running_loop()
        self._resolve = resolve
        self._at_hand = at_hand
        self._finish = finish
        self._pool = pool
        self.queue = queue
        self._blocking = blocking
        self._ready: deque[_Run] = deque()
        self._spent_seconds = 0.0
        self._turn: asyncio.Handle | None = None
        # By entry point, the one that was heard of last at the end: whether its last call took no more processor time
        # than a slice, so that the next one begins on the loop. One that has held the loop up never does again.
        self._is_short: OrderedDict[tuple[str, str], bool] = OrderedDict()
        self._held_up: OrderedDict[tuple[str, str], None] = OrderedDict()

    async def run(self, context: CallContext, load: Load) -> CallResult:
        """Run `context` and all calls that its guests make; cancelling the coroutine cancels the call.

        Raises
        ------
        MocError
            The root guest failed, or reached a limit. All guests of the tree are gone.
        """
        found = self._at_hand(context)
        if found is None:
            found = await self._loop.run_in_executor(self._blocking, self._resolve, context, load)
        run = _Run(self, CallTree(context, self._resolve, self._finish, self._pool), self._loop.create_future())
        run.tree.begin(*found)
        run.is_short = self._is_short.get(run.key, False) and self.trusts(run.key)
        context.when_cancelled(partial(self.soon, self._on_cancel, run))
        self._go(run)
        try:
            result: CallResult = await run.result
        except (asyncio.CancelledError, GeneratorExit):
            context.cancel()
            raise
        finally:
            # An error leads back to this frame, and from here it would to itself and to all that the call has.
            del run
        return result

    def soon(self, act: Callable[..., object], *arguments: Any) -> bool:
        """Call `act` on the loop, from any thread; False when the loop is closed."""
        try:
            self._loop.call_soon_threadsafe(act, *arguments)
        except RuntimeError:
            return False
        return True

    def trusts(self, key: tuple[str, str]) -> bool:
        """Tell whether calls of an entry point may run on the loop: none has held it up. From any thread."""
        return key not in self._held_up

    # -- on the loop --------------------------------------------------------------------------------------------------

    def _go(self, run: _Run) -> None:
        """Let a guest run where it belongs."""
        if run.is_short:
            self._poll(run)
        else:
            self.queue.put(run)

    def _poll(self, run: _Run) -> None:
        """Poll a guest now, or, if this turn of the loop has spent its time, in the next one."""
        if self._turn is None:
            self._turn = self._loop.call_soon(self._next_turn)
        if self._spent_seconds >= _LOOP_SECONDS:
            self._ready.append(run)
            return
        interrupt = DeferredInterrupt()
        interrupt.hold()
        began = time.thread_time()
        try:
            self._spent_seconds += run.poll(_LOOP_SECONDS, FIRST_SLICE_TICKS)
            # The processor's time: by the clock on the wall, what waits for the interpreter's lock would look long.
            computed = time.thread_time() - began
            run.computed_seconds += computed
            if computed >= _HELD_UP_SECONDS:
                run.is_short = False
                _remember(self._held_up, run.key, None)
            self.dispatch(run)
        finally:
            interrupt.release()

    def _next_turn(self) -> None:
        self._spent_seconds = 0.0
        self._turn = None
        while self._ready and self._spent_seconds < _LOOP_SECONDS:
            self._poll(self._ready.popleft())
        if self._ready and self._turn is None:
            self._turn = self._loop.call_soon(self._next_turn)

    def dispatch(self, run: _Run) -> None:
        """Do what a poll's outcome asks for; the one place that decides where a guest goes next."""
        if run.outcome is not None:
            self._end(run)
        elif run.tree.waiting_for is not None:
            self._wait(run)
        else:
            # It has used its slice up; one of the worker's threads goes on with it.
            self.queue.put(run)

    def _wait(self, run: _Run) -> None:
        waiting = run.waiting = run.tree.waiting_for
        run.suspend()
        if isinstance(waiting, Wait):
            run.work = task = self._loop.create_task(waiting.start())
            task.add_done_callback(partial(self._on_done, run, waiting))
        else:
            act = partial(run.tree.find_callee, waiting) if isinstance(waiting, NestedCall) else waiting.run  # type: ignore[union-attr]
            run.work = future = self._blocking.submit(act)
            future.add_done_callback(lambda done: self.soon(self._on_done, run, waiting, done))
        context = run.tree.top
        if context.cancelled:
            # It may have been before there was anything to give up.
            self._give_up(run)
        else:
            run.timer = self._loop.call_later(max(0.0, context.deadline - time.monotonic()), self._give_up, run)

    def _on_done(self, run: _Run, waiting: Waiting, done: Any) -> None:
        # Somebody else than this driver cancels it when the loop ends.
        outcome = CancelledError(run.tree.context.invocation.function) if done.cancelled() else done.exception()
        # Given up meanwhile: nobody waits for it any more.
        if run.waiting is waiting:
            self._go_on(run, done.result() if outcome is None else outcome)

    def _give_up(self, run: _Run) -> None:
        """End a wait whose time is over, or whose call was cancelled."""
        if run.waiting is not None:
            work = run.work
            self._go_on(run, run.tree.top.overdue())
            if work is not None:
                work.cancel()

    def _go_on(self, run: _Run, outcome: object) -> None:
        waiting, run.waiting, run.work = run.waiting, None, None
        if run.timer is not None:
            run.timer.cancel()
            run.timer = None
        run.resume()
        if isinstance(waiting, NestedCall):
            run.tree.enter(waiting, outcome)  # type: ignore[arg-type]
        elif waiting is not None:
            run.tree.settle(waiting, outcome)
        self._go(run)

    def _on_cancel(self, run: _Run) -> None:
        if run.result.done() and run.outcome is not None:
            return
        if run.waiting is not None:
            self._give_up(run)
        elif run in self._ready:
            self._ready.remove(run)
            self._cancel(run)
        elif self.queue.remove(run):
            self._cancel(run)
        # Else a worker is inside of it, and the guest's clock ends it.

    def _cancel(self, run: _Run) -> None:
        # Not polled by anybody, so that it can be let go of as it is.
        run.outcome = CancelledError(run.tree.context.invocation.function)
        self._end(run)

    def _end(self, run: _Run) -> None:
        run.tree.close()
        run.tree.context.when_cancelled(None)
        outcome = run.outcome
        _remember(self._is_short, run.key, run.computed_seconds < _LOOP_SECONDS)
        if run.result.done():
            return  # Nobody waits for it any more.
        if isinstance(outcome, BaseException):
            run.result.set_exception(outcome)
        else:
            run.result.set_result(outcome)


def _remember(known: OrderedDict[tuple[str, str], Any], key: tuple[str, str], value: Any) -> None:
    known[key] = value
    known.move_to_end(key)
    if len(known) > _KNOWN_KEPT:
        known.popitem(last=False)


class _Run:
    """One call tree on its way between the loop and the workers; a :class:`.run_queue.Turn`."""

    __slots__ = (
        "_driver",
        "computed_seconds",
        "is_short",
        "key",
        "outcome",
        "result",
        "timer",
        "tree",
        "waiting",
        "work",
    )

    def __init__(self, driver: LoopDriver, tree: CallTree, result: asyncio.Future[Any]) -> None:
        self._driver = driver
        self.tree = tree
        self.result = result
        invocation = tree.context.invocation
        self.key = invocation.blob_id, invocation.entry
        self.outcome: CallResult | BaseException | None = None
        self.waiting: Waiting | None = None
        self.work: Any = None
        self.timer: asyncio.TimerHandle | None = None
        self.computed_seconds = 0.0
        self.is_short = False
        """Whether it may run on the loop."""

    @property
    def caller(self) -> str:
        """Whose turn it is."""
        return self.tree.context.invocation.caller

    def take(self) -> bool:
        """Compute for a slice on a worker's thread; whatever else is to be done is the loop's."""
        began = time.thread_time()
        self.poll(_SLICE_SECONDS, SLICE_TICKS)
        spent = time.thread_time() - began
        self.computed_seconds += spent
        if self.outcome is None:
            if self.tree.waiting_for is None:
                return True
        else:
            # Here and not on the loop: much memory takes long to give back.
            self.tree.close()
        self.is_short = self._driver.trusts(self.key) and spent < _LOOP_SECONDS
        if not self._driver.soon(self._driver.dispatch, self):
            self.tree.close()
        return False

    def poll(self, seconds: float, ticks: int) -> float:
        """Run guests of the tree until one waits, the root is done, or for about `seconds`; gives how long it took."""
        tree = self.tree
        if tree.context.cancelled:
            self.outcome = CancelledError(tree.context.invocation.function)
            return 0.0
        began = time.monotonic()
        try:
            while True:
                self.outcome = tree.poll(ticks)
                spent = time.monotonic() - began
                if self.outcome is not None or tree.waiting_for is not None:
                    break
                # A callee's end or a stale clock ends a poll early.
                if spent >= seconds - TICK_SECONDS:
                    break
            if tree.context.place is not None and self.outcome is None:
                tree.context.place.hold(tree.memory_held, tree.context.invocation.function)
        except BaseException as error:
            # Whatever it is, the caller gets it: there is nobody else on this thread. The traceback of what people are
            # told leads back here, and so to itself and to all that the call has.
            self.outcome = error.with_traceback(None) if isinstance(error, MocError) else error
            spent = time.monotonic() - began
        return spent

    def suspend(self) -> None:
        place = self.tree.context.place
        if place is not None:
            place.suspend()

    def resume(self) -> None:
        place = self.tree.context.place
        if place is not None:
            place.resume()
