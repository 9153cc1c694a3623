"""Names that the guest API had before they were changed, for modules of that time; new guests import others."""

from __future__ import annotations

from collections.abc import Callable

from ...buffers.exchange import ExchangeBuffer
from ..context import CallContext
from ..registry import Wait
from .exchange import read_exchange_buffer, read_exchange_buffer_headers
from .module import CORE
from .support import check_room

_read: Callable[[CallContext, int, int, int], int | Wait] = read_exchange_buffer


@CORE.function("test", instead="log")
def test(call: CallContext) -> int:
    """Log that it was called, and give 0."""
    call.write_stderr(b"test\n")
    return 0


@CORE.function("register_buffer", instead="create_exchange_buffer")
def register_buffer(call: CallContext, ptr: int, length: int) -> int:
    """Give a new buffer with these bytes.

    Returns
    -------
    int
        The buffer's id. -ENOSPC when the call's buffers have no room, -EMFILE beyond the limit `buffers`, -EFAULT as
        everywhere.
    """
    check_room(call, length & 0xFFFF_FFFF)
    buffer = ExchangeBuffer(limit_bytes=call.invocation.limits.scratch_bytes)
    buffer.write(call.memory.read(ptr, length))
    return call.add_buffer(buffer)


@CORE.function("get_buffer_size", waits="live", instead="read_exchange_buffer")
def get_buffer_size(call: CallContext, buffer_id: int) -> int | Wait:
    """Give the size of the next unread part of a buffer; -EBADF for an unknown one."""
    return _read(call, buffer_id, 0, 0)


@CORE.function("get_exchange_buffer_size", waits="live", instead="read_exchange_buffer")
def get_exchange_buffer_size(call: CallContext, buffer_id: int) -> int | Wait:
    """Give the size of the next unread part of a buffer; -EBADF for an unknown one."""
    return _read(call, buffer_id, 0, 0)


@CORE.function("get_buffer", waits="live", instead="read_exchange_buffer")
def get_buffer(call: CallContext, buffer_id: int, ptr: int, capacity: int) -> int | Wait:
    """Copy the next unread part of a buffer into guest memory, as ``read_exchange_buffer`` does.

    Returns
    -------
    int
        Bytes copied. -EMSGSIZE when the part is larger than `capacity`, -EBADF for an unknown buffer, -EFAULT as
        everywhere.
    """
    return _read(call, buffer_id, ptr, capacity)


@CORE.function("get_buffer_headers", instead="read_exchange_buffer_headers")
def get_buffer_headers(call: CallContext, buffer_id: int) -> int:
    """Give a new buffer with the headers of a buffer, as a JSON object of lower-case names.

    Returns
    -------
    int
        The new buffer's id. -EBADF for an unknown buffer, -ENOSPC when the call's buffers have no room, -EMFILE beyond
        the limit `buffers`.
    """
    return int(read_exchange_buffer_headers(call, buffer_id))
