"""What replication needs of an open storage: its objects, a snapshot of its catalog, and what it notes about itself."""

from __future__ import annotations

import datetime
import json
import secrets
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ..catalog import Catalog
from ..objects import Objects
from ..targets.target import Target

if TYPE_CHECKING:
    from ..storage import Storage

EPOCH_FACT = "replication"


class StorageSource:
    """One open storage, as replication sees it. Thread-safe."""

    def __init__(
        self,
        storage: Storage,
        catalog: Catalog,
        objects: Objects,
    ) -> None:
        self.path = storage.path
        self.instance_id = storage.instance_id
        self._storage = storage
        self._catalog = catalog
        self._objects = objects

    @property
    def catalog_path(self) -> Path:
        """Where the catalog lies."""
        return self._catalog.path

    def keep(self, object_ids: Sequence[str]) -> Callable[[], object]:
        """Keep object files until what is given back is called; for the one writer, just after the commit."""
        return self._objects.pins.pin(object_ids).close

    def object_path(self, object_id: str) -> Path:
        """Tell where an object lies."""
        return self._objects.path(object_id)

    def has_object(self, object_id: str) -> bool:
        """Tell whether an object is there."""
        return self._objects.path(object_id).exists()

    def temporary_path(self) -> Path:
        """Give a new path on the file system of the storage; what is left there when the owner dies is removed."""
        return self._objects.temporary_path(secrets.token_hex(8))

    def catalog_bytes(self) -> int:
        """Tell how large the catalog is."""
        return self._catalog.path.stat().st_size

    def read_fact(self, name: str) -> Any:
        """Read what the storage knows of itself; None where there is nothing of that name."""
        row = self._catalog.row("SELECT value FROM facts WHERE name = ?", (name,))
        return None if row is None else json.loads(row[0])

    def write_fact(self, name: str, value: Any) -> None:
        """Note what the storage knows of itself, durably; not shipped: for what a base carries, or none need."""
        with self._catalog.writing(), self._catalog.transaction(f"the fact {name!r}") as connection:
            connection.execute(
                "INSERT OR REPLACE INTO facts(name, value) VALUES (?, ?)", (name, json.dumps(value, sort_keys=True))
            )

    def begin_epoch(self, number: int) -> None:
        """Note that what is committed from now on belongs to this epoch; the base that follows carries it."""
        self.write_fact(EPOCH_FACT, {"epoch": number, "instance_id": self.instance_id})

    def epoch(self) -> int:
        """Tell to which epoch the last commit belongs; 0 where none was shipped or copied."""
        found = self.read_fact(EPOCH_FACT)
        return int(found["epoch"]) if isinstance(found, dict) else 0

    def is_empty(self) -> bool:
        """Tell whether nobody has stored anything here."""
        return (
            self._catalog.row(
                "SELECT 1 FROM keyvalues UNION ALL SELECT 1 FROM names UNION ALL SELECT 1 FROM parts "
                "UNION ALL SELECT 1 FROM entries WHERE key GLOB '*/*/*' LIMIT 1"
            )
            is None
        )

    def fence(self, reason: str) -> None:
        """Refuse every write from now on."""
        self._storage.refuse_writes(reason)

    def claim(self, target: Target, *, adopt: bool) -> None:
        """Make an empty target this storage's; BackupTargetError if it is another's, unless that is adopted."""
        from ..backup.creating import check_apart
        from ..backup.layout import claim

        check_apart(self.path, target)
        claim(target, self.instance_id, datetime.datetime.now(datetime.UTC).isoformat(), adopt=adopt)

    def make_base(self, target: Target) -> tuple[str, int]:
        """Back everything up to the target; give the backup's id and the last sequence that it holds."""
        # Backups are of storages, which have this module's parts.
        from ..backup.creating import create_backup

        # Whoever has taken the epoch has taken the target over.
        record = create_backup(self._storage, target, adopt=True)
        return record.id, record.sequence
