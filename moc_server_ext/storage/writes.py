"""How anything comes to be stored: staged files, one transaction, then the acknowledgement.

The order is fixed: object files written and synchronised aside → renamed → their directories synchronised → commit →
acknowledge. A crash leaves at most files that nothing refers to. The files of what was replaced go later: they are
garbage from that commit on (:mod:`.garbage`).

A :class:`WriteGroup` is the only way to write. Each single write is a group of its own; several writes that join one
group appear together or not at all. Groups of several threads are staged at the same time; those that then wait for the
writer share one transaction (:mod:`.committing`), in which each of them is stored or refused by itself.
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable
from pathlib import Path
from types import TracebackType
from typing import Self

from ..errors import ReadOnlyStorageError, StorageError
from ..interrupts import DeferredInterrupt
from .catalog import Catalog
from .collector import Collector
from .committing import Committer, IsReferenced, Operation, Work
from .content import StoredContent
from .files import failures
from .objects import Objects, StagedObject, random_object_id
from .quota import Quota
from .receiving import Received, Sealable
from .reserve import Reserve
from .shipping import Shipper, Shipping, write_sequence
from .turns import Turns


class WriteGroup:
    """Writes that appear in one transaction. Belongs to one thread; made by :meth:`Writer.group`.

    As a context manager it is committed when its block ends, and abandoned when that raises.
    """

    def __init__(
        self, turns: Turns[Work], objects: Objects, reserve: Reserve, collector: Collector, directory: Path
    ) -> None:
        self._turns = turns
        self._objects = objects
        self._reserve = reserve
        self._collector = collector
        self._directory = directory
        self._work = Work()
        self._ended = False

    def stage(
        self,
        content: bytes | Sealable,
        what: str,
        *,
        is_referenced: IsReferenced,
        object_id: Callable[[], str] = random_object_id,
    ) -> StoredContent:
        """Make `content` durable aside, if it needs a file of its own; nothing is visible yet.

        Parameters
        ----------
        content
            Bytes, or what was received and lies aside already; the group owns it from now on.
        what
            What is being stored, for messages.
        is_referenced
            Asked when the group fails, as the one writer: whether the catalog refers to this object id nevertheless.

        Raises
        ------
        StorageFullError, ReadOnlyStorageError, StorageError
            Nothing is left of this content. The group must be abandoned.
        """
        self._check_open()
        staged = None
        with failures(what, self._directory):
            if not isinstance(content, bytes):
                stored, staged = content.seal(object_id)
            else:
                stored = StoredContent.of(content, object_id)
                if stored.object_id is not None:
                    staged = self._objects.stage(stored.object_id, content)
        if staged is not None:
            self._work.staged.append((staged, is_referenced))
        self._work.weight += len(stored.inline or b"")
        return stored

    def adopt(self, staged: StagedObject, *, is_referenced: IsReferenced) -> None:
        """Take over an object that is durable aside already; `is_referenced` as for :meth:`stage`."""
        self._check_open()
        self._work.staged.append((staged, is_referenced))

    def then(self, what: str, operation: Operation, *, removes: bool = False) -> None:
        """Add what the transaction does. It may run twice (after a roll-back), and raise to refuse the whole group.

        Parameters
        ----------
        removes
            Whether it removes something: a group that does nothing else may use the reserve of a full disk.
        """
        self._check_open()
        self._work.operations.append((what, operation))
        self._work.only_removes = self._work.only_removes and removes

    def when_settled(self, refresh: Callable[[], None]) -> None:
        """Call `refresh` as the one writer after the commit or the roll-back, to read what is now true."""
        self._work.settled.append(refresh)

    def commit(self) -> None:
        """Write it all; durable on return.

        Ctrl-C ends the waiting for other writers, and does not come in the middle of the commit. A note of the
        ``KeyboardInterrupt`` says whether this group is stored.

        Raises
        ------
        MocError
            The error of an operation, or that of the disk: nothing of the group is visible. Or that of the shipper: it
            is stored here.
        """
        self._check_open()
        self._ended = True
        work = self._work
        if not work.operations:
            return
        # Given up for a signal whose handler does not raise, it is tried again.
        while not self._commit(work):
            pass
        if work.error is not None:
            raise work.error
        if work.shipped is not None:
            shipper, sequence = work.shipped
            shipper.wait(sequence)

    def abandon(self) -> None:
        """Forget it all; for a group whose block raised."""
        self._ended = True
        self._discard()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        if kind is None:
            self.commit()
        else:
            self.abandon()

    def _commit(self, work: Work) -> bool:
        interrupt = DeferredInterrupt()
        interrupt.hold()
        is_done = False
        try:
            is_done = self._turns.take(work, lambda: interrupt.pending)
            if is_done:
                self._discard()
                if work.error is None:
                    self._collector.committed()
                    self._reserve.restore()
        finally:
            is_stored = is_done and work.error is None
            try:
                interrupt.release()
            except BaseException as error:
                self._discard()
                error.add_note(f"Before it ended, {work.what} was {'stored' if is_stored else 'not stored'}.")
                raise
        return is_done

    def _discard(self) -> None:
        for staged, _ in self._work.staged:
            self._objects.discard(staged)

    def _check_open(self) -> None:
        if self._ended:
            raise StorageError("This group of writes has ended; begin another.")


class Writer:
    """Makes groups. Thread-safe: groups of several threads are staged at the same time and committed together."""

    def __init__(
        self,
        catalog: Catalog,
        objects: Objects,
        reserve: Reserve,
        collector: Collector,
        quota: Quota,
        directory: Path,
    ) -> None:
        self._catalog = catalog
        self._objects = objects
        self._reserve = reserve
        self._collector = collector
        self._directory = directory
        self._shipping = Shipping()
        self._turns = Turns(Committer(catalog, objects, reserve, collector, quota, directory, self._shipping))
        self.read_only_reason = ""
        """Why nothing may be written now; empty while it may."""
        self._is_copy = False

    @property
    def may_collect(self) -> bool:
        """Whether files may be removed: nothing is removed where nothing may be written, unless that is a copy."""
        return self._is_copy or not self.read_only_reason

    def group(self) -> WriteGroup:
        """Collect the writes of a block and commit them when it ends; a block that raises leaves nothing.

        Raises
        ------
        ReadOnlyStorageError
            Before the block: nothing may be written now.
        """
        self.check_writable()
        shipper = self._shipping.shipper
        if shipper is not None:
            shipper.admit()
        return self._new_group()

    def unrestricted_group(self) -> WriteGroup:
        """Do what :meth:`group` does, also while others may not write: for what is copied from another storage."""
        self._is_copy = True
        return self._new_group()

    def _new_group(self) -> WriteGroup:
        return WriteGroup(self._turns, self._objects, self._reserve, self._collector, self._directory)

    def ship_to(self, shipper: Shipper | None, sequence: int) -> None:
        """Tell `shipper` of every commit from now on, the first of which is number `sequence` + 1; None tells nobody.

        `sequence` is written down, durably, before this returns: a snapshot of the catalog that is taken afterwards
        tells which commits it has. What is committed while nobody is told has no number, so that a copy can only go on
        from a snapshot that was taken after the last call of this method.

        Raises
        ------
        MocError
            It could not be written down; who was told before still is.
        """
        with self._catalog.writing():
            if shipper is not None:
                with self._catalog.transaction("the number of the last commit") as connection:
                    write_sequence(connection, sequence)
            self._shipping.shipper, self._shipping.sequence = shipper, sequence

    def check_writable(self) -> None:
        """Raise ReadOnlyStorageError if nothing may be written now."""
        if self.read_only_reason:
            raise ReadOnlyStorageError(str(self._directory), self.read_only_reason)

    def receive(self, what: str) -> Received:
        """Begin to take content that comes in parts; a group stages it once it is whole.

        Raises
        ------
        ReadOnlyStorageError
            Nothing may be written now.
        """
        self.check_writable()
        return Received(self._objects, self._directory, what)

    def joined(self, group: WriteGroup | None) -> contextlib.AbstractContextManager[WriteGroup]:
        """Write as a part of `group`, which commits later, or, without one, at the end of the block."""
        return self.group() if group is None else contextlib.nullcontext(group)
