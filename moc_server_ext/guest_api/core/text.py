"""Base64, the log and the clock."""

from __future__ import annotations

import base64
import binascii
import time
from collections.abc import Iterator
from typing import Final

from ..context import CallContext
from ..errno import Errno, GuestErrno
from .module import CORE
from .support import check_room, give

_TIME_BYTES: Final = 8
# A step of encoding and decoding, during which nobody else runs; both 3 and 4 divide it.
_STEP_BYTES: Final = 384 << 10
# Numbered as in the logging interface of WASI and in the ABI of proxies.
_LEVELS: Final = (b"trace", b"debug", b"info", b"warn", b"error", b"critical")


@CORE.function("base64_encode")
def base64_encode(call: CallContext, ptr: int, length: int) -> int:
    """Give a new buffer with the bytes in Base64, padded.

    Returns
    -------
    int
        The buffer's id. -ENOSPC when the call's buffers have no room, -EMFILE beyond the limit `buffers`, -EFAULT as
        everywhere.
    """
    length &= 0xFFFF_FFFF
    check_room(call, length * 4 // 3)
    return give(call, *[base64.b64encode(part) for part in _steps(call, ptr, length)])


@CORE.function("base64_decode")
def base64_decode(call: CallContext, ptr: int, length: int) -> int:
    """Give a new buffer with the bytes behind padded Base64.

    Returns
    -------
    int
        The buffer's id. -EINVAL for what is no Base64, -ENOSPC when the call's buffers have no room, -EMFILE beyond the
        limit `buffers`, -EFAULT as everywhere.
    """
    length &= 0xFFFF_FFFF
    check_room(call, length * 3 // 4)
    decoded: list[bytes] = []
    try:
        for part in _steps(call, ptr, length):
            if decoded and len(decoded[-1]) * 4 != _STEP_BYTES * 3:
                # It was padded, which only the last may be.
                raise GuestErrno(Errno.EINVAL)
            decoded.append(base64.b64decode(part, validate=True))
    except binascii.Error:
        raise GuestErrno(Errno.EINVAL) from None
    return give(call, *decoded)


def _steps(call: CallContext, pointer: int, length: int) -> Iterator[bytes]:
    """Read guest memory a step at a time, so that others run meanwhile and a huge wish ends with the call's time."""
    call.memory.check(pointer, length)
    for offset in range(0, length, _STEP_BYTES):
        if offset and time.monotonic() > call.deadline:
            raise call.overdue()
        yield call.memory.read(pointer + offset, min(_STEP_BYTES, length - offset))


@CORE.function("print_debug")
def print_debug(call: CallContext, ptr: int, length: int) -> int:
    """Log one line of text, to the call's stderr.

    Returns
    -------
    int
        0. -EFAULT as everywhere. Beyond the limit stderr_bytes the call ends.
    """
    text = _read_line(call, ptr, length)
    call.write_stderr(text if text.endswith(b"\n") else text + b"\n")
    return 0


@CORE.function("log")
def log(call: CallContext, level: int, ptr: int, length: int) -> int:
    """Log text, to the call's stderr, with its level at the beginning of each line: ``[warn] …``.

    Parameters
    ----------
    level
        0 trace, 1 debug, 2 info, 3 warn, 4 error, 5 critical.
    ptr, length
        The text, ``[ptr, ptr + length)`` in guest memory.

    Returns
    -------
    int
        0. -EINVAL for another level, -EFAULT as everywhere. Beyond the limit stderr_bytes the call ends.
    """
    if not 0 <= level < len(_LEVELS):
        raise GuestErrno(Errno.EINVAL)
    text = _read_line(call, ptr, length)
    mark = b"[%s] " % _LEVELS[level]
    call.check_stderr(len(text) + (text.count(b"\n") + 1) * len(mark))
    call.write_stderr(b"".join(b"%s%s\n" % (mark, line) for line in text.removesuffix(b"\n").split(b"\n")))
    return 0


def _read_line(call: CallContext, pointer: int, length: int) -> bytes:
    # What has no room is not even copied.
    call.memory.check(pointer, length)
    call.check_stderr(length & 0xFFFF_FFFF)
    return call.memory.read(pointer, length)


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
        0. -EINVAL when `length` is less than 8, -ENOSYS for a function that declares itself deterministic,
        -EFAULT as everywhere.
    """
    if call.invocation.deterministic:
        raise GuestErrno(Errno.ENOSYS)
    if length & 0xFFFF_FFFF < _TIME_BYTES:
        raise GuestErrno(Errno.EINVAL)
    call.memory.write_u64(ptr, time.time_ns())
    return 0
