"""``standby.json`` in a storage directory: this storage is the copy of another one, and whose.

While the file is there nothing is written but what is copied, whoever opens the directory. Promotion removes it.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from ...errors import CorruptStorageError
from ..files import failures, replace_file, sync_directory

STANDBY_FILE: Final = "standby.json"


@dataclass(frozen=True, slots=True)
class Standby:
    """Which target a storage follows.

    Parameters
    ----------
    target
        As people write it, without secrets.
    instance_id
        The primary's, when the copy was begun.
    """

    target: str
    instance_id: str

    @property
    def reason(self) -> str:
        """Why nothing may be written."""
        return f"it is a standby that follows {self.target!r}; `moc promote` makes it the primary"


def read_standby(path: Path) -> Standby | None:
    """Read whose copy the storage directory `path` is; None if it is none.

    Raises
    ------
    CorruptStorageError
        The file cannot be understood.
    """
    try:
        body = json.loads((path / STANDBY_FILE).read_bytes())
        return Standby(str(body["target"]), str(body["instance_id"]))
    except FileNotFoundError:
        return None
    except (ValueError, TypeError, KeyError, RecursionError) as error:
        raise CorruptStorageError(f"{str(path / STANDBY_FILE)!r}", "it does not say what is followed") from error


def write_standby(path: Path, standby: Standby) -> None:
    """Make the storage a standby; durable on return."""
    body = {"target": standby.target, "instance_id": standby.instance_id}
    with failures(STANDBY_FILE, path):
        replace_file(path / STANDBY_FILE, json.dumps(body).encode() + b"\n")


def remove_standby(path: Path) -> None:
    """Make the storage one of its own; durable on return; idempotent."""
    with failures(STANDBY_FILE, path):
        (path / STANDBY_FILE).unlink(missing_ok=True)
        sync_directory(path)
