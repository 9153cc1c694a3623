"""Taking over chunk files that another process on this machine has written into the staging directory.

That process runs as the same user and could write anywhere in the storage: what is checked here keeps mistakes out, and
whoever only reaches the web API: no name leads out of the directory, and nothing but a plain file of the expected size,
with no other name, becomes a chunk.
"""

from __future__ import annotations

import math
import os
import re
import stat
from collections.abc import Mapping
from pathlib import Path
from typing import Final

import google_crc32c

from ..errors import InvalidInputError
from ..model import ArraySpec
from .content import INLINE_BYTES_MAX, StoredContent
from .cutting import StagedChunk, discard_all
from .files import FILE_MODE, failures, remove
from .objects import Objects, StagedObject, neighbouring_object_ids

_NAME: Final = re.compile(r"[0-9a-f]{32}", re.ASCII)
_READ_BYTES: Final = 8 << 20


def adopt_staged(
    files: Mapping[str, str], array: ArraySpec, staging: Path, objects: Objects, directory: Path
) -> dict[str, StagedChunk]:
    """Take files over as the chunks of an array; whoever called this owns them.

    Parameters
    ----------
    files
        Names in the directory `staging` by the keys of the chunks.

    Raises
    ------
    InvalidInputError
        They are not all of the array's chunks, or one is not such a file. None of those that were named is left.
    StorageFullError, ReadOnlyStorageError, StorageError
        None of them is left.
    """
    names = list(files.values())
    if not all(isinstance(each, str) and _NAME.fullmatch(each) for each in names):
        raise InvalidInputError("The name of a staged file is 32 lower-case hex digits.")
    if len(set(names)) != len(names):
        raise InvalidInputError("Each chunk has a staged file of its own.")
    chunks: dict[str, StagedChunk] = {}
    object_id = neighbouring_object_ids()
    try:
        count = math.prod(array.grid)
        if len(files) != count or any(key not in files for key in array.chunk_keys()):
            raise InvalidInputError(
                f"An array of {array.dtype} with the shape {list(array.shape)} in chunks of {list(array.chunks)} has "
                f"{count:,} chunks, each with a staged file: {len(files):,} came."
            )
        for key, name in files.items():
            with failures(f"chunk {key!r}", directory):
                chunks[key] = _adopt(staging / name, key, array.chunk_bytes, objects, object_id())
    except BaseException:
        discard_all(chunks)
        for name in names:
            remove(staging / name)
        raise
    return chunks


def _adopt(path: Path, key: str, size: int, objects: Objects, object_id: str) -> StagedChunk:
    try:
        # Without waiting, which opening a pipe would do.
        descriptor = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
    except OSError as error:
        reason = os.strerror(error.errno) if error.errno else str(error)
        raise InvalidInputError(f"The staged file for chunk {key!r} cannot be opened: {reason}.") from None
    try:
        facts = os.fstat(descriptor)
        if not stat.S_ISREG(facts.st_mode) or facts.st_nlink != 1 or facts.st_uid != os.geteuid():
            raise InvalidInputError(
                f"The staged file for chunk {key!r} is no plain file of this user's with one name only."
            )
        if facts.st_size != size:
            raise InvalidInputError(
                f"The staged file for chunk {key!r} has {facts.st_size:,} bytes; expected {size:,}, a full chunk."
            )
        if size <= INLINE_BYTES_MAX:
            content = os.pread(descriptor, size, 0)
            remove(path)
            return StagedChunk(objects, StoredContent.of(content, lambda: object_id), None)
        os.fchmod(descriptor, FILE_MODE)
        checksum = read = 0
        while part := os.pread(descriptor, _READ_BYTES, read):
            checksum = google_crc32c.extend(checksum, part)
            read += len(part)
        if read != size:
            raise InvalidInputError(f"The staged file for chunk {key!r} was changed while it was taken over.")
        # Costs nothing where its writer has done so, and cannot be seen from here.
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
    stored = StoredContent(size, checksum, object_id, None)
    return StagedChunk(objects, stored, StagedObject(object_id, path))
