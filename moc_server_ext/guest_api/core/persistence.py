"""The durable key-value store, for functions with a grant ``kv:PREFIX``."""

from __future__ import annotations

import json
from collections.abc import Callable
from functools import partial
from typing import Final

from ...abc import KeyValues
from ...errors import KeyNotFoundError, ReadOnlyStorageError, StorageFullError
from ..context import CallContext
from ..errno import Errno, GuestErrno
from ..registry import Work
from .module import CORE
from .support import changing_services_of, check_grant, give

_KEY_BYTES: Final = 4096
_VALUE_BYTES: Final = 64 << 20
_PAGE: Final = 500


def _open(call: CallContext, key: bytes) -> KeyValues:
    services = changing_services_of(call)
    # Bytes that are no text keep their place: a prefix stays a prefix.
    check_grant(call, "kv", key.decode(errors="surrogateescape"))
    return services.kv


def _read(call: CallContext, ptr: int, length: int, limit: int, *, least: int = 0) -> bytes:
    if not least <= length & 0xFFFF_FFFF <= limit:
        raise GuestErrno(Errno.EINVAL)
    return call.memory.read(ptr, length)


@CORE.function("persistence_set", waits=True)
def persistence_set(call: CallContext, key_ptr: int, key_length: int, value_ptr: int, value_length: int) -> Work:
    """Store a value under a key; durable on return.

    Returns
    -------
    int
        0. -EACCES without a grant for the key, -EINVAL for a key that is empty or longer than 4,096 bytes or a value
        beyond 64 MiB, -ENOSPC on a full disk, -EROFS on a storage that cannot be written, -ENOSYS outside of a cluster
        and for a function that declares itself deterministic, -EFAULT as everywhere.
    """
    key = _read(call, key_ptr, key_length, _KEY_BYTES, least=1)
    kv = _open(call, key)
    value = _read(call, value_ptr, value_length, _VALUE_BYTES)

    def run() -> int:
        _storing(lambda: kv.set(key, value))
        return 0

    return Work(run)


@CORE.function("persistence_get", waits=True)
def persistence_get(call: CallContext, key_ptr: int, key_length: int) -> Work:
    """Give a new buffer with the value of a key.

    Returns
    -------
    int
        The buffer's id. -ENOENT if there is no such key, -EACCES without a grant for it, -EINVAL for a key that is
        empty or longer than 4,096 bytes, -ENOSPC when the value would not fit into the call's buffers, -EMFILE beyond
        the limit `buffers`, -ENOSYS outside of a cluster and for a function that declares itself deterministic, -EFAULT
        as everywhere.
    """
    key = _read(call, key_ptr, key_length, _KEY_BYTES, least=1)
    kv = _open(call, key)

    def run() -> bytes:
        try:
            return kv.get(key)
        except KeyNotFoundError:
            raise GuestErrno(Errno.ENOENT) from None

    return Work(run, partial(give, call))


@CORE.function("persistence_get_subset", waits=True)
def persistence_get_subset(call: CallContext, prefix_ptr: int, prefix_length: int) -> Work:
    """Give a new buffer with all keys that begin with a prefix and their values, as a JSON object.

    Bytes that are no UTF-8 are replaced by U+FFFD: use ``persistence_get`` for them.

    Returns
    -------
    int
        The buffer's id. -EACCES unless a grant covers the whole prefix, -EINVAL for one longer than 4,096 bytes,
        -ENOSPC when it would not fit into the call's buffers, -EMFILE beyond the limit `buffers`, -ENOSYS outside of a
        cluster and for a function that declares itself deterministic, -EFAULT as everywhere.
    """
    prefix = _read(call, prefix_ptr, prefix_length, _KEY_BYTES)
    kv = _open(call, prefix)
    return Work(partial(_subset, kv, prefix, call.invocation.limits.scratch_bytes), partial(give, call))


def _subset(kv: KeyValues, prefix: bytes, room: int) -> bytes:
    found: dict[str, str] = {}
    after: bytes | None = None
    while True:
        keys = kv.list(prefix, limit=_PAGE, after=after)
        for key in keys:
            try:
                value = kv.get(key)
            except KeyNotFoundError:
                # Deleted since the keys were listed.
                continue
            room -= len(key) + len(value)
            if room < 0:
                raise GuestErrno(Errno.ENOSPC)
            found[key.decode(errors="replace")] = value.decode(errors="replace")
        if len(keys) < _PAGE:
            return json.dumps(found, ensure_ascii=False).encode()
        after = keys[-1]


def _storing(act: Callable[[], None]) -> None:
    try:
        act()
    except StorageFullError:
        raise GuestErrno(Errno.ENOSPC) from None
    except ReadOnlyStorageError:
        raise GuestErrno(Errno.EROFS) from None
