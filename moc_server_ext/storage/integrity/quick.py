"""The quick look at each opening: whether every object file that the catalog refers to is there.

It reads names of files and an index, so that it takes a fraction of a second for a hundred thousand files. After an end
that was not clean SQLite looks at its own structure as well, for as long as that is short.
"""

from __future__ import annotations

from typing import Final

from ..catalog import Catalog
from .stored_things import TABLES, thing_of

_NAMED: Final = 3
_STRUCTURE_BYTES_MAX: Final = 32 << 20


def look(catalog: Catalog, present: set[str], *, ended_uncleanly: bool) -> str:
    """Say what is wrong with the storage, for people; empty when nothing is seen."""
    if ended_uncleanly and catalog.size() <= _STRUCTURE_BYTES_MAX:
        for (text,) in catalog.rows("PRAGMA quick_check(1)"):
            if text != "ok":
                return f"the catalog is damaged ({text}); `moc fsck` tells more, then restore the last backup"
    missing: list[str] = []
    count = 0
    for table in TABLES:
        for object_id in _object_ids(catalog, table) - present:
            count += 1
            if len(missing) < _NAMED:
                rows = catalog.rows(f"SELECT key FROM {table} WHERE object = ? LIMIT 1", (object_id,))  # noqa: S608
                missing += [thing_of(table, row[0]).what for row in rows]
    if not count:
        return ""
    named = ", ".join(dict.fromkeys(missing)) + (", …" if count > _NAMED else "")
    files = "1 object file is" if count == 1 else f"{count:,} object files are"
    return (
        f"{files} missing ({named}); `moc fsck` lists what is damaged, a backup has it, "
        "and `moc fsck --remove-damaged` goes on without it"
    )


def referenced(catalog: Catalog) -> set[str]:
    """List the object files that the catalog knows of, also those that are to be removed."""
    known = {row[0] for row in catalog.rows("SELECT object FROM garbage")}
    for table in TABLES:
        known |= _object_ids(catalog, table)
    return known


def is_known(catalog: Catalog, object_id: str) -> bool:
    """Ask as the one writer, between two commits, whether the catalog refers to an object file now."""
    with catalog.writing():
        return is_known_to_writer(catalog, object_id)


def is_known_to_writer(catalog: Catalog, object_id: str) -> bool:
    """Do as :func:`is_known`, for who is the one writer already."""
    wanted = " UNION ALL ".join(f"SELECT 1 FROM {table} WHERE object = ?1" for table in (*TABLES, "garbage"))  # noqa: S608
    return bool(catalog.writer_rows(f"{wanted} LIMIT 1", (object_id,)))


def _object_ids(catalog: Catalog, table: str) -> set[str]:
    return {row[0] for row in catalog.rows(f"SELECT object FROM {table} WHERE object IS NOT NULL")}  # noqa: S608
