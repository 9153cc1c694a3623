"""Chunks out of a Zarr hierarchy, whoever has it: a storage in this process, or a server."""

from __future__ import annotations

from ..abc import Bytes, Hierarchy
from ..errors import CorruptStorageError
from .document import PlainArray


class HierarchyChunks:
    """The chunks of a plain array; a :class:`.reader.ChunkSource`.

    Each read sees what is stored at its moment. Whoever needs all of one version looks whether the array was replaced
    meanwhile.

    Parameters
    ----------
    path
        The array's node.
    what
        Names the array in messages.
    """

    def __init__(self, hierarchy: Hierarchy, path: str, array: PlainArray, what: str) -> None:
        self._hierarchy = hierarchy
        self._path = path
        self._array = array
        self._what = what

    def read(self, chunk_key: str, start: int, stop: int) -> Bytes:
        """Give bytes ``[start, stop)`` of a chunk."""
        content = self._hierarchy.read(f"{self._path}/{chunk_key}", start, stop)
        return self._filled(chunk_key, stop - start) if content is None else content

    def read_whole(self, chunk_key: str) -> Bytes:
        """Give a whole chunk; its checksum is compared where it is stored."""
        content = self._hierarchy.read_whole(f"{self._path}/{chunk_key}")
        return self._filled(chunk_key, self._array.spec.chunk_bytes) if content is None else content

    def _filled(self, chunk_key: str, size: int) -> bytes:
        fill = self._array.fill
        if fill is None:
            raise CorruptStorageError(self._what, f"its chunk {chunk_key} is missing")
        # A part begins and ends between two elements.
        return fill * (size // len(fill))
