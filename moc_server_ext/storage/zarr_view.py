"""Read access to the whole storage by Zarr key: what a Zarr store, an export or an HTTP mirror stands on.

The keys of ``kv/`` are made up here from the key-value table; all others are entries of the catalog.
"""

from __future__ import annotations

import heapq
from collections.abc import Iterator, Sequence
from typing import Any, Final

from ..abc import Bytes, Content
from ..arrays.document import METADATA
from ..errors import CorruptStorageError, InvalidInputError
from ..model import KEY_BYTES_MAX
from .checks import Checks
from .consolidated import consolidate, consolidated_keys
from .content import OpenContent, StoredContent, check_range, open_content
from .glances import GlanceContent, open_value
from .keyvalue import end_of_prefix
from .nodes import parse_node
from .objects import Objects
from .table import ContentTable
from .versions import Version, Versions
from .zarr_layout import (
    BUFFERS,
    CHUNK,
    KEY_VALUES,
    bytes_document,
    bytes_of_node,
    chunk_key,
    end_of_directory,
    metadata_key,
    parse_chunk_key,
)

_PAGE: Final = 1000
_KEY_CHARACTERS_MAX: Final = 3 * KEY_BYTES_MAX + 4096


class ZarrView:
    """The storage as a Zarr v3 hierarchy, read-only: :class:`moc_server_ext.abc.Hierarchy`. Thread-safe."""

    def __init__(
        self, entries: ContentTable[str], key_values: ContentTable[bytes], objects: Objects, versions: Versions
    ) -> None:
        self._versions = versions
        self._entries = entries
        self._key_values = key_values
        self._objects = objects
        self._checks = Checks()

    # -- listing ------------------------------------------------------------------------------------------------------

    def list(self, prefix: str = "", *, limit: int = 1000, after: str | None = None) -> Sequence[str]:
        """List up to `limit` keys that begin with `prefix` and come after `after`, in bytewise order.

        Each page is as of one moment. A page of ``kv/`` takes a look at all keys of the key-values that begin so.

        Raises
        ------
        InvalidInputError
            `limit` is less than 1 or beyond what SQLite can count to.
        """
        if not 1 <= limit < 1 << 63:
            raise InvalidInputError(f"The limit of a listing is at least 1; found {limit}.")
        if not (_is_text(prefix) and _is_text(after or "")):
            return []
        last = _end_of(prefix)
        if after is not None and after >= prefix:
            found = self._entries.keys(after, last, limit, after=True)
        else:
            found = self._entries.keys(prefix, last, limit)
        group = f"{KEY_VALUES}/"
        if not (prefix.startswith(group) or group.startswith(prefix)) or (len(found) == limit and found[-1] < group):
            return found
        made_up = (key for key in self._key_value_keys(prefix) if after is None or key > after)
        return heapq.nsmallest(limit, heapq.merge(found, heapq.nsmallest(limit, made_up)))

    def keys(self, prefix: str = "") -> Iterator[str]:
        """List all keys as :meth:`list_prefix` does."""
        return self.list_prefix(prefix)

    def names(self, prefix: str = "") -> set[str]:
        """List the names directly below `prefix` as :meth:`list_dir` does."""
        return self.list_dir(prefix)

    def list_prefix(self, prefix: str = "") -> Iterator[str]:
        """List all keys that begin with `prefix`, in no order.

        Read page by page: keys that come or go while it runs may or may not be among them.
        """
        if not _is_text(prefix):
            return
        last = _end_of(prefix)
        page = self._entries.keys(prefix, last, _PAGE)
        while page:
            yield from page
            page = self._entries.keys(page[-1], last, _PAGE, after=True)
        group = f"{KEY_VALUES}/"
        if prefix.startswith(group) or group.startswith(prefix):
            yield from self._key_value_keys(prefix)

    def list_dir(self, prefix: str = "") -> set[str]:
        """List the names directly below `prefix`, which ends with ``/`` unless it is empty."""
        if not _is_text(prefix):
            return set()
        found = set()
        last, cursor, inclusive = _end_of(prefix), prefix, True
        while page := self._entries.keys(cursor, last, 1, after=not inclusive):
            name, slash, _ = page[0][len(prefix) :].partition("/")
            found.add(name)
            # What else is below that name is left out; what only begins like it is not.
            cursor, inclusive = (f"{prefix}{name}0", True) if slash else (page[0], False)
        if prefix.startswith(f"{KEY_VALUES}/"):
            found.update(key[len(prefix) :].partition("/")[0] for key in self._key_value_keys(prefix))
        return found

    # -- reading ------------------------------------------------------------------------------------------------------

    def size(self, key: str) -> int | None:
        """Tell the size of the value of a key in bytes; None if there is no such key."""
        stored = self._find(key)
        return None if stored is None else stored.size

    def stat(self, key: str) -> tuple[int, str] | None:
        """Tell size and identity of the value of a key; None if there is no such key.

        The identity differs between any two values that a key has had.
        """
        stored = self._find(key)
        return None if stored is None else (stored.size, identity(stored))

    def read(self, key: str, start: int = 0, stop: int | None = None) -> bytes | None:
        """Read bytes ``[start, stop)`` of the value of a key, cut off at the end; None if there is no such key.

        Raises
        ------
        CorruptStorageError, InvalidInputError
            The bytes are damaged, or are those of a chunk that was stored and is not there; the range is negative.
        """
        check_range(start, stop)
        opened = self.open(key)
        if opened is None:
            return None
        content = opened[1]
        try:
            return content.read(start, stop)
        finally:
            content.close()

    def read_whole(self, key: str) -> Bytes | None:
        """Read the value of a key into memory of its own; None if there is no such key. Raises as :meth:`read`."""
        opened = self._open_entry(key)
        if opened is None:
            return None
        with opened[1] as content:
            return content.whole(self._checks)

    def parts(self, key: str) -> Iterator[bytes] | None:
        """Read the value of a key in parts, and check it; None if there is no such key. Raises as :meth:`read`."""
        opened = self.open(key)
        return None if opened is None else opened[1].parts()

    def read_last(self, key: str, count: int) -> bytes | None:
        """Read the last `count` bytes of the value of a key; None if there is no such key. Raises as :meth:`read`."""
        opened = self.open(key)
        if opened is None:
            return None
        content = opened[1]
        try:
            return content.read(max(content.size - count, 0))
        finally:
            content.close()

    def open(self, key: str) -> tuple[str, Content] | None:
        """Open the value of a key, with its identity; None if there is no such key. Raises as :meth:`read` does."""
        version, below = self._remembered(key)
        if version is not None:
            # So that the file stays open for the next one, which may be a glance.
            return identity(version.rows[below]), open_value(version, below)
        return self._open_entry(key)

    def _open_entry(self, key: str) -> tuple[str, OpenContent] | None:
        found: StoredContent | None = None

        def lookup() -> StoredContent:
            nonlocal found
            found = self._find(key)
            if found is None:
                raise _AbsentKeyError
            return found

        try:
            content = open_content(lookup, self._objects, lambda: f"Zarr key {key!r}")
        except _AbsentKeyError:
            found = self._check_absent(key)
            if found is None:
                return None
            return self._open_entry(key)
        assert found is not None  # noqa: S101 - the lookup found it
        return identity(found), content

    def consolidated(self, key: str) -> bytes | None:
        """Give the value of a key that ends with ``zarr.json``, with the metadata of all below it where it has any.

        So it is for the group ``buffers`` and for buffers that are groups; for all else it is the value as it is, and
        None if there is no such key. All of it is as of one moment.

        Raises
        ------
        CorruptStorageError
            A document is damaged.
        """
        directory = consolidated_keys(key)
        if directory is None:
            return self.read(key)
        with self._objects.pins.looking():
            found = self._entries.read_all(directory, end_of_directory(directory), f"{directory}*{METADATA}")
        documents = {
            each[len(directory) :]: document for each, document in found if f"/{each}".endswith(f"/{METADATA}")
        }
        document = documents.pop(METADATA, None)
        return None if document is None else consolidate(document, documents)

    def glance(self, key: str) -> tuple[str, Content] | None:
        """Do as :meth:`open`, if that takes no waiting: for chunks of buffers that were read of late, and are open.

        The content's methods raise BlockingIOError where they would wait. For an event loop's thread. None says
        nothing about whether there is such a key.
        """
        version, below = self._remembered(key)
        return None if version is None else (identity(version.rows[below]), GlanceContent(version, below))

    # -- inside -------------------------------------------------------------------------------------------------------

    def _remembered(self, key: str) -> tuple[Version | None, str]:
        """Give the version of a buffer that was read of late and has this key, and the key below it."""
        group, _, rest = key.partition("/")
        node, _, below = rest.partition("/")
        raw = bytes_of_node(node) if group == BUFFERS else None
        try:
            version = None if raw is None else self._versions.remembered(raw.decode())
        except UnicodeDecodeError:
            version = None
        return (version, below) if version is not None and below in version.rows else (None, below)

    def _find(self, key: str) -> StoredContent | None:
        if len(key) > _KEY_CHARACTERS_MAX or not _is_text(key):
            return None
        stored = self._entries.find(key)
        if stored is not None:
            return stored
        group, _, rest = key.partition("/")
        node, _, last = rest.partition("/")
        name = bytes_of_node(node) if group == KEY_VALUES and last in (METADATA, CHUNK) else None
        if name is None:
            return None
        value = self._key_values.find(name)
        if value is None or (last == CHUNK and value.size == 0):
            return None
        return value if last == CHUNK else StoredContent.of(bytes_document(value.size, {}), str)

    def _check_absent(self, key: str) -> StoredContent | None:
        """Refuse to take a chunk that was stored for one that never was; give it if it has just come.

        Raises
        ------
        CorruptStorageError
            The chunk belongs to an array that was stored whole.
        """
        chunk = parse_chunk_key(key) if _is_text(key) and len(key) <= _KEY_CHARACTERS_MAX else None
        if chunk is None or key.startswith(f"{KEY_VALUES}/"):
            return None
        path, index = chunk
        stored, document = self._entries.find_both(key, f"{path}/{METADATA}")
        if stored is not None or document is None:
            return stored
        text = self._entries.read(lambda: document, 0, None, what=lambda: f"Zarr key {path}/{METADATA!r}")
        node = parse_node(text)
        if node is None or node.array is None or not (node.facts.whole or not path.startswith(f"{BUFFERS}/")):
            return None
        grid = node.array.grid
        if len(index) == len(grid) and all(each < count for each, count in zip(index, grid, strict=True)):
            raise CorruptStorageError(f"Zarr key {key!r}", "this chunk was stored, and it is missing")
        return None

    def _key_value_keys(self, prefix: str) -> Iterator[str]:
        first = _raw_prefix(prefix)
        end = end_of_prefix(first)
        page = self._key_values.keys_and_sizes(first, end, _PAGE)
        while page:
            for name, size in page:
                for key in (metadata_key(KEY_VALUES, name), *((chunk_key(KEY_VALUES, name),) if size else ())):
                    if key.startswith(prefix):
                        yield key
            page = self._key_values.keys_and_sizes(page[-1][0], end, _PAGE, after=True)


def identity(stored: StoredContent) -> str:
    """Name a value: what is replaced has another name afterwards, but for equal bytes that are kept in the catalog."""
    return stored.object_id or f"{stored.crc32c:08x}{stored.size:x}"


def _raw_prefix(prefix: str) -> bytes:
    """Give what all binary keys begin with whose Zarr keys begin with `prefix`; it may be less than could be said."""
    node = prefix.partition("/")[2].partition("/")[0]
    if "%" in node[-2:]:
        # An escape that is not complete.
        node = node[: node.rindex("%")]
    name: Any = bytes_of_node(node)
    return name if name is not None and not node.endswith("%") else b""


def _end_of(prefix: str) -> str | None:
    """Give the first text behind all that begin with `prefix`; None if that is the end of all."""
    trimmed = prefix.rstrip("\U0010ffff")
    if not trimmed:
        return None
    following = ord(trimmed[-1]) + 1
    # No text has the code points of surrogates.
    return trimmed[:-1] + chr(0xE000 if 0xD800 <= following <= 0xDFFF else following)


def _is_text(key: str) -> bool:
    try:
        key.encode()
    except UnicodeEncodeError:
        return False
    return True


class _AbsentKeyError(Exception):
    """No such key: for Zarr that is no error."""
