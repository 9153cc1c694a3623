"""Writing by Zarr key, each value by itself: what a store of zarr-python writes into the storage.

Only what is below ``buffers/`` is written: blobs are named by their content, and ``kv/`` is a view. The node of a
buffer has the name that moc would give it, so that every array that is written is a buffer with a name.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import apsw

from ..abc import Bytes
from ..arrays.document import METADATA
from ..errors import InvalidInputError, ReadOnlyKeyError
from ..model import parse_name
from .cutting import StagedChunk, stage_chunk
from .files import failures
from .nodes import without_whole
from .objects import Objects, random_object_id
from .receiving import Sealable
from .table import ContentTable
from .versions import Versions
from .writes import WriteGroup, Writer
from .zarr_layout import BUFFERS, end_of_directory, name_of_node, node_name
from .zarr_view import ZarrView

_KEY_CHARACTERS_MAX = 8192


class ZarrKeys:
    """The keys of a storage for a store that writes each value by itself: ``WritableKeys``. Thread-safe."""

    def __init__(
        self,
        view: ZarrView,
        entries: ContentTable[str],
        objects: Objects,
        writer: Writer,
        versions: Versions,
        directory: Path,
    ) -> None:
        self.objects = objects
        self.directory = directory
        self._view = view
        self._entries = entries
        self._writer = writer
        self._versions = versions

    # -- reading ------------------------------------------------------------------------------------------------------

    def read(self, key: str, start: int = 0, stop: int | None = None) -> bytes | None:
        """Read bytes ``[start, stop)`` of a key; None if there is no such key."""
        return self._view.read(key, start, stop)

    def read_whole(self, key: str) -> Bytes | None:
        """Read the value of a key; None if there is no such key."""
        return self._view.read_whole(key)

    def read_last(self, key: str, count: int) -> bytes | None:
        """Read the last bytes of a key; None if there is no such key."""
        return self._view.read_last(key, count)

    def size(self, key: str) -> int | None:
        """Tell the size of a key's value; None if there is no such key."""
        return self._view.size(key)

    def keys(self, prefix: str) -> Iterator[str]:
        """List the keys that begin with `prefix`."""
        return self._view.list_prefix(prefix)

    def names(self, prefix: str) -> set[str]:
        """List the names directly below `prefix`, which ends with ``/`` unless it is empty."""
        return self._view.list_dir(prefix)

    # -- writing ------------------------------------------------------------------------------------------------------

    def set(self, key: str, content: Bytes) -> None:
        """Store; durable on return.

        Raises
        ------
        ReadOnlyKeyError, InvalidInputError
            The key is not below ``buffers/``; it cannot be a key there. Nothing was changed.
        StorageFullError, ReadOnlyStorageError, StorageError
            The earlier value, if any, is unchanged.
        """
        check_key(key)
        with self._writer.group() as group:
            self.add(group, key, self.staged(key, content))

    def set_if_absent(self, key: str, content: Bytes) -> None:
        """Store, unless there is something: asked and done at once. Raises as :meth:`set` does."""
        if self._view.size(key) is not None:
            return
        check_key(key)
        staged = self.staged(key, content)

        def refuse(connection: apsw.Connection) -> None:
            if self._entries.find_as_writer(key) is not None:
                raise _ThereError

        try:
            with self._writer.group() as group:
                group.then(f"Zarr key {key!r}", refuse)
                self.add(group, key, staged)
        except _ThereError:
            return

    def delete(self, key: str) -> None:
        """Remove; nothing happens if there is no such key. Raises as :meth:`set` does."""
        if self._view.size(key) is None:
            return
        check_key(key)
        with self._writer.group() as group:
            self.remove(group, key)

    def delete_below(self, prefix: str) -> None:
        """Remove all keys that begin with `prefix`, at once. Raises as :meth:`set` does."""
        check_directory(prefix)
        with self._writer.group() as group:
            self.remove_below(group, prefix)

    # -- as a part of a group -----------------------------------------------------------------------------------------

    def staged(self, key: str, content: Bytes) -> StagedChunk:
        """Make what is to be stored under a key durable aside."""
        if key.endswith(f"/{METADATA}"):
            # Chunks that are not there yet, or that zarr-python will leave out, are none that were lost.
            content = without_whole(bytes(content)) or content
        with failures(f"Zarr key {key!r} ({len(content):,} bytes)", self.directory):
            return stage_chunk(self.objects, content, random_object_id)

    def add(self, group: WriteGroup, key: str, content: Sealable) -> None:
        """Store under a key as a part of `group`."""
        self._entries.put(group, key, content, what=f"Zarr key {key!r} ({len(content):,} bytes)")
        group.when_settled(lambda: self._versions.forget(buffer_of(key)))

    def remove(self, group: WriteGroup, key: str) -> None:
        """Remove a key, if it is there, as a part of `group`."""
        what = f"the removal of Zarr key {key!r}"
        group.then(what, lambda connection: self._not_whole_any_more(connection, key), removes=True)
        self._entries.delete(group, key, what=what, missing=None)
        group.when_settled(lambda: self._versions.forget(buffer_of(key)))

    def remove_below(self, group: WriteGroup, prefix: str) -> None:
        """Remove all keys that begin with `prefix` as a part of `group`."""
        what = f"the removal of what is below Zarr key {prefix!r}"
        if prefix == f"{BUFFERS}/":
            # The group itself stays: it is moc's.
            after = f"{prefix}{METADATA}\0"
            self._entries.delete_below(group, prefix, prefix + METADATA, what=what)
            self._entries.delete_below(group, after, end_of_directory(prefix), what=what)
            group.when_settled(self._versions.forget_all)
            return
        group.then(what, lambda connection: self._not_whole_any_more(connection, prefix), removes=True)
        self._entries.delete_below(group, prefix, end_of_directory(prefix), what=what)
        group.when_settled(lambda: self._versions.forget(buffer_of(prefix)))

    def _not_whole_any_more(self, connection: apsw.Connection, key: str) -> None:
        """Note in the arrays above a key that it is not there because somebody took it away."""
        segments = key.split("/")
        for count in range(2, len(segments)):
            above = "/".join((*segments[:count], METADATA))
            stored = self._entries.find_as_writer(above)
            if stored is None or above == key:
                continue
            document = without_whole(self._entries.read(lambda stored=stored: stored, 0, None, what=lambda: repr(key)))  # type: ignore[misc]
            if document is not None:
                self._entries.put_inline(connection, above, document)


def check_key(key: str) -> None:
    """Refuse a key that may not be written.

    Raises
    ------
    ReadOnlyKeyError
        It is not below a buffer.
    InvalidInputError
        It is below one, and cannot be a key.
    """
    group, _, rest = key.partition("/")
    _, slash, below = rest.partition("/")
    if group != BUFFERS or not slash:
        raise ReadOnlyKeyError(key)
    buffer_of(key)
    segments = below.split("/")
    if (
        len(key) > _KEY_CHARACTERS_MAX
        or not all(each not in ("", ".", "..") for each in segments)
        or "\0" in key
        or not _is_text(key)
    ):
        raise InvalidInputError(f"{key[:200]!r} cannot be a Zarr key.")


def check_directory(prefix: str) -> None:
    """Refuse to remove what is below `prefix`, unless that is all buffers, one, or a part of one.

    Raises
    ------
    ReadOnlyKeyError, InvalidInputError
        It is not below ``buffers/``; it is below what cannot be a buffer.
    """
    if not prefix.startswith(f"{BUFFERS}/"):
        raise ReadOnlyKeyError(prefix)
    if prefix != f"{BUFFERS}/":
        buffer_of(prefix)


def buffer_of(key: str) -> str:
    """Give the name of the buffer that a key belongs to; InvalidInputError if its node has no such name."""
    node = key.split("/")[1]
    try:
        name = parse_name(name_of_node(node), "buffer's name")
        expected = node_name(name)
    except UnicodeError:
        expected = ""
        name = node
    if expected != node:
        hint = f" The buffer {name!r} has the node {expected!r}." if expected else ""
        raise InvalidInputError(f"{node[:200]!r} is no buffer's node: names are percent-encoded there.{hint}")
    return name


def _is_text(key: str) -> bool:
    try:
        key.encode()
    except UnicodeEncodeError:
        return False
    return True


class _ThereError(Exception):
    """There is something under the key."""
