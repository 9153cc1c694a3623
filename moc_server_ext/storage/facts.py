"""What the storage knows of itself: JSON values by name, in the table ``facts`` of the catalog."""

from __future__ import annotations

import json
from typing import Any

import apsw

from .catalog import Catalog
from .writes import Writer


class Facts:
    """The facts of one storage directory. Thread-safe."""

    def __init__(self, catalog: Catalog, writer: Writer) -> None:
        self._catalog = catalog
        self._writer = writer

    def get(self, name: str) -> Any:
        """Give a fact; None if there is none."""
        row = self._catalog.row("SELECT value FROM facts WHERE name = ?", (name,))
        return None if row is None else json.loads(row[0])

    def set(self, name: str, value: Any) -> None:
        """Store a fact; durable on return. Raises what :meth:`.Writer.group` does, with the fact as it was."""
        text = json.dumps(value, allow_nan=False)

        def operation(connection: apsw.Connection) -> None:
            connection.execute("INSERT OR REPLACE INTO facts(name, value) VALUES (?, ?)", (name, text))

        with self._writer.group() as group:
            group.then(f"the fact {name!r}", operation)
