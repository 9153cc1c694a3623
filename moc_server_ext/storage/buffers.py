"""Stored buffers: named bytes, arrays and groups of arrays, with a content type and headers.

Each is a node ``buffers/<percent-encoded name>`` of the Zarr hierarchy; its attributes hold all but the content. Here
is the face of several modules: how buffers are written (:mod:`.buffer_writes`), grow (:mod:`.growing`), are written
chunk by chunk (:mod:`.array_writer`), come as whole nodes (:mod:`.zarr_nodes`) or in parts that are durable one by one
(:mod:`.open_logs`), are copied and renamed (:mod:`.relocating`), and are read (:mod:`.versions`).
"""

from __future__ import annotations

import time
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Final

from ..abc import Bytes, Content
from ..errors import BufferNotFoundError, nearest
from ..model import DEFAULT_CONTENT_TYPE, ArraySpec, BufferRecord, LogRecord, parse_compression, parse_name
from .adopting import adopt_staged
from .array_content import VersionContent, open_version
from .array_writer import ArrayWriter
from .buffer_writes import BufferWrites
from .chunk_files import ChunkFiles, list_chunk_files
from .glances import glance_at
from .growing import Grower
from .log_handle import OpenLog
from .nodes import array_node_document, bytes_node_document
from .open_logs import OpenLogs
from .receiving import StoredReceiver
from .relocating import Relocations
from .versions import Version, Versions
from .writes import WriteGroup
from .zarr_nodes import receive_node

# Comparing names takes time, and a guest can ask for missing buffers in a loop.
_SUGGESTED_AMONG: Final = 256


class StoredBuffers:
    """The buffers of one storage directory: :class:`moc_server_ext.abc.LocalBuffers`. Thread-safe."""

    def __init__(
        self, versions: Versions, writes: BufferWrites, staging: Path, logs: OpenLogs, relocations: Relocations
    ) -> None:
        self._versions = versions
        self._writes = writes
        self._staging = staging
        self._logs = logs
        self._relocations = relocations
        self._grower = Grower(self.version, writes)

    # -- writing ------------------------------------------------------------------------------------------------------

    def put(
        self,
        name: str,
        content: Bytes | Iterable[Bytes],
        content_type: str = DEFAULT_CONTENT_TYPE,
        headers: Mapping[str, str] | None = None,
        *,
        array: ArraySpec | None = None,
        origin: Mapping[str, str] | None = None,
        compression: str | None = None,
        group: WriteGroup | None = None,
    ) -> BufferRecord:
        """Store `content` under `name`, replacing what was there; durable on return.

        Readers see the old buffer or the new one, whole. With `group`, both happens once that is committed.

        Parameters
        ----------
        content
            Bytes, or the parts that make them up, which are never in memory all together. What their iterator raises
            goes on; nothing was changed then.
        array
            What the content is an array of: its elements in C order, little-endian, exactly as many as it has.
        origin
            What made the buffer.
        compression
            ``zstd`` stores chunks compressed, with a checksum; reading a part of one decompresses all of it.

        Raises
        ------
        InvalidInputError
            `name` cannot be a name, the headers are too large, the content is not as large as the array, there is no
            such compression, or chunks are too large for it. Nothing was changed.
        StorageFullError, ReadOnlyStorageError, StorageError
            The buffer is as it was before.
        """
        is_bytes = isinstance(content, bytes | bytearray | memoryview)
        if is_bytes and array is None and compression is None:
            facts = self._writes.new_facts(name, content_type, headers, origin)
            return self._writes.store_bytes(name, self._writes.staged(name, content), facts, group)  # type: ignore[arg-type]
        with self.receive(
            name, content_type, headers, array=array, origin=origin, compression=compression, group=group
        ) as receiver:
            for part in (content,) if is_bytes else content:
                receiver.write(part)  # type: ignore[arg-type]
            return receiver.commit()

    def receive(
        self,
        name: str,
        content_type: str = DEFAULT_CONTENT_TYPE,
        headers: Mapping[str, str] | None = None,
        *,
        array: ArraySpec | None = None,
        origin: Mapping[str, str] | None = None,
        compression: str | None = None,
        group: WriteGroup | None = None,
    ) -> StoredReceiver[BufferRecord]:
        """Begin to store content that comes in parts; nothing of it is visible before its commit.

        Raises
        ------
        InvalidInputError
            `name` cannot be a name, the headers are too large, there is no such compression, or chunks are too large
            for it. Nothing was begun. From the receiver's methods: the
            content is not as large as `array`, and nothing was changed.
        StorageFullError, ReadOnlyStorageError, StorageError
            From the receiver's methods: the buffer is as it was before, and nothing is left of what came.
        """
        facts = self._writes.new_facts(name, content_type, headers, origin)
        compressed = parse_compression(compression) is not None
        if array is None:
            self._writes.check_document(name, bytes_node_document(0, facts))
            if compressed:
                return StoredReceiver(
                    self._writes.compressed_cutter(name),
                    lambda cutter: self._writes.store_compressed(
                        name, cutter, replace(facts, created_at=time.time()), group
                    ),
                )
            return StoredReceiver(
                self._writes.receive(name),
                lambda received: self._writes.store_bytes(
                    name, received, replace(facts, created_at=time.time()), group
                ),
            )
        self._writes.check_document(name, array_node_document(array, replace(facts, whole=True)))
        return StoredReceiver(
            self._writes.cutter(name, array, compressed=compressed),
            lambda cutter: self._writes.store_array(
                name,
                array,
                cutter.finish(),
                replace(facts, created_at=time.time()),
                compressed=compressed,
                group=group,
            ),
        )

    def write_array(
        self,
        name: str,
        array: ArraySpec,
        content_type: str = DEFAULT_CONTENT_TYPE,
        headers: Mapping[str, str] | None = None,
        *,
        origin: Mapping[str, str] | None = None,
    ) -> ArrayWriter:
        """Begin to write an array chunk by chunk, from any threads; all of it appears at the writer's commit.

        Raises
        ------
        InvalidInputError
            `name` cannot be a name, or the headers are too large. Nothing was begun.
        """
        facts = replace(self._writes.new_facts(name, content_type, headers, origin), whole=True)
        self._writes.check_document(name, array_node_document(array, facts))
        return ArrayWriter(
            name,
            array,
            self._writes.objects,
            self._writes.directory,
            lambda chunks: self._writes.store_array(name, array, chunks, replace(facts, created_at=time.time())),
        )

    def append(self, name: str, content: Bytes | Iterable[Bytes], array: ArraySpec) -> BufferRecord:
        """Make an array longer along its first axis; at once, and durable on return.

        Parameters
        ----------
        content
            The elements to add, in C order, little-endian: bytes, or the parts that make them up.
        array
            What they are: the data type and the other axes of the buffer's array. Its chunks are not looked at.

        Raises
        ------
        BufferNotFoundError
            There is none.
        InvalidInputError
            The buffer is no array whose chunks hold elements as they are, or what comes does not fit it.
        ConflictError
            The buffer was replaced meanwhile.
        StorageFullError, ReadOnlyStorageError, StorageError
            As for all of them: the buffer is as it was before.
        """
        return self._grower.append(parse_name(name, "buffer's name"), content, array)

    def put_zarr(
        self, name: str, entries: Iterable[tuple[str, bytes]], *, origin: Mapping[str, str] | None = None
    ) -> BufferRecord:
        """Store a whole Zarr v3 node, an array or a group, in place of what was there; durable on return.

        Parameters
        ----------
        entries
            Keys relative to the node (``zarr.json``, ``t2m/c/0/0``) and their values, in any order. What their
            iterator raises goes on; nothing was changed then.

        Raises
        ------
        InvalidInputError
            `name` cannot be a name, or the entries are no Zarr v3 node. Nothing was changed.
        StorageFullError, ReadOnlyStorageError, StorageError
            The buffer is as it was before.
        """
        facts = self._writes.new_facts(name, DEFAULT_CONTENT_TYPE, None, origin)
        return self._writes.store_node(
            name, receive_node(name, entries, facts, self._writes.objects, self._writes.directory)
        )

    def adopt(
        self,
        name: str,
        files: Mapping[str, str],
        array: ArraySpec,
        content_type: str = DEFAULT_CONTENT_TYPE,
        headers: Mapping[str, str] | None = None,
        *,
        origin: Mapping[str, str] | None = None,
    ) -> BufferRecord:
        """Store an array whose chunks another process on this machine has written into the staging directory.

        The files are taken over by renaming; whatever comes of it, none of them is left where it was.

        Parameters
        ----------
        files
            Names of the files (32 hex digits) by the keys of the chunks (``c/0``): one for each chunk, filled up to
            its full shape.

        Raises
        ------
        InvalidInputError
            A chunk or a file is missing, a name is no such name, or a file is a link, no regular file, somebody
            else's, or not of the size of a chunk. Nothing was changed.
        StorageFullError, ReadOnlyStorageError, StorageError
            The buffer is as it was before.
        """
        facts = replace(self._writes.new_facts(name, content_type, headers, origin), whole=True)
        self._writes.check_document(name, array_node_document(array, facts))
        chunks = adopt_staged(files, array, self._staging, self._writes.objects, self._writes.directory)
        return self._writes.store_array(name, array, chunks, facts)

    def delete(self, name: str, *, group: WriteGroup | None = None) -> None:
        """Remove a buffer with all that is below it; durable on return (with `group`: once that is committed).

        Raises
        ------
        BufferNotFoundError
            There is none. Nothing was changed, and nothing of the group is stored.
        """
        self._writes.delete(parse_name(name, "buffer's name"), lambda: self._not_found(name), group)

    def copy(self, old: str, new: str, *, overwrite: bool = False) -> BufferRecord:
        """Store a buffer under another name as well, at once; durable on return. No bytes are copied.

        Parameters
        ----------
        overwrite
            Whether a buffer that has the new name is replaced.

        Raises
        ------
        BufferNotFoundError, ConflictError, InvalidInputError
            There is none; the new name is taken; a name cannot be one, or both are the same. Nothing was changed.
        StorageFullError, ReadOnlyStorageError, StorageError
            Nothing was changed.
        """
        self._relocations.copy(old, new, lambda: self._not_found(old), overwrite=overwrite)
        return self.stat(new)

    def rename(self, old: str, new: str, *, overwrite: bool = False) -> BufferRecord:
        """Give a buffer another name, at once; durable on return. Raises as :meth:`copy` does."""
        self._relocations.rename(old, new, lambda: self._not_found(old), overwrite=overwrite)
        return self.stat(new)

    # -- open logs ----------------------------------------------------------------------------------------------------

    def open_log(
        self,
        name: str,
        content_type: str = DEFAULT_CONTENT_TYPE,
        headers: Mapping[str, str] | None = None,
        *,
        array: ArraySpec | None = None,
        origin: Mapping[str, str] | None = None,
    ) -> OpenLog:
        """Begin a buffer that is appended to in parts, each durable on return; it is a buffer once it is sealed.

        A buffer that has the name stays until then. What was appended outlives crashes and restarts.

        Parameters
        ----------
        array
            What the parts are the elements of; its first axis, whatever it is here, grows with them.

        Raises
        ------
        ConflictError
            A log of this name is open; :meth:`resume_log` goes on with it. Nothing was changed.
        InvalidInputError
            `name` cannot be a name, the headers are too large, or the array has no rows. Nothing was begun.
        StorageFullError, ReadOnlyStorageError, StorageError
            Nothing was begun.
        """
        return OpenLog(self, self._logs.open(name, content_type, headers, array=array, origin=origin))

    def resume_log(self, name: str) -> OpenLog:
        """Go on with an open log, beside others who append to it. Raises as :meth:`log` does."""
        return OpenLog(self, self._logs.find(name))

    def log(self, name: str) -> LogRecord:
        """Look an open log up.

        Raises
        ------
        LogNotFoundError, InvalidInputError
            None is open; `name` cannot be a name.
        """
        return self._logs.find(name)

    def logs(self) -> Sequence[LogRecord]:
        """List the open logs, sorted by name."""
        return self._logs.list()

    def append_log(
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
        """Append one part to a log, all of it or nothing, and tell how long the log is now; durable on return.

        The first part begins the log, of which `content_type`, `headers`, `array` and `origin` count then, as for
        :meth:`open_log`.

        Parameters
        ----------
        part
            Bytes, or the pieces that make them up, which are never in memory all together.
        log_id
            Only to this log, which is not begun.
        offset
            Only where the log has this size; with `log_id`.

        Raises
        ------
        LogNotFoundError
            The log `log_id` was sealed or abandoned.
        ConflictError
            The log has another size than `offset` or a million parts, or it is being sealed.
        InvalidInputError
            What :meth:`open_log` says.
        StorageFullError, ReadOnlyStorageError, StorageError
            As for all of them: nothing was appended.
        """
        return self._logs.append(
            name, part, content_type, headers, array=array, origin=origin, log_id=log_id, offset=offset
        )

    def receive_part(
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
        """Begin to take a part that comes in pieces; appended at its commit. Raises as :meth:`append_log` does."""
        return self._logs.receive(name, content_type, headers, array=array, origin=origin, log_id=log_id, offset=offset)

    def seal_log(self, name: str, *, log_id: str | None = None) -> BufferRecord:
        """Make a log the buffer of its name, in place of what was there, at once; durable on return.

        Raises
        ------
        LogNotFoundError, InvalidInputError
            None is open, or another one than `log_id`; `name` cannot be a name.
        ConflictError
            It is being sealed, or it is an array whose last row is not whole.
        CorruptStorageError
            A part is damaged.
        StorageFullError, ReadOnlyStorageError, StorageError
            As for all of them: the log stays open, and the buffer is as it was before.
        """
        return self._logs.seal(name, log_id=log_id)

    def abandon_log(self, name: str, *, log_id: str | None = None) -> None:
        """Remove a log with all that was appended; durable on return.

        Raises
        ------
        LogNotFoundError, ConflictError, InvalidInputError
            None is open, or another one than `log_id`; it is being sealed; `name` cannot be a name.
        """
        self._logs.abandon(name, log_id=log_id)

    # -- reading ------------------------------------------------------------------------------------------------------

    def stat(self, name: str) -> BufferRecord:
        """Look a buffer up without reading it.

        Raises
        ------
        BufferNotFoundError, InvalidInputError
            There is none; the nearest names are in the error. `name` cannot be a name.
        """
        return self.version(name).record

    def read(self, name: str, start: int = 0, stop: int | None = None) -> bytes:
        """Read bytes ``[start, stop)``, cut off at the end; a buffer that is read whole is checked.

        Raises
        ------
        BufferNotFoundError, CorruptStorageError, InvalidInputError, NoBytesError
            There is none; its bytes are damaged; `name` cannot be a name, or the range is negative; it is a group
            without a main array.
        """
        return open_version(self.version(name)).read(start, stop)

    def parts(self, name: str, start: int = 0, stop: int | None = None) -> Iterator[bytes]:
        """Read bytes ``[start, stop)`` in parts, all of one version; a buffer that is read whole is checked.

        Raises
        ------
        BufferNotFoundError, InvalidInputError, NoBytesError
            At once, as :meth:`read` does.
        CorruptStorageError
            While it is iterated, and before the last part is given.
        """
        return self.open(name)[1].parts(start, stop)

    def open(self, name: str) -> tuple[BufferRecord, VersionContent]:
        """Open a buffer: its record and its bytes, of one version, which stays readable when it is replaced.

        Raises
        ------
        BufferNotFoundError, CorruptStorageError, InvalidInputError, NoBytesError
            There is none; its bytes are missing; `name` cannot be a name; it is a group without a main array.
        """
        version = self.version(name)
        return version.record, open_version(version)

    def chunk_files(self, name: str) -> ChunkFiles:
        """Tell where the chunks of an array lie, for those who can read the storage directory themselves.

        Raises
        ------
        BufferNotFoundError, InvalidInputError, NoBytesError
            There is none; `name` cannot be a name; the buffer's bytes are not in its chunks as they are.
        """
        return list_chunk_files(self.version(name), self._writes.objects, self._writes.directory)

    def list(self) -> Sequence[BufferRecord]:
        """List all buffers as of one moment, sorted by name."""
        return sorted(self._versions.records(), key=lambda record: record.name)

    def identify(self, name: str) -> tuple[BufferRecord, str]:
        """Look a buffer up, and give what tells this version of it from all others. Raises as :meth:`stat` does."""
        version = self.version(name)
        return version.record, version.etag

    def open_identified(self, name: str) -> tuple[BufferRecord, str, VersionContent]:
        """Do as :meth:`open`, and give what tells this version from all others."""
        version = self.version(name)
        return version.record, version.etag, open_version(version)

    def glance(self, name: str) -> tuple[BufferRecord, str, Content] | None:
        """Do as :meth:`open_identified`, if that takes no waiting; None says nothing about whether there is one.

        The content's methods raise BlockingIOError where they would wait. For an event loop's thread.
        """
        version = self._versions.remembered(name)
        if version is None or not version.is_known:
            return None
        content = glance_at(version)
        return None if content is None else (version.record, version.etag, content)

    def version(self, name: str) -> Version:
        """Give the present version of a buffer.

        Raises
        ------
        BufferNotFoundError, InvalidInputError
            There is none; `name` cannot be a name.
        """
        # What is remembered was checked when it was stored.
        found = self._versions.remembered(name) or self._versions.find(parse_name(name, "buffer's name"))
        if found is None:
            raise self._not_found(name)
        return found

    def _not_found(self, name: str) -> BufferNotFoundError:
        return BufferNotFoundError(name, nearest=nearest(name, self._versions.names(_SUGGESTED_AMONG)))
