"""Instances of reusable functions that wait for their next call: lent to one call at a time, never across callers.

The pool decides which instance serves a call and what becomes of it afterwards. It runs no guest: a module's own reset
is polled by whoever drives the call. Calls of prepared requests that need no fibre have :mod:`.warm` beside it.

An instance is kept after a call that ended well, and only then. It goes when it has served enough calls, when it holds
more than half of the memory that it may, when nobody has asked for it for a while, when its function has been replaced,
or when its memory is needed elsewhere.
"""

from __future__ import annotations

import logging
import threading
import time
from typing import Any, Final, NamedTuple

from ...buffers.exchange import ExchangeBuffer
from ...errors import MocError
from ...guest_api.context import CallContext
from ...model import Mode
from ...model.exports import RESET
from .array_calls import ArrayGuest
from .coroutine import CoroutineGuest, Use
from .prepared import Export, Prepared

WARM_INSTANCES: Final = 64
"""How many instances wait at most, where nothing else is said."""

INSTANCES_PER_CALLER: Final = 16
"""How many of one function wait for one caller."""

CALLS_PER_INSTANCE: Final = 1000
"""What an instance loses and never finds again, such as memory, is not lost for ever."""

IDLE_SECONDS: Final = 60.0

_SLOT_SHARE: Final = 4

_log = logging.getLogger(__name__)


class _Idle(NamedTuple):
    guest: CoroutineGuest
    held_bytes: int
    since: float


class _Shelf:
    """The instances that wait for the calls of one caller of one function; the one used last is lent first."""

    __slots__ = ("idle", "what")

    def __init__(self, what: tuple[Any, ...]) -> None:
        self.what = what
        self.idle: list[_Idle] = []


class WarmPool:
    """Lends instances to calls. Thread-safe.

    Parameters
    ----------
    most
        How many wait at most; with 0 every call gets a fresh one.
    most_bytes
        How much linear memory they hold together.
    idle_seconds
        How long one waits for a call.
    """

    def __init__(
        self, most: int = WARM_INSTANCES, *, most_bytes: int = 1 << 30, idle_seconds: float = IDLE_SECONDS
    ) -> None:
        self._most = most
        self._most_bytes = most_bytes
        self._idle_seconds = idle_seconds
        self._lock = threading.Lock()
        self._changed = threading.Condition(self._lock)
        self._shelves: dict[tuple[Any, ...], _Shelf] = {}
        self._count = 0
        self._memory_bytes = 0
        self._sweeper: threading.Thread | None = None
        self._closed = False

    @property
    def count(self) -> int:
        """Instances that wait."""
        return self._count

    @property
    def memory_bytes(self) -> int:
        """Linear memory that they hold."""
        return self._memory_bytes

    # -- for whoever drives calls -------------------------------------------------------------------------------------

    def lend(self, prepared: Prepared, context: CallContext, entry: Export, memory_bytes: int) -> CoroutineGuest:
        """Give a guest for this call: an instance that waited for it, or a fresh one.

        Parameters
        ----------
        memory_bytes
            How much linear memory it may have.
        """
        numbers = context.invocation.numbers
        use = self._use(prepared, context, entry)
        if use is not None:
            found = self._take(use, memory_bytes)
            if found is not None:
                try:
                    found.renew(context, memory_bytes, entry, numbers)
                except BaseException:
                    found.close()
                    raise
                return found
        kind = ArrayGuest if entry.takes_array else CoroutineGuest
        guest = kind(prepared, context, memory_bytes, entry, numbers)
        guest.use = use
        return guest

    def begin_reset(self, guest: CoroutineGuest) -> bool:
        """Let the guest, whose call has ended well, go on with its module's reset; False when it has none to run."""
        reset = guest.prepared.reset
        if reset is None or not self._is_fit(guest):
            return False
        ended = guest.context
        context = CallContext(ended.invocation, ExchangeBuffer(b""), services=ended.services, parent=ended)
        guest.reset(reset, context)
        return True

    def take_back(self, guest: CoroutineGuest) -> None:
        """Keep the instance of a guest whose call, and whose reset, ended well; or close it."""
        use = guest.use
        if use is None or not self._is_fit(guest):
            guest.close()
            return
        most = guest.context.invocation.limits.memory_bytes
        held = guest.rest()
        # Guests cannot give memory back, and few use again what they took.
        gone = [guest] if 2 * held > most else self._keep(use, _Idle(guest, held, time.monotonic()))
        for each in gone:
            each.close()

    # -- for whoever needs the memory ---------------------------------------------------------------------------------

    def release(self, needed_bytes: int) -> None:
        """Let instances go, those that have waited longest first, until so much memory is free or none waits."""
        gone: list[CoroutineGuest] = []
        with self._lock:
            aim = max(0, self._memory_bytes - needed_bytes)
            while self._memory_bytes > aim and self._count:
                gone.append(self._drop_oldest())
        for each in gone:
            each.close()

    def close(self) -> None:
        """Let all instances go, and those that are lent as they come back; idempotent."""
        with self._lock:
            self._closed = True
            gone = [each.guest for shelf in self._shelves.values() for each in shelf.idle]
            self._shelves.clear()
            self._count = self._memory_bytes = 0
            self._changed.notify_all()
        for guest in gone:
            guest.close()

    # -- inside -------------------------------------------------------------------------------------------------------

    def _use(self, prepared: Prepared, context: CallContext, entry: Export) -> Use | None:
        """Tell which calls an instance for this one may serve after it; None when it serves only this one."""
        invocation = context.invocation
        # Programs keep what they have read of their environment.
        if not invocation.reusable or invocation.mode is not Mode.DIRECT or invocation.env or not self._most:
            return None
        return (
            (invocation.function, invocation.caller, entry.takes_array, context.live and prepared.waits_live),
            (invocation.blob_id, invocation.grants, invocation.deterministic),
        )

    @staticmethod
    def _is_fit(guest: CoroutineGuest) -> bool:
        """Tell whether an instance whose call has just ended may serve another."""
        return (
            guest.use is not None
            and guest.exit_code is None
            and guest.calls < CALLS_PER_INSTANCE
            and not guest.context.cancelled
        )

    def _take(self, use: Use, memory_bytes: int) -> CoroutineGuest | None:
        of, what = use
        with self._lock:
            shelf = self._shelves.get(of)
            if shelf is None:
                return None
            if shelf.what == what:
                if not shelf.idle:
                    return None
                guest, held, _ = shelf.idle[-1]
                if held > memory_bytes:
                    return None
                shelf.idle.pop()
                self._count -= 1
                self._memory_bytes -= held
                return guest
            gone, shelf.idle, shelf.what = shelf.idle, [], what
            self._forget(gone)
        for each in gone:
            each.guest.close()
        return None

    def _keep(self, use: Use, idle: _Idle) -> list[CoroutineGuest]:
        """Put an instance where calls find it; gives those that must go for it, which may be itself."""
        gone: list[CoroutineGuest] = []
        of, what = use
        with self._lock:
            shelf = self._shelves.get(of)
            if shelf is None:
                shelf = self._shelves[of] = _Shelf(what)
            if self._closed or shelf.what != what or idle.held_bytes > self._most_bytes:
                return [idle.guest]
            if len(shelf.idle) >= INSTANCES_PER_CALLER:
                gone.append(shelf.idle[0].guest)
                self._forget([shelf.idle.pop(0)])
            shelf.idle.append(idle)
            self._count += 1
            self._memory_bytes += idle.held_bytes
            most = min(self._most, idle.guest.prepared.machine.slots // _SLOT_SHARE)
            while self._count > most or self._memory_bytes > self._most_bytes:
                gone.append(self._drop_oldest())
            if self._sweeper is None:
                self._sweeper = threading.Thread(target=self._sweep, name="moc_idle", daemon=True)
                self._sweeper.start()
        return gone

    def _drop_oldest(self) -> CoroutineGuest:
        shelf = min((each for each in self._shelves.values() if each.idle), key=lambda each: each.idle[0].since)
        idle = shelf.idle.pop(0)
        self._forget([idle])
        return idle.guest

    def _forget(self, idle: list[_Idle]) -> None:
        self._count -= len(idle)
        self._memory_bytes -= sum(each.held_bytes for each in idle)

    def _sweep(self) -> None:
        """Let instances go that nobody has asked for; ends when there are none."""
        while True:
            gone = []
            with self._lock:
                left = self._until_due()
                if left is not None and left > 0:
                    self._changed.wait(left)
                    left = self._until_due()
                self._shelves = {of: shelf for of, shelf in self._shelves.items() if shelf.idle}
                if left is None:
                    self._sweeper = None
                    return
                if left <= 0:
                    gone.append(self._drop_oldest())
            for each in gone:
                each.close()

    def _until_due(self) -> float | None:
        """Seconds until the one that has waited longest has to go; None when none waits."""
        oldest = min((each.idle[0].since for each in self._shelves.values() if each.idle), default=None)
        return None if oldest is None else oldest + self._idle_seconds - time.monotonic()


def tell_reset_failed(context: CallContext, error: MocError) -> None:
    """Say in the log that an instance cannot be used again, and why. The call that it served has ended well."""
    if not context.cancelled:
        function = context.invocation.function
        _log.warning("An instance of function %r is not used again: its %s failed. %s", function, RESET, error.message)
