"""The catalog, checked as of one moment: SQLite's own structure, the rows, and what refers to what.

Which object files there are, and what is in them, is checked by :mod:`.object_check`, afterwards and without holding on
to the moment.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Generator, Iterator
from dataclasses import dataclass, field
from typing import Final

import google_crc32c

from ...arrays.document import METADATA
from ...errors import CorruptStorageError, StorageError
from ...model import Finding
from ..catalog import Moment
from ..nodes import parse_node
from ..objects import Objects
from ..zarr_layout import BLOBS, BUFFERS, parse_chunk_key
from .stored_things import TABLES, TableName, Thing, thing_of

_PAGE: Final = 500
_CATALOG_FINDINGS_MAX: Final = 100


@dataclass(frozen=True, slots=True)
class Reference:
    """A row whose bytes are in an object file."""

    table: TableName
    key: str | bytes
    size: int
    crc32c: int
    object_id: str

    @property
    def thing(self) -> Thing:
        """What the row is of."""
        return thing_of(self.table, self.key)


@dataclass(slots=True)
class CatalogFacts:
    """What the check of the catalog learnt.

    Attributes
    ----------
    findings
        What is wrong, each with the thing that it concerns; None where it is no one thing.
    """

    entries: int = 0
    references: list[Reference] = field(default_factory=list)
    blob_ids: set[str] = field(default_factory=set)
    findings: list[tuple[Finding, Thing | None]] = field(default_factory=list)

    def add(self, kind: str, thing: Thing, found: str) -> None:
        """Note what is wrong with a thing."""
        self.findings.append((Finding(kind, thing.what, found), thing))


def check_catalog(moment: Moment, objects: Objects, facts: CatalogFacts, *, quick: bool) -> Generator[None, None, None]:
    """Check what the catalog had at `moment`, in steps that may be the last; `facts` has what was found until then."""
    try:
        _check_structure(moment, facts, quick=quick)
        yield
        for table in TABLES:
            node = _NodeCheck(facts, objects) if table == "entries" else None
            for page in _pages(moment, table, quick=quick):
                for key, size, crc32c, object_id, inline in page:
                    facts.entries += 1
                    if object_id is not None:
                        facts.references.append(Reference(table, key, size, crc32c, object_id))
                    elif inline is not None and (len(inline) != size or google_crc32c.value(inline) != crc32c):
                        facts.add("content_changed", thing_of(table, key), _in_catalog(table, key))
                    if node is not None:
                        node.take(key, size, object_id, inline)
                yield
            if node is not None:
                node.end()
        _check_names(moment, facts)
    except CorruptStorageError as error:
        # SQLite gives no more of a page that it cannot read: what lies behind it is not known.
        facts.findings.append((Finding("catalog_damaged", "the catalog", str(error.details["found"])), None))


def _check_structure(moment: Moment, facts: CatalogFacts, *, quick: bool) -> None:
    pragma = "quick_check" if quick else "integrity_check"
    for (text,) in moment.rows(f"PRAGMA {pragma}({_CATALOG_FINDINGS_MAX})"):
        if text != "ok":
            facts.findings.append((Finding("catalog_damaged", "the catalog", str(text)), None))


def _pages(
    moment: Moment, table: TableName, *, quick: bool
) -> Iterator[list[tuple[str | bytes, int, int, str | None, bytes | None]]]:
    # A quick look needs only what says what a node is.
    documents = "CASE WHEN size > 0 AND key GLOB '*zarr.json' THEN inline END"
    inline = "inline" if not quick else documents if table == "entries" else "NULL"
    columns = f"SELECT key, size, crc32c, object, {inline} FROM {table}"  # noqa: S608 - own words
    page = moment.rows(f"{columns} ORDER BY key LIMIT {_PAGE}")
    while page:
        yield page
        page = moment.rows(f"{columns} WHERE key > ? ORDER BY key LIMIT {_PAGE}", (page[-1][0],))


class _NodeCheck:
    """Whether each node of the hierarchy has its document, and the chunks that it says; rows come in order."""

    def __init__(self, facts: CatalogFacts, objects: Objects) -> None:
        self._facts = facts
        self._objects = objects
        self._begin(None)

    def _begin(self, thing: Thing | None) -> None:
        self._thing = thing
        self._documents: dict[str, bytes | None] = {}
        self._chunks: Counter[str] = Counter()
        self._chunk_bytes = 0

    def take(self, key: str | bytes, size: int, object_id: str | None, inline: bytes | None) -> None:
        """Take the next row."""
        thing = thing_of("entries", key)
        if thing != self._thing:
            self.end()
            self._begin(thing)
        assert isinstance(key, str)  # noqa: S101 - the schema's type
        path, _, last = key.rpartition("/")
        if last == METADATA:
            self._documents[path] = inline if object_id is None else self._read(object_id)
        elif (chunk := parse_chunk_key(key)) is not None:
            self._chunks[chunk[0]] += 1
            self._chunk_bytes += size

    def end(self) -> None:
        """Judge the node whose rows have come."""
        thing = self._thing
        if thing is None or not thing.is_removable:
            return
        group, _, name = str(thing.key).partition("/")
        if group not in (BLOBS, BUFFERS):
            return
        if not self._documents:
            self._facts.add("document_missing", thing, "its metadata document is missing")
        if group == BLOBS:
            self._facts.blob_ids.add(name)
        for path, document in self._documents.items():
            self._check_document(thing, path, document, everything_is_there=group == BLOBS)

    def _check_document(self, thing: Thing, path: str, document: bytes | None, *, everything_is_there: bool) -> None:
        if document is None:
            return  # The file is missing or cut, which the check of the object files tells.
        node = parse_node(document)
        if node is None:
            self._facts.add("document_damaged", thing, f"its metadata document {path!r} is none of Zarr v3")
            return
        # An array of which not every chunk was stored: what is missing is made of its fill value.
        if node.array is None or not (everything_is_there or node.facts.whole):
            return
        expected, found = math.prod(node.array.grid), self._chunks[path]
        if found < expected:
            self._facts.add("bytes_missing", thing, f"{expected - found:,} of its {expected:,} chunks are missing")
        elif everything_is_there and self._chunk_bytes != node.array.nbytes:
            told = f"its document says {node.array.nbytes:,} bytes, and there are {self._chunk_bytes:,}"
            self._facts.add("document_damaged", thing, told)

    def _read(self, object_id: str) -> bytes | None:
        size = self._objects.size(object_id)
        if size is None:
            return None
        try:
            file = self._objects.open(object_id)
        except FileNotFoundError:
            return None
        except OSError as error:
            raise StorageError(f"Reading the object file {object_id} failed: {error.strerror}.") from error
        try:
            return file.read(0, size)
        finally:
            file.close()


def _check_names(moment: Moment, facts: CatalogFacts) -> None:
    for name, blob_id in moment.rows("SELECT name, blob_id FROM names ORDER BY name"):
        if blob_id not in facts.blob_ids:
            facts.add("name_without_blob", Thing("names", name), f"its blob {blob_id} is not there")


def _in_catalog(table: TableName, key: str | bytes) -> str:
    where = f" of {key!r}" if table == "entries" else ""
    return f"the content{where} in the catalog does not match its checksum"
