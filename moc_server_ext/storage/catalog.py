"""The catalog: one SQLite database that says what there is. Whatever it does not refer to does not exist.

Owns connections, transactions, and what SQLite's errors are called. What is written is the callers'.

One connection writes, under one lock; readers borrow connections from a pool, never wait for the writer and see what
was committed before they began. A commit is on the disk when it returns (write-ahead log, ``synchronous=FULL``), and
readers see it only then.
"""

from __future__ import annotations

import contextlib
import errno
import os
import threading
import weakref
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from types import TracebackType
from typing import Any, Final, Self

import apsw

from ..errors import (
    CorruptStorageError,
    MocError,
    ReadOnlyStorageError,
    StorageError,
    StorageFormatError,
    StorageFullError,
)
from .files import FILE_MODE, sync_directory
from .schema import APPLICATION_ID, SCHEMA, SCHEMA_VERSION, UPGRADES

_BUSY_MILLISECONDS: Final = 5000
_LOG_PAGES_MAX: Final = 1000

Row = tuple[Any, ...]


class Catalog:
    """The open catalog of one storage directory.

    Thread-safe. Not usable in a forked child: SQLite's locks do not survive a fork.

    Parameters
    ----------
    may_be_new
        Whether a catalog that is not there is made, rather than missed.
    before_upgrade
        Is given a catalog of an earlier format before it is changed; what it raises leaves the catalog as it is.
    immutable
        The directory cannot be written, and no other process has it: the catalog is only read.

    Raises
    ------
    ReadOnlyStorageError, StorageFullError, CorruptStorageError, StorageFormatError
        Nothing is left open.
    """

    def __init__(
        self,
        path: Path,
        *,
        may_be_new: bool,
        before_upgrade: Callable[[apsw.Connection], None] | None = None,
        immutable: bool = False,
    ) -> None:
        self._may_be_new = may_be_new
        self._path = self.path = path
        self._before_upgrade = before_upgrade
        self._immutable = immutable
        self._writer_lock = threading.Lock()
        self._idle_readers: deque[apsw.Connection] = deque()
        self._closed = False
        self._log_pages = 0
        self._is_half_written_back = False
        self._distrust = ""
        if may_be_new and not path.exists():
            # SQLite would make it readable by all; its log files take over the mode of the database.
            os.close(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_CLOEXEC, FILE_MODE))
        if not path.exists():
            raise CorruptStorageError(f"the catalog {str(path)!r}", "it is missing")
        try:
            self._writer = self._connect(apsw.SQLITE_OPEN_READONLY if immutable else apsw.SQLITE_OPEN_READWRITE)
        except apsw.Error as error:
            raise self._failure(error, "the catalog") from error
        try:
            self._set_up()
        except apsw.Error as error:
            failure = self._failure(error, "the catalog", self._writer)
            self._writer.close()
            raise failure from error
        except BaseException:
            self._writer.close()
            raise

    def _set_up(self) -> None:
        writer = self._writer
        _configure(writer)
        if self._immutable:
            version = writer.pragma("user_version")
            if writer.pragma("application_id") != APPLICATION_ID or version != SCHEMA_VERSION:
                raise StorageFormatError(str(self._path), found=version, expected=SCHEMA_VERSION)
            return
        writer.execute("PRAGMA journal_mode = WAL").fetchall()
        writer.execute("PRAGMA synchronous = FULL").fetchall()
        version = writer.pragma("user_version")
        if version == 0 and not writer.execute("SELECT 1 FROM sqlite_schema").fetchall():
            if not self._may_be_new:
                raise CorruptStorageError(f"the catalog {str(self._path)!r}", "it is empty")
            writer.execute("BEGIN IMMEDIATE")
            writer.execute(SCHEMA).fetchall()
            writer.execute("COMMIT")
            sync_directory(self._path.parent)
        elif writer.pragma("application_id") != APPLICATION_ID or not 0 < version <= SCHEMA_VERSION:
            raise StorageFormatError(str(self._path), found=version, expected=SCHEMA_VERSION)
        if 0 < version < SCHEMA_VERSION:
            if self._before_upgrade is not None:
                self._before_upgrade(writer)
            writer.execute("BEGIN IMMEDIATE")
            for each in range(version, SCHEMA_VERSION):
                writer.execute(UPGRADES[each]).fetchall()
            writer.execute("COMMIT")
        # In place of SQLite's own checkpoints, which keep their failures to themselves.
        writer.set_wal_hook(self._note_log)

    def _connect(self, flags: int) -> apsw.Connection:
        flags |= apsw.SQLITE_OPEN_NOFOLLOW | apsw.SQLITE_OPEN_EXRESCODE
        if not self._immutable:
            return apsw.Connection(str(self._path), flags=flags)
        return apsw.Connection(f"{self._path.as_uri()}?immutable=1", flags=flags | apsw.SQLITE_OPEN_URI)

    def size(self) -> int:
        """Tell how many bytes the catalog and its log take."""
        total = 0
        for name in (self._path.name, f"{self._path.name}-wal"):
            with contextlib.suppress(FileNotFoundError):
                total += self._path.with_name(name).stat().st_size
        return total

    # -- reading ------------------------------------------------------------------------------------------------------

    def rows(self, sql: str, bindings: Sequence[Any] = ()) -> list[Row]:
        """Run one SELECT on what is committed, and give all its rows."""
        connection = self._borrow()
        try:
            return connection.execute(sql, bindings).fetchall()
        except apsw.Error as error:
            raise self._failure(error, "the catalog", connection) from error
        finally:
            self._give_back(connection)

    def row(self, sql: str, bindings: Sequence[Any] = ()) -> Row | None:
        """Run one SELECT on what is committed, and give its first row."""
        rows = self.rows(sql, bindings)
        return rows[0] if rows else None

    def moment(self) -> Moment:
        """Hold on to what is committed now: every look at the moment sees the same. Close it soon: the log waits."""
        connection = self._borrow()
        try:
            connection.execute("BEGIN")
        except apsw.Error as error:
            self._give_back(connection)
            raise self._failure(error, "the catalog", connection) from error
        return Moment(self, connection)

    def copy_to(self, path: Path) -> None:
        """Write what is committed now into the empty file `path`, as a database of its own; synchronised by nobody.

        Others read and write meanwhile. Equal content gives equal files.

        Raises
        ------
        StorageFullError, CorruptStorageError, StorageError
            What is in `path` is of no use.
        """
        connection = self._borrow()
        try:
            connection.execute("VACUUM INTO ?", (str(path),)).fetchall()
        except apsw.Error as error:
            raise self._failure(error, "the copy of the catalog", connection) from error
        finally:
            self._give_back(connection)

    def _end_moment(self, connection: apsw.Connection) -> None:
        try:
            connection.execute("ROLLBACK")
        except apsw.Error:
            # Nothing was written; a connection that cannot even end a look is not used again.
            connection.close()
        else:
            self._give_back(connection)

    def _borrow(self) -> apsw.Connection:
        self._check_open()
        try:
            return self._idle_readers.pop()
        except IndexError:
            pass
        try:
            connection = self._connect(apsw.SQLITE_OPEN_READONLY)
            _configure(connection)
        except apsw.Error as error:
            raise self._failure(error, "the catalog") from error
        return connection

    def _give_back(self, connection: apsw.Connection) -> None:
        self._idle_readers.append(connection)
        if self._closed:
            # close() may have emptied the pool before this one came back.
            self._close_readers()

    def _close_readers(self) -> None:
        with contextlib.suppress(IndexError):
            while True:
                self._idle_readers.pop().close()

    # -- writing ------------------------------------------------------------------------------------------------------

    def prepare_writer(self, prepare: Callable[[apsw.Connection], None]) -> None:
        """Let `prepare` add to the writer's connection what lasts as long as that does, such as triggers."""
        with self.writing():
            try:
                prepare(self._writer)
            except apsw.Error as error:
                raise self._failure(error, "the catalog", self._writer) from error

    @contextlib.contextmanager
    def writing(self) -> Iterator[None]:
        """Be the one writer. Not reentrant."""
        with self._writer_lock:
            self._check_open()
            yield

    @contextlib.contextmanager
    def transaction(self, what: str) -> Iterator[apsw.Connection]:
        """Run the block as one transaction, inside :meth:`writing`; durable when the block is left.

        Parameters
        ----------
        what
            What is being stored, for messages.

        Raises
        ------
        StorageFullError, ReadOnlyStorageError, StorageError
            Nothing of the transaction is visible. Any exception of the block does the same and goes on.
        """
        writer = self._writer
        if self._distrust:
            raise ReadOnlyStorageError(str(self._path.parent), self._distrust)
        try:
            writer.execute("BEGIN IMMEDIATE")
            yield writer
            if writer.in_transaction:
                writer.execute("COMMIT")
        except apsw.Error as error:
            failure = self._failure(error, what, writer)
            self.roll_back()
            raise failure from error
        except BaseException:
            self.roll_back()
            raise

    def roll_back(self) -> None:
        """Undo what the transaction did so far, and end it; for its block."""
        # Some errors (a full disk among them) make SQLite roll back by itself.
        if self._writer.in_transaction:
            with contextlib.suppress(apsw.Error):
                self._writer.execute("ROLLBACK")

    def writer_rows(self, sql: str, bindings: Sequence[Any] = ()) -> list[Row]:
        """Run one SELECT on the writer's connection, inside :meth:`writing`, so that it sees the last commit."""
        try:
            return self._writer.execute(sql, bindings).fetchall()
        except apsw.Error as error:
            raise self._failure(error, "the catalog", self._writer) from error

    def reclaim_log(self) -> None:
        """Try to write the log back into the database and cut it to nothing, inside :meth:`writing`.

        A full disk may have room for a small commit afterwards; whether it has, that commit will tell.
        """
        self._checkpoint(apsw.SQLITE_CHECKPOINT_TRUNCATE)

    def checkpoint_if_due(self) -> None:
        """Write the log back into the database once it has become long, inside :meth:`writing`.

        What fails is tried again later: until it succeeds, the log has it all.
        """
        if self._log_pages >= _LOG_PAGES_MAX:
            self._checkpoint(apsw.SQLITE_CHECKPOINT_PASSIVE)

    def _note_log(self, connection: apsw.Connection, name: str, pages: int) -> int:
        self._log_pages = pages
        return apsw.SQLITE_OK

    def _checkpoint(self, mode: int) -> None:
        # Counted anew by the next commit.
        self._log_pages = 0
        try:
            length, written_back = self._writer.wal_checkpoint(mode=mode)
        except apsw.Error as error:
            is_unsynchronised = getattr(error, "extendedresult", 0) == apsw.SQLITE_IOERR_FSYNC
            if is_unsynchronised and self._is_half_written_back:
                # An earlier checkpoint stopped where a reader was. SQLite does not write its pages again, and the
                # system has forgotten which of them never came to the disk. The log has them, and a new opening begins
                # with all of it.
                self._distrust = "the disk did not keep what was written. All that is stored is safe; open it again"
                self._writer.config(apsw.SQLITE_DBCONFIG_NO_CKPT_ON_CLOSE, 1)
        else:
            self._is_half_written_back = 0 < written_back < length

    # -- the end ------------------------------------------------------------------------------------------------------

    def close(self) -> None:
        """Close every connection, which writes the log back; waits for a write in progress; idempotent."""
        with self._writer_lock:
            if self._closed:
                return
            self._closed = True
            self._close_readers()
            self._writer.close()

    def _check_open(self) -> None:
        if self._closed:
            raise StorageError(f"The storage {str(self._path.parent)!r} is closed.", path=str(self._path.parent))

    def _failure(self, error: apsw.Error, what: str, connection: apsw.Connection | None = None) -> MocError:
        directory = str(self._path.parent)
        number = connection.system_errno if connection is not None else 0
        if isinstance(error, apsw.FullError) or (
            isinstance(error, apsw.IOError) and number in (errno.ENOSPC, errno.EDQUOT)
        ):
            return StorageFullError(what)
        if isinstance(error, apsw.ReadOnlyError | apsw.PermissionsError) or (
            isinstance(error, apsw.CantOpenError) and not os.access(self._path, os.W_OK)
        ):
            return ReadOnlyStorageError(directory, str(error))
        if isinstance(error, apsw.CorruptError | apsw.NotADBError):
            return CorruptStorageError(f"the catalog {str(self._path)!r}", str(error))
        return StorageError(f"The catalog {str(self._path)!r} failed for {what}: {error}.", what=what)


class Moment:
    """What was committed at one moment. Thread-safe; a context manager, and ended when it is dropped."""

    def __init__(self, catalog: Catalog, connection: apsw.Connection) -> None:
        self._catalog = catalog
        self._connection = connection
        self._lock = threading.Lock()
        self._end = weakref.finalize(self, catalog._end_moment, connection)
        self._end.atexit = False

    def rows(self, sql: str, bindings: Sequence[Any] = ()) -> list[Row]:
        """Run one SELECT, and give all its rows."""
        with self._lock:
            if not self._end.alive:
                raise StorageError("This look at the storage has ended; open it again.")
            try:
                return self._connection.execute(sql, bindings).fetchall()
            except apsw.Error as error:
                raise self._catalog._failure(error, "the catalog", self._connection) from error

    def close(self) -> None:
        """Let go of it; idempotent."""
        with self._lock:
            self._end()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.close()


def _configure(connection: apsw.Connection) -> None:
    connection.set_busy_timeout(_BUSY_MILLISECONDS)
    connection.execute("PRAGMA trusted_schema = OFF").fetchall()
    connection.execute("PRAGMA cell_size_check = ON").fetchall()
    connection.execute("PRAGMA temp_store = MEMORY").fetchall()
