"""Writes by Zarr key that appear at once: seen by whoever makes them, and by others when all of them are stored.

Values are made durable aside as they are set. What was set and removed lies over what is stored, in memory, until it is
committed as one group of writes.
"""

from __future__ import annotations

import threading
from collections.abc import Iterator

from ..abc import Bytes
from ..errors import StorageError
from .cutting import StagedChunk
from .writes import Writer
from .zarr_writes import ZarrKeys, check_directory, check_key


class ZarrSession:
    """The keys of a storage for a store whose writes appear at once: ``WritableKeys``. Thread-safe."""

    def __init__(self, keys: ZarrKeys, writer: Writer) -> None:
        self._stored = keys
        self._writer = writer
        self._lock = threading.RLock()
        # None is what was removed.
        self._changed: dict[str, StagedChunk | None] = {}
        self._ended = False

    # -- reading ------------------------------------------------------------------------------------------------------

    def read(self, key: str, start: int = 0, stop: int | None = None) -> bytes | None:
        """Read bytes ``[start, stop)`` of a key; None if there is no such key."""
        with self._lock:
            self._check_open()
            if key in self._changed:
                staged = self._changed[key]
                return None if staged is None else staged.read(start, stop)
        return self._stored.read(key, start, stop)

    def read_whole(self, key: str) -> Bytes | None:
        """Read the value of a key; None if there is no such key."""
        with self._lock:
            self._check_open()
            if key in self._changed:
                staged = self._changed[key]
                return None if staged is None else staged.read(0, None)
        return self._stored.read_whole(key)

    def read_last(self, key: str, count: int) -> bytes | None:
        """Read the last bytes of a key; None if there is no such key."""
        with self._lock:
            self._check_open()
            if key in self._changed:
                staged = self._changed[key]
                return None if staged is None else staged.read(max(len(staged) - count, 0), None)
        return self._stored.read_last(key, count)

    def size(self, key: str) -> int | None:
        """Tell the size of a key's value; None if there is no such key."""
        with self._lock:
            self._check_open()
            if key in self._changed:
                staged = self._changed[key]
                return None if staged is None else len(staged)
        return self._stored.size(key)

    def keys(self, prefix: str) -> Iterator[str]:
        """List the keys that begin with `prefix`."""
        with self._lock:
            self._check_open()
            changed = {key: staged is not None for key, staged in self._changed.items() if key.startswith(prefix)}
        yield from (key for key in self._stored.keys(prefix) if key not in changed)
        yield from (key for key, is_there in changed.items() if is_there)

    def names(self, prefix: str) -> set[str]:
        """List the names directly below `prefix`, which ends with ``/`` unless it is empty."""
        with self._lock:
            is_changed = any(key.startswith(prefix) and staged is None for key, staged in self._changed.items())
        if is_changed:
            return {key[len(prefix) :].partition("/")[0] for key in self.keys(prefix)}
        with self._lock:
            added = {key[len(prefix) :].partition("/")[0] for key in self._changed if key.startswith(prefix)}
        return self._stored.names(prefix) | added

    # -- writing ------------------------------------------------------------------------------------------------------

    def set(self, key: str, content: Bytes) -> None:
        """Store with the others; durable aside on return.

        Raises
        ------
        ReadOnlyKeyError, InvalidInputError
            The key is not below ``buffers/``; it cannot be a key there. Nothing was changed.
        StorageFullError, ReadOnlyStorageError, StorageError
            What was set before under this key is unchanged.
        """
        check_key(key)
        self._change(key, self._stored.staged(key, content))

    def set_if_absent(self, key: str, content: Bytes) -> None:
        """Store, unless there is something: asked and done at once, as far as this session goes."""
        if self.size(key) is not None:
            return
        check_key(key)
        staged = self._stored.staged(key, content)
        with self._lock:
            if self.size(key) is None:
                self._change(key, staged)
                return
        staged.discard()

    def delete(self, key: str) -> None:
        """Remove; nothing happens if there is no such key. Raises as :meth:`set` does."""
        if self.size(key) is not None:
            check_key(key)
            self._change(key, None)

    def delete_below(self, prefix: str) -> None:
        """Remove all keys that begin with `prefix`. Raises as :meth:`set` does."""
        check_directory(prefix)
        with self._lock:
            for key in [each for each in self.keys(prefix) if each.count("/") > 1]:
                self._change(key, None)

    # -- the end ------------------------------------------------------------------------------------------------------

    def commit(self) -> None:
        """Store all that was set and removed, at once; durable on return.

        Raises
        ------
        StorageFullError, ReadOnlyStorageError, StorageError
            Nothing of it is visible, and nothing is left of it.
        """
        with self._lock:
            self._check_open()
            self._ended = True
            changed, self._changed = self._changed, {}
        try:
            with self._writer.group() as group:
                # What is removed comes first: it may take back what a document says, and a new one says it anew.
                for key in [each for each, staged in changed.items() if staged is None]:
                    self._stored.remove(group, key)
                for key, staged in changed.items():
                    if staged is not None:
                        self._stored.add(group, key, staged)
        finally:
            _discard(changed)

    def abandon(self) -> None:
        """Forget it all; idempotent."""
        with self._lock:
            self._ended = True
            changed, self._changed = self._changed, {}
        _discard(changed)

    def _change(self, key: str, staged: StagedChunk | None) -> None:
        with self._lock:
            before = self._changed.get(key)
            if not self._ended:
                self._changed[key] = staged
            elif staged is not None:
                before = staged
        if before is not None:
            before.discard()
        self._check_open()

    def _check_open(self) -> None:
        if self._ended:
            raise StorageError("This group of Zarr writes has ended; begin another.")


def _discard(changed: dict[str, StagedChunk | None]) -> None:
    for staged in changed.values():
        if staged is not None:
            staged.discard()
