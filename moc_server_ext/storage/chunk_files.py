"""Where the chunks of an array lie, told to those who can read the storage directory themselves."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from ..errors import NoBytesError
from .array_content import main_array
from .objects import Objects
from .versions import Version

_INLINE_BYTES_MAX: Final = 1 << 20


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
        By their keys below the array: files, and small chunks themselves. A file may vanish when the buffer is
        replaced: ask again. A chunk that is not among them has no entry, or must be asked for by its key: many small
        ones are not given all at once.
    """

    etag: str
    chunks: Mapping[str, ChunkFile | bytes]


def list_chunk_files(version: Version, objects: Objects, directory: Path) -> ChunkFiles:
    """List the chunks of a version's bytes.

    Raises
    ------
    NoBytesError
        The buffer's bytes are not in its chunks as they are.
    CorruptStorageError
        A small chunk is damaged.
    """
    node, path = main_array(version)
    if node.array is None or not node.plain:
        raise NoBytesError(version.name, arrays=sorted(version.record.arrays))
    chunks: dict[str, ChunkFile | bytes] = {}
    room = _INLINE_BYTES_MAX
    for key in node.array.chunk_keys():
        stored = version.rows.get(path + key)
        if stored is None:
            continue
        if stored.object_id is not None:
            file = objects.path(stored.object_id).relative_to(directory)
            chunks[key] = ChunkFile(str(file), stored.size, stored.crc32c)
        elif stored.size <= room:
            room -= stored.size
            chunks[key] = version.read(path + key)
    return ChunkFiles(version.etag, chunks)
