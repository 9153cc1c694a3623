"""The table of the parts of open logs: what was appended, by log and by the offset where it begins.

``<log>`` is the row of a log's own facts, JSON; ``<log>/<offset, 16 hex digits>`` that of one part. A log is the node
name of its buffer, so that each buffer has one log at most, and the last row of a log tells how long it is.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, Final

import apsw

from ..errors import CorruptStorageError
from .catalog import Catalog
from .content import COLUMNS, StoredContent
from .objects import Objects
from .table import ContentTable
from .writes import WriteGroup
from .zarr_layout import end_of_directory, name_of_node

_PAGE: Final = 64
_FACTS: Final = "SELECT inline FROM parts WHERE key = ?"
_LAST: Final = "SELECT key, size FROM parts WHERE key >= ? AND key < ? ORDER BY key DESC LIMIT 1"
_NEXT: Final = "SELECT key FROM parts WHERE key >= ? ORDER BY key LIMIT 1"
_PARTS: Final = f"SELECT key, {COLUMNS} FROM parts WHERE key >= ? AND key < ? ORDER BY key LIMIT ?"  # noqa: S608 - its columns
_COUNT: Final = "SELECT count(*) FROM parts WHERE key >= ? AND key < ?"
_REFERS: Final = "SELECT 1 FROM parts WHERE object = ?"
_ADD: Final = f"INSERT INTO parts(key, {COLUMNS}) VALUES (?, ?, ?, ?, ?)"  # noqa: S608 - its columns


class PartsTable:
    """The rows of open logs. Thread-safe; the methods that take a connection are for operations of a group."""

    def __init__(self, catalog: Catalog, objects: Objects) -> None:
        self._catalog = catalog
        self._table: ContentTable[str] = ContentTable("parts", catalog, objects)

    # -- reading ------------------------------------------------------------------------------------------------------

    def facts(self, log: str) -> bytes | None:
        """Give the facts of a log; None if it is not open."""
        row = self._catalog.row(_FACTS, (log,))
        return None if row is None else bytes(row[0])

    def logs(self) -> Iterator[str]:
        """List the logs, in bytewise order of their node names, without going through their parts."""
        row = self._catalog.row(_NEXT, ("",))
        while row is not None:
            log, slash, _ = str(row[0]).partition("/")
            if not slash:
                yield log
            # Behind a row of facts come its parts, or those of `log-x`, which sorts before `log/`.
            row = self._catalog.row(_NEXT, (end_of_directory(f"{log}/") if slash else f"{log}\0",))

    def size(self, log: str) -> int:
        """Tell how many bytes were appended."""
        return _end(self._catalog.row(_LAST, _bounds(log)))

    def count(self, log: str) -> int:
        """Count the parts."""
        row: Any = self._catalog.row(_COUNT, _bounds(log))
        return int(row[0])

    def parts(self, log: str) -> Iterator[StoredContent]:
        """Give the parts in their order.

        Raises
        ------
        CorruptStorageError
            Between two of them, one is missing.
        """
        first, end = _bounds(log)
        position = 0
        while rows := self._catalog.rows(_PARTS, (first, end, _PAGE)):
            for key, *columns in rows:
                if _offset(key) != position:
                    raise CorruptStorageError(
                        f"the log of buffer {name_of_node(log)!r}", f"what was appended at byte {position:,} is missing"
                    )
                stored = StoredContent(*columns)
                position += stored.size
                yield stored
            first = f"{rows[-1][0]}\0"

    def refers_to(self, object_id: str) -> bool:
        """Tell, as the one writer, whether a part lies in an object file."""
        return bool(self._catalog.writer_rows(_REFERS, (object_id,)))

    # -- in a transaction ---------------------------------------------------------------------------------------------

    def facts_now(self, connection: apsw.Connection, log: str) -> bytes | None:
        """Give the facts of a log; None if it is not open."""
        rows = connection.execute(_FACTS, (log,)).fetchall()
        return bytes(rows[0][0]) if rows else None  # type: ignore[arg-type]

    def size_now(self, connection: apsw.Connection, log: str) -> int:
        """Tell how many bytes were appended."""
        rows = connection.execute(_LAST, _bounds(log)).fetchall()
        return _end(rows[0] if rows else None)

    def begin(self, connection: apsw.Connection, log: str, facts: bytes) -> None:
        """Add a log."""
        self._table.put_inline(connection, log, facts)

    def add(self, connection: apsw.Connection, log: str, offset: int, stored: StoredContent) -> None:
        """Add a part, which begins where the log ends."""
        connection.execute(_ADD, (f"{log}/{offset:016x}", *stored.columns()))

    def remove(self, group: WriteGroup, log: str, *, what: str) -> None:
        """Remove a log with its parts as a part of `group`."""
        self._table.delete_below(group, *_bounds(log), what=what)
        self._table.delete(group, log, what=what, missing=None)


def _bounds(log: str) -> tuple[str, str]:
    return f"{log}/", end_of_directory(f"{log}/")


def _end(last: Any) -> int:
    return 0 if last is None else _offset(last[0]) + int(last[1])


def _offset(key: str) -> int:
    return int(key.rpartition("/")[2], 16)
