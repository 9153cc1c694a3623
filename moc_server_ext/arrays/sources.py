"""Chunks out of a Zarr hierarchy, whoever has it: a storage in this process, or a server."""

from __future__ import annotations

from ..abc import Bytes, Hierarchy
from ..errors import CorruptStorageError
from ..model import ArraySpec


class HierarchyChunks:
    """The chunks of a plain array; a :class:`.reader.ChunkSource`.

    Each read sees what is stored at its moment. Whoever needs all of one version looks whether the array was replaced
    meanwhile.

    Parameters
    ----------
    path
        The array's node.
    fill
        One element, in bytes, of chunks that are not there; None when every chunk was stored, so that an absent one is
        damage.
    what
        Names the array in messages.
    """

    def __init__(self, hierarchy: Hierarchy, path: str, spec: ArraySpec, fill: bytes | None, what: str) -> None:
        self._hierarchy = hierarchy
        self._path = path
        self._chunk_bytes = spec.chunk_bytes
        self._fill = fill
        self._what = what

    def read(self, chunk_key: str, start: int, stop: int) -> Bytes:
        """Give bytes ``[start, stop)`` of a chunk."""
        content = self._hierarchy.read(f"{self._path}/{chunk_key}", start, stop)
        return self._filled(chunk_key, stop - start) if content is None else content

    def read_whole(self, chunk_key: str) -> Bytes:
        """Give a whole chunk; its checksum is compared where it is stored."""
        content = self._hierarchy.read_whole(f"{self._path}/{chunk_key}")
        return self._filled(chunk_key, self._chunk_bytes) if content is None else content

    def _filled(self, chunk_key: str, size: int) -> bytes:
        if self._fill is None:
            raise CorruptStorageError(self._what, f"its chunk {chunk_key} is missing")
        # A part begins and ends between two elements.
        return self._fill * (size // len(self._fill))
