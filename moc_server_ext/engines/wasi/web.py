# ruff: noqa: D102 - methods are documented by the class `Descriptor` that they override
"""``http://…`` and ``https://…`` as files: what was written is the request's body, the first read sends it.

The request runs as a task of its own, so that whoever waits for its answer (a read, or ``poll_oneoff``, which may give
up) can come and go.
"""

from __future__ import annotations

import asyncio
import contextlib

from ...egress.fetch import Fetch
from ...egress.urls import Url
from ...errors import MocError, OutboundRequestError
from ...guest_api.context import CallContext
from ...guest_api.errno import Errno, GuestErrno
from ...guest_api.outbound import open_request, refusal
from . import layout
from .descriptors import Descriptor, Start
from .nodes import Quota
from .vectors import Vectors, scatter

BODY_TYPE = "application/json"
_SHOWN_BYTES = 4096
_ERROR_STATUS = 400


class WebFile(Descriptor):
    """One request, from its first byte to the last one of its answer.

    Parameters
    ----------
    url
        Checked when it was opened; addresses and redirects are checked when it is sent.
    quota
        What a body takes until it is sent.
    """

    __slots__ = ("_body", "_deadline", "_ended", "_failure", "_fetch", "_loop", "_part", "_quota", "_task", "_url",
                 "_written", "rights")  # fmt: skip

    inode = 3

    def __init__(self, url: Url, quota: Quota, *, writable: bool) -> None:
        self._url = url
        self._quota = quota
        self.rights = layout.READING | (layout.WRITING if writable else 0)
        self._body = bytearray()
        self._written = False
        self._fetch: Fetch | None = None
        self._part = memoryview(b"")
        self._ended = False
        self._failure: MocError | None = None
        self._deadline = 0.0
        self._loop: asyncio.AbstractEventLoop | None = None
        self._task: asyncio.Task[None] | None = None

    def write(self, call: CallContext, part: bytes) -> int:
        """Add to the body; EPERM once the request was sent, ENOSPC beyond what private files may take."""
        if not self.rights & layout.RIGHT_WRITE:
            raise GuestErrno(Errno.EBADF)
        if self._fetch is not None or self._ended:
            raise GuestErrno(Errno.EPERM)
        self._quota.charge(len(part))
        self._body += part
        self._written = True
        return len(part)

    def wait_to_read(self, call: CallContext) -> Start | None:
        if self._ended or self._part:
            return None
        if self._fetch is None:
            typed = BODY_TYPE if self._written else ""
            self._fetch = open_request(call, self._url, body=bytes(self._body), content_type=typed)
            self._drop_body()
        self._deadline = call.deadline
        return self._next

    def read(self, call: CallContext, vectors: Vectors) -> int:
        failure = self._failure
        if failure is not None:
            # Said once; the number each time.
            self._failure = None
            raise refusal(call, failure)
        if self._ended and self._fetch is not None:
            raise GuestErrno(Errno.EIO)
        count = scatter(call.memory, vectors, self._part)
        self._part = self._part[count:]
        return count

    def readable_bytes(self, call: CallContext) -> int:
        return len(self._part)

    def close(self) -> None:
        """Drop the request, from whatever thread; one that was never read was never sent."""
        self._drop_body()
        fetch, loop, task = self._fetch, self._loop, self._task
        if fetch is not None:
            fetch.close()
        if loop is not None and task is not None:
            # A loop that is closed has ended its tasks.
            with contextlib.suppress(RuntimeError):
                loop.call_soon_threadsafe(task.cancel)

    def _drop_body(self) -> None:
        self._quota.release(len(self._body))
        self._body.clear()

    # -- on the event loop --------------------------------------------------------------------------------------------

    async def _next(self) -> None:
        """Wait for the next part, the end or a failure; may be cancelled, and asked again."""
        if self._part or self._ended:
            return
        if self._task is None:
            self._loop = asyncio.get_running_loop()
            self._task = self._loop.create_task(self._fetch_part())
        await asyncio.shield(self._task)

    async def _fetch_part(self) -> None:
        fetch = self._fetch
        if fetch is None:
            raise RuntimeError("a request is made before it is waited for")
        try:
            if not fetch.started:
                status, _ = await fetch.start(self._deadline)
                if status >= _ERROR_STATUS:
                    raise OutboundRequestError(str(fetch.url), await _say(fetch, status, self._deadline))
            self._part = memoryview(await fetch.read(self._deadline))
            if not self._part:
                self._fetch, self._ended = None, True
        except MocError as error:
            self._failure, self._ended = error, True
        finally:
            self._task = None


async def _say(fetch: Fetch, status: int, deadline: float) -> str:
    """Tell an answer that is an error, with the beginning of its body."""
    shown = b""
    with contextlib.suppress(MocError):
        while len(shown) < _SHOWN_BYTES and (part := await fetch.read(deadline)):
            shown += part
    fetch.close()
    text = shown[:_SHOWN_BYTES].decode(errors="replace")
    safe = "".join(each if each.isprintable() or each in "\n\t" else "\ufffd" for each in text)
    return f"the answer was {status}: {safe}" if safe else f"the answer was {status}"
