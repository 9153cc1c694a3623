"""The replication log on a target: segments of records, and the base that they continue.

Owns the keys below ``log/`` and how records get into segments and out of them again::

    log/<epoch>/base.json               the backup that the log of this epoch continues
    log/<epoch>/<first sequence>.log    records, one after the other

Where the target can append (a directory) a segment grows by what is shipped, until it is large; elsewhere each batch is
a segment. A segment whose append failed is left as it is, perhaps with a torn end, and the same batch begins the next
one, so that a reader finds each record at least once, in order.
"""

from __future__ import annotations

import json
import re
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Any, Final

from ...errors import BackupTargetError
from ..targets.target import AppendableTarget, Target
from .records import Record, decode

SEGMENT_BYTES: Final = 8 << 20
_SEGMENT: Final = re.compile(r"log/([0-9]{8})/([0-9]{16})\.log")


class LogGapError(Exception):
    """Records are no longer on the target: whoever needs them begins anew from the base. Never leaves the package."""


@dataclass(frozen=True, slots=True)
class Base:
    """The backup that the log of an epoch continues.

    Parameters
    ----------
    backup
        Its id.
    sequence
        The last commit that it holds; the log goes on with the next one.
    """

    epoch: int
    backup: str
    sequence: int


def directory_of(epoch: int) -> str:
    """Give what the keys of an epoch's log begin with."""
    return f"log/{epoch:08d}/"


def segment_key(epoch: int, first: int) -> str:
    """Give the key of the segment whose first record is `first`."""
    return f"{directory_of(epoch)}{first:016d}.log"


def segments(target: Target, epoch: int) -> list[tuple[int, int]]:
    """List first sequence and size in bytes of an epoch's segments, in order."""
    found = []
    for key, size in target.list(directory_of(epoch)):
        match = _SEGMENT.fullmatch(key)
        if match:
            found.append((int(match[2]), size))
    return sorted(found)


def read_base(target: Target, epoch: int) -> Base | None:
    """Read which backup an epoch's log continues; None before it has one.

    Raises
    ------
    BackupTargetError
        The target cannot be read, or holds something else there.
    """
    key = f"{directory_of(epoch)}base.json"
    text = target.get(key)
    if text is None:
        return None
    try:
        body: dict[str, Any] = json.loads(text)
        backup, sequence = body["backup"], body["sequence"]
        if not isinstance(backup, str) or not isinstance(sequence, int):
            raise TypeError
    except (ValueError, TypeError, KeyError, RecursionError) as error:
        raise BackupTargetError(target.url, f"{key!r} is no base of a replication log", what="be read") from error
    return Base(epoch, backup, sequence)


def write_base(target: Target, base: Base) -> None:
    """Say which backup the epoch's log continues; durable on return."""
    body = {"backup": base.backup, "sequence": base.sequence}
    target.put(f"{directory_of(base.epoch)}base.json", json.dumps(body).encode() + b"\n")


def remove_before(target: Target, epoch: int, sequence: int) -> None:
    """Remove the segments whose records are all up to `sequence`, and the logs of earlier epochs."""
    present = segments(target, epoch)
    for (first, _), (following, _) in pairwise(present):
        # The newest one stays: it may still grow.
        if following <= sequence + 1:
            target.delete(segment_key(epoch, first))
    for key, _ in list(target.list("log/")):
        if key < directory_of(epoch):
            target.delete(key)


class LogWriter:
    """Writes the log of one epoch. One thread.

    Attributes
    ----------
    size
        How many bytes were written so far.
    """

    def __init__(self, target: Target, epoch: int) -> None:
        self._target = target
        self._epoch = epoch
        self._key: str | None = None
        self._key_bytes = 0
        self.size = 0

    def append(self, first: int, content: bytes) -> None:
        """Write a batch of encoded records, of which `first` is the first one; durable on return.

        Raises
        ------
        BackupTargetError
            It may or may not be there. The next call must bring the very same batch.
        """
        target = self._target
        if self._key is not None and isinstance(target, AppendableTarget) and self._key_bytes < SEGMENT_BYTES:
            key, self._key = self._key, None
            target.append(key, content)
            self._key = key
            self._key_bytes += len(content)
        else:
            self._key = None
            key = segment_key(self._epoch, first)
            target.put(key, content)
            self._key, self._key_bytes = key, len(content)
        self.size += len(content)


class LogReader:
    """Reads the log of one epoch on, record by record. One thread.

    Attributes
    ----------
    sequence
        The last record that was given; :meth:`read` goes on behind it.
    """

    def __init__(self, target: Target, epoch: int, sequence: int) -> None:
        self._target = target
        self._epoch = epoch
        self.sequence = sequence
        self._key: str | None = None
        self._offset = 0

    def read(self, *, thorough: bool = False) -> Sequence[Record]:
        """Give what has come since the last time, in order; empty when there is nothing new.

        Parameters
        ----------
        thorough
            List the target as well: what an unusual end of a segment hides from the quick look is found so. A record
            that was removed is told then, by LogGapError.

        Raises
        ------
        BackupTargetError
            The target cannot be read. The next call goes on where this one began.
        """
        if self._key is not None:
            records = self._read_on()
            if records:
                return records
        key = segment_key(self._epoch, self.sequence + 1)
        if key != self._key and self._target.size(key) is not None:
            self._key, self._offset = key, 0
            records = self._read_on()
            if records:
                return records
        return self._search() if thorough else ()

    def _search(self) -> Sequence[Record]:
        present = segments(self._target, self._epoch)
        before = [first for first, _ in present if first <= self.sequence + 1]
        if before:
            # Read from its beginning: what was read already is passed over.
            self._key, self._offset = segment_key(self._epoch, before[-1]), 0
            records = self._read_on()
            if records:
                return records
        if len(before) < len(present):
            # Segments are begun in order: once a later one is there, an earlier one grows no more.
            raise LogGapError
        return ()

    def _read_on(self) -> Sequence[Record]:
        assert self._key is not None  # noqa: S101 - the callers set it
        content = self._new_content(self._key)
        records = []
        consumed = 0
        for record, end in decode(content):
            if record.epoch != self._epoch or record.sequence > self.sequence + 1:
                break
            if record.sequence == self.sequence + 1:
                records.append(record)
                self.sequence = record.sequence
            consumed = end
        self._offset += consumed
        return records

    def _new_content(self, key: str) -> bytes:
        target = self._target
        if isinstance(target, AppendableTarget):
            return target.read_from(key, self._offset) or b""
        if self._offset:
            # Where nothing is appended, a segment that was read is read.
            return b""
        return target.get(key) or b""
