"""WASI functions about the program itself: arguments, environment, clocks, random bytes, its end.

And those about sockets, of which there are none, and signals, which answer ENOTSUP.
"""

from __future__ import annotations

import struct
import time
from collections.abc import Sequence
from itertools import accumulate
from typing import NoReturn

from ...guest_api.context import CallContext
from ...guest_api.errno import Errno, GuestErrno
from ...guest_api.registry import I64
from .layout import CLOCK_MONOTONIC, CLOCK_REALTIME, U32, U64
from .memory_tree import MemoryDirectory
from .modules import PREVIEW1, both
from .state import GuestExit

_RANDOM_SLICE_BYTES = 1 << 16


@both("args_sizes_get")
def args_sizes_get(call: CallContext, count_pointer: int, size_pointer: int) -> int:
    """Tell how many arguments there are and how many bytes they take."""
    return _write_sizes(call, call.wasi.arguments, count_pointer, size_pointer)


@both("args_get")
def args_get(call: CallContext, pointers: int, strings: int) -> int:
    """Write the arguments and an array of pointers to them."""
    return _write_strings(call, call.wasi.arguments, pointers, strings)


@both("environ_sizes_get")
def environ_sizes_get(call: CallContext, count_pointer: int, size_pointer: int) -> int:
    """Tell how many environment variables there are and how many bytes they take."""
    return _write_sizes(call, call.wasi.environment, count_pointer, size_pointer)


@both("environ_get")
def environ_get(call: CallContext, pointers: int, strings: int) -> int:
    """Write the environment as ``NAME=VALUE`` strings and an array of pointers to them."""
    return _write_strings(call, call.wasi.environment, pointers, strings)


def _write_sizes(call: CallContext, strings: Sequence[bytes], count_pointer: int, size_pointer: int) -> int:
    call.memory.write_u32(count_pointer, len(strings))
    call.memory.write_u32(size_pointer, sum(map(len, strings)))
    return 0


def _write_strings(call: CallContext, strings: Sequence[bytes], pointers: int, start: int) -> int:
    if not strings:
        return 0
    block = b"".join(strings)
    start &= U32
    # First, so that addresses which would not fit 32 bits are never made.
    call.memory.write(start, block)
    addresses = accumulate(map(len, strings[:-1]), initial=start)
    call.memory.write(pointers, struct.pack(f"<{len(strings)}I", *addresses))
    return 0


@both("clock_res_get")
def clock_res_get(call: CallContext, clock: int, result: int) -> int:
    """Tell the resolution of a clock, in nanoseconds."""
    _require_clock(clock)
    call.memory.write_u64(result, call.wasi.clock.resolution_ns)
    return 0


@both("clock_time_get")
def clock_time_get(call: CallContext, clock: int, precision: I64, result: int) -> int:
    """Read a clock, in nanoseconds. The precision is not needed: reading is always exact."""
    _require_clock(clock)
    call.memory.write_u64(result, call.wasi.clock.read(clock == CLOCK_MONOTONIC) & U64)
    return 0


def _require_clock(clock: int) -> None:
    """Refuse with EBADF the clocks of processor time, which nobody measures, and with EINVAL unknown ones."""
    if clock not in (CLOCK_REALTIME, CLOCK_MONOTONIC):
        raise GuestErrno(Errno.EBADF if clock in (2, 3) else Errno.EINVAL)


@both("random_get")
def random_get(call: CallContext, pointer: int, length: int) -> int:
    """Fill guest memory with random bytes, slice by slice, so that a huge wish ends with the call's time."""
    length &= U32
    call.memory.check(pointer, length)
    source = call.wasi.random
    for offset in range(0, length, _RANDOM_SLICE_BYTES):
        if offset and time.monotonic() > call.deadline:
            raise call.overdue()
        call.memory.write((pointer + offset) & U32, source.take(min(_RANDOM_SLICE_BYTES, length - offset)))
    return 0


@both("sched_yield")
def sched_yield(call: CallContext) -> int:
    """Go on: a guest that computes gives the processor back by the epoch, not by asking."""
    return 0


@both("proc_exit")
def proc_exit(call: CallContext, exit_code: int) -> NoReturn:
    """End the program; its exit code is the low eight bits, as in POSIX."""
    raise GuestExit(exit_code & 0xFF)


@both("proc_raise")
def proc_raise(call: CallContext, signal: int) -> int:
    """Refuse: there are no signals."""
    return Errno.ENOTSUP


@PREVIEW1.function("sock_accept")
def sock_accept(call: CallContext, fd: int, flags: int, result: int) -> int:
    """Refuse: no descriptor is a socket."""
    return _not_a_socket(call, fd)


@both("sock_recv")
def sock_recv(
    call: CallContext, fd: int, vectors: int, vectors_len: int, flags: int, size_result: int, flags_result: int
) -> int:
    """Refuse: no descriptor is a socket."""
    return _not_a_socket(call, fd)


@both("sock_send")
def sock_send(call: CallContext, fd: int, vectors: int, vectors_len: int, flags: int, result: int) -> int:
    """Refuse: no descriptor is a socket."""
    return _not_a_socket(call, fd)


@both("sock_shutdown")
def sock_shutdown(call: CallContext, fd: int, how: int) -> int:
    """Refuse: no descriptor is a socket."""
    return _not_a_socket(call, fd)


def _not_a_socket(call: CallContext, fd: int) -> int:
    found = call.wasi.descriptor(fd)
    # Programs that were given no directory take 3 to be free, and ask sockets about it: the private root, which nobody
    # gave them, answers so. A mounted directory answers as any file does.
    nobody_gave_it = isinstance(found, MemoryDirectory) and found.preopened is not None
    return Errno.EBADF if nobody_gave_it else Errno.ENOTSOCK
