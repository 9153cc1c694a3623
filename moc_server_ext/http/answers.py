"""The three forms of a call's answer: raw output, JSON, and frames; the request's ``Accept`` chooses."""

from __future__ import annotations

import asyncio
import contextlib
import json
from collections import deque
from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import TYPE_CHECKING, Final, Protocol

from .. import frames
from ..errors import AnswerTooLargeError, InvalidInputError, MocError
from ..frames import Frame
from ..model import CallResult, array_headers, parse_array_headers, result_to_json
from .content import safe_content_type
from .eager import start_now
from .messages import JSON_CONTENT_TYPE, ApiResponse, json_response
from .reply import PIECE_BYTES, Reply
from .workers import Workers

if TYPE_CHECKING:
    from .streaming import StreamedCall

HEAD_BYTES: Final = 64 << 10
"""Output up to this size is answered at its end, with all that the call gave in the headers."""

# So long a part of the output may wait for others, so that a guest that writes byte by byte does not send so.
_GATHER_SECONDS = 0.003
# What fails before this, with nothing seen of the guest, is told by the HTTP status.
_BEGIN_SECONDS = 0.02
_FULL_BYTES = 64 << 10
# Encoding more than this would hold the event loop up.
_QUICK_BYTES = 256 << 10


class Answer(Protocol):
    """One form."""

    async def give(self, call: StreamedCall, reply: Reply) -> None:
        """Start the call and write its answer, to the end.

        Raises
        ------
        ConnectionError
            The client is gone, or does not read.
        MocError
            The call failed. Whether something was written already, the reply knows.
        """
        ...


def choose_answer(headers: Mapping[str, str], workers: Workers, max_json_bytes: int) -> Answer:
    """Choose by ``Accept``.

    Only the explicit wish counts: ``*/*``, which every client sends, means the raw output.
    """
    accepted = {each.partition(";")[0].strip().lower() for each in headers.get("accept", "").split(",")}
    if frames.CONTENT_TYPE in accepted:
        return FramesAnswer()
    if JSON_CONTENT_TYPE in accepted:
        return JsonAnswer(workers, max_json_bytes)
    return RawAnswer()


class RawAnswer:
    """The output as it is; what is short comes with the whole result in its headers."""

    async def give(self, call: StreamedCall, reply: Reply) -> None:
        """See :class:`Answer`."""
        running = call.start()
        head: list[bytes] = []
        size = 0
        while size <= HEAD_BYTES and (part := await call.next_part(PIECE_BYTES)):
            head.append(part)
            size += len(part)
        if size <= HEAD_BYTES:
            result = await call.result()
            body = b"".join(head)
            headers = _result_headers(result) | _array_headers(result.output_headers, len(body))
            await reply.give(_raw_response(body, result.output_headers, headers))
            return
        headers = {"Moc-Call-Id": call.call_id} | _array_headers(call.output.headers)
        reply.begin(_raw_response(b"", call.output.headers, headers))
        for part in head:
            await reply.send(part, running)
        del head
        while part := await call.next_part(PIECE_BYTES):
            await reply.send(part, running)
        await call.result()
        await reply.end()


class JsonAnswer:
    """All at once as a JSON object, so that it must fit into memory.

    Parameters
    ----------
    max_bytes
        Output that is larger ends the call.
    """

    def __init__(self, workers: Workers, max_bytes: int) -> None:
        self._workers = workers
        self._max_bytes = max_bytes

    async def give(self, call: StreamedCall, reply: Reply) -> None:
        """See :class:`Answer`."""
        call.start()
        output = bytearray()
        while part := await call.next_part(PIECE_BYTES):
            if len(output) + len(part) > self._max_bytes:
                call.cancel(AnswerTooLargeError(self._max_bytes))
            else:
                output += part
            # What lies ready is much, after one giant write: others come between its pieces.
            await asyncio.sleep(0)
        result = replace(await call.result(), output=bytes(output))
        if len(output) <= _QUICK_BYTES:
            response = json_response(result.to_json())
        else:
            response = await self._workers.run(lambda: json_response(result.to_json()))
        await reply.give(response)


class FramesAnswer:
    """Frames (:mod:`..frames`): output and stderr as they come, then the result or the error."""

    def __init__(self) -> None:
        self._pending = bytearray()
        self._has_said = False
        self._stderr: deque[bytes] = deque()
        self._filled = asyncio.Event()
        self._emptied = asyncio.Event()

    async def give(self, call: StreamedCall, reply: Reply) -> None:
        """See :class:`Answer`."""
        self._put(Frame.BEGIN, json.dumps({"call_id": call.call_id}).encode())
        call.start(self._listener())
        gathering = start_now(self._gather(call))
        gathering.add_done_callback(lambda _: self._filled.set())
        try:
            await self._give(gathering, reply)
        finally:
            gathering.cancel()

    async def _give(self, gathering: asyncio.Future[MocError | None], reply: Reply) -> None:
        if not gathering.done():
            await asyncio.wait({gathering}, timeout=_BEGIN_SECONDS)
        if gathering.done():
            error = gathering.result()
            if error is not None and not self._has_said:
                raise error  # Nothing of the guest's was seen: the status can tell it.
            await reply.give(_frames_response(self._take()))
            return
        reply.begin(_frames_response(b""))
        await reply.send(self._take())
        while True:
            await self._filled.wait()
            if len(self._pending) < _FULL_BYTES and not gathering.done():
                await asyncio.wait({gathering}, timeout=_GATHER_SECONDS)
            await reply.send(self._take())
            if gathering.done() and not self._pending:
                break
        gathering.result()
        await reply.end()

    async def _gather(self, call: StreamedCall) -> MocError | None:
        """Put the output and the end of the call into frames; gives the error that it ended with."""
        try:
            while part := await call.next_part(PIECE_BYTES):
                self._has_said = True
                self._put(Frame.OUTPUT, part)
                while len(self._pending) >= PIECE_BYTES:
                    self._emptied.clear()
                    await self._emptied.wait()
            result = await call.result()
        except MocError as error:
            self._put_stderr()
            self._put(Frame.ERROR, json.dumps(error.to_json()).encode())
            return error
        self._put_stderr()
        body = result.to_json()
        del body["output"], body["stderr"]
        self._put(Frame.RESULT, json.dumps(body).encode())
        return None

    def _listener(self) -> Callable[[bytes], None]:
        loop = asyncio.get_running_loop()

        def listen(part: bytes) -> None:
            self._stderr.append(bytes(part))
            # The loop of a call that outlives its server is closed.
            with contextlib.suppress(RuntimeError):
                loop.call_soon_threadsafe(self._put_stderr)

        return listen

    def _put_stderr(self) -> None:
        parts = bytearray()
        while self._stderr:
            parts += self._stderr.popleft()
        if parts:
            self._has_said = True
            self._put(Frame.STDERR, bytes(parts))

    def _put(self, kind: Frame, payload: bytes) -> None:
        self._pending += frames.encode(kind, payload)
        self._filled.set()

    def _take(self) -> bytes:
        taken = bytes(self._pending)
        self._pending.clear()
        self._filled.clear()
        self._emptied.set()
        return taken


def _raw_response(body: bytes, output_headers: Mapping[str, str], headers: Mapping[str, str]) -> ApiResponse:
    content_type = safe_content_type(output_headers.get("content-type"))
    return ApiResponse(body=body, content_type=content_type, headers=headers, sandboxed=True)


def _frames_response(body: bytes) -> ApiResponse:
    return ApiResponse(body=body, content_type=frames.CONTENT_TYPE)


def _array_headers(output_headers: Mapping[str, str], size: int | None = None) -> dict[str, str]:
    """Say what array the output is, as far as the guest's word is well-formed, and fits a `size` that is known."""
    said = {name: output_headers[name] for name in ("moc-dtype", "moc-shape") if name in output_headers}
    try:
        array = parse_array_headers(said) if said else None
    except InvalidInputError:
        return {}
    if array is None or size not in (None, array.nbytes):
        return {}
    told = array_headers(array)
    return {"Moc-Dtype": told["moc-dtype"], "Moc-Shape": told["moc-shape"]}


def _result_headers(result: CallResult) -> dict[str, str]:
    headers = {"Moc-Call-Id": result.call_id, "Moc-Duration-Us": str(result.duration_us)}
    if result.result is not None:
        headers["Moc-Result"] = json.dumps(result_to_json(result.result))
    if result.exit_code is not None:
        headers["Moc-Exit-Code"] = str(result.exit_code)
    return headers
