"""What a backup is, as told to people and programs."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any, Self


@dataclass(frozen=True, slots=True)
class BackupRecord:
    """One finished backup.

    Attributes
    ----------
    id
        Its name in the target: when it was made, and something random.
    number
        1 for the first one in the target; the newest has the highest, whatever the clock said.
    created_at
        When it was made, UTC, ISO 8601.
    instance_id
        Of the storage that it is of.
    sequence
        Of the last commit that it holds, where commits are counted; else 0.
    counts
        How many blobs, buffers, keys and names it holds.
    objects, object_bytes, catalog_bytes
        Number and sizes of what it refers to.
    copied_objects, copied_bytes
        What the target did not have before.
    has_tls_key
        Whether it holds the gateway's key.
    version
        Of the moc that made it.
    """

    id: str
    number: int
    created_at: str
    instance_id: str
    sequence: int
    counts: Mapping[str, int]
    objects: int
    object_bytes: int
    catalog_bytes: int
    copied_objects: int
    copied_bytes: int
    has_tls_key: bool
    version: str

    def to_json(self) -> dict[str, Any]:
        """Give what :meth:`from_json` reads."""
        return asdict(self)

    @classmethod
    def from_json(cls, body: Mapping[str, Any]) -> Self:
        """Read what :meth:`to_json` gave, or a manifest.

        Raises
        ------
        ValueError, KeyError, TypeError
            It is something else.
        """
        kinds = {"str": str, "int": int, "bool": bool}
        values: dict[str, Any] = {}
        for name, kind in cls.__annotations__.items():
            value = body[name]
            if kind in kinds and type(value) is not kinds[kind]:
                raise ValueError(f"{name} is no {kind}")
            if kind == "int" and value < 0:
                raise ValueError(f"{name} is negative")
            values[name] = value
        counts = values["counts"]
        if not isinstance(counts, dict) or any(type(each) is not int for each in counts.values()):
            raise ValueError("counts are no numbers")
        return cls(**values)
