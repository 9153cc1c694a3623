"""``wasmtime.Engine`` objects and how they are configured.

Two profiles share one machine code (only where instances live differs), so a module is compiled once:

pooled
    Instances live in a pool of slots reserved at the start: the fast, usual one.
large
    Each instance maps its own memory: for modules that the pool refuses, such as those with several memories or with
    tables of more than 20,000 elements.

A third configuration, for compiling in a child process, is `large` too: it reserves nothing.
"""

from __future__ import annotations

import faulthandler
import mmap
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final, Literal

import wasmtime
from wasmtime import _bindings

from ...errors import UnavailableError
from . import capi

ProfileName = Literal["pooled", "large"]

CONFIGURATION: Final = "epochs nan-canonical exceptions no-gc no-threads debug-lines 2"
"""Says how code is compiled; part of the key of every compiled module. Change it whenever :func:`_config` changes."""

TABLE_ELEMENTS: Final = 20_000
# Of all tables of a guest: 8 bytes each, beside the memory that is counted.
LARGE_TABLE_ELEMENTS: Final = 1_000_000
TABLES: Final = 4
_KEEP_RESIDENT_BYTES: Final = 64 << 10
_MAX_MEMORY_BYTES: Final = 4 << 30
_SLOT_BYTES: Final = _MAX_MEMORY_BYTES + (64 << 20)
_MAX_SLOTS: Final = 10_000
_LEAST_SLOTS: Final = 16
_USUAL_MAPS: Final = 65_530
_NO_RESERVE: Final = getattr(mmap, "MAP_NORESERVE", 0)
_MAPS_PER_SLOT: Final = 5
_MAPS_FOR_OTHERS: Final = 10_000


def make_engine(profile: ProfileName) -> tuple[wasmtime.Engine, int]:
    """Build a ``wasmtime.Engine``, and tell how many guests it can hold; takes milliseconds.

    ``faulthandler`` is enabled first where it is not: enabled later, it would take over the signals by which guests
    trap, and a guest's trap would end the process.
    """
    if not faulthandler.is_enabled():
        faulthandler.enable(2)
    config = _config()
    slots = _MAX_SLOTS
    if profile == "pooled":
        slots = pool_slots()
        _use_pool(config, slots)
    return wasmtime.Engine(config), slots


def pool_slots() -> int:
    """How many guests the pool can hold here.

    As many as the kernel's limit of memory maps allows, at most 10,000, and fewer where the address space of this
    process is limited or taken: a pool that cannot be reserved would end the process. Each slot takes 4 GiB of the
    128 TiB that a process can address, so that as much is left free as is taken, for whoever comes next.

    Raises
    ------
    UnavailableError
        There is not even room for 16.
    """
    try:
        maps = int(Path("/proc/sys/vm/max_map_count").read_text())
    except (OSError, ValueError):
        maps = _USUAL_MAPS
    slots = max(_LEAST_SLOTS, min(_MAX_SLOTS, (maps - _MAPS_FOR_OTHERS) // _MAPS_PER_SLOT))
    while not _can_reserve(2 * slots * _SLOT_BYTES):
        slots //= 2
        if slots < _LEAST_SLOTS:
            raise UnavailableError(
                f"This process may not reserve the address space for {_LEAST_SLOTS} guests "
                f"({_LEAST_SLOTS * _SLOT_BYTES >> 30} GiB, reserved and not used). "
                "Raise the limit with `ulimit -v unlimited` and start it again."
            )
    return slots


def _can_reserve(size: int) -> bool:
    try:
        mmap.mmap(-1, size, flags=mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS | _NO_RESERVE, prot=0).close()
    except (OSError, ValueError):
        return False
    return True


def _config() -> wasmtime.Config:
    with _backtrace_details():
        config = wasmtime.Config()
    config.epoch_interruption = True
    config.cranelift_nan_canonicalization = True
    config.wasm_exceptions = True
    # Its heap would lie outside of the memory that a call's limit counts.
    _bindings.wasmtime_config_wasm_gc_set(config.ptr(), False)
    # A guest that waits on a shared memory would block the thread that polls it.
    config.wasm_threads = False
    config.shared_memory = False
    return config


def _use_pool(config: wasmtime.Config, slots: int) -> None:
    pool = _bindings.wasmtime_pooling_allocation_config_new()
    try:
        for name, value in {
            "total_core_instances": slots,
            "total_memories": slots,
            "total_tables": slots * TABLES,
            "total_stacks": slots,
            "max_tables_per_module": TABLES,
            "table_elements": TABLE_ELEMENTS,
            "max_memory_size": _MAX_MEMORY_BYTES,
            "linear_memory_keep_resident": _KEEP_RESIDENT_BYTES,
            "table_keep_resident": 4 << 10,
            "async_stack_keep_resident": 16 << 10,
        }.items():
            capi.pool_setter(name)(pool, value)
        _bindings.wasmtime_pooling_allocation_strategy_set(config.ptr(), pool)
    finally:
        _bindings.wasmtime_pooling_allocation_config_delete(pool)


@contextmanager
def _backtrace_details() -> Iterator[None]:
    # The C API has no setter for file and line in backtraces: a new Config reads this variable, and nothing else does.
    name = "WASMTIME_BACKTRACE_DETAILS"
    before = os.environ.get(name)
    os.environ[name] = "1"
    try:
        yield
    finally:
        if before is None:
            del os.environ[name]
        else:
            os.environ[name] = before
