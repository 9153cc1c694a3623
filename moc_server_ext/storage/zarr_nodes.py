"""Whole Zarr v3 nodes that come as keys and values: checked, and made durable aside as they come.

What comes is hostile until it was looked at: keys that lead elsewhere, chunks of no array or outside of its grid,
arrays inside of arrays. Metadata that is consolidated is left out, as it is made anew when it is asked for.

References
----------
Zarr core specification version 3: "Stored representation", "Chunk key encoding".
"""

from __future__ import annotations

import json
import math
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Final

from ..arrays.document import METADATA, with_facts
from ..errors import InvalidInputError
from .cutting import StagedChunk, discard_all, stage_chunk
from .files import failures
from .nodes import Facts, Node, parse_node
from .objects import Objects, neighbouring_object_ids

_KEY_CHARACTERS_MAX: Final = 4096
_DOCUMENT_BYTES_MAX: Final = 1 << 20
_NUMBER: Final = re.compile(r"0|[1-9][0-9]{0,18}", re.ASCII)


@dataclass(frozen=True, slots=True)
class ReceivedNode:
    """A node that came: documents and chunks by key. Whoever has it owns the chunks."""

    documents: Mapping[str, bytes]
    chunks: Mapping[str, StagedChunk]


def receive_node(
    name: str, entries: Iterable[tuple[str, bytes]], facts: Facts, objects: Objects, directory: Path
) -> ReceivedNode:
    """Check a node and make its chunks durable aside.

    Parameters
    ----------
    name
        The buffer's, for messages.
    facts
        What is said about the buffer, as far as its own document does not say it.

    Raises
    ------
    InvalidInputError
        It is no Zarr v3 node. Nothing is left of it.
    StorageFullError, ReadOnlyStorageError, StorageError
        Nothing is left of it.
    """
    documents: dict[str, bytes] = {}
    chunks: dict[str, StagedChunk] = {}
    object_id = neighbouring_object_ids()
    try:
        for key, content in entries:
            _check_key(name, key)
            if key in documents or key in chunks:
                raise _invalid(name, f"it has {_short(key)} twice")
            if key == METADATA or key.endswith(f"/{METADATA}"):
                documents[key] = bytes(content)
                _check_document(name, key, documents[key])
            else:
                with failures(f"{_short(key)} of buffer {name!r}", directory):
                    chunks[key] = stage_chunk(objects, content, object_id)
        return ReceivedNode(_checked(name, documents, chunks, facts), chunks)
    except BaseException:
        discard_all(chunks)
        raise


def _checked(
    name: str, documents: Mapping[str, bytes], chunks: Mapping[str, StagedChunk], facts: Facts
) -> dict[str, bytes]:
    """Check that documents and chunks make up one node, and give the documents with what moc says about it."""
    nodes: dict[str, Node] = {}
    for key, document in documents.items():
        node = parse_node(document)
        if node is None:
            raise _invalid(name, f"its {_short(key)} is no metadata of Zarr version 3")
        nodes[key[: -len(METADATA) - 1]] = node
    if "" not in nodes:
        raise _invalid(name, f"it has no {METADATA!r}")
    for path in nodes:
        parent = nodes.get(path.rpartition("/")[0])
        if path and (parent is None or parent.kind != "group"):
            raise _invalid(name, f"the node {_short(path)} lies in no group")
    found: dict[str, int] = dict.fromkeys(nodes, 0)
    bodies = {path: json.loads(documents[_key(path)]) for path, node in nodes.items() if node.kind != "group"}
    for key, chunk in chunks.items():
        path = _array_of(key, bodies)
        if path not in bodies or not _is_chunk(bodies[path], key[len(path) + 1 if path else 0 :]):
            raise _invalid(name, f"{_short(key)} is no chunk of its arrays")
        array = nodes[path].array
        if nodes[path].plain and array is not None and len(chunk) != array.chunk_bytes:
            raise _invalid(name, f"its chunk {_short(key)} has {len(chunk):,} bytes instead of {array.chunk_bytes:,}")
        found[path] += 1
    result = dict(documents)
    for path, node in nodes.items():
        array = node.array
        whole = array is not None and node.plain and found[path] == math.prod(array.grid)
        if not path:
            main = _main(name, node, nodes)
            said = replace(node.facts, created_at=facts.created_at, whole=whole, main=main)
            said = replace(said, origin=facts.origin or said.origin)
            result[METADATA] = with_facts(documents[METADATA], said.to_json())
        else:
            result[_key(path)] = with_facts(documents[_key(path)], {"whole": True} if whole else None)
    return result


def _main(name: str, node: Node, nodes: Mapping[str, Node]) -> str | None:
    main = node.facts.main if node.kind == "group" else None
    if main is not None and (not main or main not in nodes or nodes[main].array is None):
        raise _invalid(name, f"its main array {_short(main)} is none of its arrays")
    return main


def _array_of(key: str, arrays: Mapping[str, Any]) -> str:
    """Give the path of the array that a key lies in; ``""`` as well when there is none."""
    path = key
    while path:
        path = path.rpartition("/")[0]
        if path in arrays:
            break
    return path


def _is_chunk(body: Mapping[str, Any], key: str) -> bool:
    """Tell whether `key`, relative to its array, names a chunk of the array's grid."""
    try:
        encoding = body.get("chunk_key_encoding") or {"name": "default"}
        kind = encoding["name"]
        separator = (encoding.get("configuration") or {}).get("separator", "/" if kind == "default" else ".")
        shape, chunk = body["shape"], body["chunk_grid"]["configuration"]["chunk_shape"]
        grid = [-(-length // each) for length, each in zip(shape, chunk, strict=True)]
        if separator not in ("/", ".") or kind not in ("default", "v2"):
            return False
    except (KeyError, TypeError, ValueError, ZeroDivisionError, AttributeError):
        return False
    numbers = key.split(separator)
    if kind == "default":
        if numbers[0] != "c":
            return False
        numbers = numbers[1:]
    elif not grid:
        return key == "0"
    return len(numbers) == len(grid) and all(
        _NUMBER.fullmatch(each) and int(each) < count for each, count in zip(numbers, grid, strict=True)
    )


def _check_document(name: str, key: str, document: bytes) -> None:
    if len(document) > _DOCUMENT_BYTES_MAX:
        raise _invalid(name, f"its {_short(key)} has more than {_DOCUMENT_BYTES_MAX:,} bytes")
    try:
        json.loads(document)
    except (ValueError, RecursionError):
        raise _invalid(name, f"its {_short(key)} is no JSON") from None


def _check_key(name: str, key: str) -> None:
    segments = key.split("/")
    try:
        key.encode()
    except UnicodeEncodeError:
        raise _invalid(name, "a key is no valid Unicode text") from None
    if len(key) > _KEY_CHARACTERS_MAX or not key.isprintable() or any(each in ("", ".", "..") for each in segments):
        raise _invalid(name, f"{_short(key)} cannot be a key")


def _key(path: str) -> str:
    return f"{path}/{METADATA}" if path else METADATA


def _short(key: str) -> str:
    return repr(key if len(key) <= 100 else f"{key[:100]}…")


def _invalid(name: str, reason: str) -> InvalidInputError:
    return InvalidInputError(f"What came for buffer {name!r} is no Zarr version 3 node: {reason}. Nothing was changed.")
