"""The buffers of a server. What both sides can reach as files goes by way of :mod:`.local_files`."""

from __future__ import annotations

import json
import tempfile
import zipfile
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any

from ..abc import Bytes
from ..arrays.reader import ChunkSource
from ..errors import AccessDeniedError, ConflictError, InvalidInputError
from ..model import (
    DEFAULT_CONTENT_TYPE,
    ArraySpec,
    BufferRecord,
    LogRecord,
    array_headers,
    label_headers,
    parse_compression,
)
from ..storage.log_handle import OpenLog
from .local_files import LARGE_BYTES, ChunkFiles, SharedDirectory, StagingError
from .noun import Noun, encode, listed, read_json
from .parts import FileParts, SizedParts
from .transport import Address, Transport

_STAGED_TYPE = "application/vnd.moc.staged+json"


class HttpBuffers(Noun):
    """See :class:`~..abc.Buffers`."""

    def __init__(self, transport: Transport) -> None:
        super().__init__(transport)
        self._shared: tuple[Address, SharedDirectory | None] | None = None

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
    ) -> BufferRecord:
        """Store `content`, bytes or the parts of them, under `name`.

        On the same machine large content is written where the server takes it from, instead of being sent,
        unless it is to be compressed.
        """
        sent = _said(content_type, headers, array, origin)
        path = f"buffers/{encode(name)}"
        if parse_compression(compression) is not None:
            sent["Moc-Compression"] = str(compression)
        elif array is not None and (record := self._put_staged(path, content, content_type, sent, array)) is not None:
            return record
        return self._record(self._store("PUT", path, content, sent))

    def _put_staged(
        self,
        path: str,
        content: Bytes | Iterable[Bytes],
        content_type: str,
        headers: Mapping[str, str],
        array: ArraySpec,
    ) -> BufferRecord | None:
        """Store an array by way of files; None if it is to be sent."""
        parts = [content] if isinstance(content, bytes | bytearray | memoryview) else content
        # What can be given only once must not be lost to a server that takes no files of ours.
        is_repeatable = isinstance(parts, list) or (isinstance(parts, SizedParts) and parts.is_repeatable)
        if array.nbytes < LARGE_BYTES or not is_repeatable or (shared := self.shared()) is None:
            return None
        try:
            staged = shared.stage(parts, array)
        except StagingError:
            return None
        with staged:
            body = json.dumps({"files": staged.files, "content_type": content_type}).encode()
            try:
                return self._record(self._store("PUT", path, body, {**headers, "Content-Type": _STAGED_TYPE}))
            except (AccessDeniedError, ConflictError, InvalidInputError):
                # It takes no files of ours. If it is something else that is wrong, it says so again.
                return None

    def put_zarr(
        self, name: str, entries: Iterable[tuple[str, bytes]], *, origin: Mapping[str, str] | None = None
    ) -> BufferRecord:
        """Store a Zarr node under `name`."""
        sent = {"Content-Type": "application/zip"}
        if origin:
            sent["Moc-Origin"] = json.dumps(dict(origin))
        with tempfile.TemporaryFile() as file:
            with zipfile.ZipFile(file, "w", zipfile.ZIP_STORED) as archive:
                for key, content in entries:
                    if key in archive.NameToInfo:
                        # zipfile itself only warns of it.
                        raise InvalidInputError(
                            f"What came for buffer {name!r} has {key[:200]!r} twice. Nothing was changed."
                        )
                    archive.writestr(key, content)
            file.seek(0)
            response = self._store("PUT", f"buffers/{encode(name)}", FileParts(file), sent, [("format", "zarr")])
        return self._record(response)

    def append(self, name: str, content: Bytes | Iterable[Bytes], array: ArraySpec) -> BufferRecord:
        """Add more along the first axis."""
        sent = {"Content-Type": DEFAULT_CONTENT_TYPE, **array_headers(array)}
        return self._record(self._store("POST", f"buffers/{encode(name)}/append", content, sent))

    def copy(self, old: str, new: str, *, overwrite: bool = False) -> BufferRecord:
        """Store a buffer under another name as well."""
        return self._relocate("copy", old, new, overwrite)

    def rename(self, old: str, new: str, *, overwrite: bool = False) -> BufferRecord:
        """Give a buffer another name."""
        return self._relocate("rename", old, new, overwrite)

    # -- open logs --------------------------------------------------------------------------------------------------

    def open_log(
        self,
        name: str,
        content_type: str = DEFAULT_CONTENT_TYPE,
        headers: Mapping[str, str] | None = None,
        *,
        array: ArraySpec | None = None,
        origin: Mapping[str, str] | None = None,
    ) -> OpenLog:
        """Begin a log."""
        said = _said(content_type, headers, array, origin)
        response = self._store("PUT", f"buffers/{encode(name)}/log", b"", said)
        return OpenLog(self, read_json(self._transport, response, LogRecord.from_json))

    def resume_log(self, name: str) -> OpenLog:
        """Go on with an open log."""
        return OpenLog(self, self.log(name))

    def log(self, name: str) -> LogRecord:
        """Look an open log up."""
        record: LogRecord = self._get(f"buffers/{encode(name)}/log", LogRecord.from_json)
        return record

    def logs(self) -> Sequence[LogRecord]:
        """List the open logs, sorted by name."""
        records: Sequence[LogRecord] = self._get("logs", listed("logs", LogRecord.from_json))
        return records

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
        """Append one part to a log."""
        sent = {**_said(content_type, headers, array, origin), **_log_id(log_id)}
        if offset is not None:
            sent["Moc-Offset"] = str(offset)
        response = self._store("POST", f"buffers/{encode(name)}/log", part, sent)
        return int(read_json(self._transport, response, lambda body: int(body["size"])))

    def seal_log(self, name: str, *, log_id: str | None = None) -> BufferRecord:
        """Make a log the buffer of its name."""
        return self._record(self._store("POST", f"buffers/{encode(name)}/log/seal", b"", _log_id(log_id)))

    def abandon_log(self, name: str, *, log_id: str | None = None) -> None:
        """Remove a log with all that was appended."""
        self._transport.request("DELETE", f"buffers/{encode(name)}/log", headers=_log_id(log_id))

    def stat(self, name: str) -> BufferRecord:
        """Look a buffer up without reading it."""
        record: BufferRecord = self._stat(f"buffers/{encode(name)}", BufferRecord.from_json)
        return record

    def read(self, name: str, start: int = 0, stop: int | None = None) -> bytes:
        """Read bytes ``[start, stop)``."""
        return self._read(f"buffers/{encode(name)}", start, stop)

    def parts(self, name: str, start: int = 0, stop: int | None = None) -> Iterator[bytes]:
        """Read bytes ``[start, stop)`` in parts."""
        return self._parts(f"buffers/{encode(name)}", start, stop)

    def list(self) -> Sequence[BufferRecord]:
        """List all buffers, sorted by name."""
        records: Sequence[BufferRecord] = self._get("buffers", listed("buffers", BufferRecord.from_json))
        return records

    def delete(self, name: str) -> None:
        """Remove the buffer."""
        self._transport.request("DELETE", f"buffers/{encode(name)}")

    # -- on the same machine ----------------------------------------------------------------------------------------

    def shared(self) -> SharedDirectory | None:
        """Give the server's storage directory if this process sees it; asked once for each server."""
        address = self._transport.address
        if self._shared is None or self._shared[0] != address:
            response = self._transport.request("GET", "status")
            status = read_json(self._transport, response, dict)
            # Of the server that answered, which may be another one than before.
            self._shared = (self._transport.address, SharedDirectory.find(status))
        return self._shared[1]

    def chunk_files(self, name: str, others: ChunkSource) -> ChunkFiles | None:
        """Give the chunks of a plain array as files that this process can read; None if it sees none of them.

        Parameters
        ----------
        others
            Has those that lie in no file.
        """
        shared = self.shared()
        if shared is None:
            return None
        path = f"buffers/{encode(name)}/chunks"
        chunks: dict[str, dict[str, Any]] = self._get(path, lambda body: dict(body["chunks"]))
        return ChunkFiles(shared, chunks, others, f"buffer {name!r}")

    def _relocate(self, how: str, old: str, new: str, overwrite: bool) -> BufferRecord:
        body = json.dumps({"to": new, "overwrite": overwrite}).encode()
        sent = {"Content-Type": "application/json"}
        return self._record(self._store("POST", f"buffers/{encode(old)}/{how}", body, sent))

    def _record(self, response: Any) -> BufferRecord:
        record: BufferRecord = read_json(self._transport, response, BufferRecord.from_json)
        return record


def _said(
    content_type: str, headers: Mapping[str, str] | None, array: ArraySpec | None, origin: Mapping[str, str] | None
) -> dict[str, str]:
    """Give the headers that tell what a body is."""
    sent = {"Content-Type": content_type}
    if array is not None:
        sent |= {**array_headers(array), **label_headers(array)}
    if headers is not None:
        sent["Moc-Headers"] = json.dumps(dict(headers))
    if origin:
        sent["Moc-Origin"] = json.dumps(dict(origin))
    return sent


def _log_id(log_id: str | None) -> dict[str, str]:
    return {} if log_id is None else {"Moc-Log-Id": log_id}
