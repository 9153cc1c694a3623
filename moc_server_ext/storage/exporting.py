"""The whole hierarchy as files: a plain Zarr v3 directory store that any Zarr library opens.

Reads through :class:`moc_server_ext.abc.Hierarchy`, so that it works through a server as well as on the storage itself.
Each node (a blob, a buffer, a value) is as of one moment: it is looked at before and after it is copied, and copied
anew when it was changed meanwhile. The root's document comes last: a directory without it is no export.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import shutil
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any, Final

from ..abc import Hierarchy
from ..arrays.document import METADATA
from ..errors import ConflictError, CorruptStorageError, InvalidInputError, StorageError
from .consolidated import consolidate, consolidated_keys
from .files import DIRECTORY_MODE, NewFile, failure, sync_directory
from .zarr_layout import BLOBS, BUFFERS, KEY_VALUES

_PAGE: Final = 1000
_PART_BYTES: Final = 8 << 20
_ATTEMPTS: Final = 5
_NAME_BYTES_MAX: Final = 255
_SHORT_BYTES: Final = 180


def export_hierarchy(
    source: Hierarchy, directory: Path, *, progress: Callable[[int], None] | None = None
) -> dict[str, int]:
    """Write all that is stored into a new or empty directory; durable on return.

    Metadata is consolidated where the web API does so: for ``buffers`` and for buffers that are groups. A name that is
    too long for a file is cut and gets a checksum; the root's attributes tell the whole one.

    Parameters
    ----------
    progress
        Told how many bytes were written so far.

    Returns
    -------
    dict
        ``nodes``, ``files`` and ``bytes`` that were written.

    Raises
    ------
    InvalidInputError
        There is something in the directory, or it is none. Nothing was touched.
    ConflictError, CorruptStorageError
        A node was changed each time that it was copied; a value is damaged. Nothing is left of the export.
    StorageFullError, ReadOnlyStorageError, StorageError
        The directory cannot be written. Nothing is left of the export.
    """
    was_there = _check_empty(directory)
    export = _Export(source, directory, progress or (lambda done: None))
    try:
        if not was_there:
            directory.mkdir(mode=DIRECTORY_MODE, parents=True)
        export.run()
    except BaseException as error:
        _clear(directory, was_there)
        if isinstance(error, OSError):
            raise failure(error, "the export", directory) from error
        raise
    return {"nodes": export.nodes, "files": export.files, "bytes": export.bytes}


class _Export:
    """One export on its way. One thread."""

    def __init__(self, source: Hierarchy, directory: Path, progress: Callable[[int], None]) -> None:
        self._source = source
        self._directory = directory
        self._progress = progress
        self._renamed: dict[str, str] = {}
        self.nodes = 0
        self.files = 0
        self.bytes = 0

    def run(self) -> None:
        """Write everything, the root's document last."""
        groups = {f"{group}/{METADATA}": group for group in (BLOBS, BUFFERS, KEY_VALUES)}
        documents: dict[str, dict[str, bytes]] = {}
        for node, keys in _nodes(self._source):
            if node in groups:
                # It is not known yet what goes into it.
                continue
            written = self._node(node, keys)
            group, _, _ = node.partition("/")
            if consolidated_keys(f"{group}/{METADATA}") is not None:
                documents.setdefault(group, {}).update(written)
        for key, group in groups.items():
            document = self._source.read(key)
            if document is None:
                continue
            if consolidated_keys(key) is not None:
                prefix = f"{group}/"
                below = {key[len(prefix) :]: each for key, each in documents.get(group, {}).items()}
                document = consolidate(document, below)
            self._write(key, iter((document,)))
        self._sync()
        root = self._source.read(METADATA) or b""
        self._write(METADATA, iter((self._with_names(root),)))
        sync_directory(self._directory)

    def _node(self, node: str, keys: list[str]) -> dict[str, bytes]:
        """Copy all keys of a node as of one moment; give its documents."""
        for _ in range(_ATTEMPTS):
            before = self._look(keys)
            done = self.files, self.bytes
            try:
                documents = self._copy(keys)
            except CorruptStorageError:
                # What is damaged stays so; what was replaced just now is read anew.
                if self._look(keys) == before:
                    raise
                documents = None
            keys_after = list(_keys(self._source, f"{node}/"))
            if documents is not None and keys_after == keys and self._look(keys) == before:
                self.nodes += 1
                return documents
            shutil.rmtree(self._path(node), ignore_errors=True)
            self.files, self.bytes = done
            if not keys_after:
                return {}
            keys = keys_after
        raise ConflictError(f"{node!r} is changed all the time, so that it cannot be exported as of one moment.")

    def _copy(self, keys: list[str]) -> dict[str, bytes] | None:
        """Write the values of keys; None when one has gone meanwhile."""
        documents: dict[str, bytes] = {}
        for key in keys:
            if key.endswith(f"/{METADATA}"):
                document = self._source.read(key)
                if document is None:
                    return None
                documents[key] = document
                continue
            if not self._write(key, self._parts(key)):
                return None
        for key, document in documents.items():
            directory = consolidated_keys(key)
            if directory is not None:
                below = {each[len(directory) :]: documents[each] for each in documents if each.startswith(directory)}
                del below[METADATA]
                document = consolidate(document, below) if below else document
            self._write(key, iter((document,)))
        return documents

    def _look(self, keys: list[str]) -> Mapping[str, Any]:
        """Give what differs when a node was changed."""
        return {key: self._identity(key) for key in keys}

    def _identity(self, key: str) -> object:
        # The owner of the storage tells more than the protocol asks for.
        with contextlib.suppress(AttributeError):
            return self._source.stat(key)  # type: ignore[attr-defined]
        return self._source.read(key) if key.endswith(f"/{METADATA}") else self._source.size(key)

    def _parts(self, key: str) -> Iterator[bytes | None]:
        """Give a value in parts, and None where it has gone meanwhile."""
        size = self._source.size(key)
        if size is None or size <= _PART_BYTES:
            # Read whole, and checked thereby.
            yield None if size is None else self._source.read(key)
            return
        try:
            # Where the owner of the storage is asked, what is larger is checked as well.
            parts: Iterator[bytes] | None = self._source.parts(key)  # type: ignore[attr-defined]
        except AttributeError:
            pass
        else:
            yield from (None,) if parts is None else parts
            return
        for position in range(0, size, _PART_BYTES):
            end = min(position + _PART_BYTES, size)
            part = self._source.read(key, position, end)
            yield None if part is None or len(part) != end - position else part

    def _write(self, key: str, parts: Iterator[bytes | None]) -> bool:
        """Write one file; False when its value has gone meanwhile."""
        path = self._path(key)
        path.parent.mkdir(mode=DIRECTORY_MODE, parents=True, exist_ok=True)
        file = NewFile(path)
        try:
            for part in parts:
                if part is None:
                    file.discard()
                    return False
                file.write(part)
                self.bytes += len(part)
                self._progress(self.bytes)
            file.seal()
        except BaseException:
            file.discard()
            raise
        self.files += 1
        return True

    def _path(self, key: str) -> Path:
        """Say where a key's file lies: never outside of the directory."""
        segments = key.split("/")
        if any(each in ("", ".", "..") or "\0" in each for each in segments):
            raise InvalidInputError(f"The Zarr key {key[:200]!r} cannot be a file's name.")
        short = [_file_name(each) for each in segments]
        for count, (segment, name) in enumerate(zip(segments, short, strict=True), 1):
            if name != segment:
                self._renamed["/".join(short[:count])] = "/".join(segments[:count])
        return self._directory.joinpath(*short)

    def _with_names(self, document: bytes) -> bytes:
        if not self._renamed:
            return document
        body = json.loads(document)
        own = body.setdefault("attributes", {}).setdefault("moc", {})
        own["long_names"] = self._renamed
        return json.dumps(body, separators=(",", ":")).encode()

    def _sync(self) -> None:
        for path, _, _ in os.walk(self._directory, topdown=False):
            sync_directory(Path(path))
        sync_directory(self._directory.parent)


def _nodes(source: Hierarchy) -> Iterator[tuple[str, list[str]]]:
    """Give the nodes of the hierarchy's groups with their keys; a group's own document is a node of its own."""
    node = ""
    keys: list[str] = []
    for key in _keys(source, ""):
        if key == METADATA:
            continue
        at = "/".join(key.split("/")[:2])
        if at != node:
            if keys:
                yield node, keys
            node, keys = at, []
        keys.append(key)
    if keys:
        yield node, keys


def _keys(source: Hierarchy, prefix: str) -> Iterator[str]:
    after = None
    while page := source.list(prefix, limit=_PAGE, after=after):
        if after is not None and page[0] <= after:
            raise StorageError(f"The keys below {prefix!r} came out of order: {page[0][:200]!r} after {after[:200]!r}.")
        yield from page
        after = page[-1]


def _file_name(segment: str) -> str:
    encoded = os.fsencode(segment)
    if len(encoded) <= _NAME_BYTES_MAX:
        return segment
    digest = hashlib.sha256(encoded).hexdigest()[:32]
    return f"{encoded[:_SHORT_BYTES].decode(errors='ignore')}~{digest}"


def _check_empty(directory: Path) -> bool:
    """Tell whether the directory is there; InvalidInputError unless it is new or empty."""
    try:
        with os.scandir(directory) as entries:
            if next(entries, None) is not None:
                raise InvalidInputError(
                    f"There is something in {str(directory)!r}: an export needs a new or an empty directory."
                )
    except FileNotFoundError:
        return False
    except OSError as error:
        raise InvalidInputError(f"{str(directory)!r} cannot be exported to: {error.strerror}.") from None
    return True


def _clear(directory: Path, was_there: bool) -> None:
    if not was_there:
        shutil.rmtree(directory, ignore_errors=True)
        return
    with contextlib.suppress(OSError):
        for path in directory.iterdir():
            if path.is_dir() and not path.is_symlink():
                shutil.rmtree(path, ignore_errors=True)
            else:
                path.unlink(missing_ok=True)
