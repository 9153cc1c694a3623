"""Exchange buffers, from the guest's side."""

from __future__ import annotations

import json
import re
from typing import Final

from ...buffers.channel import Channel
from ...buffers.exchange import ExchangeBuffer
from ...errors import ExchangeBufferError
from ..context import INPUT_BUFFER_ID, OUTPUT_BUFFER_ID, CallContext
from ..errno import Errno, GuestErrno
from ..registry import Wait
from .module import CORE
from .support import check_room, give, read_text

_HEADERS_BYTES: Final = 64 << 10
# As HTTP/2 counts (RFC 9113, 6.5.2), so that there are never so many that going through them takes long.
_HEADER_OVERHEAD_BYTES: Final = 32
_HEADER_NAME: Final = re.compile(r"[!#$%&'*+.^_`|~0-9A-Za-z-]{1,256}")
_HEADER_VALUE: Final = re.compile(r"[\t\x20-\x7e\x80-\uffff]{0,8192}")


@CORE.function("get_input_buffer_id")
def get_input_buffer_id(_call: CallContext) -> int:
    """Give the id of the buffer that holds the call's input, or the first of several."""
    return INPUT_BUFFER_ID


@CORE.function("get_input_buffer_count")
def get_input_buffer_count(call: CallContext) -> int:
    """Tell how many inputs the call has: at least 1, which may be empty."""
    return call.input_count


@CORE.function("get_input_buffer_id_at")
def get_input_buffer_id_at(call: CallContext, index: int) -> int:
    """Give the id of the buffer that holds one input, counted from 0; -EINVAL beyond the last."""
    return call.input_handle(index)


@CORE.function("get_output_buffer_id")
def get_output_buffer_id(_call: CallContext) -> int:
    """Give the id of the buffer that takes the call's output."""
    return OUTPUT_BUFFER_ID


@CORE.function("create_exchange_buffer")
def create_exchange_buffer(call: CallContext) -> int:
    """Make an empty buffer and give its id; -EMFILE beyond the limit `buffers`."""
    return call.add_buffer(ExchangeBuffer(limit_bytes=call.invocation.limits.scratch_bytes))


@CORE.function("free_buffer")
def free_buffer(call: CallContext, buffer_id: int) -> int:
    """Forget a buffer that this call made; -EBADF for others, -EPERM for its inputs and its output."""
    call.free_buffer(buffer_id)
    return 0


@CORE.function("write_exchange_buffer", waits="live")
def write_exchange_buffer(call: CallContext, buffer_id: int, ptr: int, length: int) -> int | Wait:
    """Append one part to a buffer; a live output is waited for until it has room.

    Parameters
    ----------
    buffer_id
        Handle issued by this call; handles of other calls are unknown.
    ptr, length
        The part, ``[ptr, ptr + length)`` in guest memory, in bytes.

    Returns
    -------
    int
        Bytes written. -EBADF for an unknown buffer, -EPERM for one that is closed (such as an input), -ENOSPC when the
        call's buffers have no room, -EFAULT as everywhere. Beyond the limit of the output the call ends.
    """
    buffer = call.buffer(buffer_id)
    if buffer.full:
        return Wait(buffer.writable, lambda _: _write(call, buffer, buffer_id, ptr, length))
    return _write(call, buffer, buffer_id, ptr, length)


def _write(call: CallContext, buffer: ExchangeBuffer, buffer_id: int, ptr: int, length: int) -> int:
    part = call.memory.read(ptr, length)
    try:
        if call.is_own(buffer_id):
            check_room(call, len(part))
            call.append(buffer, part)
        else:
            buffer.write(part)
    except ExchangeBufferError:
        raise GuestErrno(Errno.EPERM) from None
    return len(part)


@CORE.function("read_exchange_buffer", waits="live")
def read_exchange_buffer(call: CallContext, buffer_id: int, ptr: int, capacity: int) -> int | Wait:
    """Copy unread bytes of a buffer into guest memory, or tell how many there are.

    A live input is waited for: by a copy until there is something, by the question for the size until all of it is
    there. Whoever wants to work on an input while it comes does not ask.

    Parameters
    ----------
    buffer_id
        Handle issued by this call; handles of other calls are unknown.
    ptr, capacity
        Destination ``[ptr, ptr + capacity)`` in guest memory, in bytes. `ptr` 0 asks for the size only.

    Returns
    -------
    int
        Bytes copied, at most `capacity`, which are read then; 0 at the end of the buffer. For `ptr` 0 the number of
        unread bytes, and -ENOSPC when a live input is larger than the limit scratch_bytes: it can be read still.
        -EBADF for an unknown buffer, -EFAULT as everywhere.
    """
    buffer = call.buffer(buffer_id)
    if ptr == 0:
        return _unread(call, buffer)
    if not buffer.ready:
        return Wait(buffer.readable, lambda _: _read(call, buffer, ptr, capacity))
    return _read(call, buffer, ptr, capacity)


def _unread(call: CallContext, buffer: ExchangeBuffer) -> int | Wait:
    if not buffer.whole:
        buffer.take_in(call.invocation.limits.scratch_bytes)
        if isinstance(buffer, Channel):
            return Wait(buffer.taken_in, lambda _: _size(buffer))
    return _size(buffer)


def _size(buffer: ExchangeBuffer) -> int:
    buffer.peek()  # An input that has failed says so here.
    if not buffer.whole:
        raise GuestErrno(Errno.ENOSPC)
    return buffer.at_hand


def _read(call: CallContext, buffer: ExchangeBuffer, ptr: int, capacity: int) -> int:
    buffer.peek()  # Fetches something where nothing is at hand.
    room = min(capacity & 0xFFFF_FFFF, buffer.at_hand)
    # First: a write outside the guest's memory must not lose what was read before.
    call.memory.check(ptr, room)
    done = 0
    while done < room:
        piece = buffer.peek()[: room - done]
        call.memory.write(ptr + done, piece)
        buffer.advance(len(piece))
        done += len(piece)
    return done


@CORE.function("read_exchange_buffer_headers")
def read_exchange_buffer_headers(call: CallContext, buffer_id: int) -> int:
    """Give a new buffer with the headers of a buffer, as a JSON object of lower-case names.

    Returns
    -------
    int
        The new buffer's id. -EBADF for an unknown buffer, -ENOSPC when the call's buffers have no room, -EMFILE beyond
        the limit `buffers`.
    """
    return give(call, json.dumps(call.buffer(buffer_id).headers, ensure_ascii=False).encode())


@CORE.function("write_exchange_buffer_header")
def write_exchange_buffer_header(
    call: CallContext, buffer_id: int, name_ptr: int, name_length: int, value_ptr: int, value_length: int
) -> int:
    """Set one header of a buffer.

    Returns
    -------
    int
        0. -EINVAL for a name or value that HTTP does not allow (RFC 9110, 5.1 and 5.5), -E2BIG beyond 64 KiB of
        headers (each counts 32 bytes more than its name and value) or for a text that is longer than all of them,
        -EPERM for an input, -EBADF for an unknown buffer, -EFAULT as everywhere.
    """
    buffer = call.buffer(buffer_id)
    if call.is_input(buffer_id):
        raise GuestErrno(Errno.EPERM)
    name = read_text(call, name_ptr, name_length)
    value = read_text(call, value_ptr, value_length)
    if not _HEADER_NAME.fullmatch(name) or not _HEADER_VALUE.fullmatch(value):
        raise GuestErrno(Errno.EINVAL)
    held = sum(len(key) + len(each) + _HEADER_OVERHEAD_BYTES for key, each in buffer.headers.items())
    if held + len(name) + len(value) + _HEADER_OVERHEAD_BYTES > _HEADERS_BYTES:
        raise GuestErrno(Errno.E2BIG)
    buffer.headers[name.lower()] = value
    return 0


@CORE.function("write_exchange_buffer_status_code")
def write_exchange_buffer_status_code(call: CallContext, buffer_id: int, status_code: int) -> int:
    """Set the HTTP status code of a buffer.

    Returns
    -------
    int
        0. -EINVAL for what is not within 100 to 599, -EPERM for an input, -EBADF for an unknown buffer.
    """
    buffer = call.buffer(buffer_id)
    if call.is_input(buffer_id):
        raise GuestErrno(Errno.EPERM)
    if not 100 <= status_code <= 599:
        raise GuestErrno(Errno.EINVAL)
    buffer.status_code = status_code
    return 0
