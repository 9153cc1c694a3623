"""How much may be stored: counted by the writer's connection as it goes, and asked before each commit.

What is stored is what rows refer to: content in the catalog, and each object file once, however many rows share it.
Garbage does not count, so that removing and replacing make room at once; when both together are over the quota, the
garbage goes without a grace period.
"""

from __future__ import annotations

from typing import Any, Final, cast

import apsw

from ..errors import QuotaExceededError
from .catalog import Catalog
from .garbage import TABLES, Garbage

_ALONE: Final = "(SELECT count(*) FROM (SELECT 1 FROM referring WHERE object = NEW.object LIMIT 2)) = 1"
_NOT_ANY_MORE: Final = "NOT EXISTS (SELECT 1 FROM referring WHERE object = OLD.object)"
_ADD: Final = "BEGIN UPDATE stored SET bytes = bytes + NEW.size; END;"
_SUBTRACT: Final = "BEGIN UPDATE stored SET bytes = bytes - OLD.size; END;"
_IS_OTHER: Final = "OLD.object IS NOT NEW.object"
_TRIGGERS: Final = "".join(
    f"""
    CREATE TEMP TRIGGER {table}_more AFTER INSERT ON main.{table} WHEN NEW.object IS NULL OR {_ALONE} {_ADD}
    CREATE TEMP TRIGGER {table}_less AFTER DELETE ON main.{table} WHEN OLD.object IS NULL OR {_NOT_ANY_MORE} {_SUBTRACT}
    CREATE TEMP TRIGGER {table}_now AFTER UPDATE OF size, object, inline ON main.{table}
        WHEN NEW.object IS NULL OR ({_IS_OTHER} AND {_ALONE}) {_ADD}
    CREATE TEMP TRIGGER {table}_before AFTER UPDATE OF size, object, inline ON main.{table}
        WHEN OLD.object IS NULL OR ({_IS_OTHER} AND {_NOT_ANY_MORE}) {_SUBTRACT}
    """
    for table in TABLES
)
_INLINE: Final = " UNION ALL ".join(
    f"SELECT size FROM main.{table} WHERE object IS NULL"  # noqa: S608 - the tables' own names
    for table in TABLES
)
_OBJECTS: Final = " UNION ".join(
    f"SELECT object, size FROM main.{table} WHERE object IS NOT NULL"  # noqa: S608
    for table in TABLES
)
_TOTAL: Final = (
    f"SELECT (SELECT coalesce(sum(size), 0) FROM ({_INLINE})) + "  # noqa: S608 - the parts above
    f"(SELECT coalesce(sum(size), 0) FROM ({_OBJECTS}))"
)


class Quota:
    """The quota of one storage. Thread-safe.

    Parameters
    ----------
    limit_bytes
        How much may be stored; 0 is as much as there is room for, and counts nothing.
    """

    def __init__(self, catalog: Catalog, garbage: Garbage, limit_bytes: int) -> None:
        self.limit_bytes = limit_bytes
        self._catalog = catalog
        self._garbage = garbage
        if limit_bytes:
            catalog.prepare_writer(self._prepare)

    def _prepare(self, writer: apsw.Connection) -> None:
        writer.execute("CREATE TEMP TABLE stored(bytes INTEGER NOT NULL)").fetchall()
        writer.execute(f"INSERT INTO stored {_TOTAL}").fetchall()
        writer.execute(_TRIGGERS).fetchall()

    def stored_bytes(self) -> int:
        """Tell how much is stored."""
        if not self.limit_bytes:
            row: Any = self._catalog.row(_TOTAL)
            return cast(int, row[0])
        with self._catalog.writing():
            return cast(int, self._catalog.writer_rows("SELECT bytes FROM stored")[0][0])

    def is_pressing(self) -> bool:
        """Tell whether garbage has to go at once, for all to stay within the quota."""
        return bool(self.limit_bytes) and self.stored_bytes() + self._garbage.totals()[1] > self.limit_bytes

    # -- in a transaction ---------------------------------------------------------------------------------------------

    def before(self, connection: apsw.Connection) -> int:
        """Note how much is stored before a group of writes; for :meth:`check`."""
        return self._now(connection) if self.limit_bytes else 0

    def check(self, connection: apsw.Connection, before: int, what: str) -> None:
        """Refuse a group of writes that stores more than may be; one that makes it less, or no more, never.

        Raises
        ------
        QuotaExceededError
            The group is to be rolled back.
        """
        if not self.limit_bytes:
            return
        now = self._now(connection)
        if now > self.limit_bytes and now > before:
            raise QuotaExceededError(what, limit_bytes=self.limit_bytes, stored_bytes=before)

    def _now(self, connection: apsw.Connection) -> int:
        rows: Any = connection.execute("SELECT bytes FROM stored").fetchall()
        return cast(int, rows[0][0])
