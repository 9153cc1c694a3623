"""Copying and renaming buffers: rows of the catalog, one transaction, no bytes.

The rows of a copy refer to the same immutable object files as those of what was copied. Such a file goes when no row
refers to it any more.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from functools import partial
from typing import Final

import apsw

from ..arrays.document import METADATA
from ..errors import ConflictError, InvalidInputError, MocError
from ..model import parse_name
from .committing import Operation
from .nodes import with_created_at
from .table import ContentTable
from .versions import Versions
from .writes import Writer
from .zarr_layout import BUFFERS, end_of_directory, node_name

_COPY: Final = (
    "INSERT INTO entries(key, size, crc32c, object, inline) "
    "SELECT ? || substr(key, ?), size, crc32c, object, inline FROM entries WHERE key >= ? AND key < ? AND key <> ?"
)
_MOVE: Final = "UPDATE entries SET key = ? || substr(key, ?) WHERE key >= ? AND key < ?"


class Relocations:
    """Copies and renames the buffers of one storage. Thread-safe."""

    def __init__(self, entries: ContentTable[str], writer: Writer, versions: Versions) -> None:
        self._entries = entries
        self._writer = writer
        self._versions = versions

    def copy(self, old: str, new: str, missing: Callable[[], MocError], *, overwrite: bool) -> None:
        """See :meth:`~.buffers.StoredBuffers.copy`."""
        source, target = self._directories(old, new, "copied")

        def operation(connection: apsw.Connection) -> None:
            stored = self._entries.find_as_writer(source + METADATA)
            if stored is None:
                raise missing()
            document = self._entries.read(lambda: stored, 0, None, what=lambda: f"the metadata of buffer {old!r}")
            bounds = (source, end_of_directory(source))
            connection.execute(_COPY, (target, len(source) + 1, *bounds, source + METADATA))
            self._entries.put_inline(connection, target + METADATA, with_created_at(document, time.time()))

        self._relocate(f"the copy {new!r} of buffer {old!r}", (new,), target, operation, overwrite=overwrite)

    def rename(self, old: str, new: str, missing: Callable[[], MocError], *, overwrite: bool) -> None:
        """See :meth:`~.buffers.StoredBuffers.rename`."""
        source, target = self._directories(old, new, "renamed")

        def operation(connection: apsw.Connection) -> None:
            if self._entries.find_as_writer(source + METADATA) is None:
                raise missing()
            connection.execute(_MOVE, (target, len(source) + 1, source, end_of_directory(source)))

        self._relocate(f"the new name {new!r} of buffer {old!r}", (old, new), target, operation, overwrite=overwrite)

    def _relocate(
        self,
        what: str,
        changed: tuple[str, ...],
        target: str,
        operation: Operation,
        *,
        overwrite: bool,
    ) -> None:
        name = changed[-1]
        with self._writer.group() as group:

            def refuse(connection: apsw.Connection) -> None:
                if not overwrite and self._entries.find_as_writer(target + METADATA) is not None:
                    raise ConflictError(
                        f"There is a buffer {name!r} already. Nothing was changed: delete it first, or say overwrite.",
                        name=name,
                    )

            group.then(what, refuse)
            self._entries.delete_below(group, target, end_of_directory(target), what=what)
            group.then(what, operation)
            for each in changed:
                group.when_settled(partial(self._versions.forget, each))

    def _directories(self, old: str, new: str, done: str) -> tuple[str, str]:
        parse_name(old, "buffer's name")
        parse_name(new, "buffer's name")
        if old == new:
            raise InvalidInputError(f"Buffer {old!r} cannot be {done} to itself.", name=old)
        return f"{BUFFERS}/{node_name(old)}/", f"{BUFFERS}/{node_name(new)}/"
