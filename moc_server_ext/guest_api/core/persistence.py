"""The durable key-value store, for functions with a grant ``kv:PREFIX``."""

from __future__ import annotations

import json
import struct
from collections.abc import Callable
from functools import partial
from typing import Final, TypeVar

from ...abc import KeyValues
from ...errors import (
    InvalidInputError,
    KeyConflictError,
    KeyNotFoundError,
    NotGrantedError,
    ReadOnlyStorageError,
    StorageFullError,
)
from ...model import KEY_BYTES_MAX, VALUE_BYTES_MAX, key_to_json, parse_changes
from ..context import CallContext
from ..errno import Errno, GuestErrno
from ..registry import Work
from .module import CORE
from .support import Failure, changing_services_of, check_grant, give, missing_grant, refusal

# Read into objects, hostile JSON takes many times its size of the host's memory.
_CHANGES_JSON_BYTES: Final = 4 << 20
_KEYS_MAX: Final = 10_000
_INTEGER: Final = struct.Struct("<q")
_PAGE: Final = 500
_Given = TypeVar("_Given")


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
    key = _read(call, key_ptr, key_length, KEY_BYTES_MAX, least=1)
    kv = _open(call, key)
    value = _read(call, value_ptr, value_length, VALUE_BYTES_MAX)

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
    key = _read(call, key_ptr, key_length, KEY_BYTES_MAX, least=1)
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
    prefix = _read(call, prefix_ptr, prefix_length, KEY_BYTES_MAX)
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


@CORE.function("persistence_delete", waits=True)
def persistence_delete(call: CallContext, key_ptr: int, key_length: int) -> Work:
    """Remove a key with its value; durable on return.

    Returns
    -------
    int
        0. -ENOENT if there is no such key, -EACCES without a grant for it, -EINVAL for a key that is empty or longer
        than 4,096 bytes, -ENOSPC on a full disk, -EROFS on a storage that cannot be written, -ENOSYS outside of a
        cluster and for a function that declares itself deterministic, -EFAULT as everywhere.
    """
    key = _read(call, key_ptr, key_length, KEY_BYTES_MAX, least=1)
    kv = _open(call, key)

    def run() -> int:
        _storing(lambda: kv.delete(key))
        return 0

    return Work(run)


@CORE.function("persistence_compare_and_set", waits=True)
def persistence_compare_and_set(
    call: CallContext,
    key_ptr: int,
    key_length: int,
    expected_ptr: int,
    expected_length: int,
    value_ptr: int,
    value_length: int,
) -> Work:
    """Store a value under a key if the key has the expected value; durable on return.

    An `expected_length` of -1 expects that the key is not there; a `value_length` of -1 removes it.

    Returns
    -------
    int
        0. -EAGAIN when the key is not as expected: nothing was changed, and the guest reads it again. -EACCES without a
        grant for the key, -EINVAL for a key that is empty or longer than 4,096 bytes or a value beyond 64 MiB, -ENOSPC
        on a full disk, -EROFS on a storage that cannot be written, -ENOSYS outside of a cluster and for a function that
        declares itself deterministic, -EFAULT as everywhere.
    """
    key = _read(call, key_ptr, key_length, KEY_BYTES_MAX, least=1)
    kv = _open(call, key)
    expected = None if expected_length == -1 else _read(call, expected_ptr, expected_length, VALUE_BYTES_MAX)
    value = None if value_length == -1 else _read(call, value_ptr, value_length, VALUE_BYTES_MAX)

    def run() -> int:
        _storing(lambda: kv.compare_and_set(key, expected, value))
        return 0

    return Work(run)


@CORE.function("persistence_increment", waits=True)
def persistence_increment(call: CallContext, key_ptr: int, key_length: int, number_ptr: int, length: int) -> Work:
    """Add to the number under a key, which is ASCII decimal; a key that is not there counts as 0. Durable on return.

    What is added is the little-endian ``i64`` at `number_ptr`, in whose place the sum is written.

    Returns
    -------
    int
        0. -EINVAL when `length` is less than 8, for a key that is empty or longer than 4,096 bytes, for a value that is
        no such number, and for a sum beyond 64 bits; nothing was changed then. -EACCES without a grant for the key,
        -ENOSPC on a full disk, -EROFS on a storage that cannot be written, -ENOSYS outside of a cluster and for a
        function that declares itself deterministic, -EFAULT as everywhere.
    """
    key = _read(call, key_ptr, key_length, KEY_BYTES_MAX, least=1)
    kv = _open(call, key)
    if length & 0xFFFF_FFFF < _INTEGER.size:
        raise GuestErrno(Errno.EINVAL)
    (by,) = _INTEGER.unpack(call.memory.read(number_ptr, _INTEGER.size))

    def finish(total: int) -> int:
        # The memory was there when the addend was read, and never shrinks.
        call.memory.write(number_ptr, _INTEGER.pack(total))
        return 0

    return _explained(call, lambda: kv.increment(key, by), finish)


@CORE.function("persistence_list", waits=True)
def persistence_list(
    call: CallContext, prefix_ptr: int, prefix_length: int, after_ptr: int, after_length: int, limit: int
) -> Work:
    """Give a new buffer with up to `limit` keys that begin with a prefix and come after another key.

    It holds what the web API answers: ``{"keys": [{"key", "base64"}, ...]}`` in bytewise order, each key as text to
    look at and, exactly, in base64. An `after_length` of 0 begins at the first key. Fewer keys than `limit` are the
    last ones.

    Returns
    -------
    int
        The buffer's id. -EACCES unless a grant covers the whole prefix, -EINVAL for one longer than 4,096 bytes and for
        a limit that is not from 1 to 10,000, -ENOSPC when it would not fit into the call's buffers, -EMFILE beyond the
        limit `buffers`, -ENOSYS outside of a cluster and for a function that declares itself deterministic, -EFAULT as
        everywhere.
    """
    prefix = _read(call, prefix_ptr, prefix_length, KEY_BYTES_MAX)
    kv = _open(call, prefix)
    after = _read(call, after_ptr, after_length, KEY_BYTES_MAX)
    if not 1 <= limit <= _KEYS_MAX:
        raise GuestErrno(Errno.EINVAL)

    def run() -> bytes:
        keys = kv.list(prefix, limit=limit, after=after or None)
        return json.dumps({"keys": [key_to_json(key) for key in keys]}, ensure_ascii=False).encode()

    return Work(run, partial(give, call))


@CORE.function("persistence_apply", waits=True)
def persistence_apply(call: CallContext, changes_ptr: int, changes_length: int) -> Work:
    """Make several changes in one transaction, all of them or none; durable on return.

    They are a JSON list as the web API takes it (``POST kv``): ``{"change": "set", "key", "value"}``, ``{"change":
    "delete", "key"}``, ``{"change": "compare_and_set", "key", "expected", "value"}``, where null is a key that is not
    there, and ``{"change": "increment", "key", "by"}``; bytes that are no text go under ``key_base64`` and so on.

    Returns
    -------
    int
        The id of a new buffer with ``{"results": [...]}``, the sum of each increment and null for the others. -EAGAIN
        when a key is not as a change expects, -ENOENT when one that is to be removed is not there, -EACCES without a
        grant for each key, -EINVAL for what is no such list or longer than 4 MiB: nothing was changed then.
        -ENOSPC on a full disk and when the results would not fit into the call's buffers, -EMFILE beyond the limit
        `buffers`: the changes are made then. -EROFS on a storage that cannot be written, -ENOSYS outside of a cluster
        and for a function that declares itself deterministic, -EFAULT as everywhere.
    """
    kv = changing_services_of(call).kv
    content = _read(call, changes_ptr, changes_length, _CHANGES_JSON_BYTES)

    def apply() -> bytes:
        try:
            changes = parse_changes(json.loads(content))
        except (ValueError, RecursionError):
            raise InvalidInputError("The changes of persistence_apply are not JSON in UTF-8.") from None
        for each in changes:
            missing = missing_grant(call, "kv", each.key.decode(errors="surrogateescape"))
            if missing is not None:
                raise missing
        return json.dumps({"results": list(kv.apply(changes))}).encode()

    return _explained(call, apply, partial(give, call))


def _explained(call: CallContext, act: Callable[[], _Given], finish: Callable[[_Given], int]) -> Work:
    """Make work whose refusals for what the guest gave are told on its stderr."""

    def run() -> _Given | Failure:
        try:
            return _storing(act)
        except (InvalidInputError, NotGrantedError) as error:
            return Failure(error)

    def end(outcome: _Given | Failure) -> int:
        if isinstance(outcome, Failure):
            raise refusal(call, outcome.error)
        return finish(outcome)

    return Work(run, end)


def _storing(act: Callable[[], _Given]) -> _Given:
    try:
        return act()
    except StorageFullError:
        raise GuestErrno(Errno.ENOSPC) from None
    except ReadOnlyStorageError:
        raise GuestErrno(Errno.EROFS) from None
    except KeyNotFoundError:
        raise GuestErrno(Errno.ENOENT) from None
    except KeyConflictError:
        # No line on stderr: it is how guests that race find out, again and again.
        raise GuestErrno(Errno.EAGAIN) from None
