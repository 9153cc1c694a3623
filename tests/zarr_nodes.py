"""Zarr nodes made by the real zarr-python, and packed as they are sent (imported late: it takes long and warns)."""

from __future__ import annotations

import io
import warnings
import zipfile
from collections.abc import Mapping
from typing import Any


def group_entries(arrays: Mapping[str, Any], **settings: Any) -> dict[str, bytes]:
    """Give keys and values of a group with these NumPy arrays; `settings` are those of zarr's `create_array`."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        import zarr
        from zarr.storage import MemoryStore

        store = MemoryStore()
        group = zarr.create_group(store=store, attributes={"title": "a group"})
        for name, array in arrays.items():
            group.create_array(name, data=array, **{"compressors": None, **settings})
    return {key: value.to_bytes() for key, value in store._store_dict.items()}


def zipped(entries: Mapping[str, bytes], method: int = zipfile.ZIP_STORED) -> bytes:
    """Pack entries into a zip file."""
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w", method) as archive:
        for name, value in entries.items():
            archive.writestr(name, value)
    return file.getvalue()


def zip_group(arrays: Mapping[str, Any]) -> bytes:
    """Make a group and pack it."""
    return zipped(group_entries(arrays))
