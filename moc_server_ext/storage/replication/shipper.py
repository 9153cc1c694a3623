"""Shipping: what the writer has committed goes to the target, in order, by a thread of its own.

Owns the queue between writers and target, and who waits for what. Asynchronously nobody waits, and the queue is
bounded: when it is full it is dropped, and a new base takes its place once the target is there again. Synchronously a
writer's acknowledgement waits until its commit is on the target; the next commit goes on meanwhile, and all that has
come since is shipped together. A target that does not answer is told to the writers after a while, and no further
write is begun until the target has everything.

:mod:`.epochs` says how one who was succeeded learns of it before it acknowledges anything more.
"""

from __future__ import annotations

import threading
import time
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final, Protocol

import google_crc32c

from ...errors import BackupTargetError, MocError, ReplicationError
from ..targets.target import Target
from .epochs import Epoch, is_taken, newest_epoch, read_epoch, take_epoch
from .log import Base, LogWriter, remove_before, write_base
from .records import Record, ShippedObject, encode

SYNC_SECONDS: Final = 10.0
_QUEUE_BYTES_MAX: Final = 64 << 20
_BATCH_BYTES: Final = 4 << 20
_LOG_BYTES_MIN: Final = 64 << 20
_PART_BYTES: Final = 1 << 20
_LOOK_SECONDS: Final = 1.0
_RETRY_SECONDS: Final = (0.1, 5.0)
# What a commit takes in the queue beside its changes.
_COMMIT_BYTES: Final = 256


class Source(Protocol):
    """What shipping needs of the storage that it ships."""

    instance_id: str

    def keep(self, object_ids: Sequence[str]) -> Callable[[], object]:
        """Keep object files until what is given back is called; called by the one writer."""

    def object_path(self, object_id: str) -> Path:
        """Tell where an object lies."""

    def catalog_bytes(self) -> int:
        """Tell how large the catalog is."""

    def begin_epoch(self, number: int) -> None:
        """Note, in a commit, that what is committed from now on belongs to this epoch."""

    def claim(self, target: Target, *, adopt: bool) -> None:
        """Make an empty target this storage's; BackupTargetError if it is another's, unless that is adopted."""

    def make_base(self, target: Target) -> tuple[str, int]:
        """Back everything up to the target; give the backup's id and the last sequence that it holds."""

    def fence(self, reason: str) -> None:
        """Refuse every write from now on."""


@dataclass(slots=True)
class _Commit:
    sequence: int
    at: float
    changes: bytes
    objects: Sequence[str]
    let_go: Callable[[], object]

    @property
    def size(self) -> int:
        return len(self.changes) + _COMMIT_BYTES


class LogShipper:
    """Ships one storage's commits to one target; a :class:`~..shipping.Shipper`. Thread-safe.

    Parameters
    ----------
    source
        The storage.
    target
        Belongs to the shipper from now on.
    sequence
        The last commit that was made before the first one that is told.
    synchronous
        Whether :meth:`wait` waits.
    sync_seconds
        For how long at most.
    """

    def __init__(
        self,
        source: Source,
        target: Target,
        sequence: int,
        *,
        synchronous: bool,
        sync_seconds: float = SYNC_SECONDS,
        queue_bytes_max: int = _QUEUE_BYTES_MAX,
        log_bytes_min: int = _LOG_BYTES_MIN,
    ) -> None:
        self._source = source
        self._target = target
        self.synchronous = synchronous
        self._sync_seconds = sync_seconds
        self._queue_bytes_max = queue_bytes_max
        self._log_bytes_min = log_bytes_min
        self._changed = threading.Condition()
        self._queue: deque[_Commit] = deque()
        self._queue_bytes = 0
        self._committed = sequence
        self._shipped: int | None = None
        self._last_shipped_at = 0.0
        self._in_sync = False
        self._needs_base = True
        self._problem = ""
        self._fenced = ""
        self._ending = False
        self._is_reached = False
        self._epoch: Epoch | None = None
        self._base: Base | None = None
        self._log: LogWriter | None = None
        self._batch: list[_Commit] = []
        self._batch_content: tuple[int, bytes] | None = None
        self._renewing: threading.Thread | None = None
        self._thread = threading.Thread(target=self._run, name="moc_replication", daemon=True)

    # -- of the writers -----------------------------------------------------------------------------------------------

    def admit(self) -> None:
        """Let a write begin, or refuse it; called before anything is staged.

        Raises
        ------
        ReplicationError
            Commits wait for the target, synchronously and for too long already. Nothing was written.
        """
        if self.synchronous and not self._in_sync and not self._fenced:
            raise ReplicationError(self._target.url, self._reason(), stored=False)

    def committed(self, sequence: int, changes: bytes, objects: Sequence[str]) -> None:
        """Note a commit; called by the one writer, in order."""
        let_go = self._source.keep(objects) if objects else _nothing
        commit = _Commit(sequence, time.time(), changes, tuple(objects), let_go)
        with self._changed:
            self._committed = sequence
            self._queue.append(commit)
            self._queue_bytes += commit.size
            if self._fenced or self._queue_bytes > self._queue_bytes_max:
                self._drop_queue()
            self._changed.notify_all()

    def wait(self, sequence: int) -> None:
        """Wait until the target has the commit `sequence`, if that is asked for.

        Raises
        ------
        ReplicationError
            It is stored here, and not known to be there.
        """
        if not self.synchronous:
            return
        deadline = time.monotonic() + self._sync_seconds
        with self._changed:
            while self._shipped is None or self._shipped < sequence:
                rest = deadline - time.monotonic()
                if self._fenced or self._ending or rest <= 0:
                    self._in_sync = False
                    raise ReplicationError(self._target.url, self._reason(), stored=True)
                self._changed.wait(rest)

    # -- life ---------------------------------------------------------------------------------------------------------

    def start(self) -> None:
        """Take the epoch, if the target answers, and begin to ship.

        Synchronously it also waits, for a bounded time, until the target has a base, so that writes can begin.

        Raises
        ------
        ReplicationError
            The target belongs to another instance, such as a standby that was promoted. Nothing was begun.
        BackupTargetError
            The target answers, and refuses to be written. Nothing was begun.
        """
        try:
            self._begin()
        except BackupTargetError:
            # One that does not answer may do so later. One that refuses would do so for ever.
            if self._is_reached:
                raise
        if self._fenced:
            raise ReplicationError(self._target.url, self._fenced, stored=False)
        self._thread.start()
        if self.synchronous:
            with self._changed:
                self._changed.wait_for(lambda: self._in_sync or self._problem or self._fenced, self._sync_seconds)

    def flush(self, seconds: float) -> bool:
        """Wait until the target has everything that is committed now; tell whether it has."""
        with self._changed:
            goal = self._committed
            return (
                self._changed.wait_for(
                    lambda: bool(self._fenced) or (self._shipped is not None and self._shipped >= goal), seconds
                )
                and not self._fenced
            )

    def close(self, *, seconds: float = 5.0) -> None:
        """Ship what is left, for a bounded time, and end; idempotent."""
        if self._thread.is_alive() and not self._problem:
            self.flush(seconds)
        with self._changed:
            self._ending = True
            self._changed.notify_all()
        if self._thread.ident is not None:
            self._thread.join(seconds)
        if self._renewing is not None:
            self._renewing.join(seconds)
        with self._changed:
            self._drop_batch()
            self._drop_queue()
        self._target.close()

    @property
    def lag(self) -> tuple[int, int, float]:
        """How many commits, bytes and seconds the target is behind."""
        with self._changed:
            waiting = [*self._batch, *self._queue]
            behind = self._committed - self._shipped if self._shipped is not None else len(waiting)
            oldest = waiting[0].at if waiting else None
            seconds = max(0.0, time.time() - oldest) if oldest is not None else 0.0
            return max(behind, 0), sum(each.size for each in waiting), seconds

    def status(self) -> dict[str, Any]:
        """Tell how far it is."""
        commits, size, seconds = self.lag
        with self._changed:
            if self._fenced:
                state = "fenced"
            elif self._problem:
                state = "target fails"
            elif self._shipped is None:
                state = "making a base"
            else:
                state = "in sync" if not commits else "shipping"
            return {
                "target": self._target.url,
                "mode": "synchronous" if self.synchronous else "asynchronous",
                "state": state,
                "epoch": self._epoch.number if self._epoch else 0,
                "sequence": self._committed,
                "behind_commits": commits,
                "behind_bytes": size,
                "behind_seconds": round(seconds, 3),
                "base": self._base.backup if self._base else "",
                **({"problem": self._fenced or self._problem} if self._fenced or self._problem else {}),
            }

    # -- of the thread ------------------------------------------------------------------------------------------------

    def _run(self) -> None:
        pause = _RETRY_SECONDS[0]
        while True:
            with self._changed:
                if not (self._queue or self._batch or self._needs_base) and not self._ending:
                    self._changed.wait(_LOOK_SECONDS)
                if self._fenced or (self._ending and not self._problem and not (self._queue or self._batch)):
                    return
                if self._ending and self._problem:
                    return
            try:
                self._step()
            except MocError as error:
                with self._changed:
                    self._problem = error.message
                    if not self._ending:
                        self._changed.wait_for(lambda: self._ending, pause)
                pause = min(pause * 2, _RETRY_SECONDS[1])
            else:
                pause = _RETRY_SECONDS[0]
                with self._changed:
                    self._problem = ""

    def _step(self) -> None:
        """Do what is next: the epoch, the base, a batch, or a look at whose turn it is."""
        if self._epoch is None:
            self._begin()
            if self._fenced:
                return
        if self._needs_base:
            self._make_base()
            return
        if not self._batch:
            self._take_batch()
        if self._batch:
            try:
                first, content = self._encoded_batch()
            except FileNotFoundError:
                # The file is gone although it was kept: what the storage is now takes the place of how it came to it.
                with self._changed:
                    self._drop_batch()
                    self._drop_queue()
                return
            assert self._log is not None  # noqa: S101 - made with the base
            self._log.append(first, content)
        if self._is_succeeded():
            return
        if self._batch:
            self._acknowledge()
            self._renew_base_if_long()

    def _begin(self) -> None:
        newest = newest_epoch(self._target)
        own = self._source.instance_id
        if newest is not None and newest.instance_id != own:
            self._fence(_succeeded(newest))
            return
        self._is_reached = True
        # An epoch of ours says that the target is ours, whoever made it.
        self._source.claim(self._target, adopt=newest is not None)
        epoch = take_epoch(self._target, newest.number if newest else 0, own, "serve")
        if epoch is None:
            # Somebody was faster: that one is found the next time.
            raise BackupTargetError(
                self._target.url, "somebody else began to ship to it just now", what="be shipped to"
            )
        self._epoch = epoch

    def _make_base(self) -> None:
        assert self._epoch is not None  # noqa: S101 - the epoch comes first
        with self._changed:
            self._needs_base = False
        try:
            self._source.begin_epoch(self._epoch.number)
            backup, sequence = self._source.make_base(self._target)
            base = Base(self._epoch.number, backup, sequence)
            write_base(self._target, base)
        except BaseException:
            with self._changed:
                self._needs_base = True
            raise
        if self._is_succeeded():
            return
        self._log = LogWriter(self._target, self._epoch.number)
        with self._changed:
            self._base = base
            self._drop_batch()
            while self._queue and self._queue[0].sequence <= sequence:
                self._forget(self._queue.popleft())
            following = self._queue[0].sequence if self._queue else self._committed + 1
            if following != sequence + 1:
                # The queue was dropped meanwhile.
                self._needs_base = True
                return
            self._shipped = sequence
            self._in_sync = self._in_sync or not self._queue
            self._changed.notify_all()
        remove_before(self._target, base.epoch, sequence)

    def _take_batch(self) -> None:
        with self._changed:
            size = 0
            while self._queue and (not self._batch or size < _BATCH_BYTES):
                commit = self._queue.popleft()
                self._queue_bytes -= commit.size
                size += commit.size
                self._batch.append(commit)

    def _encoded_batch(self) -> tuple[int, bytes]:
        # Made once: a batch that is tried again must be the same (see LogWriter.append).
        if self._batch_content is None:
            assert self._epoch is not None  # noqa: S101 - the epoch comes first
            parts = []
            for commit in self._batch:
                objects = [self._ship_object(each) for each in commit.objects]
                parts.append(encode(Record(commit.sequence, self._epoch.number, commit.at, objects, commit.changes)))
            self._batch_content = self._batch[0].sequence, b"".join(parts)
        return self._batch_content

    def _ship_object(self, object_id: str) -> ShippedObject:
        size = checksum = 0

        def parts() -> Iterator[bytes]:
            nonlocal size, checksum
            # Begun anew when the target asks again.
            size = checksum = 0
            with self._source.object_path(object_id).open("rb", buffering=0) as file:
                while part := file.read(_PART_BYTES):
                    size += len(part)
                    checksum = google_crc32c.extend(checksum, part)
                    yield part

        path = self._source.object_path(object_id)
        if not path.exists():
            raise FileNotFoundError(path)
        self._target.put(f"objects/{object_id[:2]}/{object_id}", parts())
        return ShippedObject(object_id, size, checksum)

    def _acknowledge(self) -> None:
        with self._changed:
            self._shipped = self._batch[-1].sequence
            self._last_shipped_at = self._batch[-1].at
            self._drop_batch()
            if not self._queue:
                self._in_sync = True
            self._changed.notify_all()

    def _is_succeeded(self) -> bool:
        assert self._epoch is not None  # noqa: S101 - the epoch comes first
        if not is_taken(self._target, self._epoch.number + 1):
            return False
        self._fence(_succeeded(read_epoch(self._target, self._epoch.number + 1)))
        return True

    def _fence(self, reason: str) -> None:
        self._source.fence(reason)
        with self._changed:
            self._fenced = reason
            self._in_sync = False
            self._drop_queue()
            self._changed.notify_all()

    def _renew_base_if_long(self) -> None:
        assert self._log is not None  # noqa: S101 - the caller has just written to it
        longest = max(self._log_bytes_min, self._source.catalog_bytes())
        if self._log.size <= longest or (self._renewing is not None and self._renewing.is_alive()):
            return
        self._log.size = 0
        # Beside the shipping, for which writers may be waiting.
        self._renewing = threading.Thread(target=self._renew_base, name="moc_replication_base", daemon=True)
        self._renewing.start()

    def _renew_base(self) -> None:
        assert self._epoch is not None  # noqa: S101 - the epoch comes first
        try:
            backup, sequence = self._source.make_base(self._target)
            base = Base(self._epoch.number, backup, sequence)
            write_base(self._target, base)
            self._base = base
            remove_before(self._target, base.epoch, sequence)
        except MocError as error:
            # The log goes on from the old base; the next batch tries again.
            with self._changed:
                self._problem = error.message

    # -- with the lock ------------------------------------------------------------------------------------------------

    def _drop_queue(self) -> None:
        """Forget what waits to be shipped; a base takes its place. The batch on its way is its thread's."""
        for commit in self._queue:
            commit.let_go()
        self._queue.clear()
        self._queue_bytes = 0
        self._needs_base = not self._fenced and not self._ending

    def _drop_batch(self) -> None:
        for commit in self._batch:
            commit.let_go()
        self._batch.clear()
        self._batch_content = None

    def _forget(self, commit: _Commit) -> None:
        self._queue_bytes -= commit.size
        commit.let_go()

    def _reason(self) -> str:
        return self._fenced or self._problem or "it has not answered in time"


def _succeeded(by: Epoch) -> str:
    if by.reason == "promote":
        return f"fenced by promotion of {by.instance_id}: follow that one now, with a new directory"
    return f"instance {by.instance_id} ships to the same target now"


def _nothing() -> None:
    """Let go of nothing."""
