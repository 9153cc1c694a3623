"""What a check of the storage found: the facts of ``moc fsck``, in the shape of the web API."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Self


@dataclass(frozen=True, slots=True)
class CheckProgress:
    """How far a check is.

    Parameters
    ----------
    stage
        What is looked at, in words.
    done_bytes, total_bytes
        Bytes that were looked at, of all that will be.
    """

    stage: str
    done_bytes: int
    total_bytes: int

    def to_json(self) -> dict[str, Any]:
        """Give the shape of the web API."""
        return {"stage": self.stage, "done_bytes": self.done_bytes, "total_bytes": self.total_bytes}

    @classmethod
    def from_json(cls, body: Mapping[str, Any]) -> Self:
        """Read the shape of the web API."""
        return cls(str(body["stage"]), int(body["done_bytes"]), int(body["total_bytes"]))


@dataclass(frozen=True, slots=True)
class Finding:
    """One thing that is not as it should be.

    Parameters
    ----------
    kind
        Stable word for programs: ``catalog_damaged``, ``object_missing``, ``object_cut``, ``object_changed``,
        ``object_unreadable``, ``content_changed``, ``document_missing``, ``document_damaged``, ``bytes_missing``,
        ``name_without_blob``, ``orphan``.
    what
        The thing, in words, such as ``buffer 'topics'``.
    found
        What is wrong with it.
    repaired
        What was done about it; empty for nothing.
    """

    kind: str
    what: str
    found: str
    repaired: str = ""

    @property
    def is_damage(self) -> bool:
        """Whether something that was stored is lost; what nothing refers to only takes room."""
        return self.kind != "orphan"

    def to_json(self) -> dict[str, Any]:
        """Give the shape of the web API."""
        return {"kind": self.kind, "what": self.what, "found": self.found, "repaired": self.repaired}

    @classmethod
    def from_json(cls, body: Mapping[str, Any]) -> Self:
        """Read the shape of the web API."""
        return cls(str(body["kind"]), str(body["what"]), str(body["found"]), str(body["repaired"]))


@dataclass(frozen=True, slots=True)
class CheckReport:
    """What a whole check found.

    Parameters
    ----------
    quick
        Whether only names and sizes of object files were looked at, not their bytes.
    entries
        Rows of the catalog.
    objects, object_bytes
        Object files that the catalog refers to, and what they hold by its word.
    findings
        All that is wrong, up to `FINDINGS_MAX`; `more` counts the rest.
    seconds
        How long it took.
    """

    quick: bool
    entries: int
    objects: int
    object_bytes: int
    findings: tuple[Finding, ...]
    more: int
    seconds: float

    @property
    def is_sound(self) -> bool:
        """Whether nothing is wrong, or all that was wrong was repaired."""
        return not self.more and all(each.repaired for each in self.findings)

    def to_json(self) -> dict[str, Any]:
        """Give the shape of the web API."""
        return {
            "sound": self.is_sound,
            "quick": self.quick,
            "entries": self.entries,
            "objects": self.objects,
            "object_bytes": self.object_bytes,
            "findings": [each.to_json() for each in self.findings],
            "more": self.more,
            "seconds": self.seconds,
        }

    @classmethod
    def from_json(cls, body: Mapping[str, Any]) -> Self:
        """Read the shape of the web API."""
        return cls(
            bool(body["quick"]),
            int(body["entries"]),
            int(body["objects"]),
            int(body["object_bytes"]),
            tuple(Finding.from_json(each) for each in body["findings"]),
            int(body["more"]),
            float(body["seconds"]),
        )


FINDINGS_MAX = 10_000
"""So many findings are told one by one."""
