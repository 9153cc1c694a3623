"""Commits: groups of writes become durable and visible, several of them with one synchronisation of the log.

Owns the steps from staged files to the end of the transaction, and what becomes of a group that cannot take one of
them: it alone is undone and told. What fails for all of them at once is tried again for each of them alone. Only the
one writer is in here.
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import apsw

from ..errors import MocError, StorageFullError
from .catalog import Catalog
from .files import failure, sync_directory
from .objects import Objects, StagedObject
from .reserve import Reserve
from .shipping import Shipper, Shipping

Operation = Callable[[apsw.Connection], None]
IsReferenced = Callable[[str], bool]


@dataclass(slots=True, eq=False)
class Work:
    """What one group of writes does, and what came of it.

    Attributes
    ----------
    staged
        Object files that are durable aside, each with what tells whether the catalog refers to it nevertheless.
    operations
        What the transaction does, each with its name for messages; the last one is what was asked for.
    settled
        Called as the one writer after the commit or the roll-back.
    obsolete
        Object files that the operations let go.
    weight
        About how many bytes the transaction writes.
    error
        Why nothing of it is visible; None once it is stored.
    shipped
        Who brings the commit elsewhere, and its number.
    """

    staged: list[tuple[StagedObject, IsReferenced]] = field(default_factory=list)
    operations: list[tuple[str, Operation]] = field(default_factory=list)
    settled: list[Callable[[], None]] = field(default_factory=list)
    obsolete: list[str] = field(default_factory=list)
    only_removes: bool = True
    weight: int = 0
    error: BaseException | None = None
    shipped: tuple[Shipper, int] | None = None

    @property
    def what(self) -> str:
        """What is being stored, for messages."""
        # The last one is what was asked for: a name comes after its blob.
        return self.operations[-1][0]

    def run(self, connection: apsw.Connection) -> None:
        """Do what the transaction does; also a second time, after a roll-back."""
        self.obsolete.clear()
        for _, operation in self.operations:
            operation(connection)


class Committer:
    """Commits pieces of work; each keeps its outcome. For one thread at a time."""

    def __init__(
        self, catalog: Catalog, objects: Objects, reserve: Reserve, directory: Path, shipping: Shipping
    ) -> None:
        self._catalog = catalog
        self._objects = objects
        self._reserve = reserve
        self._directory = directory
        self._shipping = shipping
        # Whether a commit that failed may yet be found in the log after a crash, and the files that it would refer to.
        self._is_in_doubt = False
        self._doubted: list[tuple[StagedObject, IsReferenced]] = []

    def __call__(self, works: Sequence[Work]) -> None:
        """Commit them, together if that is possible; nothing is raised."""
        try:
            with self._catalog.writing():
                self._commit(works)
                self._catalog.checkpoint_if_due()
        except BaseException as error:
            # Not of one of them, such as of a storage that was closed meanwhile; each of their threads is told.
            for work in works:
                work.error = work.error or error

    def _commit(self, works: Sequence[Work]) -> None:
        published = self._publish(works)
        if len(published) < 2 or not self._commit_together(published):
            for work in published:
                self._commit_alone(work)
        for work in works:
            if work.error is not None:
                self._withdraw(work.staged)
        if self._doubted and not self._is_in_doubt:
            doubted, self._doubted = self._doubted, []
            self._withdraw(doubted)
        for work in works:
            self._settle(work)

    def _publish(self, works: Sequence[Work]) -> list[Work]:
        """Move what is staged to where it is read from, durably; give those works that got this far."""
        changed: dict[Path, list[Work]] = {}
        for work in works:
            try:
                for staged, _ in work.staged:
                    changed.setdefault(self._objects.place(staged, changed), []).append(work)
            except OSError as error:
                work.error = _told(error, work, self._directory)
        for directory, concerned in changed.items():
            try:
                sync_directory(directory)
            except OSError as error:
                for work in concerned:
                    work.error = work.error or _told(error, work, self._directory)
        return [work for work in works if work.error is None]

    def _commit_together(self, works: Sequence[Work]) -> bool:
        """Commit them as one transaction, but for those that are refused; False: nothing was committed."""
        try:
            try:
                self._transact(works, apart=False)
            except _RefusedError:
                self._transact(works, apart=True)
        except MocError as error:
            self._note_doubt(error)
            for work in works:
                work.error = None
            return False
        return True

    def _commit_alone(self, work: Work) -> None:
        try:
            try:
                self._transact([work], apart=False)
            except StorageFullError:
                self._make_room(work)
                self._transact([work], apart=False)
        except BaseException as error:
            # Whatever refuses it is told to its thread, which perhaps is not this one.
            self._note_doubt(error)
            work.error = error

    def _transact(self, works: Sequence[Work], *, apart: bool) -> None:
        """Commit them as one transaction.

        Parameters
        ----------
        apart
            Undo what is refused by itself, and keep the error with it. That takes two statements more for each of them,
            so that they are first tried without: then one that is refused refuses all, by a ``_RefusedError``.
        """
        capture = None
        try:
            with self._catalog.transaction(works[0].what) as connection:
                capture = self._shipping.begin(connection)
                if apart:
                    works = [work for work in works if _run_apart(work, connection)]
                elif len(works) > 1:
                    _run_all(works, connection)
                else:
                    works[0].run(connection)
                changes = b"" if capture is None else capture.changes()
                if not works:
                    self._catalog.roll_back()
        finally:
            if capture is not None:
                capture.close()
        if not works:
            return
        self._is_in_doubt = False
        if capture is not None:
            published = [staged.object_id for work in works for staged, _ in work.staged]
            shipped = self._shipping.committed(changes, published)
            for work in works:
                work.shipped = shipped

    def _make_room(self, work: Work) -> None:
        """Free what may let a small commit through: the log's room, and, for removals, the reserve."""
        if work.only_removes:
            self._reserve.release()
        self._catalog.reclaim_log()

    def _note_doubt(self, error: BaseException) -> None:
        # The next commit that succeeds takes its place in the log, and ends the doubt.
        self._is_in_doubt = self._is_in_doubt or isinstance(error.__cause__, apsw.IOError)

    def _withdraw(self, files: Sequence[tuple[StagedObject, IsReferenced]]) -> None:
        if self._is_in_doubt:
            self._doubted.extend(files)
            return
        for staged, is_referenced in files:
            # The catalog may refer to it all the same: an equal blob was there before, or another one stored it.
            with contextlib.suppress(MocError):
                if not is_referenced(staged.object_id):
                    self._objects.remove(staged.object_id)

    def _settle(self, work: Work) -> None:
        try:
            for refresh in work.settled:
                refresh()
        except BaseException as error:
            work.error = work.error or error


def _told(error: OSError, work: Work, directory: Path) -> MocError:
    told = failure(error, work.what, directory)
    told.__cause__ = error
    return told


def _run_all(works: Sequence[Work], connection: apsw.Connection) -> None:
    try:
        for work in works:
            work.run(connection)
    except apsw.Error:
        raise
    except BaseException as error:
        raise _RefusedError from error


def _run_apart(work: Work, connection: apsw.Connection) -> bool:
    """Do what one of several does in the transaction, or nothing of it if it is refused."""
    connection.execute("SAVEPOINT work")
    try:
        work.run(connection)
    except apsw.Error:
        # Perhaps SQLite has rolled all of it back; each is tried alone.
        raise
    except BaseException as error:
        # Of whatever kind: it belongs to the thread whose work it is.
        connection.execute("ROLLBACK TO work")
        work.error = error
    connection.execute("RELEASE work")
    return work.error is None


class _RefusedError(Exception):
    """One of several works was refused."""
