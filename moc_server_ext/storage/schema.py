"""The tables of the catalog, and how those of an earlier format become those of this one."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

SCHEMA_VERSION: Final = 2
APPLICATION_ID: Final = 0x6D6F6331


# Small columns come first: SQLite then reads them without walking a large value's overflow pages.
def _content_table(name: str, key: str, options: str) -> str:
    # The partial index lists the object files that are referred to.
    return f"""
    CREATE TABLE {name}(
        key {key} PRIMARY KEY NOT NULL,
        size INTEGER NOT NULL,
        crc32c INTEGER NOT NULL,
        object TEXT,
        inline BLOB,
        CHECK ((object IS NULL) <> (inline IS NULL))
    ) {options};
    CREATE INDEX {name}_object ON {name}(object) WHERE object IS NOT NULL;
    """


_FORMAT_1: Final = f"""
    {_content_table("entries", "TEXT", "STRICT")}
    {_content_table("keyvalues", "BLOB", "STRICT, WITHOUT ROWID")}
    CREATE TABLE names(
        name TEXT PRIMARY KEY NOT NULL,
        blob_id TEXT NOT NULL,
        content_type TEXT NOT NULL,
        size INTEGER NOT NULL,
        attributes TEXT NOT NULL,
        created_at REAL NOT NULL
    ) STRICT, WITHOUT ROWID;
"""

# parts: what was appended to buffers that are not sealed yet. garbage: object files that nothing refers to any more,
# and since when. facts: what the storage knows of itself, as JSON by name.
_FORMAT_2: Final = f"""
    {_content_table("parts", "TEXT", "STRICT")}
    CREATE TABLE garbage(
        object TEXT PRIMARY KEY NOT NULL,
        size INTEGER NOT NULL,
        since REAL NOT NULL
    ) STRICT, WITHOUT ROWID;
    CREATE TABLE facts(
        name TEXT PRIMARY KEY NOT NULL,
        value TEXT NOT NULL
    ) STRICT, WITHOUT ROWID;
"""

SCHEMA: Final = f"""
    {_FORMAT_1}
    {_FORMAT_2}
    PRAGMA application_id = {APPLICATION_ID};
    PRAGMA user_version = {SCHEMA_VERSION};
"""
"""Makes an empty database a catalog."""

UPGRADES: Final[Mapping[int, str]] = {1: f"{_FORMAT_2} PRAGMA user_version = 2;"}
"""What makes the catalog of one format one of the next format, as one transaction."""
