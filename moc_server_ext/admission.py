"""Admission: which calls may begin now, which wait for their turn, and how much memory all guests hold together.

Three bounds: how many calls are *active* at once (computing, or about to; a call that waits for storage, a clock or the
network is not), how many may queue for that, and how many bytes of linear memory all guests hold. Callers take turns,
and one that has nothing active need not queue at all, as long as there are few of them: whoever computes shares the
processors with it from then on.

Instances that wait warm for a call count in that memory too, and go before any call has to.

Only calls from outside come here. Calls that guests make draw on their root call's place, and the tasks of plans are
bounded by their executor.
"""

from __future__ import annotations

import asyncio
import threading
import time
from collections import OrderedDict, deque
from collections.abc import Callable
from contextlib import suppress
from types import TracebackType
from typing import Final, Protocol, Self

from .errors import MemoryBudgetError, MocError, OverloadedError, UnavailableError

QUEUE_SECONDS: Final = 4.0
"""How long a call on an event loop queues before it is refused: so long does an overload outlive its cause."""

PATIENT_QUEUE_SECONDS: Final = 60.0
"""The same for a caller with a thread of its own, which nobody tries again for."""


class Idle(Protocol):
    """Instances that wait for a call, and whose memory can be had back."""

    @property
    def count(self) -> int:
        """How many they are."""
        ...

    @property
    def memory_bytes(self) -> int:
        """How much memory they hold."""
        ...

    def release(self, needed_bytes: int) -> None:
        """Give so much of it back, or all; from any thread, at once."""
        ...


class NoneIdle:
    """No instance waits."""

    count = memory_bytes = 0

    def release(self, needed_bytes: int) -> None:
        """Give nothing back."""


class Place:
    """What an admitted call holds; a context manager that gives it back. Thread-safe."""

    __slots__ = ("_active", "_admission", "_caller", "_held_bytes", "_left")

    def __init__(self, admission: Admission, caller: str) -> None:
        self._admission = admission
        self._caller = caller
        self._active = True
        self._left = False
        self._held_bytes = 0

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.leave()

    def suspend(self) -> None:
        """Let another call be active: this one waits for something."""
        if self._active:
            self._active = False
            self._admission._change(self._caller, active=-1)

    def resume(self) -> None:
        """Be active again. A call that has begun does not queue a second time."""
        if not self._active and not self._left:
            self._active = True
            self._admission._change(self._caller, active=1)

    def hold(self, memory_bytes: int, function: str) -> None:
        """Say how much memory the call's guests hold now.

        Raises
        ------
        MemoryBudgetError
            It grew, and with it all guests hold more than the server's budget: this call must end.
        """
        grown = memory_bytes - self._held_bytes
        if not grown:
            return
        self._held_bytes = memory_bytes
        if self._admission._change(self._caller, memory_bytes=grown) and grown > 0:
            raise MemoryBudgetError(function, self._admission.memory_bytes)

    @property
    def has_room(self) -> bool:
        """Whether the server's memory budget has anything left."""
        return not self._admission.is_memory_spent

    def leave(self) -> None:
        """Give the place back; idempotent."""
        if not self._left:
            self._left = True
            active, self._active = self._active, False
            self._admission._change(self._caller, active=-1 if active else 0, memory_bytes=-self._held_bytes, live=-1)


class Admission:
    """The bounds and the queue before them. Thread-safe.

    Parameters
    ----------
    places
        Calls that are active at once; as many more may be, each the only one of its caller.
    queued
        Calls that may wait; one more is refused at once.
    memory_bytes
        Linear memory that all guests may hold together.
    idle
        What is given back when guests need that memory.
    """

    def __init__(self, places: int, queued: int, *, memory_bytes: int, idle: Idle | None = None) -> None:
        self.places = places
        self.queue_limit = queued
        self.memory_bytes = memory_bytes
        self.idle: Idle = idle or NoneIdle()
        self._lock = threading.Lock()
        self._idle = threading.Condition(self._lock)
        self._active = 0
        self._active_by: dict[str, int] = {}
        self._live = 0
        self._held_bytes = 0
        self._waiting = 0
        self._queues: OrderedDict[str, deque[_Ticket]] = OrderedDict()
        self._closed = False
        self.refused = 0

    @property
    def running(self) -> int:
        """Calls that have begun and not ended, those that wait for something included."""
        return self._live

    @property
    def active(self) -> int:
        """Calls that compute or are about to."""
        return self._active

    @property
    def queued(self) -> int:
        """Calls that wait for their turn."""
        return self._waiting

    @property
    def held_bytes(self) -> int:
        """Linear memory that all guests hold, as far as it is known."""
        return self._held_bytes

    @property
    def is_memory_spent(self) -> bool:
        """Whether all guests together hold as much memory as they may."""
        return self._held_bytes >= self.memory_bytes

    def enter(self, caller: str, wait_seconds: float = PATIENT_QUEUE_SECONDS) -> Place:
        """Wait on this thread for a place.

        Raises
        ------
        OverloadedError
            Too many wait already, or the turn did not come in time.
        UnavailableError
            The cluster is closed.
        """
        place = self._enter_now(caller)
        if place is not None:
            return place
        turn = threading.Event()
        ticket = self._queue(caller, turn.set)
        try:
            turn.wait(wait_seconds)
        finally:
            self._settle(ticket)
        return ticket.place(self)

    async def admit(self, caller: str, wait_seconds: float = QUEUE_SECONDS) -> Place:
        """Wait on the running event loop for a place; raises as :meth:`enter` does."""
        place = self._enter_now(caller)
        if place is not None:
            return place
        loop = asyncio.get_running_loop()
        turn = asyncio.Event()

        def wake() -> None:
            # The loop of one who waits no longer may be closed.
            with suppress(RuntimeError):
                loop.call_soon_threadsafe(turn.set)

        ticket = self._queue(caller, wake)
        timer = loop.call_later(wait_seconds, turn.set)
        try:
            await turn.wait()
        except BaseException:
            self._settle(ticket)
            if ticket.granted:
                Place(self, caller).leave()
            raise
        finally:
            timer.cancel()
        self._settle(ticket)
        return ticket.place(self)

    def close(self) -> None:
        """Refuse all further calls, those that wait included; idempotent, returns at once."""
        with self._lock:
            self._closed = True
            waiting = [ticket for queue in self._queues.values() for ticket in queue]
            self._queues.clear()
            self._waiting = 0
            for ticket in waiting:
                ticket.refusal = _closed()
        for ticket in waiting:
            ticket.wake()

    def wait_idle(self, timeout_seconds: float) -> bool:
        """Wait until no call runs; tell whether that came to pass in the time."""
        end = time.monotonic() + timeout_seconds
        with self._lock:
            while self._live:
                left = end - time.monotonic()
                if left <= 0:
                    return False
                self._idle.wait(left)
        return True

    def check_open(self) -> None:
        """Refuse what would begin after :meth:`close`."""
        if self._closed:
            raise _closed()

    # -- inside -------------------------------------------------------------------------------------------------------

    def _enter_now(self, caller: str) -> Place | None:
        """Give a place if there is one and nobody waits for it, or if the caller has nothing active yet."""
        with self._lock:
            self.check_open()
            if (self._waiting or not self._has_place) and not self._is_first_of(caller):
                return None
            self._count(caller, 1)
            self._live += 1
        return Place(self, caller)

    def _is_first_of(self, caller: str) -> bool:
        return (
            self._active < 2 * self.places
            and caller not in self._active_by
            and caller not in self._queues
            and not self.is_memory_spent
        )

    def _count(self, caller: str, active: int) -> None:
        self._active += active
        left = self._active_by.get(caller, 0) + active
        if left:
            self._active_by[caller] = left
        else:
            self._active_by.pop(caller, None)

    def _queue(self, caller: str, wake: Callable[[], object]) -> _Ticket:
        ticket = _Ticket(caller, wake)
        with self._lock:
            self.check_open()
            if self._waiting >= self.queue_limit:
                self.refused += 1
                raise OverloadedError()
            self._waiting += 1
            self._queues.setdefault(caller, deque()).append(ticket)
            granted = self._grant_turns()
        for each in granted:
            # A place may have become free since it was looked for.
            each.wake()
        return ticket

    @property
    def _has_place(self) -> bool:
        # Somebody must be able to begin, or nothing would ever give memory back.
        return self._active < self.places and (not self.is_memory_spent or not self._live)

    def _grant_turns(self) -> list[_Ticket]:
        """Let those begin who can now; their owners are to be woken once the lock is given back."""
        granted = []
        while self._waiting and self._has_place:
            caller, queue = self._queues.popitem(last=False)
            ticket = queue.popleft()
            if queue:
                # Behind all others: each caller's turn comes once a round.
                self._queues[caller] = queue
            self._waiting -= 1
            ticket.granted = True
            self._count(caller, 1)
            self._live += 1
            granted.append(ticket)
        return granted

    def _settle(self, ticket: _Ticket) -> None:
        """Take a ticket out of the queue, whose turn did not come in time."""
        with self._lock:
            if ticket.granted or ticket.refusal is not None:
                return
            self.refused += 1
            ticket.refusal = OverloadedError()
            queue = self._queues[ticket.caller]
            queue.remove(ticket)
            self._waiting -= 1
            if not queue:
                del self._queues[ticket.caller]

    def _change(self, caller: str, *, active: int = 0, memory_bytes: int = 0, live: int = 0) -> bool:
        """Count, and let those begin who can now; tells whether the memory is spent."""
        with self._lock:
            if active:
                self._count(caller, active)
            self._held_bytes += memory_bytes
            self._live += live
            spent = self._held_bytes > self.memory_bytes
            granted = self._grant_turns() if self._waiting else ()
            if not self._live:
                self._idle.notify_all()
        if (idle_bytes := self.idle.memory_bytes) and (over := self._held_bytes + idle_bytes - self.memory_bytes) > 0:
            self.idle.release(over)
        for ticket in granted:
            ticket.wake()
        return spent


class _Ticket:
    """A call that wants a place."""

    __slots__ = ("caller", "granted", "refusal", "wake")

    def __init__(self, caller: str, wake: Callable[[], object]) -> None:
        self.caller = caller
        self.wake = wake
        self.granted = False
        self.refusal: MocError | None = None

    def place(self, admission: Admission) -> Place:
        if self.refusal is not None:
            raise self.refusal
        return Place(admission, self.caller)


def _closed() -> UnavailableError:
    return UnavailableError("The cluster is closed and takes no further calls.")
