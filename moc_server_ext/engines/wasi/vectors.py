"""Scatter and gather lists (``iovec``): read and checked in whole before anything is consumed or changed.

A list is hostile until it is read here: too many entries, entries outside of memory, and entries that overlap so often
that a few bytes of guest memory would become gigabytes of the host's.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

from ...abc import Bytes, GuestMemory
from ...guest_api.context import CallContext
from ...guest_api.errno import Errno, GuestErrno
from .layout import IOVEC, U32

if TYPE_CHECKING:
    from .descriptors import Descriptor

MAX_VECTORS = 1024
_STEP_BYTES = 256 << 10

Vectors = list[tuple[int, int]]
"""Pointers and lengths in bytes."""


def read_vectors(memory: GuestMemory, pointer: int, count: int) -> Vectors:
    """Read a list, without its empty entries; EFAULT outside of memory, EINVAL beyond 1,024 entries."""
    if not 0 <= count <= MAX_VECTORS:
        raise GuestErrno(Errno.EINVAL)
    return [each for each in IOVEC.iter_unpack(memory.read(pointer, count * 8)) if each[1]]


def destinations(memory: GuestMemory, pointer: int, count: int) -> Vectors:
    """Read a list of places to write to; afterwards none of them can fail.

    Raises
    ------
    GuestErrno
        EFAULT if the list or a place is outside of memory, EINVAL for more than 1,024 entries or 4 GiB in all.
    """
    if count == 1:
        # What nearly every program does.
        start, length = memory.unpack(IOVEC, pointer)
        memory.check(start, length)
        return [(start, length)]
    vectors = read_vectors(memory, pointer, count)
    total = 0
    for start, length in vectors:
        memory.check(start, length)
        total += length
    if total > U32:
        raise GuestErrno(Errno.EINVAL)
    return vectors


def gather(call: CallContext, descriptor: Descriptor, pointer: int, count: int) -> bytes:
    """Copy what a list names out of guest memory, to be written to a descriptor.

    Raises
    ------
    GuestErrno
        EFAULT if the list or a piece is outside of memory, EINVAL for more than 1,024 entries or more bytes in all
        than the guest may have memory, which only overlapping pieces can reach.
    MocError
        It is more than the descriptor ever takes.
    """
    memory = call.memory
    if count == 1:
        start, length = memory.unpack(IOVEC, pointer)
        if length > _STEP_BYTES:
            memory.check(start, length)
            descriptor.expect(call, length)
        return memory.read(start, length)
    vectors = read_vectors(memory, pointer, count)
    if len(vectors) == 1:
        return memory.read(*vectors[0])
    if sum(length for _, length in vectors) > call.invocation.limits.memory_bytes:
        for start, length in vectors:
            memory.check(start, length)
        raise GuestErrno(Errno.EINVAL)
    return b"".join([memory.read(start, length) for start, length in vectors])


def scatter(memory: GuestMemory, vectors: Vectors, content: Bytes, at: int = 0) -> int:
    """Copy `content` from `at` on into guest memory; tell how many bytes, fewer than there is room for at its end."""
    return scatter_from(memory, vectors, lambda start, stop: content[start:stop], at)


def scatter_from(memory: GuestMemory, vectors: Vectors, read: Callable[[int, int], Bytes], at: int = 0) -> int:
    """Copy what `read` gives of ``[start, stop)``, from `at` on, into guest memory; tell how many bytes.

    They are fewer than there is room for once `read` gives less than it was asked for.
    """
    start = at
    for pointer, length in vectors:
        end = at + length
        while at < end:
            # Others run between two steps.
            asked = min(_STEP_BYTES, end - at)
            part = read(at, at + asked)
            memory.write(pointer, part)
            at += len(part)
            if len(part) < asked:
                return at - start
            pointer = (pointer + asked) & U32
    return at - start
