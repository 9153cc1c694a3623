"""Stored things: blobs, buffers and the open logs of buffers as they are told about."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Self

from .arrays import ArraySpec


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
    """A stored, named buffer: bytes, an array, or a group of arrays.

    Parameters
    ----------
    size
        Bytes of the body. The body of an array is its elements in C order, little-endian; that of a group is its main
        array's. A group without a main array has none, and its size is that of all its arrays.
    headers
        Lower-case header names and their values, such as those that a call wrote.
    created_at
        Seconds since the epoch, UTC.
    array
        What the body is an array of; None for bytes, and for a group without a main array.
    arrays
        The arrays of a group by their paths in it; empty for all else.
    origin
        What made it, as far as somebody said: ``call_id`` and ``function``, or ``run_id``.
    """

    name: str
    size: int
    content_type: str
    headers: Mapping[str, str]
    created_at: float
    array: ArraySpec | None = None
    arrays: Mapping[str, ArraySpec] = field(default_factory=dict)
    origin: Mapping[str, str] = field(default_factory=dict)

    def to_json(self) -> dict[str, Any]:
        """Give the shape of one element of ``GET buffers``."""
        return {
            "name": self.name,
            "size": self.size,
            "content_type": self.content_type,
            "headers": dict(self.headers),
            "created_at": self.created_at,
            "array": None if self.array is None else self.array.to_json(),
            "arrays": {path: each.to_json() for path, each in self.arrays.items()},
            "origin": dict(self.origin),
        }

    @classmethod
    def from_json(cls, body: Mapping[str, Any]) -> Self:
        """Read what :meth:`to_json` gave."""
        array = body.get("array")
        return cls(
            body["name"],
            body["size"],
            body["content_type"],
            dict(body.get("headers", {})),
            body["created_at"],
            None if array is None else ArraySpec.from_json(array),
            {path: ArraySpec.from_json(each) for path, each in body.get("arrays", {}).items()},
            dict(body.get("origin", {})),
        )


@dataclass(frozen=True, slots=True)
class LogRecord:
    """An open log: a buffer that is appended to in parts, and is none before the log is sealed.

    Parameters
    ----------
    name
        That of the buffer which the log will be.
    log_id
        Tells this log from others of the same name, before and after it.
    size, parts
        How many bytes were appended, in how many parts.
    headers, content_type, origin
        Those of the buffer, see :class:`BufferRecord`.
    created_at
        When the log was begun, in seconds since the epoch, UTC.
    array
        What the parts are the elements of, with as many whole rows as there are by now; None for bytes.
    """

    name: str
    log_id: str
    size: int
    parts: int
    content_type: str
    headers: Mapping[str, str]
    created_at: float
    array: ArraySpec | None = None
    origin: Mapping[str, str] = field(default_factory=dict)

    def to_json(self) -> dict[str, Any]:
        """Give the shape of ``GET buffers/NAME/log``."""
        return {
            "name": self.name,
            "log_id": self.log_id,
            "size": self.size,
            "parts": self.parts,
            "content_type": self.content_type,
            "headers": dict(self.headers),
            "created_at": self.created_at,
            "array": None if self.array is None else self.array.to_json(),
            "origin": dict(self.origin),
        }

    @classmethod
    def from_json(cls, body: Mapping[str, Any]) -> Self:
        """Read what :meth:`to_json` gave."""
        array = body.get("array")
        return cls(
            body["name"],
            body["log_id"],
            body["size"],
            body["parts"],
            body["content_type"],
            dict(body.get("headers", {})),
            body["created_at"],
            None if array is None else ArraySpec.from_json(array),
            dict(body.get("origin", {})),
        )
