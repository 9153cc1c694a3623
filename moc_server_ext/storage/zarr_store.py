"""The storage as a store of zarr-python: every capability of ``zarr.abc.store.Store``.

zarr-python runs stores on an event loop of its own, shared by all arrays of the process. What blocks (the catalog,
files, synchronisation) runs in threads, so that chunks are read and written side by side.

What the keys mean and how they are written is in :mod:`.zarr_view`, :mod:`.zarr_writes` and :mod:`.zarr_session`.
Whoever imports this module loads zarr-python.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Iterable, Iterator
from itertools import islice
from typing import Any, Protocol, Self, TypeVar

from zarr.abc.store import ByteRequest, OffsetByteRequest, RangeByteRequest, Store, SuffixByteRequest
from zarr.core.buffer import Buffer, BufferPrototype, default_buffer_prototype

from ..abc import Bytes

_PAGE = 1000

Result = TypeVar("Result")


class Keys(Protocol):
    """What a store reads. All methods block and are thread-safe."""

    def read(self, key: str, start: int = 0, stop: int | None = None) -> bytes | None:
        """Read bytes ``[start, stop)`` of a key; None if there is no such key."""
        ...

    def read_whole(self, key: str) -> Bytes | None:
        """Read the value of a key, into memory of its own; None if there is no such key."""
        ...

    def read_last(self, key: str, count: int) -> bytes | None:
        """Read the last bytes of a key; None if there is no such key."""
        ...

    def size(self, key: str) -> int | None:
        """Tell the size of a key's value; None if there is no such key."""
        ...

    def keys(self, prefix: str) -> Iterator[str]:
        """List the keys that begin with `prefix`."""
        ...

    def names(self, prefix: str) -> set[str]:
        """List the names directly below `prefix`, which ends with ``/`` unless it is empty."""
        ...


class WritableKeys(Keys, Protocol):
    """What a store reads and writes. Keys that may not be written raise ReadOnlyKeyError."""

    def set(self, key: str, content: Bytes) -> None:
        """Store; durable on return, unless it is a part of a group."""
        ...

    def set_if_absent(self, key: str, content: Bytes) -> None:
        """Store, unless there is something: asked and done at once."""
        ...

    def delete(self, key: str) -> None:
        """Remove; nothing happens if there is no such key."""
        ...

    def delete_below(self, prefix: str) -> None:
        """Remove all keys that begin with `prefix`, which ends with ``/`` unless it is empty."""
        ...


class ReadOnlyStore(Store):
    """Keys as a store that is never written.

    Parameters
    ----------
    keys
        What is read.
    path
        Where the store has its root among the keys; empty for all of them.
    """

    supports_writes: bool = False
    supports_deletes: bool = False
    supports_listing: bool = True

    def __init__(self, keys: Keys, path: str = "", *, read_only: bool = True) -> None:
        super().__init__(read_only=read_only)
        self._keys = keys
        self.path = path.strip("/")
        self._prefix = f"{self.path}/" if self.path else ""

    def __eq__(self, other: object) -> bool:
        return type(other) is type(self) and (other._keys, other.path) == (self._keys, self.path)

    __hash__ = Store.__hash__

    def __repr__(self) -> str:
        return f"{type(self).__name__}({self.path!r})"

    def __reduce__(self) -> Any:
        raise TypeError(
            "A store over an open storage cannot be pickled: the storage is owned by one process. Others read it "
            "through a server: open `moc.zarr_store()` there."
        )

    # -- reading ------------------------------------------------------------------------------------------------------

    async def get(
        self, key: str, prototype: BufferPrototype | None = None, byte_range: ByteRequest | None = None
    ) -> Buffer | None:
        """Read a value, or a part of it; None if there is no such key.

        Raises
        ------
        CorruptStorageError
            It is damaged, or is a chunk that was stored and is missing.
        """
        await self._ensure_open()
        return await asyncio.to_thread(self.get_sync, key, prototype=prototype, byte_range=byte_range)

    def get_sync(
        self, key: str, *, prototype: BufferPrototype | None = None, byte_range: ByteRequest | None = None
    ) -> Buffer | None:
        """Read as :meth:`get` does, and block."""
        key = self._prefix + key
        content: Bytes | None
        match byte_range:
            case None:
                content = self._keys.read_whole(key)
            case RangeByteRequest(start, end):
                content = self._keys.read(key, start, end)
            case OffsetByteRequest(offset):
                content = self._keys.read(key, offset)
            case SuffixByteRequest(suffix):
                content = self._keys.read_last(key, suffix)
            case _:
                raise TypeError(f"Unexpected byte_range, got {byte_range}.")
        if content is None:
            return None
        # Zarr's buffers look at the memory as it is: nothing is copied.
        return (prototype or default_buffer_prototype()).buffer.from_bytes(content)

    async def get_partial_values(
        self, prototype: BufferPrototype, key_ranges: Iterable[tuple[str, ByteRequest | None]]
    ) -> list[Buffer | None]:
        """Read several values, or parts of them, side by side."""
        return await asyncio.gather(*(self.get(key, prototype, byte_range) for key, byte_range in key_ranges))

    async def exists(self, key: str) -> bool:
        """Tell whether there is such a key."""
        return await asyncio.to_thread(self._keys.size, self._prefix + key) is not None

    async def getsize(self, key: str) -> int:
        """Tell the size of a value in bytes, without reading it; FileNotFoundError if there is no such key."""
        size = await asyncio.to_thread(self._keys.size, self._prefix + key)
        if size is None:
            raise FileNotFoundError(key)
        return size

    async def getsize_prefix(self, prefix: str) -> int:
        """Add up the sizes of all values whose keys begin with `prefix`."""
        return await asyncio.to_thread(self._size_of_prefix, self._prefix + prefix)

    # -- listing ------------------------------------------------------------------------------------------------------

    async def list(self) -> AsyncIterator[str]:
        """List all keys."""
        async for key in self.list_prefix(""):
            yield key

    async def list_prefix(self, prefix: str) -> AsyncIterator[str]:
        """List the keys that begin with `prefix`."""
        keys = self._keys.keys(self._prefix + prefix)
        while page := await asyncio.to_thread(_page, keys):
            for key in page:
                yield key[len(self._prefix) :]

    async def list_dir(self, prefix: str) -> AsyncIterator[str]:
        """List the names directly below `prefix`."""
        for name in sorted(await asyncio.to_thread(self._keys.names, self._prefix + _directory(prefix))):
            yield name

    async def is_empty(self, prefix: str) -> bool:
        """Tell whether there is no key below `prefix`."""
        keys = self._keys.keys(self._prefix + _directory(prefix))
        return await asyncio.to_thread(next, keys, None) is None

    # -- not writing --------------------------------------------------------------------------------------------------

    def with_read_only(self, read_only: bool = False) -> Self:
        """Give a store at the same place; this kind is always read-only."""
        if not read_only:
            raise ValueError(f"{self!r} is a view of what was stored, and cannot be written.")
        return type(self)(self._keys, self.path)

    async def set(self, key: str, value: Buffer) -> None:
        """Refuse; ValueError."""
        self._check_writable()

    async def delete(self, key: str) -> None:
        """Refuse; ValueError."""
        self._check_writable()

    def _size_of_prefix(self, prefix: str) -> int:
        return sum(self._keys.size(key) or 0 for key in self._keys.keys(prefix))


class StorageStore(ReadOnlyStore):
    """The storage as a store: all of it is read, and what is below ``buffers/`` is written.

    Each value is durable when it was set. Made by :meth:`moc_server_ext.storage.Storage.zarr_store`, and for writes
    that appear at once by :meth:`moc_server_ext.storage.Storage.zarr_group`.
    """

    supports_writes: bool = True
    supports_deletes: bool = True

    def __init__(self, keys: WritableKeys, path: str = "", *, read_only: bool = False) -> None:
        super().__init__(keys, path, read_only=read_only)
        self._writable = keys

    def with_read_only(self, read_only: bool = False) -> Self:
        """Give a store at the same place that is read-only, or is not."""
        return type(self)(self._writable, self.path, read_only=read_only)

    async def set(self, key: str, value: Buffer) -> None:
        """Store a value; durable on return.

        Raises
        ------
        ReadOnlyKeyError
            The key is not below ``buffers/``. Nothing was changed.
        StorageFullError, ReadOnlyStorageError, StorageError
            The earlier value, if any, is unchanged.
        """
        await self._write(self._writable.set, key, _content(value))

    def set_sync(self, key: str, value: Buffer) -> None:
        """Store as :meth:`set` does, and block."""
        self._check_writable()
        self._writable.set(self._prefix + key, _content(value))

    async def set_if_not_exists(self, key: str, value: Buffer) -> None:
        """Store a value, unless there is one: asked and done at once. Raises as :meth:`set` does."""
        await self._write(self._writable.set_if_absent, key, _content(value))

    async def delete(self, key: str) -> None:
        """Remove a value, if there is one; durable on return. Raises as :meth:`set` does."""
        await self._write(self._writable.delete, key)

    def delete_sync(self, key: str) -> None:
        """Remove as :meth:`delete` does, and block."""
        self._check_writable()
        self._writable.delete(self._prefix + key)

    async def delete_dir(self, prefix: str) -> None:
        """Remove all that is below `prefix`, at once. Raises as :meth:`set` does."""
        await self._write(self._writable.delete_below, _directory(prefix))

    async def clear(self) -> None:
        """Remove all that is below the store's root, at once. Raises as :meth:`set` does."""
        await self.delete_dir("")

    async def _write(self, act: Callable[..., None], key: str, *arguments: Any) -> None:
        await self._ensure_open()
        self._check_writable()
        await asyncio.to_thread(act, self._prefix + key, *arguments)


def _content(value: object) -> Bytes:
    if not isinstance(value, Buffer):
        raise TypeError(f"A value is a zarr Buffer; found {type(value).__name__}.")
    return memoryview(value.as_buffer_like())


def _directory(prefix: str) -> str:
    return f"{prefix.rstrip('/')}/" if prefix.strip("/") else ""


def _page(keys: Iterator[str]) -> list[str]:
    return list(islice(keys, _PAGE))
