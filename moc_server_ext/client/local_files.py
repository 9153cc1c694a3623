"""The server's storage directory, when this process sees it: chunks are read, and large bodies written, as files.

What lies under an object's name never changes, so that a file that can be opened is the chunk that the server told of.
What is written goes to ``staging/`` only, under random names; the server checks it and takes it from there.
"""

from __future__ import annotations

import contextlib
import os
import re
import secrets
from collections import deque
from collections.abc import Iterable, Iterator, Mapping
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Any, Final, Self

import google_crc32c

from ..abc import Bytes
from ..arrays.reader import ChunkSource
from ..arrays.runs import array_runs
from ..errors import CorruptStorageError, InvalidInputError, MocError
from ..model import ArraySpec
from ..storage.files import NewFile, failures, remove
from ..storage.ownership import read_format

if TYPE_CHECKING:
    import numpy

LARGE_BYTES: Final = 1 << 20
"""From here on files are faster than a connection."""

_CHUNK_BYTES_MIN: Final = 256 << 10
_SYNCHRONISING: Final = 4
_STAGING: Final = "staging"
_OBJECT: Final = re.compile(r"objects/[0-9a-f]{2}/[0-9a-f]{32,64}")


class StagingError(Exception):
    """Nothing can be handed over as files here; nothing was taken of the parts."""


class VanishedError(Exception):
    """A chunk's file is no longer there: the buffer was replaced since it was asked for."""


class SharedDirectory:
    """The storage directory of a server that this process sees too."""

    def __init__(self, path: Path) -> None:
        self.path = path

    @classmethod
    def find(cls, status: Mapping[str, Any]) -> SharedDirectory | None:
        """Give the directory that a server's status tells of, if this process sees that very one."""
        storage = status.get("storage")
        told = storage.get("path") if isinstance(storage, dict) else None
        if not isinstance(told, str) or not os.path.isabs(told):
            return None
        try:
            found = read_format(Path(told))
        except (MocError, OSError, ValueError):
            # Another machine's path, or somebody else's directory: whatever it is, it is not to be used.
            return None
        # Of the same path on two machines only one is the server's.
        is_same = found is not None and found.get("instance_id") == status.get("instance_id")
        return cls(Path(told)) if is_same else None

    def stage(self, parts: Iterable[Bytes], array: ArraySpec) -> StagedFiles:
        """Write an array's chunks aside and synchronise them, several at once.

        StagingError says that it cannot be done here: nothing was taken of the parts, and they are to be sent.

        Parameters
        ----------
        parts
            The elements in C order, little-endian.

        Raises
        ------
        InvalidInputError
            There are fewer or more bytes than the array has. Nothing is left of them.
        StorageFullError, StorageError
            The files cannot be written. Nothing is left of them.
        """
        directory = self.path / _STAGING
        if not array.is_contiguous or array.chunk_bytes < _CHUNK_BYTES_MIN:
            raise StagingError
        try:
            # The server takes only what is its own user's.
            if directory.stat(follow_symlinks=False).st_uid != os.geteuid() or not os.access(directory, os.W_OK):
                raise StagingError
        except OSError as error:
            raise StagingError from error
        staged = StagedFiles(directory)
        try:
            with failures("the content", self.path):
                staged.write(parts, array)
        except BaseException:
            staged.discard()
            raise
        return staged


class StagedFiles:
    """Files that are handed to the server; a context manager that removes what the server has not taken.

    Attributes
    ----------
    files
        The name of each chunk's file by the chunk's key.
    """

    def __init__(self, directory: Path) -> None:
        self._directory = directory
        self.files: dict[str, str] = {}

    def write(self, parts: Iterable[Bytes], array: ArraySpec) -> None:
        """Write each chunk to a file of its own, filled up to its full shape."""
        rest = _Rest(parts)
        sealing: deque[Future[None]] = deque()
        opened: list[NewFile] = []
        with ThreadPoolExecutor(_SYNCHRONISING, thread_name_prefix="moc_staging") as pool:
            try:
                for key, length in array_runs(array):
                    name = secrets.token_hex(16)
                    file = NewFile(self._directory / name)
                    self.files[key] = name
                    opened.append(file)
                    for part in rest.take(length):
                        file.write(part)
                    if length < array.chunk_bytes:
                        file.write(bytes(array.chunk_bytes - length))
                    sealing.append(pool.submit(file.seal))
                    if len(sealing) >= 2 * _SYNCHRONISING:
                        sealing.popleft().result()
                rest.check_end()
                for each in sealing:
                    each.result()
            except BaseException:
                pool.shutdown(cancel_futures=True)
                for file in opened:
                    file.discard()
                raise

    def discard(self) -> None:
        """Remove what is left of the files; idempotent."""
        for name in self.files.values():
            remove(self._directory / name)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.discard()


class _Rest:
    """What is left of parts, of which pieces of given lengths are taken."""

    def __init__(self, parts: Iterable[Bytes]) -> None:
        self._parts = iter(parts)
        self._left = memoryview(b"")

    def take(self, length: int) -> Iterator[memoryview]:
        """Give the next `length` bytes in pieces."""
        while length:
            if not self._left:
                part = next(self._parts, None)
                if part is None:
                    raise InvalidInputError(f"The content ends {length:,} bytes too early.")
                self._left = memoryview(part)
            piece, self._left = self._left[:length], self._left[length:]
            length -= len(piece)
            yield piece

    def check_end(self) -> None:
        """Refuse what comes behind the last piece."""
        if self._left or any(len(each) for each in self._parts):
            raise InvalidInputError("The content has more bytes than it was said to have.")


class ChunkFiles:
    """The chunks of one version of a plain array, as files; an :class:`..arrays.reader.ChunkSource`.

    Parameters
    ----------
    told
        What the server says of chunks: a file with its size and checksum.
    others
        Has the chunks of which it says nothing.
    """

    def __init__(
        self, shared: SharedDirectory, told: Mapping[str, Mapping[str, Any]], others: ChunkSource, what: str
    ) -> None:
        self._root = shared.path
        self._told = told
        self._others = others
        self._what = what

    def read(self, chunk_key: str, start: int, stop: int) -> Bytes:
        """Give bytes ``[start, stop)`` of a chunk; VanishedError if its file is gone."""
        told = self._told.get(chunk_key)
        if told is None:
            return self._others.read(chunk_key, start, stop)
        with self._opened(told) as descriptor:
            return os.pread(descriptor, stop - start, start)

    def read_whole(self, chunk_key: str) -> Bytes:
        """Give a whole chunk, whose checksum is right; VanishedError if its file is gone."""
        told = self._told.get(chunk_key)
        if told is None:
            return self._others.read_whole(chunk_key)
        size = int(told["size"])
        with self._opened(told) as descriptor:
            content = _read(descriptor, size)
        if len(content) != size or google_crc32c.value(content) != told["crc32c"]:
            raise CorruptStorageError(self._what, f"its chunk {chunk_key} is not what was stored")
        return content.data

    @contextlib.contextmanager
    def _opened(self, told: Mapping[str, Any]) -> Iterator[int]:
        # Never any other path, whatever a server says.
        if not _OBJECT.fullmatch(str(told["file"])):
            raise CorruptStorageError(self._what, f"{str(told['file'])[:64]!r} is no file of a chunk")
        try:
            descriptor = os.open(self._root / told["file"], os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC)
        except FileNotFoundError as error:
            raise VanishedError from error
        try:
            yield descriptor
        finally:
            os.close(descriptor)


def _read(descriptor: int, size: int) -> numpy.ndarray[Any, Any]:
    """Read up to `size` bytes from the start, into memory of the caller's own."""
    import numpy

    # Not a bytearray, which would be filled with zeros first.
    content = numpy.empty(size, numpy.uint8)
    done = 0
    # Linux reads 2 GiB less a page at once.
    while done < size and (count := os.preadv(descriptor, [content[done:].data], done)):
        done += count
    return content[:done]
