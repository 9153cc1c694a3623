"""A call whose input comes from a request's body and whose output goes into its response, both while it runs.

A short body is received whole first and goes into memory; a longer one, or one of unknown length, is a channel, and the
call begins with its first bytes. A form, whose parts are several inputs, is received whole as well, whatever its
length. What the answer looks like is the business of :mod:`.answers`; who is allowed to call was decided before.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable
from dataclasses import replace
from typing import Final

from ..buffers.channel import Channel
from ..errors import BodyTooLargeError, CancelledError, MocError, UnavailableError
from ..model import CallRequest, CallResult
from .answers import Answer
from .eager import start_now
from .messages import ServedPlatform
from .multipart import FormInputs
from .peer import Peer
from .reply import Reply

SMALL_BODY_BYTES: Final = 64 << 10
"""Up to so many announced bytes are received before the call begins."""

# A body that has not come by then becomes a stream: from there on the call's own timeout ends the waiting.
_PATIENCE_SECONDS = 1.0
# What comes after the end of the call is read into nothing, up to so much.
_DROPPED_BYTES = 1 << 20

_LOG = logging.getLogger("moc_server_ext.http")


class StreamedCall:
    """One call between a request's body and its response. Belongs to the event loop's thread.

    Parameters
    ----------
    request
        The call, without its input.
    announced_bytes
        Length of the body; None where it is not known.
    form
        Takes the body apart into inputs; None for a body that is the input. Of a form that is refused nothing runs.

    Attributes
    ----------
    is_gone
        Whether there is nobody to answer.
    output
        Of the call.
    """

    def __init__(
        self,
        platform: ServedPlatform,
        request: CallRequest,
        answer: Answer,
        reply: Reply,
        *,
        announced_bytes: int | None,
        max_body_bytes: int,
        form: FormInputs | None = None,
    ) -> None:
        self._platform = platform
        self._request = request
        self._answer = answer
        self._reply = reply
        self._max_body_bytes = max_body_bytes
        self._announced = announced_bytes
        self._peer = Peer(reply.stream, reply.probe, reply.leave)
        self._peer.is_whole = announced_bytes == 0
        self._parts: list[bytes] = []
        self._received = self._dropped = 0
        self._form = form
        self._input: Channel | None = None
        self._takes_input = True
        self._refusal: MocError | None = None
        self.is_gone = False
        self._call: asyncio.Future[CallResult] | None = None
        self._answering: asyncio.Task[None] | None = None
        self._patience: asyncio.TimerHandle | None = None
        self.output = Channel()
        if form is not None:
            return
        if announced_bytes is None or announced_bytes > SMALL_BODY_BYTES:
            self._input = Channel()
        if announced_bytes is None or not reply.has_come(announced_bytes):
            self._patience = asyncio.get_running_loop().call_later(_PATIENCE_SECONDS, self._begin)

    # -- what the request does ----------------------------------------------------------------------------------------

    @property
    def awaits_all(self) -> bool:
        """Whether the call begins only when its whole body is there, however long that takes."""
        return self._form is not None

    def take(self, part: bytes) -> Awaitable[None] | None:
        """Take one part of the body; gives what must be awaited before the next one."""
        self._received += len(part)
        self._peer.is_whole = self._received == self._announced
        if self._received > self._max_body_bytes and self._refusal is None:
            self.cancel(BodyTooLargeError(self._max_body_bytes))
        if not self._takes_input:
            self._dropped += len(part)
            if self._dropped > _DROPPED_BYTES:
                self._upload_ended()
            return None
        if self._form is not None:
            self._take_apart(self._form, part)
            return None
        if self._input is None:
            self._parts.append(part)
            return None
        self._input.write(part)
        if self._answering is None:
            self._begin()
        return self._room(self._input) if self._input.full else None

    async def finish(self) -> None:
        """Take the end of the body; returns when the response is written."""
        self._upload_ended()
        self._peer.is_whole = True
        if self._input is not None and self._takes_input:
            self._input.close()
        if self._answering is None:
            if self._patience is not None:
                self._patience.cancel()
            await self._run()
        else:
            await self._answering

    def abandon(self) -> None:
        """End the call for a client that is gone; idempotent."""
        self.is_gone = True
        if self._patience is not None:
            self._patience.cancel()
        self._upload_ended()
        self.cancel(CancelledError(self._request.function))
        self._peer.release()

    def cancel(self, error: MocError) -> None:
        """End the call, and answer with `error` as far as that is still possible."""
        self._refusal = self._refusal or error
        self._refuse_input()
        if self._call is not None:
            self._call.cancel()
        elif self._answering is None and not self.is_gone:
            self._begin()

    def _take_apart(self, form: FormInputs, part: bytes) -> None:
        try:
            form.feed(part)
        except MocError as error:
            self.cancel(error)

    def _upload_ended(self) -> None:
        if not self._reply.upload_over.done():
            self._reply.upload_over.set_result(None)

    def _refuse_input(self) -> None:
        """Drop what is left of the body, and what will come of it."""
        self._takes_input = False
        self._parts.clear()
        if self._form is not None:
            self._form.discard()
        if self._input is not None:
            self._input.fail(self._refusal or CancelledError(self._request.function))

    async def _room(self, input: Channel) -> None:
        # Meanwhile nobody reads from the connection.
        self._peer.watch()
        await input.writable()

    # -- the call and its answer --------------------------------------------------------------------------------------

    def _begin(self) -> None:
        """Start the call before the body has ended."""
        if self._patience is not None:
            self._patience.cancel()
        if self._input is None and self._form is None:
            self._input = Channel()
            for part in self._parts:
                self._input.write(part)
            self._parts.clear()
        self._answering = asyncio.get_running_loop().create_task(self._run())

    async def _run(self) -> None:
        try:
            if self._form is not None:
                self._take_inputs(self._form)
            await self._answer.give(self, self._reply)
        except ConnectionError:
            self.is_gone = True
            self._reply.drop()
        except Exception as error:
            await self._fail(error)
        finally:
            self._refuse_input()
            if self._call is not None:
                self._call.cancel()
            self._peer.release()

    def _take_inputs(self, form: FormInputs) -> None:
        """Give the call what the form has; raises what it is refused for, and nothing has run."""
        if self._refusal is not None:
            raise self._refusal
        first, *more = form.finish()
        form.discard()
        self._request = replace(
            self._request, input=first.content, input_headers=first.headers, more_inputs=tuple(more)
        )

    async def _fail(self, error: Exception) -> None:
        if self.is_gone or self._reply.ended:
            return
        told = self._reply.explain(error)
        if self._reply.begun:
            _LOG.info("Call %s failed after its answer had begun: %s", self.call_id, told)
            self._reply.drop()
            return
        try:
            await self._reply.refuse(told)
        except ConnectionError:
            self._reply.drop()

    # -- for the answer -----------------------------------------------------------------------------------------------

    @property
    def call_id(self) -> str:
        """The call's id, known from the start."""
        return self._request.call_id

    def start(self, stderr: Callable[[bytes], None] | None = None) -> asyncio.Future[CallResult]:
        """Start the call; `stderr` is told each part of it, on whatever thread."""
        content: Channel | bytes | None = self._input
        if content is None and self._form is None:
            content = b"".join(self._parts)
            self._parts.clear()
        # Most calls end before anything is waited for; their answer leaves in the same turn of the loop.
        self._call = start_now(self._platform.call(self._request, input=content, output=self.output, stderr=stderr))
        if self._call.done():
            self._on_end(self._call)
        else:
            self._call.add_done_callback(self._on_end)
            if self._refusal is not None:
                self._call.cancel()
        return self._call

    async def next_part(self, limit_bytes: int) -> bytes:
        """Wait for output and give what there is, at most `limit_bytes`; empty at its end."""
        output = self.output
        if not output.ready:
            await output.readable()
        part = _take(output, limit_bytes)
        if not part or len(part) == limit_bytes or not output.ready:
            return part
        # A guest that writes byte by byte: one part for all that it wrote.
        parts = bytearray(part)
        while len(parts) < limit_bytes and output.ready and (part := _take(output, limit_bytes - len(parts))):
            parts += part
        return bytes(parts)

    async def result(self) -> CallResult:
        """Wait for the end of the call.

        Raises
        ------
        MocError
            What the call failed with, or was cancelled for.
        """
        call = self._call or self.start()
        if not call.done():
            await asyncio.wait({call})
        if call.cancelled():
            raise self._refusal or UnavailableError("The server is shutting down.")
        error = call.exception()
        if error is not None:
            raise self._reply.explain(error) from error
        return call.result()

    def _on_end(self, call: asyncio.Future[CallResult]) -> None:
        # A call that never began has no one else who would end its output.
        self.output.close()
        self._refuse_input()
        if not call.cancelled():
            call.exception()  # It is told by the answer, or to nobody.


def _take(channel: Channel, limit_bytes: int) -> bytes:
    part = bytes(channel.peek()[:limit_bytes])
    channel.advance(len(part))
    return part
