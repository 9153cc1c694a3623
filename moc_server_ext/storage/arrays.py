"""Byte arrays: the two entries, metadata document and chunk, that make one stored thing of the Zarr hierarchy.

Blobs are made of these. What their attributes mean is theirs.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, Final

from ..errors import CorruptStorageError, MocError
from .content import OpenContent, StoredContent
from .objects import random_object_id
from .receiving import Received
from .table import ContentTable
from .writes import WriteGroup
from .zarr_layout import bytes_document, chunk_key, metadata_key, parse_bytes_document

_EMPTY: Final = StoredContent(size=0, crc32c=0, object_id=None, inline=b"")


class ByteArrays:
    """The byte arrays of one group of the hierarchy. Thread-safe.

    Parameters
    ----------
    group
        Name of the group, such as ``blobs``.
    noun
        What one of them is called in messages.
    """

    def __init__(self, group: str, noun: str, entries: ContentTable[str]) -> None:
        self._group = group
        self._noun = noun
        self._entries = entries

    def find(self, name: str) -> tuple[int, dict[str, Any]] | None:
        """Give the size in bytes and the attributes of an array."""
        stored = self._entries.find(metadata_key(self._group, name))
        return None if stored is None else self._parse(name, stored)

    def read(self, name: str, start: int, stop: int | None, not_found: Callable[[], MocError]) -> bytes:
        """Read bytes ``[start, stop)`` of an array, cut off at the end.

        Raises
        ------
        CorruptStorageError, InvalidInputError
            The bytes are damaged or missing; the range is negative.
        """
        chunk, metadata = chunk_key(self._group, name), metadata_key(self._group, name)

        def lookup() -> StoredContent:
            stored = self._entries.find(chunk)
            if stored is not None:
                return stored
            # Both as of one moment: without a chunk the array is empty, was just made, or is damaged.
            stored, document = self._entries.find_both(chunk, metadata)
            if stored is not None:
                return stored
            if document is None:
                raise not_found()
            if self._parse(name, document)[0] == 0:
                return _EMPTY
            raise CorruptStorageError(self._what(name), "its bytes are missing")

        return self._entries.read(lookup, start, stop, what=lambda: self._what(name))

    def open(self, name: str, not_found: Callable[[], MocError]) -> tuple[dict[str, Any], OpenContent]:
        """Open an array: its attributes and its bytes, both of the same version.

        Raises
        ------
        CorruptStorageError
            The bytes are missing.
        """
        chunk, metadata = chunk_key(self._group, name), metadata_key(self._group, name)
        attributes: dict[str, Any] = {}

        def lookup() -> StoredContent:
            nonlocal attributes
            stored, document = self._entries.find_both(chunk, metadata)
            if document is None:
                raise not_found()
            size, attributes = self._parse(name, document)
            if stored is None and size:
                raise CorruptStorageError(self._what(name), "its bytes are missing")
            return stored or _EMPTY

        content = self._entries.open(lookup, what=lambda: self._what(name))
        return attributes, content

    def put(
        self,
        group: WriteGroup,
        name: str,
        content: bytes | Received,
        attributes: Mapping[str, Any],
        *,
        object_id: Callable[[], str] = random_object_id,
    ) -> None:
        """Store an array as a part of `group`, replacing what is there (see :meth:`ContentTable.put`)."""
        document = bytes_document(len(content), attributes)
        what = f"{self._what(name)} ({len(content):,} bytes)"
        chunk = chunk_key(self._group, name)
        if content:
            self._entries.put(group, chunk, content, what=what, object_id=object_id)
        else:
            self._entries.delete(group, chunk, what=what, missing=None)
        self._entries.put(group, metadata_key(self._group, name), document, what=what)

    def _what(self, name: str) -> str:
        return f"{self._noun} {name!r}"

    def _parse(self, name: str, stored: StoredContent) -> tuple[int, dict[str, Any]]:
        document = self._entries.read(lambda: stored, 0, None, what=lambda: f"the metadata of {self._what(name)}")
        return parse_bytes_document(document)
