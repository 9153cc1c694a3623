"""Where the chunks of an array lie, told to those who can read the storage directory themselves."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from ..errors import NoBytesError
from .array_content import main_array
from .objects import Objects
from .versions import Version


@dataclass(frozen=True, slots=True)
class ChunkFile:
    """An immutable file that holds one chunk.

    Parameters
    ----------
    file
        Its path, relative to the storage directory.
    """

    file: str
    size: int
    crc32c: int


@dataclass(frozen=True, slots=True)
class ChunkFiles:
    """Where the chunks of one version of an array lie.

    Parameters
    ----------
    etag
        What differs between any two versions of the buffer.
    chunks
        By their keys below the array. A file stays for the grace period after it was asked for; it vanishes some time
        after the buffer was replaced: ask again. A chunk that is not among them is so small that it lies in no file, or
        was never stored; its key tells.
    """

    etag: str
    chunks: Mapping[str, ChunkFile]


def list_chunk_files(version: Version, objects: Objects, directory: Path) -> ChunkFiles:
    """List the chunks of a version's bytes, and keep their files for a while.

    Raises
    ------
    NoBytesError
        The buffer's bytes are not in its chunks as they are.
    """
    node, path = main_array(version)
    if node.array is None or not node.plain:
        raise NoBytesError(version.name, arrays=sorted(version.record.arrays))
    chunks: dict[str, ChunkFile] = {}
    for key in node.array.chunk_keys():
        stored = version.rows.get(path + key)
        if stored is not None and stored.object_id is not None:
            file = objects.path(stored.object_id).relative_to(directory)
            chunks[key] = ChunkFile(str(file), stored.size, stored.crc32c)
    objects.leases.lend(version.pin)
    return ChunkFiles(version.etag, chunks)
