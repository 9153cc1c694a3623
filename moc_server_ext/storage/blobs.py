"""Blobs: immutable bytes by the SHA-256 of their content.

Each is an array ``blobs/<blob id>`` of the Zarr hierarchy; a large one is the object file of the same name.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Iterator

from ..abc import Bytes
from ..errors import BlobNotFoundError
from ..model import DEFAULT_CONTENT_TYPE, BlobRecord, parse_blob_id
from .arrays import ByteArrays
from .content import INLINE_BYTES_MAX, OpenContent
from .objects import Objects
from .receiving import Received, StoredReceiver
from .writes import WriteGroup, Writer


class StoredBlobs:
    """The blobs of one storage directory: :class:`moc_server_ext.abc.Blobs`. Thread-safe."""

    def __init__(self, arrays: ByteArrays, objects: Objects, writer: Writer) -> None:
        self._arrays = arrays
        self._objects = objects
        self._writer = writer

    def put(
        self,
        content: Bytes | Iterable[Bytes],
        content_type: str = DEFAULT_CONTENT_TYPE,
        *,
        group: WriteGroup | None = None,
    ) -> BlobRecord:
        """Store `content`; durable on return (with `group`: once that is committed); idempotent.

        Equal content under another content type replaces the content type and nothing else.

        Parameters
        ----------
        content
            Bytes, or the parts that make them up, which are never in memory all together. What their iterator raises
            goes on; nothing was stored then.

        Raises
        ------
        StorageFullError, ReadOnlyStorageError, StorageError
            What was there before is unchanged.
        """
        if isinstance(content, bytes | bytearray | memoryview):
            content = bytes(content)
            return self._store(hashlib.sha256(content).hexdigest(), content, content_type, group)
        with self.receive(content_type, group=group) as receiver:
            for part in content:
                receiver.write(part)
            return receiver.commit()

    def receive(
        self, content_type: str = DEFAULT_CONTENT_TYPE, *, group: WriteGroup | None = None
    ) -> StoredReceiver[BlobRecord]:
        """Begin to store content that comes in parts; its SHA-256 is known, and its blob visible, at its commit.

        Raises
        ------
        StorageFullError, ReadOnlyStorageError, StorageError
            From the receiver's methods: what was there before is unchanged, and nothing is left of what came.
        """
        digest = hashlib.sha256()
        return StoredReceiver(
            self._writer.receive("a blob"),
            lambda received: self._store(digest.hexdigest(), received, content_type, group),
            digest.update,
        )

    def _store(
        self, blob_id: str, content: bytes | Received, content_type: str, group: WriteGroup | None
    ) -> BlobRecord:
        record = BlobRecord(blob_id, len(content), content_type)
        if self._find(blob_id) == record and self._is_whole(record):
            return record
        with self._writer.joined(group) as joined:
            self._arrays.put(
                joined,
                blob_id,
                content,
                {"content_type": content_type},
                object_id=lambda: blob_id,
            )
        return record

    def stat(self, blob_id: str) -> BlobRecord:
        """Look a blob up without reading it.

        Raises
        ------
        BlobNotFoundError, InvalidInputError
            There is none; `blob_id` is no blob id.
        """
        record = self._find(parse_blob_id(blob_id))
        if record is None:
            raise BlobNotFoundError(blob_id)
        return record

    def read(self, blob_id: str, start: int = 0, stop: int | None = None) -> bytes:
        """Read bytes ``[start, stop)``, cut off at the end; a blob that is read whole is checked.

        Raises
        ------
        BlobNotFoundError, CorruptStorageError, InvalidInputError
            There is none; its bytes are damaged; `blob_id` is no blob id, or the range is negative.
        """
        return self._arrays.read(parse_blob_id(blob_id), start, stop, lambda: BlobNotFoundError(blob_id))

    def parts(self, blob_id: str, start: int = 0, stop: int | None = None) -> Iterator[bytes]:
        """Read bytes ``[start, stop)`` in parts; a blob that is read whole is checked.

        Raises
        ------
        BlobNotFoundError, InvalidInputError
            At once, as :meth:`read` does.
        CorruptStorageError
            While it is iterated, and before the last part is given.
        """
        return self.open(blob_id)[1].parts(start, stop)

    def open(self, blob_id: str) -> tuple[BlobRecord, OpenContent]:
        """Open a blob: its record and its bytes.

        Raises
        ------
        BlobNotFoundError, CorruptStorageError, InvalidInputError
            There is none; its bytes are missing; `blob_id` is no blob id.
        """
        attributes, content = self._arrays.open(parse_blob_id(blob_id), lambda: BlobNotFoundError(blob_id))
        return BlobRecord(blob_id, content.size, attributes["content_type"]), content

    def _find(self, blob_id: str) -> BlobRecord | None:
        found = self._arrays.find(blob_id)
        return None if found is None else BlobRecord(blob_id, found[0], found[1]["content_type"])

    def _is_whole(self, record: BlobRecord) -> bool:
        # So that storing a blob again mends one whose file was lost, instead of acknowledging what cannot be read.
        return record.size <= INLINE_BYTES_MAX or self._objects.size(record.blob_id) == record.size
