"""Open logs: buffers that are appended to in parts, each durable on return, and that appear as a whole when sealed.

Each part is a row of its own (:mod:`.parts`), so that what was acknowledged outlives a crash, in or between two parts.
Sealing copies them into the buffer's own file aside, in bounded memory; then one transaction puts the buffer in place
and takes the log away.
"""

from __future__ import annotations

import contextlib
import json
import math
import secrets
import threading
import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, replace
from typing import Any, Final

import apsw
import google_crc32c

from ..abc import Bytes
from ..errors import ConflictError, CorruptStorageError, InvalidInputError, LogNotFoundError
from ..model import DEFAULT_CONTENT_TYPE, ArraySpec, BufferRecord, LogRecord, default_chunks, parse_array, parse_name
from .appends import Appends
from .buffer_writes import BufferWrites
from .content import INLINE_BYTES_MAX, PART_BYTES, StoredContent
from .cutting import StagedChunk, discard_all, flat, stage_chunk, write_all
from .files import failures
from .nodes import Facts, array_node_document, bytes_node_document, parse_facts
from .objects import StagedObject, random_object_id
from .parts import PartsTable
from .receiving import Sealable, StoredReceiver
from .writes import WriteGroup, Writer
from .zarr_layout import name_of_node, node_name

PARTS_MAX: Final = 1_000_000
"""So many parts may a log have: more could not be listed and sealed in acceptable time."""


@dataclass(frozen=True, slots=True)
class LogFacts:
    """What is said of a log when it is begun.

    Parameters
    ----------
    array
        What its parts are elements of; the first axis, which grows, is 0.
    own_chunks
        Whether somebody chose the shape of the chunks, which otherwise follows from that of the whole array.
    """

    log_id: str
    facts: Facts
    array: ArraySpec | None
    own_chunks: bool

    def to_json(self) -> bytes:
        """Give the content of the row."""
        body: dict[str, Any] = {"log_id": self.log_id, **self.facts.to_json()}
        if self.array is not None:
            body |= {"array": self.array.to_json(), "own_chunks": self.own_chunks}
        return json.dumps(body, separators=(",", ":")).encode()

    @classmethod
    def from_json(cls, content: bytes) -> LogFacts:
        """Read what :meth:`to_json` gave."""
        body = json.loads(content)
        array = None if body.get("array") is None else ArraySpec.from_json(body["array"])
        return cls(body["log_id"], parse_facts(body), array, body.get("own_chunks") is True)

    def array_of(self, size: int) -> ArraySpec | None:
        """Give the array that `size` bytes make up, as far as they are whole rows; None for bytes."""
        array = self.array
        if array is None:
            return None
        return parse_array(
            array.dtype,
            (size // _row_bytes(array), *array.shape[1:]),
            array.chunks if self.own_chunks else None,
            dimension_names=array.dimension_names,
            attributes=array.attributes,
        )


class OpenLogs:
    """The open logs of one storage. Thread-safe: of several who append to one log, all parts come to it, one by one."""

    def __init__(self, parts: PartsTable, writes: BufferWrites, writer: Writer) -> None:
        self._parts = parts
        self._writes = writes
        self._writer = writer
        self._turns = Appends(_is_being_ended)
        self._counts_lock = threading.Lock()
        # Counting takes time, so that it is done once for each log that is appended to.
        self._counts: dict[str, int] = {}

    def open(
        self,
        name: str,
        content_type: str = DEFAULT_CONTENT_TYPE,
        headers: Mapping[str, str] | None = None,
        *,
        array: ArraySpec | None = None,
        origin: Mapping[str, str] | None = None,
    ) -> LogRecord:
        """See :meth:`~.buffers.StoredBuffers.open_log`."""
        new = self._new_facts(name, content_type, headers, array, origin)
        log = node_name(name)
        what = f"the log of buffer {name!r}"
        with self._turns.appending(log), self._writer.group() as group:

            def operation(connection: apsw.Connection) -> None:
                if self._parts.facts_now(connection, log) is not None:
                    raise ConflictError(
                        f"A log is open for buffer {name!r} already. Go on with it by resume_log, or end it: "
                        "seal it or abandon it.",
                        name=name,
                    )
                self._parts.begin(connection, log, new.to_json())

            group.then(what, operation)
        return _record(name, new, 0, 0)

    def append(
        self,
        name: str,
        part: Bytes | Iterable[Bytes],
        content_type: str = DEFAULT_CONTENT_TYPE,
        headers: Mapping[str, str] | None = None,
        *,
        array: ArraySpec | None = None,
        origin: Mapping[str, str] | None = None,
        log_id: str | None = None,
        offset: int | None = None,
    ) -> int:
        """See :meth:`~.buffers.StoredBuffers.append_log`."""
        if isinstance(part, bytes | bytearray | memoryview):
            new = self._new_facts(name, content_type, headers, array, origin)
            _check_append(log_id, offset)
            view = part if isinstance(part, bytes) else flat(part)
            with failures(f"{len(view):,} bytes of the log of buffer {name!r}", self._writes.directory):
                staged = stage_chunk(self._writes.objects, view, random_object_id)
            try:
                return self._append(name, staged, new, log_id, offset)
            finally:
                staged.discard()
        with self.receive(
            name, content_type, headers, array=array, origin=origin, log_id=log_id, offset=offset
        ) as receiver:
            for each in part:
                receiver.write(each)
            return receiver.commit()

    def receive(
        self,
        name: str,
        content_type: str = DEFAULT_CONTENT_TYPE,
        headers: Mapping[str, str] | None = None,
        *,
        array: ArraySpec | None = None,
        origin: Mapping[str, str] | None = None,
        log_id: str | None = None,
        offset: int | None = None,
    ) -> StoredReceiver[int]:
        """See :meth:`~.buffers.StoredBuffers.receive_part`."""
        new = self._new_facts(name, content_type, headers, array, origin)
        _check_append(log_id, offset)
        return StoredReceiver(
            self._writer.receive(f"a part of the log of buffer {name!r}"),
            lambda received: self._append(name, received, new, log_id, offset),
        )

    def find(self, name: str) -> LogRecord:
        """See :meth:`~.buffers.StoredBuffers.log`."""
        log = node_name(parse_name(name, "buffer's name"))
        found = self._parts.facts(log)
        if found is None:
            raise LogNotFoundError(name)
        return _record(name, LogFacts.from_json(found), self._parts.size(log), self._parts.count(log))

    def list(self) -> list[LogRecord]:
        """See :meth:`~.buffers.StoredBuffers.logs`."""
        records = []
        for log in self._parts.logs():
            found = self._parts.facts(log)
            if found is not None:
                facts = LogFacts.from_json(found)
                records.append(_record(name_of_node(log), facts, self._parts.size(log), self._parts.count(log)))
        return sorted(records, key=lambda record: record.name)

    def seal(self, name: str, *, log_id: str | None = None) -> BufferRecord:
        """See :meth:`~.buffers.StoredBuffers.seal_log`."""
        log = node_name(parse_name(name, "buffer's name"))
        with self._turns.ending(log):
            said = self._facts_of(name, log, log_id)
            size = self._parts.size(log)
            # The buffer is there from now on, whenever its log was begun.
            facts = replace(said.facts, created_at=time.time())
            array = said.array_of(size)
            if array is not None and array.nbytes != size:
                raise ConflictError(
                    f"The log of buffer {name!r} has {size:,} bytes, which are no whole number of rows of "
                    f"{_row_bytes(array):,}: append the rest of the last one.",
                    name=name,
                )
            store = self._gathered(name, log, size, facts) if array is None else self._cut(name, log, array, facts)
            try:
                with self._writer.group() as group:
                    self._parts.remove(group, log, what=f"the log of buffer {name!r}")
                    record = store.put(group)
            finally:
                store.discard()
            self._forget(log)
        return record

    def abandon(self, name: str, *, log_id: str | None = None) -> None:
        """See :meth:`~.buffers.StoredBuffers.abandon_log`."""
        log = node_name(parse_name(name, "buffer's name"))
        with self._turns.ending(log):
            self._facts_of(name, log, log_id)
            with self._writer.group() as group:
                self._parts.remove(group, log, what=f"the removal of the log of buffer {name!r}")
            self._forget(log)

    # -- inside -------------------------------------------------------------------------------------------------------

    def _append(self, name: str, content: Sealable, new: LogFacts, log_id: str | None, offset: int | None) -> int:
        log = node_name(name)
        size = len(content)
        what = f"{size:,} bytes of the log of buffer {name!r}"
        end = 0

        def operation(connection: apsw.Connection) -> None:
            nonlocal end
            found = self._parts.facts_now(connection, log)
            if log_id is not None and (found is None or LogFacts.from_json(found).log_id != log_id):
                raise LogNotFoundError(name)
            if found is None:
                self._parts.begin(connection, log, new.to_json())
            start = self._parts.size_now(connection, log)
            if offset is not None and offset != start:
                raise ConflictError(
                    f"The log of buffer {name!r} has {start:,} bytes; the part was to begin at byte {offset:,}. "
                    "Nothing was appended.",
                    name=name,
                    size=start,
                )
            if size:
                self._parts.add(connection, log, start, stored)
            end = start + size

        with self._turns.appending(log):
            self._check_room(name, log)
            with self._writer.group() as group:
                stored = group.stage(content, what, is_referenced=self._parts.refers_to)
                group.then(what, operation)
            with self._counts_lock:
                self._counts[log] += bool(size)
        return end

    def _check_room(self, name: str, log: str) -> None:
        with self._counts_lock:
            count = self._counts.get(log)
        if count is None:
            found = self._parts.count(log)
            with self._counts_lock:
                count = self._counts.setdefault(log, found)
        if count >= PARTS_MAX:
            raise ConflictError(
                f"The log of buffer {name!r} has {count:,} parts, and no log has more. Seal it, and append larger "
                "parts to the next one.",
                name=name,
            )

    def _forget(self, log: str) -> None:
        with self._counts_lock:
            self._counts.pop(log, None)

    def _new_facts(
        self,
        name: str,
        content_type: str,
        headers: Mapping[str, str] | None,
        array: ArraySpec | None,
        origin: Mapping[str, str] | None,
    ) -> LogFacts:
        facts = self._writes.new_facts(name, content_type, headers, origin)
        if array is None:
            self._writes.check_document(name, bytes_node_document(0, facts))
            return LogFacts(secrets.token_hex(8), facts, None, False)
        if not array.ndim or not _row_bytes(array):
            raise InvalidInputError(
                f"A log of an array grows along its first axis by rows that have bytes; an array with the shape "
                f"{list(array.shape)} has none."
            )
        self._writes.check_document(name, array_node_document(array, facts))
        own_chunks = array.chunks != default_chunks(array.dtype, array.shape)
        return LogFacts(secrets.token_hex(8), facts, replace(array, shape=(0, *array.shape[1:])), own_chunks)

    def _facts_of(self, name: str, log: str, log_id: str | None) -> LogFacts:
        found = self._parts.facts(log)
        facts = None if found is None else LogFacts.from_json(found)
        if facts is None or log_id not in (None, facts.log_id):
            raise LogNotFoundError(name)
        return facts

    def _cut(self, name: str, log: str, array: ArraySpec, facts: Facts) -> _Store:
        chunks = write_all(self._writes.cutter(name, array), self._pieces(name, log))
        return _Store(
            lambda group: self._writes.store_array(name, array, chunks, facts, group=group),
            lambda: discard_all(chunks),
        )

    def _gathered(self, name: str, log: str, size: int, facts: Facts) -> _Store:
        """Make all that was appended one file aside."""
        what = f"buffer {name!r} ({size:,} bytes)"
        objects = self._writes.objects
        if size <= INLINE_BYTES_MAX:
            content = b"".join(self._pieces(name, log))
            chunk = StagedChunk(objects, StoredContent.of(content, random_object_id), None)
        else:
            checksum = 0
            with failures(what, self._writes.directory):
                file = objects.begin()
                try:
                    for piece in self._pieces(name, log):
                        checksum = google_crc32c.extend(checksum, piece)
                        file.write(piece)
                    file.seal()
                except BaseException:
                    file.discard()
                    raise
            object_id = random_object_id()
            stored = StoredContent(size, checksum, object_id, None)
            chunk = StagedChunk(objects, stored, StagedObject(object_id, file.path))
        return _Store(lambda group: self._writes.store_bytes(name, chunk, facts, group), chunk.discard)

    def _pieces(self, name: str, log: str) -> Iterator[bytes]:
        """Give what was appended in pieces, each part checked before its last one is given."""
        small = bytearray()
        for stored in self._parts.parts(log):
            if stored.inline is not None:
                if google_crc32c.value(stored.inline) != stored.crc32c:
                    raise _damaged(name, "the checksum of a part does not match")
                # One write for many small parts.
                small += stored.inline
                if len(small) < PART_BYTES:
                    continue
            if small:
                yield bytes(small)
                small.clear()
            if stored.object_id is not None:
                yield from self._file_pieces(name, stored, stored.object_id)
        if small:
            yield bytes(small)

    def _file_pieces(self, name: str, stored: StoredContent, object_id: str) -> Iterator[bytes]:
        checksum = position = 0
        try:
            file = self._writes.objects.open(object_id)
        except FileNotFoundError:
            raise _damaged(name, f"its file {object_id} is missing") from None
        with contextlib.closing(file):
            while position < stored.size:
                end = min(position + PART_BYTES, stored.size)
                piece = file.read(position, end)
                if len(piece) != end - position:
                    raise _damaged(name, f"its file {object_id} ends at byte {position + len(piece):,}")
                checksum = google_crc32c.extend(checksum, piece)
                if end == stored.size and checksum != stored.crc32c:
                    raise _damaged(name, f"the checksum of its file {object_id} does not match")
                yield piece
                position = end


@dataclass(frozen=True, slots=True)
class _Store:
    """What a log becomes, durable aside.

    Parameters
    ----------
    put
        Stores it in place of the buffer, as a part of a group.
    discard
        Removes it, unless it was stored; idempotent.
    """

    put: Callable[[WriteGroup], BufferRecord]
    discard: Callable[[], None]


def _record(name: str, said: LogFacts, size: int, parts: int) -> LogRecord:
    facts = said.facts
    return LogRecord(
        name,
        said.log_id,
        size,
        parts,
        facts.content_type,
        facts.headers,
        facts.created_at,
        said.array_of(size),
        facts.origin,
    )


def _row_bytes(array: ArraySpec) -> int:
    return math.prod(array.shape[1:]) * array.itemsize


def _check_append(log_id: str | None, offset: int | None) -> None:
    if offset is not None and (offset < 0 or log_id is None):
        raise InvalidInputError(
            "A part that is to begin at a certain offset says to which log: give log_id, and an offset from 0."
        )


def _is_being_ended(log: str) -> ConflictError:
    name = name_of_node(log)
    return ConflictError(f"The log of buffer {name!r} is being sealed or abandoned. Nothing was changed.", name=name)


def _damaged(name: str, reason: str) -> CorruptStorageError:
    return CorruptStorageError(f"the log of buffer {name!r}", reason)
