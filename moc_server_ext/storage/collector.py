"""Removes the files of garbage: when they are due, and at once when there is no room.

An object is due a grace period after the last reference to it went, and goes unless a reader keeps it, or somebody
looks at many objects (a backup does). Removal is the one writer's: first the file goes, then its row of the garbage, so
that a crash in between forgets no file. Batches are small: writers wait for one at most.
"""

from __future__ import annotations

import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Any, Final, Literal

from ..errors import MocError, StorageFullError
from .catalog import Catalog
from .garbage import Garbage, ObsoleteObject, SteadyClock
from .objects import Objects

GRACE_SECONDS: Final = 60.0

_BATCH: Final = 128
_PATIENCE_SECONDS: Final = 0.05
_AGAIN_SECONDS: Final = 10.0

Reason = Literal["grace", "reader", "look", "failure"]
"""Why an object is held: its grace period; a reader; somebody who looks at many; its file cannot be removed."""


@dataclass(slots=True)
class Collected:
    """What a collection did, or would do (a dry run).

    Attributes
    ----------
    objects, bytes
        What was removed.
    held, held_bytes
        What was not, by reason.
    """

    objects: int = 0
    bytes: int = 0
    held: Counter[Reason] = field(default_factory=Counter)
    held_bytes: Counter[Reason] = field(default_factory=Counter)

    def hold(self, reason: Reason, obsolete: ObsoleteObject) -> None:
        """Note that an object is held."""
        self.held[reason] += 1
        self.held_bytes[reason] += obsolete.size

    def to_json(self) -> dict[str, Any]:
        """Give it as the web API does."""
        held = {reason: {"objects": self.held[reason], "bytes": self.held_bytes[reason]} for reason in self.held}
        return {"objects": self.objects, "bytes": self.bytes, "held": held}


class Collector:
    """Collects the garbage of one storage. Thread-safe.

    Parameters
    ----------
    grace_seconds
        How long an object stays after nothing refers to it; 0 removes it in the thread that let it go.
    may_collect
        Tells whether files may be removed now.
    is_pressing
        Tells whether all that is garbage has to go, whatever its grace.

    Attributes
    ----------
    failure
        Why the last collection in the background failed; empty if it did not.
    """

    def __init__(
        self,
        catalog: Catalog,
        garbage: Garbage,
        objects: Objects,
        clock: SteadyClock,
        grace_seconds: float,
        may_collect: Callable[[], bool],
        is_pressing: Callable[[], bool],
    ) -> None:
        self.grace_seconds = grace_seconds
        self.failure = ""
        self._catalog = catalog
        self._garbage = garbage
        self._objects = objects
        self._clock = clock
        self._may_collect = may_collect
        self._is_pressing = is_pressing
        self._lock = threading.Lock()
        self._thread: threading.Thread | None = None
        self._wake = threading.Event()
        self._has_plans = False
        self._closing = False

    # -- when ---------------------------------------------------------------------------------------------------------

    def begin(self) -> None:
        """Collect some of what an earlier owner left and is due, and the rest later; at the opening."""
        try:
            if not self._garbage.begin():
                return
            if self._may_collect():
                # Whoever opens the storage for one write after the other gets rid of it as well.
                self._collect_due(next(self._batches(), []), Collected(), ignore_grace=False)
        except MocError as error:
            # A full disk is emptied by one who has opened it.
            self.failure = error.message
        self._garbage.noted = True
        self.committed()

    def committed(self) -> None:
        """See to what may have become garbage; after each commit, by a thread that is not the writer."""
        if not self._garbage.noted:
            return
        self._garbage.noted = False
        if not self.grace_seconds or self._is_pressing():
            try:
                self.collect(ignore_grace=True)
            except MocError as error:
                # What was committed is stored all the same; the next commit tries again.
                self._garbage.noted = True
                self.failure = error.message
        elif not self._has_plans:
            self._start()
            self._wake.set()

    def close(self) -> None:
        """Stop; waits for a batch in progress. Idempotent."""
        with self._lock:
            self._closing = True
            thread = self._thread
        self._wake.set()
        if thread is not None and thread is not threading.current_thread():
            thread.join()

    def _start(self) -> None:
        with self._lock:
            if self._thread is None and not self._closing:
                self._thread = threading.Thread(target=self._run, name="moc collector", daemon=True)
                self._thread.start()

    def _run(self) -> None:
        while not self._closing:
            self._wake.clear()
            # First: what is committed from now on wakes this thread unless it has plans already.
            self._has_plans = False
            try:
                wait = self._next_seconds()
                if wait == 0:
                    self.collect()
                    wait = self._next_seconds()
                    # What is due and still there is held by somebody.
                    wait = _AGAIN_SECONDS if wait == 0 else wait
                self.failure = ""
            except MocError as error:
                # Such as a full disk, or one that is not writable for now; nothing is lost by waiting.
                self.failure = error.message
                wait = _AGAIN_SECONDS
            self._has_plans = wait is not None
            self._wake.wait(wait)

    def _next_seconds(self) -> float | None:
        if not self._may_collect():
            return _AGAIN_SECONDS
        oldest = self._garbage.oldest()
        return None if oldest is None else max(0.0, oldest + self.grace_seconds - self._clock.now())

    # -- what ---------------------------------------------------------------------------------------------------------

    def collect(self, *, ignore_grace: bool = False, dry_run: bool = False) -> Collected:
        """Remove what is due and not held, and tell what was removed and what was not.

        Parameters
        ----------
        ignore_grace
            Take all to be due.
        dry_run
            Remove nothing, and tell what would be removed.

        Raises
        ------
        StorageError
            The catalog failed. What was removed is no longer there, and nothing that anybody refers to was.
        """
        collected = Collected()
        for batch in self._batches():
            if self._closing:
                break
            self._collect_due(batch, collected, ignore_grace=ignore_grace, dry_run=dry_run)
        return collected

    def make_room(self) -> bool:
        """Remove all that is not held, whatever its grace, since the disk is full; tell whether that freed anything."""
        if not self._may_collect():
            return False
        try:
            return self.collect(ignore_grace=True).objects > 0
        except MocError:
            # The files went first: on a full disk their rows may have to stay.
            return True

    def make_room_as_writer(self) -> bool:
        """Do what :meth:`make_room` does, as the one writer, outside of a transaction."""
        collected = Collected()
        try:
            for batch in self._batches():
                self._remove_all(batch, self._turn_of_those_who_look(), collected)
        except StorageFullError:
            pass
        return collected.objects > 0

    def _batches(self) -> Iterator[list[ObsoleteObject]]:
        after = ""
        while batch := self._garbage.list(after, _BATCH):
            yield batch
            after = batch[-1].object_id

    def _collect_due(
        self, batch: list[ObsoleteObject], collected: Collected, *, ignore_grace: bool, dry_run: bool = False
    ) -> None:
        latest = self._clock.now() - self.grace_seconds
        due = []
        for each in batch:
            # With no grace at all, the clock's last digit does not matter.
            if ignore_grace or not self.grace_seconds or each.since <= latest:
                due.append(each)
            else:
                collected.hold("grace", each)
        if not due:
            return
        turn = self._turn_of_those_who_look()
        if dry_run:
            for each in due:
                self._judge(each, turn, collected)
            return
        with self._catalog.writing():
            self._remove_all(due, turn, collected)

    def _turn_of_those_who_look(self) -> int:
        """Wait a little for those who began to look before now, and may have seen what is garbage since."""
        self._objects.leases.expire()
        turn = self._objects.pins.turn()
        end = time.monotonic() + _PATIENCE_SECONDS
        while not self._objects.pins.looked(turn) and time.monotonic() < end:
            time.sleep(_PATIENCE_SECONDS / 50)
        return turn

    def _judge(self, obsolete: ObsoleteObject, turn: int, collected: Collected) -> bool:
        """Tell whether a due object may go, and note it."""
        if not self._objects.pins.looked(turn):
            collected.hold("look", obsolete)
        elif self._objects.pins.is_pinned(obsolete.object_id):
            collected.hold("reader", obsolete)
        else:
            collected.objects += 1
            collected.bytes += obsolete.size
            return True
        return False

    def _remove_all(self, batch: list[ObsoleteObject], turn: int, collected: Collected) -> None:
        gone = []
        for each in batch:
            # Somebody may refer to it again, since it was listed.
            if not self._garbage.is_garbage(each.object_id) or not self._judge(each, turn, collected):
                continue
            if self._objects.remove(each.object_id):
                gone.append(each.object_id)
            else:
                collected.objects -= 1
                collected.bytes -= each.size
                collected.hold("failure", each)
        if gone:
            self._garbage.forget(gone)


def find_unknown(objects: Objects, garbage: Garbage) -> dict[str, int]:
    """Find the object files that the catalog does not know, with their sizes.

    Raises
    ------
    OSError
        A directory cannot be read.
    """
    # The files first: those that are published meanwhile are in the catalog by the time that it is asked, or, for the
    # length of a commit, not yet.
    found = objects.list()
    for object_id in garbage.known_object_ids():
        found.pop(object_id, None)
    return {each: size for each, size in found.items() if garbage.is_unknown(each) and objects.size(each) is not None}
