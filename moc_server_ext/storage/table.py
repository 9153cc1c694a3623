"""A table of the catalog whose rows are stored bytes by key: ``entries`` (text keys) and ``keyvalues`` (binary ones).

Owns the SQL of those two tables. What a key means is known to the nouns above.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Generic, Literal, TypeVar, cast

import apsw

from ..errors import MocError
from .catalog import Catalog
from .content import COLUMNS, OpenContent, StoredContent, open_content, read_content
from .objects import Objects, random_object_id
from .receiving import Received
from .writes import WriteGroup

Key = TypeVar("Key", str, bytes)


class ContentTable(Generic[Key]):
    """Stored bytes by key. Thread-safe."""

    def __init__(self, table: Literal["entries", "keyvalues"], catalog: Catalog, objects: Objects) -> None:
        self._catalog = catalog
        self._objects = objects
        self._find = f"SELECT {COLUMNS} FROM {table} WHERE key = ?"  # noqa: S608 - the two literals above
        self._find_all = f"SELECT key, {COLUMNS} FROM {table} WHERE key >= ? AND key < ? AND key GLOB ? ORDER BY key"  # noqa: S608
        self._find_both = f"SELECT key, {COLUMNS} FROM {table} WHERE key IN (?, ?)"  # noqa: S608
        self._size = f"SELECT size FROM {table} WHERE key = ?"  # noqa: S608
        self._object = f"SELECT object FROM {table} WHERE key = ?"  # noqa: S608
        self._put = f"INSERT OR REPLACE INTO {table}(key, {COLUMNS}) VALUES (?, ?, ?, ?, ?)"  # noqa: S608
        self._delete = f"DELETE FROM {table} WHERE key = ?"  # noqa: S608
        self._after = f"SELECT key FROM {table} WHERE key > ? AND key < ? ORDER BY key LIMIT ?"  # noqa: S608
        self._from = f"SELECT key FROM {table} WHERE key >= ? AND key < ? ORDER BY key LIMIT ?"  # noqa: S608
        self._from_open = f"SELECT key FROM {table} WHERE key >= ? ORDER BY key LIMIT ?"  # noqa: S608
        self._after_open = f"SELECT key FROM {table} WHERE key > ? ORDER BY key LIMIT ?"  # noqa: S608
        self._objects_of = f"SELECT object FROM {table} WHERE object IS NOT NULL"  # noqa: S608
        self._count_like = f"SELECT count(*) FROM {table} WHERE key GLOB ?"  # noqa: S608
        self._count = f"SELECT count(*), coalesce(sum(size), 0) FROM {table}"  # noqa: S608

    # -- reading ------------------------------------------------------------------------------------------------------

    def find(self, key: Key) -> StoredContent | None:
        """Look a key up."""
        row = self._catalog.row(self._find, (key,))
        return None if row is None else StoredContent(*row)

    def find_all(self, first: Key, end: Key, pattern: str) -> list[tuple[Key, StoredContent]]:
        """Look up the keys of ``[first, end)`` that match a GLOB pattern, all as of one moment."""
        rows = self._catalog.rows(self._find_all, (first, end, pattern))
        return [(row[0], StoredContent(*row[1:])) for row in rows]

    def find_both(self, key: Key, other: Key) -> tuple[StoredContent | None, StoredContent | None]:
        """Look two keys up as of one moment."""
        found = {row[0]: StoredContent(*row[1:]) for row in self._catalog.rows(self._find_both, (key, other))}
        return found.get(key), found.get(other)

    def size(self, key: Key) -> int | None:
        """Tell the size of the content of a key, without reading it."""
        row = self._catalog.row(self._size, (key,))
        return None if row is None else cast(int, row[0])

    def read(
        self, lookup: Callable[[], StoredContent], start: int, stop: int | None, *, what: Callable[[], str]
    ) -> bytes:
        """Read bytes ``[start, stop)`` of the row that `lookup` gives (see :func:`~.content.read_content`)."""
        return read_content(lookup, self._objects, start, stop, what)

    def open(self, lookup: Callable[[], StoredContent], *, what: Callable[[], str]) -> OpenContent:
        """Open the row that `lookup` gives (see :func:`~.content.open_content`)."""
        return open_content(lookup, self._objects, what)

    def keys(self, first: Key, end: Key | None, limit: int, *, after: bool = False) -> list[Key]:
        """List up to `limit` keys of ``[first, end)`` in bytewise order.

        Parameters
        ----------
        end
            None is the end of the table.
        after
            Leave `first` itself out.
        """
        if end is None:
            rows = self._catalog.rows(self._after_open if after else self._from_open, (first, limit))
        else:
            rows = self._catalog.rows(self._after if after else self._from, (first, end, limit))
        return [row[0] for row in rows]

    def object_ids(self) -> set[str]:
        """List the object files that the table refers to."""
        return {row[0] for row in self._catalog.rows(self._objects_of)}

    def totals(self) -> tuple[int, int]:
        """Count the rows and add their sizes up."""
        row: Any = self._catalog.row(self._count)
        return row[0], row[1]

    def count_like(self, pattern: str) -> int:
        """Count the keys that match a GLOB pattern."""
        row: Any = self._catalog.row(self._count_like, (pattern,))
        return cast(int, row[0])

    # -- writing ------------------------------------------------------------------------------------------------------

    def put(
        self,
        group: WriteGroup,
        key: Key,
        content: bytes | Received,
        *,
        what: str,
        object_id: Callable[[], str] = random_object_id,
        keep_object: bool = False,
    ) -> None:
        """Store `content` under `key` as a part of `group`, replacing what is there.

        Parameters
        ----------
        keep_object
            Whether the object file that is replaced stays, because its name tells its content.
        """

        def is_referenced(name: str) -> bool:
            rows = self._catalog.writer_rows(self._object, (key,))
            return bool(rows) and rows[0][0] == name

        stored: StoredContent = group.stage(content, what, is_referenced=is_referenced, object_id=object_id)

        def operation(connection: apsw.Connection) -> None:
            if not keep_object:
                self._release(group, connection, key)
            connection.execute(self._put, (key, *stored.columns()))

        group.then(what, operation)

    def delete(self, group: WriteGroup, key: Key, *, what: str, missing: Callable[[], MocError] | None) -> None:
        """Remove `key` as a part of `group`; the error of `missing`, if given, refuses the group when it is not there.

        Whether it is there is asked in the transaction, so that of two who delete it, one is told.
        """

        def operation(connection: apsw.Connection) -> None:
            if self._release(group, connection, key):
                connection.execute(self._delete, (key,))
            elif missing is not None:
                raise missing()

        group.then(what, operation, removes=True)

    def _release(self, group: WriteGroup, connection: apsw.Connection, key: Key) -> bool:
        """Let the object file of `key` go with the commit; tell whether there is such a key."""
        rows = connection.execute(self._object, (key,)).fetchall()
        if rows and rows[0][0] is not None:
            group.make_obsolete(str(rows[0][0]))
        return bool(rows)
