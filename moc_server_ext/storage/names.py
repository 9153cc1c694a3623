"""Names that point to blobs, with what was said when they were given: the registered functions.

Held in memory as a whole and replaced at each commit, so that resolving a name touches neither disk nor lock. What the
attributes mean is the caller's.
"""

from __future__ import annotations

import json
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import islice
from typing import Any, Final

import apsw

from ..abc import Bytes
from ..errors import FunctionNotFoundError, nearest
from ..model import parse_name
from .blobs import StoredBlobs
from .catalog import Catalog, Row
from .writes import WriteGroup, Writer

_COLUMNS: Final = "name, blob_id, content_type, size, attributes, created_at"


@dataclass(frozen=True, slots=True)
class NameRecord:
    """A name that points to a blob.

    Parameters
    ----------
    size
        Bytes of the blob.
    attributes
        What the caller stored with the name; JSON-compatible, not to be changed.
    created_at
        When the name came to point to this blob, in seconds since the epoch, UTC.
    """

    name: str
    blob_id: str
    content_type: str
    size: int
    attributes: Mapping[str, Any]
    created_at: float


class NameTable:
    """The names of one storage directory. Thread-safe; reading never waits."""

    def __init__(self, catalog: Catalog, blobs: StoredBlobs, writer: Writer) -> None:
        self._catalog = catalog
        self._blobs = blobs
        self._writer = writer
        # Never changed, only replaced (by the one writer), so that readers need no lock.
        self._records: dict[str, NameRecord] = {
            row[0]: _record(row)
            for row in catalog.rows(f"SELECT {_COLUMNS} FROM names")  # noqa: S608 - own columns
        }

    def register(
        self,
        name: str,
        content: Bytes,
        content_type: str,
        attributes: Mapping[str, Any],
        *,
        group: WriteGroup | None = None,
    ) -> NameRecord:
        """Store `content` as a blob and point `name` to it, in one transaction; durable on return.

        Raises
        ------
        InvalidInputError
            `name` cannot be a name. Nothing was stored.
        StorageFullError, ReadOnlyStorageError, StorageError
            The name points to where it pointed before.
        """
        parse_name(name)
        text = json.dumps(attributes, allow_nan=False)
        with self._writer.joined(group) as joined:
            blob = self._blobs.put(content, content_type, group=joined)
            row = (name, blob.blob_id, content_type, blob.size, text, time.time())

            def operation(connection: apsw.Connection) -> None:
                connection.execute(f"INSERT OR REPLACE INTO names({_COLUMNS}) VALUES (?, ?, ?, ?, ?, ?)", row)  # noqa: S608

            joined.then(f"name {name!r} ({blob.size:,} bytes)", operation)
            joined.when_settled(lambda: self._refresh(name))
        return _record(row)

    def get(self, name: str) -> NameRecord | None:
        """Look a name up, in memory."""
        return self._records.get(name)

    def list(self) -> Sequence[NameRecord]:
        """List all names, sorted."""
        return sorted(self._records.values(), key=lambda record: record.name)

    def delete(self, name: str, *, group: WriteGroup | None = None) -> None:
        """Remove a name; its blob stays. Durable on return.

        Raises
        ------
        FunctionNotFoundError
            There is none. Nothing was changed, and nothing of the group is stored.
        """

        def operation(connection: apsw.Connection) -> None:
            if not connection.execute("DELETE FROM names WHERE name = ? RETURNING 1", (name,)).fetchall():
                raise FunctionNotFoundError(name, nearest=nearest(name, islice(self._records, 256)))

        with self._writer.joined(group) as joined:
            joined.then(f"the removal of name {name!r}", operation, removes=True)
            joined.when_settled(lambda: self._refresh(name))

    def refresh_all(self) -> None:
        """Take over what the catalog says about all names, as the one writer."""
        rows = self._catalog.writer_rows(f"SELECT {_COLUMNS} FROM names")  # noqa: S608
        self._records = {row[0]: _record(row) for row in rows}

    def _refresh(self, name: str) -> None:
        """Take over what the catalog says about `name`, as the one writer."""
        rows = self._catalog.writer_rows(f"SELECT {_COLUMNS} FROM names WHERE name = ?", (name,))  # noqa: S608
        records = {**self._records, name: _record(rows[0])} if rows else dict(self._records)
        if not rows:
            records.pop(name, None)
        self._records = records


def _record(row: Row) -> NameRecord:
    name, blob_id, content_type, size, attributes, created_at = row
    return NameRecord(name, blob_id, content_type, size, json.loads(attributes), created_at)
