"""Records of the replication log: one a commit, framed so that a cut or damaged end is told from a whole record.

Owns the bytes of a record. In which segments records lie is in :mod:`.log`.

::

    4  length of what follows the checksum, little-endian; never 0
    4  CRC-32C of it
    8  sequence
    8  epoch
    8  when it was committed, seconds since the epoch, UTC (double)
    1  flags: 1 where the changes are compressed (zlib)
    4  length of the objects' list
    …  the objects that were published with the commit, JSON: [[id, size, crc32c], …]
    …  the changes, an SQLite changeset
"""

from __future__ import annotations

import json
import struct
import zlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Final

import google_crc32c

from ...errors import CorruptStorageError

_FRAME: Final = struct.Struct("<II")
_HEAD: Final = struct.Struct("<QQdBI")
_COMPRESSED: Final = 1
_COMPRESSED_FROM_BYTES: Final = 4 << 10
_UNPACKED_BYTES_MAX: Final = 1 << 30
RECORD_BYTES_MAX: Final = 1 << 30


@dataclass(frozen=True, slots=True)
class ShippedObject:
    """An object file that belongs to a commit: its id, its size in bytes and the CRC-32C of what was shipped."""

    object_id: str
    size: int
    crc32c: int


@dataclass(frozen=True, slots=True)
class Record:
    """One commit.

    Parameters
    ----------
    sequence
        Its number: each is one more than that of the commit before.
    epoch
        The turn of whoever shipped it (:mod:`.epochs`).
    at
        When it was committed, in seconds since the epoch, UTC.
    objects
        The object files that it published.
    changes
        What it changed in the catalog, an SQLite changeset.
    """

    sequence: int
    epoch: int
    at: float
    objects: Sequence[ShippedObject]
    changes: bytes


def encode(record: Record) -> bytes:
    """Give the bytes of a record."""
    objects = b""
    if record.objects:
        listed = [[each.object_id, each.size, each.crc32c] for each in record.objects]
        objects = json.dumps(listed, separators=(",", ":")).encode()
    changes, flags = record.changes, 0
    if len(changes) >= _COMPRESSED_FROM_BYTES:
        # The fastest level: shipping must keep up with the writers.
        packed = zlib.compress(changes, 1)
        if len(packed) < len(changes):
            changes, flags = packed, _COMPRESSED
    body = _HEAD.pack(record.sequence, record.epoch, record.at, flags, len(objects)) + objects + changes
    return _FRAME.pack(len(body), google_crc32c.value(body)) + body


def decode(content: bytes, start: int = 0) -> Iterator[tuple[Record, int]]:
    """Give the whole records of ``content[start:]``, each with the offset of its end; what is cut off ends it.

    A record that is cut, or whose checksum does not match, is the end: whoever wrote it never acknowledged it, or has
    not finished it yet.

    Raises
    ------
    CorruptStorageError
        A record has its checksum and cannot be understood all the same.
    """
    position = start
    while True:
        body_at = position + _FRAME.size
        if len(content) < body_at:
            return
        length, checksum = _FRAME.unpack_from(content, position)
        if not _HEAD.size <= length <= RECORD_BYTES_MAX or len(content) < body_at + length:
            return
        body = content[body_at : body_at + length]
        if google_crc32c.value(body) != checksum:
            return
        position = body_at + length
        yield _parse(body), position


def _parse(body: bytes) -> Record:
    sequence, epoch, at, flags, length = _HEAD.unpack_from(body)
    changes_at = _HEAD.size + length
    try:
        if changes_at > len(body) or flags & ~_COMPRESSED:
            raise ValueError
        listed = json.loads(body[_HEAD.size : changes_at]) if length else []
        objects = tuple(_parse_object(each) for each in listed)
        changes = body[changes_at:]
        if flags & _COMPRESSED:
            unpacking = zlib.decompressobj()
            changes = unpacking.decompress(changes, _UNPACKED_BYTES_MAX)
            if not unpacking.eof:
                raise ValueError
    except (ValueError, TypeError, RecursionError, zlib.error) as error:
        raise CorruptStorageError(f"record {sequence} of the replication log", "it cannot be understood") from error
    return Record(sequence, epoch, at, objects, changes)


def _parse_object(found: object) -> ShippedObject:
    if not isinstance(found, list) or len(found) != 3:
        raise TypeError
    object_id, size, checksum = found
    if not (isinstance(object_id, str) and isinstance(size, int) and isinstance(checksum, int)):
        raise TypeError
    # It becomes the name of a file.
    if len(object_id) not in (32, 64) or not set(object_id) <= set("0123456789abcdef"):
        raise ValueError
    return ShippedObject(object_id, size, checksum)
