"""Consolidated metadata: the documents of all that is below a group, inside of the group's own document.

Made when it is asked for, and never stored: it cannot become stale. The root has none, as blobs and key-values may be
many.

References
----------
zarr-python: ``zarr.core.metadata.v3.ArrayV3Metadata``, ``zarr.core.group.ConsolidatedMetadata`` (there is no
specification of it yet).
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from ..arrays.document import METADATA
from .zarr_layout import BUFFERS


def consolidated_keys(key: str) -> str | None:
    """Give the directory whose documents go into the one under `key`; None where there is no such thing."""
    directory = key[: -len(METADATA)]
    if not key.endswith(f"/{METADATA}") or not directory.startswith(f"{BUFFERS}/"):
        return None
    return directory


def consolidate(document: bytes, below: Mapping[str, bytes]) -> bytes:
    """Put documents into the document of a group.

    Parameters
    ----------
    below
        Documents by their keys relative to the group. What is no metadata of Zarr version 3 is left out.
    """
    body = _parse(document)
    if body is None or body.get("node_type") != "group":
        return document
    metadata = {}
    # Groups come before what is in them.
    for path, each in sorted((key[: -len(METADATA) - 1], each) for key, each in below.items()):
        parsed = _parse(each)
        if parsed is not None:
            parsed.pop("consolidated_metadata", None)
            metadata[path] = parsed
    body["consolidated_metadata"] = {"kind": "inline", "must_understand": False, "metadata": metadata}
    return json.dumps(body, separators=(",", ":")).encode()


def _parse(document: bytes) -> dict[str, Any] | None:
    try:
        body = json.loads(document)
    except (ValueError, RecursionError):
        return None
    return body if isinstance(body, dict) and body.get("zarr_format") == 3 else None
