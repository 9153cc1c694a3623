"""Versions of buffers: what one was at one moment, held for its readers while others replace it.

A version knows the documents of a buffer and where each chunk lies; chunks are read when they are asked for. The last
versions that were read are remembered until they are replaced, so that another read costs no look into the catalog.
"""

from __future__ import annotations

import hashlib
import threading
from collections import OrderedDict
from collections.abc import Callable, Iterator, Mapping
from functools import cached_property, partial
from typing import Final

import google_crc32c

from ..arrays.document import METADATA
from ..errors import CorruptStorageError, StorageError
from ..model import ArraySpec, BufferRecord
from .content import StoredContent
from .nodes import Facts, Node, parse_node
from .objects import Objects
from .pins import Pin
from .table import ContentTable
from .zarr_layout import BUFFERS, end_of_directory, name_of_node, node_name

_DOCUMENTS: Final = f"*/{METADATA}"
_INLINE_BYTES_MAX: Final = 1 << 20
_REMEMBERED_BYTES_MAX: Final = 32 << 20
_REMEMBERED_MAX: Final = 64
_ROW_BYTES: Final = 400


class Version:
    """One version of a buffer. Thread-safe; it keeps what it needs until it is dropped.

    Attributes
    ----------
    name
        The buffer's.
    rows
        Where the content of each key lies, the buffer itself left out of the keys, in bytewise order.
    nodes
        What the documents say, by their paths in the buffer; ``""`` is the buffer itself.
    pin
        Keeps its object files.
    """

    def __init__(
        self,
        name: str,
        rows: Mapping[str, StoredContent],
        objects: Objects,
        pin: Pin,
        inline: Callable[[str], bytes] | None,
    ) -> None:
        self.name = name
        self.rows = rows
        self.nodes: dict[str, Node] = {}
        self._objects = objects
        self.pin = pin
        self._inline = inline
        self._whole: dict[str, bool] = {}
        for key in rows:
            if key == METADATA or key.endswith(f"/{METADATA}"):
                node = parse_node(self.read(key))
                if node is not None:
                    self.nodes[key[: -len(METADATA) - 1]] = node

    @property
    def node(self) -> Node | None:
        """What the buffer's own document says; None if it has none that can be understood."""
        return self.nodes.get("")

    @cached_property
    def record(self) -> BufferRecord:
        """What is told about it."""
        return record_of(self.name, self.nodes, lambda: sum(stored.size for stored in self.rows.values()))

    @cached_property
    def etag(self) -> str:
        """What differs between any two versions."""
        digest = hashlib.blake2b(digest_size=16)
        for key, stored in self.rows.items():
            digest.update(f"{key}\0{stored.size}\0{stored.crc32c}\0{stored.object_id}\n".encode())
        return digest.hexdigest()

    @property
    def is_known(self) -> bool:
        """Whether record and etag were asked for before, so that telling them again takes no time."""
        return "record" in self.__dict__ and "etag" in self.__dict__

    @property
    def may_be_remembered(self) -> bool:
        """Whether it keeps nothing that others wait for."""
        return self._inline is None

    @cached_property
    def weight(self) -> int:
        """About how many bytes of memory it takes."""
        return sum(_ROW_BYTES + len(stored.inline or b"") for stored in self.rows.values())

    def read(self, key: str, start: int = 0, stop: int | None = None) -> bytes:
        """Read bytes ``[start, stop)`` of a key that is there; content that is read whole is checked.

        Raises
        ------
        CorruptStorageError, StorageError
            It is missing, cut, or (if read whole) not what was stored; it cannot be read.
        """
        stored = self.rows[key]
        end = stored.size if stop is None else min(stop, stored.size)
        if stored.object_id is None:
            content = self._inline_content(key, stored)
            # All of it was read anyhow.
            if len(content) != stored.size or google_crc32c.value(content) != stored.crc32c:
                raise self._damaged(key, "its checksum does not match")
            return content if not start and end == stored.size else content[start:end]
        content = self._read_object(key, stored.object_id, start, end)
        if end - start == stored.size and google_crc32c.value(content) != stored.crc32c:
            raise self._damaged(key, "its checksum does not match")
        return content

    def is_whole(self, path: str, array: ArraySpec) -> bool:
        """Tell whether every chunk of the array below `path` is there."""
        found = self._whole.get(path)
        if found is None:
            found = self._whole[path] = all(path + key in self.rows for key in array.chunk_keys())
        return found

    def read_now(self, key: str, start: int, stop: int) -> bytes:
        """Read a part ``[start, stop)`` of a key that is there without waiting for anything.

        Raises
        ------
        BlockingIOError
            It would have to wait, or to check all of the content.
        CorruptStorageError
            Small content is not what was stored.
        """
        stored = self.rows[key]
        if stored.object_id is None:
            if stored.inline is None:
                raise BlockingIOError
            return self.read(key, start, stop)
        if stop - start == stored.size:
            raise BlockingIOError
        return self._objects.read_now(stored.object_id, start, stop)

    def check(self, key: str, checksum: int) -> None:
        """Compare the checksum of content that was read in parts with that of what was stored."""
        if checksum != self.rows[key].crc32c:
            raise self._damaged(key, "its checksum does not match")

    def missing(self, key: str) -> CorruptStorageError:
        """Make the error for a chunk that was stored and is not in the catalog."""
        return self._damaged(key, "it is missing")

    def _inline_content(self, key: str, stored: StoredContent) -> bytes:
        if stored.inline is not None:
            return stored.inline
        assert self._inline is not None  # noqa: S101 - a row has an object, content, or what gives its content
        return self._inline(key)

    def _read_object(self, key: str, object_id: str, start: int, end: int) -> bytes:
        try:
            content = self._objects.open_shared(object_id).read(start, end)
        except FileNotFoundError:
            raise self._damaged(key, f"its file {object_id} is missing") from None
        except OSError as error:
            what = self._what(key)
            raise StorageError(f"Reading {what} failed: {error.strerror}.", what=what) from error
        if len(content) != end - start:
            raise self._damaged(key, f"its file {object_id} ends at byte {start + len(content)}")
        return content

    def _damaged(self, key: str, reason: str) -> CorruptStorageError:
        return CorruptStorageError(self._what(key), reason)

    def _what(self, key: str) -> str:
        node = self.node
        if node is not None and node.kind == "bytes" and key != METADATA:
            return f"buffer {self.name!r}"
        if key == METADATA or key.endswith(f"/{METADATA}"):
            return f"the metadata {key!r} of buffer {self.name!r}"
        return f"chunk {key!r} of buffer {self.name!r}"


class Versions:
    """Gives the present versions of buffers. Thread-safe."""

    def __init__(self, entries: ContentTable[str], objects: Objects) -> None:
        self._entries = entries
        self._objects = objects
        # Reentrant: what is dropped while it is held may let other things go in the same thread.
        self._lock = threading.RLock()
        self._remembered: OrderedDict[str, Version] = OrderedDict()
        self._weight = 0
        self._commits = 0

    def remembered(self, name: str) -> Version | None:
        """Give the present version of a buffer that was read lately; None otherwise."""
        return self._remembered.get(name)

    def find(self, name: str) -> Version | None:
        """Give the present version of a buffer; None if there is none."""
        commits = self._commits
        version = self._look(name)
        if version is not None and version.may_be_remembered:
            self._remember(version, commits)
        return version

    def records(self) -> list[BufferRecord]:
        """Give the records of all buffers as of one moment, in no order."""
        prefix = f"{BUFFERS}/"
        nodes: dict[str, dict[str, Node]] = {}
        # Large documents have files, which must not go before they are read.
        with self._objects.pins.looking():
            for key, document in self._entries.read_all(prefix, end_of_directory(prefix), prefix + _DOCUMENTS):
                node, _, path = key[len(prefix) :].partition("/")
                parsed = parse_node(document)
                if path and parsed is not None:
                    nodes.setdefault(node, {})[path[: -len(METADATA) - 1]] = parsed
        return [
            record_of(name_of_node(node), each, partial(self._stored_bytes, node))
            for node, each in nodes.items()
            if "" in each
        ]

    def names(self, limit: int) -> list[str]:
        """List the names of up to `limit` buffers, in no order."""
        prefix = f"{BUFFERS}/"
        pattern, nested = prefix + _DOCUMENTS, f"{prefix}*/{_DOCUMENTS}"
        keys = self._entries.keys_like(prefix, end_of_directory(prefix), pattern, nested, limit)
        return [name_of_node(key[len(prefix) : -len(METADATA) - 1]) for key in keys]

    def forget(self, name: str) -> None:
        """Look at the catalog again when the buffer is asked for next; after each commit that changed it."""
        with self._lock:
            self._commits += 1
            version = self._remembered.pop(name, None)
            if version is not None:
                self._weight -= version.weight

    def forget_all(self) -> None:
        """Look at the catalog again, whatever is asked for next."""
        with self._lock:
            self._commits += 1
            self._remembered.clear()
            self._weight = 0

    def _stored_bytes(self, node: str) -> int:
        directory = f"{BUFFERS}/{node}/"
        return self._entries.size_below(directory, end_of_directory(directory))

    def _remember(self, version: Version, commits: int) -> None:
        if version.weight > _REMEMBERED_BYTES_MAX // 2:
            return
        dropped = []
        with self._lock:
            # Otherwise it may have been replaced since it was looked at.
            if commits != self._commits or version.name in self._remembered:
                return
            self._remembered[version.name] = version
            self._weight += version.weight
            while len(self._remembered) > _REMEMBERED_MAX or self._weight > _REMEMBERED_BYTES_MAX:
                dropped.append(self._remembered.popitem(last=False)[1])
                self._weight -= dropped[-1].weight

    def _look(self, name: str) -> Version | None:
        directory = f"{BUFFERS}/{node_name(name)}/"
        with self._objects.pins.looking():
            found, inline = self._entries.look_below(
                directory, end_of_directory(directory), _DOCUMENTS, _INLINE_BYTES_MAX
            )
            pin = self._objects.pins.pin(each.object_id for each in found.values() if each.object_id is not None)
        rows = {key[len(directory) :]: stored for key, stored in found.items()}
        if METADATA not in rows:
            return None
        version = Version(
            name, rows, self._objects, pin, None if inline is None else (lambda key: inline(directory + key))
        )
        return None if version.node is None else version


def record_of(name: str, nodes: Mapping[str, Node], stored_bytes: Callable[[], int]) -> BufferRecord:
    """Make the record of a buffer from what its documents say.

    Parameters
    ----------
    stored_bytes
        Gives the size of what has no other: of an array of a data type that moc does not know.
    """
    node = nodes[""]
    facts: Facts = node.facts
    array: ArraySpec | None = None
    arrays: dict[str, ArraySpec] = {}
    if node.kind == "group":
        arrays = dict(_arrays(nodes))
        array = arrays.get(facts.main) if facts.main is not None else None
        size = array.nbytes if array is not None else sum(each.nbytes for each in arrays.values())
    elif node.array is not None:
        size = node.array.nbytes
        array = None if node.kind == "bytes" else node.array
    else:
        size = stored_bytes()
    return BufferRecord(name, size, facts.content_type, facts.headers, facts.created_at, array, arrays, facts.origin)


def _arrays(nodes: Mapping[str, Node]) -> Iterator[tuple[str, ArraySpec]]:
    for path, node in sorted(nodes.items()):
        if path and node.array is not None:
            yield path, node.array
