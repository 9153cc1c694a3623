"""The table of object files that no row refers to any more: how they come to be there, and how they leave it.

The writer's connection keeps it by itself, with triggers: whatever statement takes away the last reference to an object
puts it there in the same transaction, and whatever refers to it again takes it out. So rows may share an object, nobody
who writes need think of it, and a crash forgets nothing. When the files go is the business of :mod:`.collector`.
"""

from __future__ import annotations

import time
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any, Final, cast

import apsw

from .catalog import Catalog

TABLES: Final = ("entries", "keyvalues", "parts")
"""The tables whose rows refer to objects."""
_REFERRING: Final = " UNION ALL ".join(
    f"SELECT object FROM main.{table} WHERE object IS NOT NULL"  # noqa: S608 - the literals above
    for table in TABLES
)
_DROPPED: Final = """
    WHEN OLD.object IS NOT NULL AND NOT EXISTS (SELECT 1 FROM referring WHERE object = OLD.object)
    BEGIN INSERT OR IGNORE INTO garbage VALUES (OLD.object, OLD.size, garbage_since()); END;
"""
_TAKEN: Final = "WHEN NEW.object IS NOT NULL BEGIN DELETE FROM garbage WHERE object = NEW.object; END;"
_TRIGGERS: Final = "".join(
    f"""
    CREATE TEMP TRIGGER {table}_deleted AFTER DELETE ON main.{table} {_DROPPED}
    CREATE TEMP TRIGGER {table}_left AFTER UPDATE OF object ON main.{table} {_DROPPED}
    CREATE TEMP TRIGGER {table}_inserted AFTER INSERT ON main.{table} {_TAKEN}
    CREATE TEMP TRIGGER {table}_updated AFTER UPDATE OF object ON main.{table} {_TAKEN}
    """
    for table in TABLES
)


class SteadyClock:
    """The time of day as it was at the start, and steady from then on: nobody who sets the clock makes it jump."""

    def __init__(self) -> None:
        self._offset = time.time() - time.monotonic()

    def now(self) -> float:
        """Tell the seconds since the epoch."""
        return self._offset + time.monotonic()


@dataclass(frozen=True, slots=True)
class ObsoleteObject:
    """An object file that nothing refers to; `since` in seconds since the epoch."""

    object_id: str
    size: int
    since: float


class Garbage:
    """The obsolete objects of one catalog. Thread-safe.

    Attributes
    ----------
    noted
        Whether something came to be garbage since this was last set to False, perhaps in vain.
    """

    def __init__(self, catalog: Catalog, clock: SteadyClock) -> None:
        self._catalog = catalog
        self._clock = clock
        self.noted = False
        catalog.prepare_writer(self._prepare)

    def _prepare(self, writer: apsw.Connection) -> None:
        writer.create_scalar_function("garbage_since", lambda *_: self._since(), 0)
        # What a REPLACE takes away is a deletion to triggers only then.
        writer.execute("PRAGMA recursive_triggers = ON").fetchall()
        writer.execute(f"CREATE TEMP VIEW referring AS {_REFERRING}; {_TRIGGERS}").fetchall()

    def _since(self) -> float:
        self.noted = True
        return self._clock.now()

    def begin(self) -> bool:
        """Tell whether there is garbage of earlier times; what lies in the future is taken to begin now."""
        if self._catalog.row("SELECT 1 FROM garbage LIMIT 1") is None:
            return False
        now = self._clock.now()
        # Otherwise a clock that was wrong for a moment would keep the objects for years.
        if self._catalog.row("SELECT 1 FROM garbage WHERE since > ? LIMIT 1", (now,)) is not None:
            with self._catalog.writing(), self._catalog.transaction("the garbage") as connection:
                connection.execute("UPDATE garbage SET since = ? WHERE since > ?", (now, now))
        return True

    def known_object_ids(self) -> set[str]:
        """List all object files that the catalog knows, garbage among them."""
        union = " UNION ALL ".join(
            f"SELECT object FROM {table} WHERE object IS NOT NULL"  # noqa: S608 - the literals above
            for table in (*TABLES, "garbage")
        )
        return {row[0] for row in self._catalog.rows(union)}

    def oldest(self) -> float | None:
        """Tell since when the oldest is garbage; None if there is none."""
        row: Any = self._catalog.row("SELECT min(since) FROM garbage")
        return cast("float | None", row[0])

    def totals(self) -> tuple[int, int]:
        """Count the objects and add their sizes up."""
        row: Any = self._catalog.row("SELECT count(*), coalesce(sum(size), 0) FROM garbage")
        return row[0], row[1]

    def list(self, after: str, limit: int) -> list[ObsoleteObject]:
        """List up to `limit` objects whose ids come after `after`, in their order."""
        sql = "SELECT object, size, since FROM garbage WHERE object > ? ORDER BY object LIMIT ?"
        return [ObsoleteObject(*row) for row in self._catalog.rows(sql, (after, limit))]

    def is_unknown(self, object_id: str) -> bool:
        """Tell whether neither rows nor garbage know an object, while nobody writes."""
        sql = "SELECT 1 FROM referring WHERE object = ?1 UNION ALL SELECT 1 FROM garbage WHERE object = ?1"
        with self._catalog.writing():
            return not self._catalog.writer_rows(sql, (object_id,))

    # -- as the one writer --------------------------------------------------------------------------------------------

    def is_garbage(self, object_id: str) -> bool:
        """Tell whether an object is garbage right now, so that its file may go; as the one writer.

        The tables are asked as well: a row of garbage that should not be there must not cost anybody his bytes.
        """
        sql = "SELECT 1 FROM garbage WHERE object = ?1 AND NOT EXISTS (SELECT 1 FROM referring WHERE object = ?1)"
        return bool(self._catalog.writer_rows(sql, (object_id,)))

    def forget(self, object_ids: Iterable[str]) -> None:
        """Take objects whose files are gone out of the table; as the one writer.

        Raises
        ------
        StorageFullError, StorageError
            All of them stay in it, and are found to be gone the next time.
        """
        with self._catalog.transaction("the removal of garbage") as connection:
            connection.executemany("DELETE FROM garbage WHERE object = ?", [(each,) for each in object_ids])
