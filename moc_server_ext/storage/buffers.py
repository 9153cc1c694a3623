"""Stored buffers: named bytes with a content type and headers, replaced as a whole.

Each is an array ``buffers/<percent-encoded name>`` of the Zarr hierarchy; its attributes hold all but the bytes.
"""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from typing import Final

from ..abc import Bytes
from ..errors import BufferNotFoundError, nearest
from ..model import DEFAULT_CONTENT_TYPE, BufferRecord, parse_name
from .arrays import ByteArrays
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
        content: Bytes,
        content_type: str = DEFAULT_CONTENT_TYPE,
        headers: Mapping[str, str] | None = None,
        *,
        group: WriteGroup | None = None,
    ) -> BufferRecord:
        """Store `content` under `name`, replacing what was there; durable on return.

        Readers see the old buffer or the new one, whole. With `group`, both happens once that is committed.

        Raises
        ------
        InvalidInputError
            `name` cannot be a name, or the headers are too large. Nothing was changed.
        StorageFullError, ReadOnlyStorageError, StorageError
            The buffer is as it was before.
        """
        content = bytes(content)
        headers = {key.lower(): value for key, value in (headers or {}).items()}
        record = BufferRecord(parse_name(name, "buffer's name"), len(content), content_type, headers, time.time())
        attributes = {"content_type": content_type, "headers": headers, "created_at": record.created_at}
        with self._writer.joined(group) as joined:
            self._arrays.put(joined, name, content, attributes)
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


def _record(name: str, size: int, attributes: Mapping[str, object]) -> BufferRecord:
    return BufferRecord.from_json({**attributes, "name": name, "size": size})
