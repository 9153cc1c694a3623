"""Following: a storage that repeats what a primary ships to a target, and takes over when it is told to.

Owns the standby's thread and the steps of a promotion. The log's form is in :mod:`.log`, and why nothing that was
acknowledged is lost is in :mod:`.epochs`.
"""

from __future__ import annotations

import threading
import time
from typing import Any, Final

from ...errors import BackupTargetError, CorruptStorageError, MocError, ReplicationError
from ..backup.layout import choose_backup
from ..backup.restoring import ACCEPTED_TOKENS, SCHEDULES_HELD
from ..targets.target import AppendableTarget, Target
from .epochs import Epoch, is_taken, list_epochs, newest_epoch, take_epoch
from .log import Base, LogGapError, LogReader, read_base
from .records import Record
from .replaying import Copy, Replay
from .standby import Standby, read_standby, remove_standby, write_standby

_DIRECTORY_POLL_SECONDS: Final = 0.1
_BUCKET_POLL_SECONDS: Final = 1.0
_THOROUGH_SECONDS: Final = 3.0
_RETRY_SECONDS_MAX: Final = 5.0


class Follower:
    """Makes a storage follow a target. Thread-safe.

    Raises
    ------
    ReplicationError
        The storage is one of its own, or follows another instance. It is left as it is.
    BackupTargetError
        The target holds no replication log, or cannot be reached and the storage is new.
    """

    def __init__(self, storage: Copy, target: Target) -> None:
        self._storage = storage
        self._source = storage.replication_source()
        self._target = target
        self._replay = Replay(storage, target)
        self._poll_seconds = _DIRECTORY_POLL_SECONDS if isinstance(target, AppendableTarget) else _BUCKET_POLL_SECONDS
        standby = self._check()
        storage.refuse_writes(standby.reason)
        self._standby: Standby | None = standby
        self._ending = threading.Event()
        self._promoting = threading.Lock()
        self._reader: LogReader | None = None
        self._epoch: Epoch | None = None
        self._thorough_at = 0.0
        self._problem = ""
        self._last_at = 0.0
        self._seen_at = 0.0
        self._thread = self._new_thread()

    @property
    def is_promoted(self) -> bool:
        """Whether the storage is a primary now."""
        return self._standby is None

    def start(self) -> None:
        """Begin to follow."""
        self._thread.start()

    def wait_for(self, sequence: int, seconds: float) -> bool:
        """Wait until the copy has a commit; tell whether it has."""
        deadline = time.monotonic() + seconds
        while self._storage.sequence() < sequence:
            if time.monotonic() > deadline:
                return False
            time.sleep(self._poll_seconds / 4)
        return True

    def close(self) -> None:
        """Follow no more; idempotent. The storage stays a standby."""
        self._stop()
        self._target.close()

    def status(self) -> dict[str, Any]:
        """Tell how far the copy is."""
        state = "promoted" if self.is_promoted else "target fails" if self._problem else "following"
        return {
            "target": self._target.url,
            "state": state,
            "epoch": self._source.epoch(),
            "sequence": self._storage.sequence(),
            "last_commit_at": self._last_at,
            "silent_seconds": round(time.monotonic() - self._seen_at, 3) if self._seen_at else 0.0,
            **({"problem": self._problem} if self._problem else {}),
        }

    def promote(self) -> dict[str, Any]:
        """Take over: end the primary's turn, repeat the log to its end, and accept writes. Idempotent.

        Returns
        -------
        dict
            ``epoch``, ``sequence`` (the last commit of the former primary), ``former_instance_id``.

        Raises
        ------
        ReplicationError, BackupTargetError
            Somebody else took over at the same moment; the target cannot be read. The storage follows on, and promoting
            may be tried again: if the turn of the primary has ended already, it goes on from there.
        """
        with self._promoting:
            if self._standby is None:
                return {"epoch": self._source.epoch(), "sequence": self._storage.sequence()}
            self._stop()
            try:
                return self._promote()
            except BaseException:
                self._ending.clear()
                self._thread = self._new_thread()
                self._thread.start()
                raise

    # -- of the thread ------------------------------------------------------------------------------------------------

    def _run(self) -> None:
        pause = self._poll_seconds
        while not self._ending.is_set():
            try:
                has_more = self._step()
                self._problem = ""
                self._seen_at = time.monotonic()
            except MocError as error:
                self._problem = error.message
                # From the beginning: the target may be another one when it is back.
                self._epoch = self._reader = None
                has_more, pause = False, min(pause * 2, _RETRY_SECONDS_MAX)
            else:
                pause = self._poll_seconds
            if not has_more:
                self._ending.wait(pause)

    def _step(self) -> bool:
        """Repeat what has come; tell whether there may be more at once."""
        if self._epoch is None or is_taken(self._target, self._epoch.number + 1):
            self._turn_to_newest()
        if self._reader is None:
            return False
        now = time.monotonic()
        thorough = now >= self._thorough_at
        if thorough:
            self._thorough_at = now + _THOROUGH_SECONDS
        return self._read(thorough=thorough)

    def _read(self, *, thorough: bool) -> bool:
        assert self._reader is not None and self._epoch is not None  # noqa: S101, PT018 - the callers looked
        try:
            records = self._reader.read(thorough=thorough)
        except LogGapError:
            self._begin_from_base(self._epoch)
            return True
        try:
            for record in records:
                self._repeat(record)
        except CorruptStorageError:
            # The copy is not what it should be: the base says what it is, from scratch.
            self._begin_from_base(self._epoch)
            raise
        if not records and thorough:
            base = read_base(self._target, self._epoch.number)
            if base is not None and base.sequence > self._storage.sequence():
                self._leap(base)
                return True
        return bool(records)

    def _turn_to_newest(self) -> None:
        newest = newest_epoch(self._target)
        if newest is None or (self._epoch is not None and newest.number == self._epoch.number):
            return
        if read_base(self._target, newest.number) is None:
            # Whoever took it is making the base; until then what came before is read on.
            if self._reader is None and self._source.epoch():
                self._reader = LogReader(self._target, self._source.epoch(), self._storage.sequence())
            if self._reader is not None:
                self._read_old_log()
            return
        self._epoch = newest
        self._begin_from_base(newest)

    def _read_old_log(self) -> None:
        assert self._reader is not None  # noqa: S101 - the caller looked
        try:
            for record in self._reader.read():
                self._repeat(record)
        except LogGapError:
            self._reader = None

    def _begin_from_base(self, epoch: Epoch) -> None:
        base = read_base(self._target, epoch.number)
        if base is None:
            self._reader = None
            return
        if self._source.epoch() != epoch.number or self._storage.sequence() < base.sequence or self._reader is not None:
            self._leap(base)
        self._reader = LogReader(self._target, epoch.number, self._storage.sequence())

    def _leap(self, base: Base) -> None:
        self._replay.leap(base)
        self._reader = LogReader(self._target, base.epoch, base.sequence)

    def _repeat(self, record: Record) -> None:
        self._replay.repeat(record)
        self._last_at = record.at

    # -- promotion ----------------------------------------------------------------------------------------------------

    def _promote(self) -> dict[str, Any]:
        own = self._source.instance_id
        newest = newest_epoch(self._target)
        if newest is None:
            raise BackupTargetError(self._target.url, "holds no replication log", what="be promoted from")
        if newest.instance_id != own:
            former = newest
            taken = take_epoch(self._target, newest.number, own, "promote")
            if taken is None:
                raise ReplicationError(
                    self._target.url, "another standby was promoted at the same moment", stored=False
                )
        else:
            # An earlier promotion came so far.
            taken = newest
            former = next(each for each in reversed(list_epochs(self._target)) if each.instance_id != own)
        # From here on the former primary acknowledges nothing more: what is in the log now is all.
        base = read_base(self._target, former.number)
        if base is not None:
            self._epoch = former
            if self._source.epoch() != former.number or self._storage.sequence() < base.sequence:
                self._leap(base)
        # Without a base the former primary had acknowledged nothing in its turn.
        self._reader = LogReader(self._target, self._source.epoch(), self._storage.sequence())
        while self._read_to_end():
            pass
        self._source.write_fact(SCHEDULES_HELD, True)
        if base is not None:
            # Clients of the former primary come with its token.
            tokens = choose_backup(self._target, base.backup).token_sha256
            self._source.write_fact(ACCEPTED_TOKENS, list(tokens))
        self._source.begin_epoch(taken.number)
        remove_standby(self._source.path)
        self._storage.become_primary()
        self._standby = None
        return {
            "epoch": taken.number,
            "sequence": self._storage.sequence(),
            "former_instance_id": former.instance_id,
        }

    def _read_to_end(self) -> bool:
        assert self._reader is not None  # noqa: S101 - the caller made it
        try:
            records = self._reader.read(thorough=True)
        except LogGapError:
            base = read_base(self._target, self._source.epoch())
            if base is None or base.sequence <= self._storage.sequence():
                raise ReplicationError(
                    self._target.url, "a part of its log is missing, so that commits would be lost", stored=False
                ) from None
            self._leap(base)
            return True
        for record in records:
            self._repeat(record)
        return bool(records)

    # -- start and end ------------------------------------------------------------------------------------------------

    def _check(self) -> Standby:
        """Refuse a storage that is not a copy of what is on the target; make a new one a standby."""
        standby = read_standby(self._source.path)
        if standby is None:
            if not self._source.is_empty():
                raise ReplicationError(
                    self._target.url,
                    f"{str(self._source.path)!r} holds a storage of its own (instance {self._source.instance_id}), "
                    "which following would replace; follow with a new directory",
                    stored=False,
                )
            newest = newest_epoch(self._target)
            if newest is None:
                raise BackupTargetError(
                    self._target.url,
                    "holds no replication log: start the primary with --replicate-to",
                    what="be followed",
                )
            standby = Standby(self._target.url, newest.instance_id)
            write_standby(self._source.path, standby)
            return standby
        try:
            instances = {each.instance_id for each in list_epochs(self._target)}
        except BackupTargetError:
            # It can be there later; the copy serves what it has.
            return standby
        if standby.instance_id not in instances:
            raise ReplicationError(
                self._target.url,
                f"{str(self._source.path)!r} is a copy of instance {standby.instance_id}, which never shipped there",
                stored=False,
            )
        return standby

    def _new_thread(self) -> threading.Thread:
        return threading.Thread(target=self._run, name="moc_following", daemon=True)

    def _stop(self) -> None:
        self._ending.set()
        if self._thread.is_alive():
            self._thread.join()
