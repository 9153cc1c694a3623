"""How anything comes to be stored: staged files, one transaction, then the acknowledgement.

The order is fixed: object files written and synchronised aside → renamed → their directories synchronised → commit →
acknowledge → remove the files of what was replaced. A crash leaves at most files that nothing refers to.

A :class:`WriteGroup` is the only way to write. Each single write is a group of its own; several writes that join one
group appear together or not at all.
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

import apsw

from ..errors import MocError, ReadOnlyStorageError, StorageError, StorageFullError
from .catalog import Catalog
from .content import StoredContent
from .files import failures
from .objects import Objects, StagedObject, random_object_id
from .receiving import Received, Sealable
from .reserve import Reserve
from .shipping import Capture, Shipper, write_sequence

Operation = Callable[[apsw.Connection], None]


class WriteGroup:
    """Writes that appear in one transaction. Belongs to one thread; made by :meth:`Writer.group`."""

    def __init__(
        self, catalog: Catalog, objects: Objects, reserve: Reserve, directory: Path, shipping: Shipping
    ) -> None:
        self._catalog = catalog
        self._objects = objects
        self._reserve = reserve
        self._directory = directory
        self._shipping = shipping
        self._shipped: tuple[Shipper, int] | None = None
        self._only_removes = True
        self._staged: list[tuple[StagedObject, Callable[[str], bool]]] = []
        self._operations: list[tuple[str, Operation]] = []
        self._settled: list[Callable[[], None]] = []
        self._obsolete: list[str] = []
        self._ended = False

    def stage(
        self,
        content: bytes | Sealable,
        what: str,
        *,
        is_referenced: Callable[[str], bool],
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
            self._staged.append((staged, is_referenced))
        return stored

    def adopt(self, staged: StagedObject, *, is_referenced: Callable[[str], bool]) -> None:
        """Take over an object that is durable aside already; `is_referenced` as for :meth:`stage`."""
        self._check_open()
        self._staged.append((staged, is_referenced))

    def then(self, what: str, operation: Operation, *, removes: bool = False) -> None:
        """Add what the transaction does. It may run twice (after a roll-back), and raise to refuse the whole group.

        Parameters
        ----------
        removes
            Whether it removes something: a group that does nothing else may use the reserve of a full disk.
        """
        self._check_open()
        self._operations.append((what, operation))
        self._only_removes = self._only_removes and removes

    def make_obsolete(self, object_id: str) -> None:
        """Let an object file go once the transaction is committed; for operations."""
        self._obsolete.append(object_id)

    def when_settled(self, refresh: Callable[[], None]) -> None:
        """Call `refresh` as the one writer after the commit or the roll-back, to read what is now true."""
        self._settled.append(refresh)

    def commit(self) -> None:
        """Write it all; durable on return.

        Raises
        ------
        MocError
            The error of an operation, or that of the disk. Nothing of the group is visible.
        """
        self._check_open()
        self._ended = True
        if not self._operations:
            return
        # The last one is what was asked for: a name comes after its blob.
        what = self._operations[-1][0]
        try:
            self._commit(what)
        finally:
            self._discard()
        self._objects.pins.retire(self._obsolete)
        self._reserve.restore()
        if self._shipped is not None:
            shipper, sequence = self._shipped
            shipper.wait(sequence)

    def abandon(self) -> None:
        """Forget it all; for a group whose block raised."""
        self._ended = True
        self._discard()

    def _commit(self, what: str) -> None:
        with self._catalog.writing():
            try:
                with failures(what, self._directory):
                    self._objects.publish(staged for staged, _ in self._staged)
                try:
                    self._apply(what)
                except StorageFullError:
                    self._make_room()
                    self._apply(what)
            except BaseException as error:
                self._withdraw(error)
                raise
            finally:
                for refresh in self._settled:
                    refresh()

    def _discard(self) -> None:
        for staged, _ in self._staged:
            self._objects.discard(staged)

    def _apply(self, what: str) -> None:
        self._obsolete.clear()
        with contextlib.ExitStack() as ending:
            with self._catalog.transaction(what) as connection:
                capture = self._shipping.begin(connection)
                if capture is not None:
                    ending.callback(capture.close)
                for _, operation in self._operations:
                    operation(connection)
                changes = b"" if capture is None else capture.changes()
            if capture is not None:
                self._shipped = self._shipping.committed(changes, [staged.object_id for staged, _ in self._staged])

    def _make_room(self) -> None:
        """Free what may let a small commit through: the log's room, and, for removals, the reserve."""
        if self._only_removes:
            self._reserve.release()
        self._catalog.reclaim_log()

    def _withdraw(self, error: BaseException) -> None:
        if isinstance(error.__cause__, apsw.IOError):
            # The commit may yet be found in the log after a crash, so that its files must stay. The sweep takes them.
            return
        for staged, is_referenced in self._staged:
            # The catalog may refer to it all the same: an equal blob was there before, or Ctrl-C came after the commit.
            with contextlib.suppress(MocError):
                if not is_referenced(staged.object_id):
                    self._objects.remove(staged.object_id)

    def _check_open(self) -> None:
        if self._ended:
            raise StorageError("This group of writes has ended; begin another.")


class Shipping:
    """Who is told of commits now, and the number of the last one. For the one writer."""

    def __init__(self) -> None:
        self.shipper: Shipper | None = None
        self.sequence = 0

    def begin(self, connection: apsw.Connection) -> Capture | None:
        """Record what is changed from now on, if somebody is to be told."""
        return None if self.shipper is None else Capture(connection, self.sequence + 1)

    def committed(self, changes: bytes, objects: Sequence[str]) -> tuple[Shipper, int]:
        """Tell of the commit; give whom to wait for, and its number."""
        assert self.shipper is not None  # noqa: S101 - a commit was recorded
        self.sequence += 1
        self.shipper.committed(self.sequence, changes, objects)
        return self.shipper, self.sequence


class Writer:
    """Makes groups. Thread-safe: groups of several threads are staged at the same time and committed in turn."""

    def __init__(self, catalog: Catalog, objects: Objects, reserve: Reserve, directory: Path) -> None:
        self._catalog = catalog
        self._objects = objects
        self._reserve = reserve
        self._directory = directory
        self._shipping = Shipping()
        self.read_only_reason = ""
        """Why nothing may be written now; empty while it may."""

    @contextlib.contextmanager
    def group(self) -> Iterator[WriteGroup]:
        """Collect the writes of the block and commit them when it ends; a block that raises leaves nothing.

        Raises
        ------
        ReadOnlyStorageError
            Before the block: nothing may be written now.
        """
        if self.read_only_reason:
            raise ReadOnlyStorageError(str(self._directory), self.read_only_reason)
        shipper = self._shipping.shipper
        if shipper is not None:
            shipper.admit()
        with self.unrestricted_group() as group:
            yield group

    @contextlib.contextmanager
    def unrestricted_group(self) -> Iterator[WriteGroup]:
        """Do what :meth:`group` does, also while others may not write: for what is copied from another storage."""
        group = WriteGroup(self._catalog, self._objects, self._reserve, self._directory, self._shipping)
        try:
            yield group
        except BaseException:
            group.abandon()
            raise
        group.commit()

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

    def receive(self, what: str) -> Received:
        """Begin to take content that comes in parts; a group stages it once it is whole."""
        return Received(self._objects, self._directory, what)

    def joined(self, group: WriteGroup | None) -> contextlib.AbstractContextManager[WriteGroup]:
        """Write as a part of `group`, which commits later, or, without one, at the end of the block."""
        return self.group() if group is None else contextlib.nullcontext(group)
