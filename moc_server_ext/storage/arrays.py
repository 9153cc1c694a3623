"""Byte arrays: the two entries, metadata document and chunk, that make one stored thing of the Zarr hierarchy.

Blobs and buffers are both made of these. What their attributes mean is theirs.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, Final

from ..errors import CorruptStorageError, InvalidInputError, MocError
from .content import INLINE_BYTES_MAX, OpenContent, StoredContent
from .objects import random_object_id
from .receiving import Received
from .table import ContentTable
from .writes import WriteGroup
from .zarr_layout import METADATA, array_document, chunk_key, metadata_key, name_of_node, parse_array_document

_EMPTY: Final = StoredContent(size=0, crc32c=0, object_id=None, inline=b"")


class ByteArrays:
    """The byte arrays of one group of the hierarchy. Thread-safe.

    Parameters
    ----------
    group
        ``blobs`` or ``buffers``.
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

    def records(self) -> list[tuple[str, int, dict[str, Any]]]:
        """List names, sizes and attributes as of one moment, by the names' encoded form."""
        prefix = f"{self._group}/"
        found = self._entries.find_all(prefix, f"{self._group}0", f"{prefix}*/{METADATA}")
        names = [name_of_node(key[len(prefix) : -len(METADATA) - 1]) for key, _ in found]
        return [(name, *self._parse(name, stored)) for name, (_, stored) in zip(names, found, strict=True)]

    def names(self, limit: int) -> list[str]:
        """List up to `limit` names, in no order."""
        prefix = f"{self._group}/"
        # An array has one or two keys, the group itself one.
        keys = self._entries.keys(prefix, f"{self._group}0", 2 * limit + 1)
        return list({name_of_node(key.split("/")[1]) for key in keys if key.count("/") > 1})[:limit]

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

    def check_attributes(self, name: str, attributes: Mapping[str, Any], size: int = 0) -> bytes:
        """Make the metadata document of an array of `size` bytes; InvalidInputError if it is too large to be stored."""
        document = array_document(size, attributes)
        if len(document) > INLINE_BYTES_MAX:
            raise InvalidInputError(
                f"The headers and the content type of {self._what(name)} take {len(document):,} bytes; "
                f"at most {INLINE_BYTES_MAX:,} can be stored."
            )
        return document

    def put(
        self,
        group: WriteGroup,
        name: str,
        content: bytes | Received,
        attributes: Mapping[str, Any],
        *,
        object_id: Callable[[], str] = random_object_id,
        keep_object: bool = False,
    ) -> None:
        """Store an array as a part of `group`, replacing what is there (see :meth:`ContentTable.put`).

        Raises
        ------
        InvalidInputError
            The attributes are too large. Nothing was staged.
        """
        document = self.check_attributes(name, attributes, len(content))
        what = f"{self._what(name)} ({len(content):,} bytes)"
        chunk = chunk_key(self._group, name)
        if content:
            self._entries.put(group, chunk, content, what=what, object_id=object_id, keep_object=keep_object)
        else:
            self._entries.delete(group, chunk, what=what, missing=None)
        self._entries.put(group, metadata_key(self._group, name), document, what=what)

    def delete(self, group: WriteGroup, name: str, not_found: Callable[[], MocError]) -> None:
        """Remove an array as a part of `group`; the error of `not_found` refuses the group when there is none."""
        what = f"the removal of {self._what(name)}"
        self._entries.delete(group, metadata_key(self._group, name), what=what, missing=not_found)
        self._entries.delete(group, chunk_key(self._group, name), what=what, missing=None)

    def _what(self, name: str) -> str:
        return f"{self._noun} {name!r}"

    def _parse(self, name: str, stored: StoredContent) -> tuple[int, dict[str, Any]]:
        document = self._entries.read(lambda: stored, 0, None, what=lambda: f"the metadata of {self._what(name)}")
        return parse_array_document(document)
