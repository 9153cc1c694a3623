"""Chunks that are compressed on request: Zarr's codec ``zstd`` with its checksum, and bytes cut into such chunks.

What is compressed is read by way of zarr (:mod:`.zarr_reading`), here and by any other program. A chunk has moc's own
checksum in the catalog as well, of what is stored.

References
----------
Zarr extensions: "zstd codec". RFC 8878: Zstandard.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final

from ..abc import Bytes
from ..model.arrays import chunk_path
from .cutting import StagedChunk, flat, stage_chunk
from .files import failures
from .objects import Objects, neighbouring_object_ids

_LEVEL: Final = 3
_CHUNK_BYTES: Final = 4 << 20

CODECS: Final[tuple[Mapping[str, Any], ...]] = ({"name": "zstd", "configuration": {"level": _LEVEL, "checksum": True}},)
"""What follows Zarr's codec ``bytes`` in the document of what is compressed."""


def compress(content: Bytes) -> bytes:
    """Compress one chunk."""
    from numcodecs import zstd

    return bytes(zstd.compress(content, _LEVEL, True))


class CompressedBytes:
    """Takes bytes and makes compressed chunks of them, in bounded memory. ``len()`` is what came so far.

    Bytes that fit into one chunk have one of their own size, others chunks of 4 MiB, the last one filled up.
    """

    def __init__(self, objects: Objects, directory: Path, what: str) -> None:
        self._objects = objects
        self._directory = directory
        self._what = what
        self._object_id = neighbouring_object_ids()
        self._chunks: dict[str, StagedChunk] = {}
        self._pending = bytearray()
        self._size = 0

    def __len__(self) -> int:
        return self._size

    @property
    def chunk(self) -> int:
        """How many bytes a chunk has; at least one."""
        return max(min(self._size, _CHUNK_BYTES), 1)

    def write(self, part: Bytes) -> None:
        """Take the next part.

        Raises
        ------
        StorageFullError, ReadOnlyStorageError, StorageError
            Nothing is left of what came.
        """
        rest = flat(part)
        self._size += len(rest)
        while rest:
            taken = min(_CHUNK_BYTES - len(self._pending), len(rest))
            self._pending += rest[:taken]
            rest = rest[taken:]
            if len(self._pending) == _CHUNK_BYTES:
                self._stage()

    def finish(self) -> dict[str, StagedChunk]:
        """Give the chunks by their keys; whoever called this owns them. Raises as :meth:`write` does."""
        if self._pending:
            if self._chunks:
                self._pending += bytes(_CHUNK_BYTES - len(self._pending))
            self._stage()
        chunks, self._chunks = self._chunks, {}
        return chunks

    def discard(self) -> None:
        """Forget what came, unless it was given away; idempotent."""
        chunks, self._chunks = self._chunks, {}
        self._pending = bytearray()
        for chunk in chunks.values():
            chunk.discard()

    def _stage(self) -> None:
        content, self._pending = self._pending, bytearray()
        try:
            with failures(self._what, self._directory):
                chunk = stage_chunk(self._objects, compress(content), self._object_id)
        except BaseException:
            self.discard()
            raise
        self._chunks[chunk_path((len(self._chunks),))] = chunk
