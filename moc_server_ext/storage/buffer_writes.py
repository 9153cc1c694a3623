"""How buffers are written: what is said about them, cut content, and the one transaction that replaces them.

What each kind of writing means is in :mod:`.buffers`, which offers it.
"""

from __future__ import annotations

import contextlib
import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Final

from ..abc import Bytes
from ..arrays.document import METADATA
from ..errors import InvalidInputError, MocError
from ..model import ArraySpec, BufferRecord, parse_name
from .compression import CODECS, CompressedBytes, compress
from .content import INLINE_BYTES_MAX, PART_BYTES, StoredContent
from .cutting import ChunkCutter, StagedChunk, discard_all, flat, stage_chunk
from .files import failures
from .nodes import Facts, Node, array_node_document, bytes_node_document, parse_node
from .objects import Objects, random_object_id
from .receiving import Received, Sealable
from .table import ContentTable
from .versions import Versions, record_of
from .writes import WriteGroup, Writer
from .zarr_layout import BUFFERS, CHUNK, end_of_directory, node_name
from .zarr_nodes import ReceivedNode

_ORIGIN_BYTES_MAX: Final = 4096


class BufferWrites:
    """Writes the nodes of buffers. Thread-safe.

    Attributes
    ----------
    objects
        Where chunks are staged.
    directory
        The storage directory.
    """

    def __init__(
        self, entries: ContentTable[str], objects: Objects, writer: Writer, versions: Versions, directory: Path
    ) -> None:
        self.objects = objects
        self.directory = directory
        self._entries = entries
        self._writer = writer
        self._versions = versions

    def new_facts(
        self, name: str, content_type: str, headers: Mapping[str, str] | None, origin: Mapping[str, str] | None
    ) -> Facts:
        """Check what is said about a new buffer and note the time.

        Raises
        ------
        InvalidInputError
            `name` cannot be a name; the origin is no mapping of texts, or too large.
        """
        parse_name(name, "buffer's name")
        said = dict(origin or {})
        if not all(isinstance(each, str) for pair in said.items() for each in pair) or (
            sum(len(key) + len(value) for key, value in said.items()) > _ORIGIN_BYTES_MAX
        ):
            raise InvalidInputError(
                f"The origin of a buffer is a few texts by name, {_ORIGIN_BYTES_MAX:,} bytes in all."
            )
        lowered = {key.lower(): value for key, value in (headers or {}).items()}
        return Facts(content_type, lowered, time.time(), said)

    def cutter(self, name: str, array: ArraySpec, *, compressed: bool = False) -> ChunkCutter:
        """Begin to cut an array's bytes into chunks."""
        encode = compress if compressed else None
        return ChunkCutter(self.objects, self.directory, array, f"buffer {name!r}", encode)

    def compressed_cutter(self, name: str) -> CompressedBytes:
        """Begin to cut bytes into chunks that are compressed."""
        return CompressedBytes(self.objects, self.directory, f"buffer {name!r}")

    def store_array(
        self,
        name: str,
        array: ArraySpec,
        chunks: Mapping[str, StagedChunk],
        facts: Facts,
        *,
        compressed: bool = False,
        group: WriteGroup | None = None,
    ) -> BufferRecord:
        """Put an array in place of a buffer; `chunks` are all of its chunks, and are taken over."""
        facts = replace(facts, whole=True)
        node = Node("array", facts, array, plain=not compressed)
        document = array_node_document(array, facts, CODECS if compressed else ())
        content: dict[str, bytes | Sealable] = {METADATA: document, **chunks}
        try:
            self.check_document(name, document)
            with self._writer.joined(group) as joined:
                self._replace(joined, name, content, f"buffer {name!r} ({array.nbytes:,} bytes)")
        finally:
            discard_all(chunks)
        return record_of(name, {"": node}, lambda: 0)

    def grow_array(
        self, name: str, document: bytes, chunks: Mapping[str, StagedChunk], unchanged: Callable[[], None], what: str
    ) -> None:
        """Put a document and some chunks beside those that are there; `chunks` are taken over.

        Parameters
        ----------
        unchanged
            Asked in the transaction: raises what refuses it.
        """
        directory = _directory_of(name)
        try:
            with self._writer.group() as group:
                group.then(what, lambda connection: unchanged())
                for key, chunk in chunks.items():
                    self._entries.put(group, directory + key, chunk, what=what)
                self._entries.put(group, directory + METADATA, document, what=what)
                group.when_settled(lambda: self._versions.forget(name))
        finally:
            discard_all(chunks)

    def is_present(self, name: str, key: str, expected: StoredContent | None) -> bool:
        """Tell whether what is stored under a key of a buffer is still the same; inside of a transaction."""
        found = self._entries.find_as_writer(_directory_of(name) + key)
        if found is None or expected is None:
            return found is expected
        return (found.size, found.crc32c, found.object_id) == (expected.size, expected.crc32c, expected.object_id)

    @contextlib.contextmanager
    def spooled(self, name: str, content: Iterable[Bytes]) -> Iterator[Iterator[Bytes]]:
        """Put parts aside, in a file that goes at the end of the block, and give them again."""
        what = f"what is appended to buffer {name!r}"
        with failures(what, self.directory):
            file = self.objects.begin()
        try:
            for part in content:
                with failures(what, self.directory):
                    file.write(flat(part))
            file.close()
            yield _read_again(file.path)
        finally:
            file.discard()

    def receive(self, name: str) -> Received:
        """Begin to take the bytes of a buffer."""
        return self._writer.receive(f"buffer {name!r}")

    def staged(self, name: str, content: Bytes) -> StagedChunk:
        """Make the bytes of a buffer durable aside, without a copy of them in memory."""
        view = content if isinstance(content, bytes) else flat(content)
        with failures(f"buffer {name!r} ({len(view):,} bytes)", self.directory):
            return stage_chunk(self.objects, view, random_object_id)

    def store_bytes(
        self, name: str, content: StagedChunk | Received, facts: Facts, group: WriteGroup | None
    ) -> BufferRecord:
        """Put bytes in place of a buffer."""
        size = len(content)
        document = bytes_node_document(size, facts)
        what = f"buffer {name!r} ({size:,} bytes)"
        chunk: dict[str, bytes | Sealable] = {CHUNK: content} if size else {}
        try:
            self.check_document(name, document)
            with self._writer.joined(group) as joined:
                self._replace(joined, name, {**chunk, METADATA: document}, what)
        finally:
            content.discard()
        return BufferRecord(name, size, facts.content_type, facts.headers, facts.created_at, origin=facts.origin)

    def store_compressed(
        self, name: str, content: CompressedBytes, facts: Facts, group: WriteGroup | None
    ) -> BufferRecord:
        """Put bytes in place of a buffer, as the compressed chunks that were cut from them."""
        size = len(content)
        chunks = content.finish()
        document = bytes_node_document(size, facts, chunk=content.chunk, codecs=CODECS)
        try:
            self.check_document(name, document)
            with self._writer.joined(group) as joined:
                self._replace(joined, name, {**chunks, METADATA: document}, f"buffer {name!r} ({size:,} bytes)")
        finally:
            discard_all(chunks)
        return BufferRecord(name, size, facts.content_type, facts.headers, facts.created_at, origin=facts.origin)

    def store_node(self, name: str, node: ReceivedNode) -> BufferRecord:
        """Put a whole Zarr node in place of a buffer; its chunks are taken over."""
        content: dict[str, bytes | Sealable] = {**node.documents, **node.chunks}
        size = sum(len(each) for each in content.values())
        try:
            with self._writer.group() as group:
                self._replace(group, name, content, f"buffer {name!r} ({size:,} bytes)")
        finally:
            discard_all(node.chunks)
        parsed = {key[: -len(METADATA) - 1]: parse_node(document) for key, document in node.documents.items()}
        return record_of(name, {path: each for path, each in parsed.items() if each is not None}, lambda: size)

    def delete(self, name: str, missing: Callable[[], MocError], group: WriteGroup | None) -> None:
        """Remove a buffer with all that is below it; the error of `missing` refuses the group when there is none."""
        directory = _directory_of(name)
        what = f"the removal of buffer {name!r}"
        with self._writer.joined(group) as joined:
            self._entries.delete(joined, directory + METADATA, what=what, missing=missing)
            self._entries.delete_below(joined, directory, end_of_directory(directory), what=what)
            joined.when_settled(lambda: self._versions.forget(name))

    def check_document(self, name: str, document: bytes) -> None:
        """Refuse what is said about a buffer if it is too much to be kept; InvalidInputError."""
        if len(document) > INLINE_BYTES_MAX:
            raise InvalidInputError(
                f"The headers, the content type and the attributes of buffer {name!r} take {len(document):,} bytes; "
                f"at most {INLINE_BYTES_MAX:,} can be stored."
            )

    def _replace(self, group: WriteGroup, name: str, content: Mapping[str, bytes | Sealable], what: str) -> None:
        directory = _directory_of(name)
        self._entries.delete_below(group, directory, end_of_directory(directory), what=what)
        for key, each in content.items():
            self._entries.put(group, directory + key, each, what=what)
        group.when_settled(lambda: self._versions.forget(name))


def _directory_of(name: str) -> str:
    return f"{BUFFERS}/{node_name(name)}/"


def _read_again(path: Path) -> Iterator[bytes]:
    """Give what was put aside in a file."""
    with open(path, "rb", buffering=0) as source:
        yield from iter(lambda: source.read(PART_BYTES), b"")
