"""From the gateway's connections to their handlers: tornado's ``Application``, without its turns of the event loop.

Tornado makes a task of each handler that takes its body in parts, and wakes it for the head, for the body's end, and
itself for the answer. A call of a function mostly waits for nothing: here it is answered in the turn in which its
request came. A handler that does wait goes on as a task.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Coroutine
from typing import Any, cast

from tornado import httputil

from .eager import start_now
from .handler import ApiMixin
from .heads import parse_head
from .plain import PlainRequest

MakeHandler = Callable[[PlainRequest], ApiMixin]


class Dispatcher(httputil.HTTPServerConnectionDelegate):
    """Gives every request a handler, whatever its path.

    Parameters
    ----------
    make
        Makes the handler of one request.
    """

    def __init__(self, make: MakeHandler) -> None:
        self._make = make

    def start_request(self, server_conn: object, request_conn: httputil.HTTPConnection) -> httputil.HTTPMessageDelegate:
        """Take the next request of a connection."""
        # An instance's attribute in front of the method.
        request_conn._parse_headers = parse_head  # type: ignore[attr-defined]
        return _Exchange(self._make, request_conn)


class _Exchange(httputil.HTTPMessageDelegate):
    """One request, told by its connection as it comes, and its handler."""

    def __init__(self, make: MakeHandler, connection: httputil.HTTPConnection) -> None:
        self._make = make
        self._connection = connection

    def headers_received(
        self, start_line: httputil.RequestStartLine | httputil.ResponseStartLine, headers: httputil.HTTPHeaders
    ) -> Awaitable[None] | None:
        """Make the handler, and let it decide what becomes of the body, before any of that is read."""
        # The connections of a server tell of requests only.
        line = cast(httputil.RequestStartLine, start_line)
        self._handler = self._make(PlainRequest(line, headers, self._connection))
        return self._begin(self._handler.prepare())

    def data_received(self, chunk: bytes) -> Awaitable[None] | None:
        """Hand a part of the body on; what is given back is awaited before the next one is read."""
        return self._handler.data_received(chunk)

    def finish(self) -> None:
        """Let the handler answer, whose request is complete."""
        self._begin(self._handler.answer_to_end())

    def on_connection_close(self) -> None:
        """Tell that the rest of the request will never come."""
        self._handler.on_connection_close()

    def _begin(self, step: Coroutine[Any, Any, None]) -> asyncio.Future[None] | None:
        """Start a step of the handler; gives what is left of it, if it waits."""
        begun = start_now(self._answering_errors(step))
        if begun.done():
            begun.result()
            return None
        begun.add_done_callback(lambda done: done.cancelled() or done.result())
        return begun

    async def _answering_errors(self, step: Coroutine[Any, Any, None]) -> None:
        try:
            await step
        except Exception as error:
            # Whatever it is, this is where it would get lost.
            self._handler.answer_error(error)
