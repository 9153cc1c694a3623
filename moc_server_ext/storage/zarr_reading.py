"""Reading arrays whose chunks do not hold their elements as they are: left to zarr-python, slab by slab.

zarr-python is imported here, so that this module is loaded only when such an array is read.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any, Final

import numpy as np
import zarr

from ..model import ArraySpec
from .grids import boxes
from .versions import Version
from .zarr_store import ReadOnlyStore

_SLAB_BYTES: Final = 64 << 20


class EncodedBytes:
    """The bytes of an array that zarr-python decodes."""

    def __init__(self, version: Version, path: str, array: ArraySpec) -> None:
        self._array = array
        store = ReadOnlyStore(VersionKeys(version, path))
        self._zarr: Any = zarr.open_array(store, mode="r", zarr_format=3)
        self._dtype = np.dtype(array.dtype).newbyteorder("<")

    def pieces(self, start: int, stop: int, bytes_max: int) -> Iterator[bytes]:
        """Give bytes ``[start, stop)`` in pieces; chunks along the first axis are decoded together, if they fit."""
        array = self._array
        row = array.nbytes // array.shape[0] if array.ndim and array.nbytes else array.itemsize
        step = row * array.chunks[0] if array.ndim else row
        if step > _SLAB_BYTES:
            step = max(_SLAB_BYTES // array.itemsize, 1) * array.itemsize
        for first in range(start // step * step, stop, step):
            last = min(first + step, array.nbytes)
            # Whole elements around what is asked for of this slab.
            begin = max(first, start // array.itemsize * array.itemsize)
            end = min(last, -(-stop // array.itemsize) * array.itemsize)
            slab = b"".join(self._elements(begin // array.itemsize, end // array.itemsize))
            slab = slab[max(start - begin, 0) : len(slab) - max(end - stop, 0)]
            for position in range(0, len(slab), bytes_max):
                yield slab[position : position + bytes_max]

    def _elements(self, start: int, stop: int) -> Iterator[bytes]:
        for box in boxes(self._array.shape, start, stop):
            yield np.asarray(self._zarr[tuple(slice(*each) for each in box)], self._dtype).tobytes()


class VersionKeys:
    """The keys of one version of a buffer, below one of its arrays."""

    def __init__(self, version: Version, path: str) -> None:
        self._version = version
        self._path = path

    def read(self, key: str, start: int = 0, stop: int | None = None) -> bytes | None:
        """Read bytes ``[start, stop)`` of a key; None if there is no such key."""
        key = self._path + key
        return self._version.read(key, start, stop) if key in self._version.rows else None

    def read_whole(self, key: str) -> bytes | None:
        """Read the value of a key; None if there is no such key."""
        return self.read(key)

    def read_last(self, key: str, count: int) -> bytes | None:
        """Read the last bytes of a key; None if there is no such key."""
        size = self.size(key)
        return None if size is None else self.read(key, max(size - count, 0))

    def size(self, key: str) -> int | None:
        """Tell the size of a key's value; None if there is no such key."""
        stored = self._rows.get(self._path + key)
        return None if stored is None else stored.size

    def keys(self, prefix: str) -> Iterator[str]:
        """List the keys that begin with `prefix`."""
        whole = self._path + prefix
        return (key[len(self._path) :] for key in self._rows if key.startswith(whole))

    def names(self, prefix: str) -> set[str]:
        """List the names directly below `prefix`, which ends with ``/`` unless it is empty."""
        return {key[len(prefix) :].partition("/")[0] for key in self.keys(prefix)}

    @property
    def _rows(self) -> Mapping[str, Any]:
        return self._version.rows
