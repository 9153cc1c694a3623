"""Where compiled modules come from: memory, then disk, then the compiler; each blob is prepared once at a time."""

from __future__ import annotations

import threading
from collections import OrderedDict
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import Final

import wasmtime

from ...guest_api.registry import GuestModule
from .compilation import Compiler, refusal
from .disk_cache import Artifact, DiskCache
from .machine import Machine
from .prepared import Prepared, prepare
from .profiles import ProfileName

MEMORY_BYTES: Final = 256 << 20
_POOL_REFUSES: Final = "pooling allocator"


class Modules:
    """Prepared modules by blob id; safe for several threads.

    Parameters
    ----------
    modules
        What guests may import, by import module name.
    machine
        Gives the machine of a profile, built when first asked for.
    memory_bytes
        How much machine code stays loaded; the least recently used goes first.
    """

    def __init__(
        self,
        modules: Mapping[str, GuestModule],
        machine: Callable[[ProfileName], Machine],
        disk: DiskCache,
        *,
        memory_bytes: int = MEMORY_BYTES,
    ) -> None:
        self._modules = modules
        self._machine = machine
        self._disk = disk
        self._compiler = Compiler(lambda: machine("large"))
        self._memory_bytes = memory_bytes
        self._lock = threading.Lock()
        self._prepared: OrderedDict[str, Prepared] = OrderedDict()
        self._size = 0
        self._busy: dict[str, tuple[threading.Lock, int]] = {}

    def get(self, function: str, blob_id: str, load: Callable[[], bytes]) -> Prepared:
        """Give the module of a blob, compiling it when it must.

        Raises
        ------
        InvalidModuleError, MissingImportError
            It cannot run here. Nothing is kept of it.
        """
        found = self.at_hand(blob_id)
        if found is not None:
            return found
        with self._one_at_a_time(blob_id):
            with self._lock:
                found = self._prepared.get(blob_id)
            if found is None:
                found = self._make(function, blob_id, load)
                self._keep(blob_id, found)
        return found

    def at_hand(self, blob_id: str) -> Prepared | None:
        """Give the module of a blob if it is loaded; never blocks for long."""
        with self._lock:
            found = self._prepared.get(blob_id)
            if found is not None:
                self._prepared.move_to_end(blob_id)
        return found

    def clear(self) -> None:
        """Let go of all modules; those that run stay until they end."""
        with self._lock:
            self._prepared.clear()
            self._size = 0

    def _make(self, function: str, blob_id: str, load: Callable[[], bytes]) -> Prepared:
        with self._disk.open(blob_id) as kept:
            if kept is not None:
                try:
                    return self._place(function, kept)
                except wasmtime.WasmtimeError:
                    # Made by another version or for another processor; the key should have told, so it goes.
                    self._disk.remove(blob_id)
        artifact = self._compiler.compile(function, load())
        try:
            prepared = self._place(function, artifact)
        except wasmtime.WasmtimeError as error:
            raise refusal(function, str(error)) from None
        self._disk.put(blob_id, artifact)
        return prepared

    def _place(self, function: str, artifact: Artifact) -> Prepared:
        machine = self._machine("pooled")
        try:
            module = machine.load(artifact)
        except wasmtime.WasmtimeError as error:
            if _POOL_REFUSES not in str(error):
                raise
            machine = self._machine("large")
            module = machine.load(artifact)
        return prepare(function, machine, module, self._modules, artifact)

    def _keep(self, blob_id: str, prepared: Prepared) -> None:
        with self._lock:
            self._prepared[blob_id] = prepared
            self._size += prepared.size
            while self._size > self._memory_bytes and len(self._prepared) > 1:
                _, gone = self._prepared.popitem(last=False)
                self._size -= gone.size

    @contextmanager
    def _one_at_a_time(self, blob_id: str) -> Iterator[None]:
        with self._lock:
            lock, users = self._busy.get(blob_id, (threading.Lock(), 0))
            self._busy[blob_id] = lock, users + 1
        try:
            with lock:
                yield
        finally:
            with self._lock:
                lock, users = self._busy[blob_id]
                if users == 1:
                    del self._busy[blob_id]
                else:
                    self._busy[blob_id] = lock, users - 1
