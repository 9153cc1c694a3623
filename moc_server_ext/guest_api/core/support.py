"""What the functions of ``core`` share: decoding, room for new buffers, grants."""

from __future__ import annotations

from typing import Final

from ...abc import Bytes, CallServices
from ...buffers.exchange import ExchangeBuffer
from ...errors import NotGrantedError
from ..context import CallContext
from ..errno import Errno, GuestErrno

_SHOWN_CHARS: Final = 100
_TEXT_BYTES: Final = 128 << 10


def read_text(call: CallContext, pointer: int, length: int, limit: int = _TEXT_BYTES) -> str:
    """Read UTF-8; EINVAL when it is none, E2BIG beyond `limit` bytes, of which one can take the host four."""
    if length & 0xFFFF_FFFF > limit:
        raise GuestErrno(Errno.E2BIG)
    try:
        return call.memory.read(pointer, length).decode()
    except UnicodeDecodeError:
        raise GuestErrno(Errno.EINVAL) from None


def give(call: CallContext, content: Bytes) -> int:
    """Put `content` into a new exchange buffer and give its id; ENOSPC when the call's buffers have no room for it."""
    check_room(call, len(content))
    return call.add_buffer(ExchangeBuffer(content))


def check_room(call: CallContext, size: int) -> None:
    """Check that the buffers that this call made can hold `size` bytes more, under the limit scratch_bytes."""
    if call.buffered_bytes + size > call.invocation.limits.scratch_bytes:
        raise GuestErrno(Errno.ENOSPC)


def check_grant(call: CallContext, kind: str, target: str) -> None:
    """Refuse with EACCES what the function was not granted, and say on its stderr which grant is missing."""
    if not call.invocation.grants.allows(kind, target):
        shown = "".join(each if each.isprintable() else "\ufffd" for each in target[:_SHOWN_CHARS])
        call.complain(NotGrantedError(call.invocation.function, f"{kind}:{shown}").message)
        raise GuestErrno(Errno.EACCES)


def services_of(call: CallContext) -> CallServices:
    """Give what lies outside of the call; ENOSYS where there is nothing."""
    if call.services is None:
        raise GuestErrno(Errno.ENOSYS)
    return call.services
