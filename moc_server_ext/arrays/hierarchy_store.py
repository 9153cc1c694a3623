"""A read-only Zarr store over an ``abc.Hierarchy``: how zarr and xarray read what a server or a storage has.

The one module of this package that needs zarr when it is imported: import it where it is used.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Iterable
from typing import TYPE_CHECKING, Final

from zarr.abc.store import ByteRequest, OffsetByteRequest, RangeByteRequest, Store, SuffixByteRequest
from zarr.core.buffer import Buffer, BufferPrototype

from ..abc import Hierarchy
from ..errors import CorruptStorageError

if TYPE_CHECKING:
    from typing import Any, Never

_PAGE: Final = 1000
# Comes behind everything that a key can have behind a slash.
_BEHIND_ALL: Final = "\x7f"


class HierarchyStore(Store):
    """What lies below a path of a hierarchy, as a :class:`zarr.abc.store.Store` that cannot be written.

    Reads happen on threads, never on zarr's event loop. Two stores are equal when they show the same path of the same
    hierarchy. It cannot be pickled: it leads through this process's connection or storage.

    Parameters
    ----------
    path
        The node that is the store's root; empty is the whole hierarchy.
    whole
        Whether the root is an array of which every chunk was stored: a missing one is CorruptStorageError then, and
        nothing to be filled.
    """

    def __init__(self, hierarchy: Hierarchy, path: str = "", *, whole: bool = False) -> None:
        super().__init__(read_only=True)
        self._hierarchy = hierarchy
        self._path = path.strip("/")
        self._root = f"{self._path}/" if self._path else ""
        self._whole = whole

    supports_writes: bool = False
    supports_deletes: bool = False
    supports_listing: bool = True
    supports_partial_writes = False

    def with_read_only(self, read_only: bool = False) -> HierarchyStore:
        """Give the same store again; ValueError when it is to be written."""
        if not read_only:
            self._refuse()
        return type(self)(self._hierarchy, self._path, whole=self._whole)

    # -- reading ----------------------------------------------------------------------------------------------------

    async def get(self, key: str, prototype: BufferPrototype, byte_range: ByteRequest | None = None) -> Buffer | None:
        """Give the value of a key, or a part of it; None if there is no such key."""
        await self._ensure_open()
        content = await asyncio.to_thread(self._read, self._root + key, byte_range)
        if content is None and self._whole and (key == "c" or key.startswith("c/")):
            raise CorruptStorageError(f"chunk {self._root + key!r}", "it is missing")
        return None if content is None else prototype.buffer.from_bytes(content)

    async def get_partial_values(
        self, prototype: BufferPrototype, key_ranges: Iterable[tuple[str, ByteRequest | None]]
    ) -> list[Buffer | None]:
        """Give several values or parts of them."""
        return list(await asyncio.gather(*(self.get(key, prototype, part) for key, part in key_ranges)))

    async def exists(self, key: str) -> bool:
        """Tell whether there is such a key."""
        return await asyncio.to_thread(self._hierarchy.size, self._root + key) is not None

    async def getsize(self, key: str) -> int:
        """Tell the size of a value in bytes; FileNotFoundError if there is no such key."""
        size = await asyncio.to_thread(self._hierarchy.size, self._root + key)
        if size is None:
            raise FileNotFoundError(key)
        return size

    def _read(self, key: str, byte_range: ByteRequest | None) -> bytes | None:
        if byte_range is None:
            return self._hierarchy.read(key)
        if isinstance(byte_range, RangeByteRequest):
            return self._hierarchy.read(key, byte_range.start, byte_range.end)
        if isinstance(byte_range, OffsetByteRequest):
            return self._hierarchy.read(key, byte_range.offset)
        if isinstance(byte_range, SuffixByteRequest):
            size = self._hierarchy.size(key)
            return None if size is None else self._hierarchy.read(key, max(0, size - byte_range.suffix))
        raise ValueError(f"Unexpected byte_range, got {byte_range}.")

    # -- listing ----------------------------------------------------------------------------------------------------

    async def list(self) -> AsyncIterator[str]:
        """List all keys."""
        async for key in self.list_prefix(""):
            yield key

    async def list_prefix(self, prefix: str) -> AsyncIterator[str]:
        """List the keys that begin with `prefix`."""
        after: str | None = None
        while keys := await asyncio.to_thread(self._hierarchy.list, self._root + prefix, limit=_PAGE, after=after):
            for key in keys:
                yield key[len(self._root) :]
            if len(keys) < _PAGE:
                return
            after = keys[-1]

    async def list_dir(self, prefix: str) -> AsyncIterator[str]:
        """List the names directly below `prefix`, without looking at everything below them."""
        directory = f"{self._root}{prefix.strip('/')}/" if prefix.strip("/") else self._root
        after: str | None = None
        last: str | None = None
        while keys := await asyncio.to_thread(self._hierarchy.list, directory, limit=_PAGE, after=after):
            for key in keys:
                name = key[len(directory) :].partition("/")[0]
                if name != last:
                    yield name
                last = name
            if len(keys) < _PAGE:
                return
            inside = "/" in keys[-1][len(directory) :]
            after = f"{directory}{last}/{_BEHIND_ALL}" if inside else keys[-1]

    # -- writing ----------------------------------------------------------------------------------------------------

    async def set(self, key: str, value: Buffer) -> None:
        """Refuse: the store is read-only."""
        self._refuse()

    async def delete(self, key: str) -> None:
        """Refuse: the store is read-only."""
        self._refuse()

    def _check_writable(self) -> None:
        self._refuse()

    def _refuse(self) -> Never:
        # Of the class that zarr itself raises for its stores.
        raise ValueError(
            "This Zarr store is read-only and does not support writing. Store arrays with moc.buffers[name] = value."
        )

    def __eq__(self, other: object) -> bool:
        return isinstance(other, HierarchyStore) and (self._hierarchy, self._path) == (other._hierarchy, other._path)

    __hash__ = None  # type: ignore[assignment]

    def __reduce__(self) -> Any:
        raise TypeError(
            "This Zarr store cannot be pickled: it leads through a connection of this process. "
            "Open the same data elsewhere with moc.zarr_url(name)."
        )

    def __repr__(self) -> str:
        return f"HierarchyStore({self._path!r})"
