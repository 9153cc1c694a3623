"""Outbound requests, for functions with allowed hosts."""

from __future__ import annotations

from typing import Final, NamedTuple

from ...buffers.exchange import ExchangeBuffer
from ...egress.urls import MAX_URL_CHARS
from ...errors import MocError
from ..context import CallContext
from ..errno import Errno, GuestErrno
from ..outbound import check_url, open_request, refusal
from ..registry import Wait
from .module import CORE
from .support import check_room, read_text

STATUS_HEADER: Final = "x-moc-status-code"


class _Answer(NamedTuple):
    status: int
    headers: dict[str, str]
    body: bytes


class _Failure(NamedTuple):
    """An error as a value, because the guest goes on: only where it is driven can it be told."""

    error: MocError


@CORE.function("get_url", waits=True)
def get_url(call: CallContext, url_ptr: int, url_length: int) -> Wait:
    """Send a GET request and wait for the whole answer, whatever its status.

    Returns
    -------
    int
        A new buffer with the answer's body; its headers are the buffer's, and the status code is among them as
        ``x-moc-status-code``. -EACCES for a host that the function may not reach, -EINVAL for what is no http or
        https URL, -EIO when there is no answer, with the reason on stderr; -ENOSPC when the body has no room in the
        call's buffers, -EMFILE beyond the limit `buffers`, -ENOSYS outside of a cluster and for a function that
        declares itself deterministic, -EFAULT, -E2BIG as everywhere. A body beyond the limit response_bytes ends the
        call.
    """
    request = open_request(call, check_url(call, read_text(call, url_ptr, url_length, MAX_URL_CHARS)))
    room = call.invocation.limits.scratch_bytes - call.buffered_bytes
    deadline = call.deadline

    async def start() -> _Answer | _Failure | None:
        try:
            status, headers = await request.start(deadline)
            parts: list[bytes] = []
            size = 0
            while part := await request.read(deadline):
                size += len(part)
                if size > room:
                    return None
                parts.append(part)
            return _Answer(status, headers, b"".join(parts))
        except MocError as error:
            return _Failure(error)
        finally:
            request.close()

    def finish(answer: _Answer | _Failure | None) -> int:
        if isinstance(answer, _Failure):
            raise refusal(call, answer.error)
        if answer is None:
            raise GuestErrno(Errno.ENOSPC)
        check_room(call, len(answer.body))
        buffer = ExchangeBuffer(answer.body)
        buffer.headers.update(answer.headers)
        buffer.headers[STATUS_HEADER] = str(answer.status)
        buffer.status_code = answer.status
        return call.add_buffer(buffer)

    return Wait(start, finish)
