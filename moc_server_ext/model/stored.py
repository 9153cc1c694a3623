"""Stored things: blobs and buffers as they are told about."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Self


@dataclass(frozen=True, slots=True)
class BlobRecord:
    """An immutable, stored sequence of bytes. `blob_id` is its SHA-256 in hex."""

    blob_id: str
    size: int
    content_type: str

    def to_json(self) -> dict[str, Any]:
        """Give the shape of ``POST blobs``."""
        return {"blob_id": self.blob_id, "size": self.size, "content_type": self.content_type}

    @classmethod
    def from_json(cls, body: Mapping[str, Any]) -> Self:
        """Read what :meth:`to_json` gave."""
        return cls(body["blob_id"], body["size"], body["content_type"])


@dataclass(frozen=True, slots=True)
class BufferRecord:
    """A stored, named buffer.

    Parameters
    ----------
    size
        Bytes of the body.
    headers
        Lower-case header names and their values, such as those that a call wrote.
    created_at
        Seconds since the epoch, UTC.
    """

    name: str
    size: int
    content_type: str
    headers: Mapping[str, str]
    created_at: float

    def to_json(self) -> dict[str, Any]:
        """Give the shape of one element of ``GET buffers``."""
        return {
            "name": self.name,
            "size": self.size,
            "content_type": self.content_type,
            "headers": dict(self.headers),
            "created_at": self.created_at,
        }

    @classmethod
    def from_json(cls, body: Mapping[str, Any]) -> Self:
        """Read what :meth:`to_json` gave."""
        return cls(body["name"], body["size"], body["content_type"], dict(body.get("headers", {})), body["created_at"])
