"""Stored buffers: named bytes with a content type and headers, replaced as a whole.

Each is an array ``buffers/<percent-encoded name>`` of the Zarr hierarchy; its attributes hold all but the bytes.
"""

from __future__ import annotations

import time
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Final

from ..abc import Bytes
from ..errors import BufferNotFoundError, nearest
from ..model import DEFAULT_CONTENT_TYPE, BufferRecord, parse_name
from .arrays import ByteArrays
from .content import OpenContent
from .receiving import Received, StoredReceiver
from .writes import WriteGroup, Writer

# Comparing names takes time, and a guest can ask for missing buffers in a loop.
_SUGGESTED_AMONG: Final = 256


class StoredBuffers:
    """The buffers of one storage directory: :class:`moc_server_ext.abc.Buffers`. Thread-safe."""

    def __init__(self, arrays: ByteArrays, writer: Writer) -> None:
        self._arrays = arrays
        self._writer = writer

    def put(
        self,
        name: str,
        content: Bytes | Iterable[Bytes],
        content_type: str = DEFAULT_CONTENT_TYPE,
        headers: Mapping[str, str] | None = None,
        *,
        group: WriteGroup | None = None,
    ) -> BufferRecord:
        """Store `content` under `name`, replacing what was there; durable on return.

        Readers see the old buffer or the new one, whole. With `group`, both happens once that is committed.

        Parameters
        ----------
        content
            Bytes, or the parts that make them up, which are never in memory all together. What their iterator raises
            goes on; nothing was changed then.

        Raises
        ------
        InvalidInputError
            `name` cannot be a name, or the headers are too large. Nothing was changed.
        StorageFullError, ReadOnlyStorageError, StorageError
            The buffer is as it was before.
        """
        if isinstance(content, bytes | bytearray | memoryview):
            parse_name(name, "buffer's name")
            return self._store(name, bytes(content), content_type, _lowered(headers), group)
        with self.receive(name, content_type, headers, group=group) as receiver:
            for part in content:
                receiver.write(part)
            return receiver.commit()

    def receive(
        self,
        name: str,
        content_type: str = DEFAULT_CONTENT_TYPE,
        headers: Mapping[str, str] | None = None,
        *,
        group: WriteGroup | None = None,
    ) -> StoredReceiver[BufferRecord]:
        """Begin to store content that comes in parts; nothing of it is visible before its commit.

        Raises
        ------
        InvalidInputError
            `name` cannot be a name, or the headers are too large. Nothing was begun.
        StorageFullError, ReadOnlyStorageError, StorageError
            From the receiver's methods: the buffer is as it was before, and nothing is left of what came.
        """
        headers = _lowered(headers)
        self._arrays.check_attributes(parse_name(name, "buffer's name"), _attributes(content_type, headers, 0.0))
        return StoredReceiver(
            self._writer.receive(f"buffer {name!r}"),
            lambda received: self._store(name, received, content_type, headers, group),
        )

    def _store(
        self,
        name: str,
        content: bytes | Received,
        content_type: str,
        headers: Mapping[str, str],
        group: WriteGroup | None,
    ) -> BufferRecord:
        record = BufferRecord(name, len(content), content_type, headers, time.time())
        with self._writer.joined(group) as joined:
            self._arrays.put(joined, name, content, _attributes(content_type, headers, record.created_at))
        return record

    def stat(self, name: str) -> BufferRecord:
        """Look a buffer up without reading it.

        Raises
        ------
        BufferNotFoundError, InvalidInputError
            There is none; the nearest names are in the error. `name` cannot be a name.
        """
        found = self._arrays.find(parse_name(name, "buffer's name"))
        if found is None:
            raise self._not_found(name)
        return _record(name, *found)

    def read(self, name: str, start: int = 0, stop: int | None = None) -> bytes:
        """Read bytes ``[start, stop)``, cut off at the end; a buffer that is read whole is checked.

        Raises
        ------
        BufferNotFoundError, CorruptStorageError, InvalidInputError
            There is none; its bytes are damaged; `name` cannot be a name, or the range is negative.
        """
        return self._arrays.read(parse_name(name, "buffer's name"), start, stop, lambda: self._not_found(name))

    def parts(self, name: str, start: int = 0, stop: int | None = None) -> Iterator[bytes]:
        """Read bytes ``[start, stop)`` in parts, all of one version; a buffer that is read whole is checked.

        Raises
        ------
        BufferNotFoundError, InvalidInputError
            At once, as :meth:`read` does.
        CorruptStorageError
            While it is iterated, and before the last part is given.
        """
        return self.open(name)[1].parts(start, stop)

    def open(self, name: str) -> tuple[BufferRecord, OpenContent]:
        """Open a buffer: its record and its bytes, of one version, which stays readable when it is replaced.

        Raises
        ------
        BufferNotFoundError, CorruptStorageError, InvalidInputError
            There is none; its bytes are missing; `name` cannot be a name.
        """
        attributes, content = self._arrays.open(parse_name(name, "buffer's name"), lambda: self._not_found(name))
        return _record(name, content.size, attributes), content

    def list(self) -> Sequence[BufferRecord]:
        """List all buffers as of one moment, sorted by name."""
        return sorted((_record(*each) for each in self._arrays.records()), key=lambda record: record.name)

    def delete(self, name: str, *, group: WriteGroup | None = None) -> None:
        """Remove a buffer; durable on return (with `group`: once that is committed).

        Raises
        ------
        BufferNotFoundError
            There is none. Nothing was changed, and nothing of the group is stored.
        """
        parse_name(name, "buffer's name")
        with self._writer.joined(group) as joined:
            self._arrays.delete(joined, name, lambda: self._not_found(name))

    def _not_found(self, name: str) -> BufferNotFoundError:
        return BufferNotFoundError(name, nearest=nearest(name, self._arrays.names(_SUGGESTED_AMONG)))


def _lowered(headers: Mapping[str, str] | None) -> dict[str, str]:
    return {key.lower(): value for key, value in (headers or {}).items()}


def _attributes(content_type: str, headers: Mapping[str, str], created_at: float) -> dict[str, object]:
    return {"content_type": content_type, "headers": headers, "created_at": created_at}


def _record(name: str, size: int, attributes: Mapping[str, object]) -> BufferRecord:
    return BufferRecord.from_json({**attributes, "name": name, "size": size})
