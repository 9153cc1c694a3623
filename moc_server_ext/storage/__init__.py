"""Durable state: one directory with an SQLite catalog and immutable object files, laid out as a Zarr v3 hierarchy.

`Storage` is imported when it is first asked for, so that a client which only reads ``endpoint.json``
(:mod:`.endpoint`) does not load SQLite.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from .storage import Storage

__all__ = ["Storage"]


def __getattr__(name: str) -> Any:
    if name == "Storage":
        from .storage import Storage

        return Storage
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
