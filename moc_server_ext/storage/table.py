"""A table of the catalog whose rows are stored bytes by key: text in ``entries`` and ``parts``, bytes in ``keyvalues``.

Owns the SQL of those tables. What a key means is known to the nouns above.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from functools import partial
from typing import Any, Generic, Literal, TypeVar, cast

import apsw
import google_crc32c

from ..errors import MocError
from .catalog import Catalog, Row
from .content import COLUMNS, OpenContent, StoredContent, open_content, read_content
from .objects import Objects, random_object_id
from .receiving import Sealable
from .writes import WriteGroup

Key = TypeVar("Key", str, bytes)


class ContentTable(Generic[Key]):
    """Stored bytes by key. Thread-safe."""

    def __init__(self, table: Literal["entries", "keyvalues", "parts"], catalog: Catalog, objects: Objects) -> None:
        self._catalog = catalog
        self._objects = objects
        self._find = f"SELECT {COLUMNS} FROM {table} WHERE key = ?"  # noqa: S608 - the literals above
        self._find_all = f"SELECT key, {COLUMNS} FROM {table} WHERE key >= ? AND key < ? AND key GLOB ? ORDER BY key"  # noqa: S608
        self._facts_below = (
            f"SELECT key, size, crc32c, object, CASE WHEN key GLOB ? THEN inline END FROM {table} "  # noqa: S608
            "WHERE key >= ? AND key < ? ORDER BY key"
        )
        self._inline_below = f"SELECT key, inline FROM {table} WHERE key >= ? AND key < ? AND inline NOT NULL"  # noqa: S608
        self._inline_of = f"SELECT inline FROM {table} WHERE key = ?"  # noqa: S608
        self._delete_below = f"DELETE FROM {table} WHERE key >= ? AND key < ?"  # noqa: S608
        self._exists_below = f"SELECT 1 FROM {table} WHERE key >= ? AND key < ? LIMIT 1"  # noqa: S608
        self._size_below = f"SELECT coalesce(sum(size), 0) FROM {table} WHERE key >= ? AND key < ?"  # noqa: S608
        self._between = f"SELECT key, {COLUMNS} FROM {table} WHERE key >= ? AND key <= ? ORDER BY key"  # noqa: S608
        self._find_both = f"SELECT key, {COLUMNS} FROM {table} WHERE key IN (?, ?)"  # noqa: S608
        self._size = f"SELECT size FROM {table} WHERE key = ?"  # noqa: S608
        self._object = f"SELECT object FROM {table} WHERE key = ?"  # noqa: S608
        self._put = f"INSERT OR REPLACE INTO {table}(key, {COLUMNS}) VALUES (?, ?, ?, ?, ?)"  # noqa: S608
        self._delete = f"DELETE FROM {table} WHERE key = ? RETURNING 1"  # noqa: S608
        self._after = f"SELECT key FROM {table} WHERE key > ? AND key < ? ORDER BY key LIMIT ?"  # noqa: S608
        self._from = f"SELECT key FROM {table} WHERE key >= ? AND key < ? ORDER BY key LIMIT ?"  # noqa: S608
        self._from_open = f"SELECT key FROM {table} WHERE key >= ? ORDER BY key LIMIT ?"  # noqa: S608
        self._after_open = f"SELECT key FROM {table} WHERE key > ? ORDER BY key LIMIT ?"  # noqa: S608
        self._count_like = f"SELECT count(*) FROM {table} WHERE key GLOB ? AND key NOT GLOB ?"  # noqa: S608
        self._keys_like = (
            f"SELECT key FROM {table} WHERE key >= ? AND key < ? AND key GLOB ? AND key NOT GLOB ? LIMIT ?"  # noqa: S608
        )
        pair = f"SELECT key, size FROM {table} WHERE key"  # noqa: S608
        self._sizes = {
            (
                after,
                open_end,
            ): f"{pair} {'>' if after else '>='} ?{'' if open_end else ' AND key < ?'} ORDER BY key LIMIT ?"
            for after in (False, True)
            for open_end in (False, True)
        }
        self._count = f"SELECT count(*) FROM {table}"  # noqa: S608

    # -- reading ------------------------------------------------------------------------------------------------------

    def find(self, key: Key) -> StoredContent | None:
        """Look a key up."""
        row = self._catalog.row(self._find, (key,))
        return None if row is None else StoredContent(*row)

    def find_all(self, first: Key, end: Key, pattern: str) -> list[tuple[Key, StoredContent]]:
        """Look up the keys of ``[first, end)`` that match a GLOB pattern, all as of one moment."""
        rows = self._catalog.rows(self._find_all, (first, end, pattern))
        return [(row[0], StoredContent(*row[1:])) for row in rows]

    def read_all(self, first: Key, end: Key, pattern: str) -> list[tuple[Key, bytes]]:
        """Read what is stored under the keys of ``[first, end)`` that match a GLOB pattern, each of them checked.

        As of one moment, while nobody removes the files of what is replaced: inside of :meth:`~.pins.Pins.looking`.
        """
        found = []
        for key, stored in self.find_all(first, end, pattern):
            lookup, what = partial(_same, stored), partial("Zarr key {!r}".format, key)
            found.append((key, self.read(lookup, 0, None, what=what)))
        return found

    def find_both(self, key: Key, other: Key) -> tuple[StoredContent | None, StoredContent | None]:
        """Look two keys up as of one moment."""
        found = {row[0]: StoredContent(*row[1:]) for row in self._catalog.rows(self._find_both, (key, other))}
        return found.get(key), found.get(other)

    def find_in(self, connection: apsw.Connection, key: Key) -> StoredContent | None:
        """Look a key up inside of a transaction, with what it has changed so far; for operations of a group."""
        rows: list[Row] = connection.execute(self._find, (key,)).fetchall()
        return StoredContent(*rows[0]) if rows else None

    def find_as_writer(self, key: Key) -> StoredContent | None:
        """Look a key up inside of a transaction, as the one writer."""
        rows = self._catalog.writer_rows(self._find, (key,))
        return StoredContent(*rows[0]) if rows else None

    def look_below(
        self, first: Key, end: Key, documents: str, inline_bytes_max: int
    ) -> tuple[dict[Key, StoredContent], Callable[[Key], bytes] | None]:
        """Look up the keys of ``[first, end)``, all as of one moment, in bytewise order.

        Parameters
        ----------
        documents
            GLOB pattern of those whose content in the catalog is wanted in any case.
        inline_bytes_max
            Up to how many bytes in all the content of the others comes along.

        Returns
        -------
        dict, Callable or None
            The rows; and, where content in the catalog was too much to come along (it is None in the rows, as is the
            object), what gives that of one key as of the same moment.
        """
        moment = self._catalog.moment()
        rows = moment.rows(self._facts_below, (documents, first, end))
        found = {row[0]: StoredContent(*row[1:]) for row in rows}
        missing = [each for each in found.values() if each.object_id is None and each.inline is None]
        if not missing:
            moment.close()
            return found, None
        if sum(each.size for each in missing) <= inline_bytes_max:
            with moment:
                for key, inline in moment.rows(self._inline_below, (first, end)):
                    found[key] = replace(found[key], inline=inline)
            return found, None
        return found, lambda key: cast(bytes, moment.rows(self._inline_of, (key,))[0][0])

    def exists_below(self, first: Key, end: Key) -> bool:
        """Tell whether there is any key in ``[first, end)``."""
        return self._catalog.row(self._exists_below, (first, end)) is not None

    def size_below(self, first: Key, end: Key) -> int:
        """Add up the sizes of what is in ``[first, end)``."""
        row: Any = self._catalog.row(self._size_below, (first, end))
        return cast(int, row[0])

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

    def keys_and_sizes(self, first: Key, end: Key | None, limit: int, *, after: bool = False) -> list[tuple[Key, int]]:
        """List keys as :meth:`keys` does, with the sizes of what is stored there."""
        bounds: tuple[Key, ...] = (first,) if end is None else (first, end)
        return [(row[0], row[1]) for row in self._catalog.rows(self._sizes[after, end is None], (*bounds, limit))]

    def read_page(
        self, first: Key, end: Key | None, limit: int, bytes_max: int, *, after: bool, what: Callable[[Key], str]
    ) -> tuple[list[tuple[Key, bytes]], bool]:
        """Read up to `limit` keys, as :meth:`keys` lists them, with what is stored there, all as of one moment.

        Parameters
        ----------
        bytes_max
            Up to how many bytes of keys and content; the first key comes along in any case.

        Returns
        -------
        list, bool
            Each key and its content, which is checked; and whether more keys follow.
        """
        bounds: tuple[Key, ...] = (first,) if end is None else (first, end)
        with self._objects.pins.looking():
            with self._catalog.moment() as moment:
                sizes = moment.rows(self._sizes[after, end is None], (*bounds, limit + 1))
                count, room = 0, bytes_max
                for key, size in sizes[:limit]:
                    room -= len(key) + size
                    if room < 0 and count:
                        break
                    count += 1
                rows = moment.rows(self._between, (sizes[0][0], sizes[count - 1][0])) if count else []
            items = [
                (row[0], self.read(partial(_same, StoredContent(*row[1:])), 0, None, what=partial(what, row[0])))
                for row in rows
            ]
        return items, count < len(sizes)

    def keys_like(self, first: Key, end: Key, pattern: str, unlike: str, limit: int) -> list[Key]:
        """List up to `limit` keys of ``[first, end)`` that match one GLOB pattern and not the other, in no order."""
        return [row[0] for row in self._catalog.rows(self._keys_like, (first, end, pattern, unlike, limit))]

    def count(self) -> int:
        """Count the rows."""
        row: Any = self._catalog.row(self._count)
        return cast(int, row[0])

    def count_like(self, pattern: str, unlike: str) -> int:
        """Count the keys that match one GLOB pattern and not the other."""
        row: Any = self._catalog.row(self._count_like, (pattern, unlike))
        return cast(int, row[0])

    # -- writing ------------------------------------------------------------------------------------------------------

    def put(
        self,
        group: WriteGroup,
        key: Key,
        content: bytes | Sealable,
        *,
        what: str,
        object_id: Callable[[], str] = random_object_id,
    ) -> None:
        """Store `content` under `key` as a part of `group`, replacing what is there."""

        def is_referenced(name: str) -> bool:
            rows = self._catalog.writer_rows(self._object, (key,))
            return bool(rows) and rows[0][0] == name

        stored: StoredContent = group.stage(content, what, is_referenced=is_referenced, object_id=object_id)

        def operation(connection: apsw.Connection) -> None:
            connection.execute(self._put, (key, *stored.columns()))

        group.then(what, operation)

    def delete(self, group: WriteGroup, key: Key, *, what: str, missing: Callable[[], MocError] | None) -> None:
        """Remove `key` as a part of `group`; the error of `missing`, if given, refuses the group when it is not there.

        Whether it is there is asked in the transaction, so that of two who delete it, one is told.
        """

        def operation(connection: apsw.Connection) -> None:
            if not connection.execute(self._delete, (key,)).fetchall() and missing is not None:
                raise missing()

        group.then(what, operation, removes=True)

    def delete_below(self, group: WriteGroup, first: Key, end: Key, *, what: str) -> None:
        """Remove all keys of ``[first, end)`` as a part of `group`."""

        def operation(connection: apsw.Connection) -> None:
            connection.execute(self._delete_below, (first, end))

        group.then(what, operation, removes=True)

    def put_inline(self, connection: apsw.Connection, key: Key, content: bytes) -> None:
        """Store `content` under `key` in the catalog, whatever its size; for operations of a group."""
        connection.execute(self._put, (key, len(content), google_crc32c.value(content), None, content))


def _same(stored: StoredContent) -> StoredContent:
    return stored
