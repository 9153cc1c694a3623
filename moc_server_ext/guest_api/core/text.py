"""Base64, logging and the clock."""

from __future__ import annotations

import base64
import binascii
import time
from typing import Final

from ..context import CallContext
from ..errno import Errno, GuestErrno
from .module import CORE
from .support import check_room, give

_TIME_BYTES: Final = 8


@CORE.function("base64_encode")
def base64_encode(call: CallContext, ptr: int, length: int) -> int:
    """Give a new buffer with the bytes in Base64, padded."""
    check_room(call, (length & 0xFFFF_FFFF) * 4 // 3)
    return give(call, base64.b64encode(call.memory.read(ptr, length)))


@CORE.function("base64_decode")
def base64_decode(call: CallContext, ptr: int, length: int) -> int:
    """Give a new buffer with the bytes behind padded Base64; -EINVAL when it is none."""
    check_room(call, (length & 0xFFFF_FFFF) * 3 // 4)
    try:
        decoded = base64.b64decode(call.memory.read(ptr, length), validate=True)
    except binascii.Error:
        raise GuestErrno(Errno.EINVAL) from None
    return give(call, decoded)


@CORE.function("print_debug")
def print_debug(call: CallContext, ptr: int, length: int) -> int:
    """Log one line of text, to the call's stderr."""
    text = call.memory.read(ptr, length)
    call.write_stderr(text if text.endswith(b"\n") else text + b"\n")
    return 0


@CORE.function("test")
def test(call: CallContext) -> int:
    """Log that it was called, and give 0."""
    call.write_stderr(b"test\n")
    return 0


@CORE.function("is_trace")
def is_trace(_call: CallContext) -> int:
    """Tell whether the call is traced: 1, or 0; no call is at present."""
    return 0


@CORE.function("get_time")
def get_time(call: CallContext, ptr: int, length: int) -> int:
    """Write the time of day to guest memory: nanoseconds since 1970, UTC, as a little-endian ``i64``.

    Returns
    -------
    int
        0. -EINVAL when `length` is less than 8, -ENOSYS for a function that declares itself deterministic.
    """
    if call.invocation.deterministic:
        raise GuestErrno(Errno.ENOSYS)
    if length & 0xFFFF_FFFF < _TIME_BYTES:
        raise GuestErrno(Errno.EINVAL)
    call.memory.write_u64(ptr, time.time_ns())
    return 0
