"""Calls that go on while their caller does something else: the handle that waits for one, or cancels it.

Each has a thread of its own, which only waits: for the server, or beside the guest that runs in this process.
"""

from __future__ import annotations

import asyncio
import contextlib
import math
import threading
import time
from collections.abc import Callable, Generator
from concurrent.futures import Future
from concurrent.futures import TimeoutError as WaitTimeoutError
from typing import Any

from ..abc import CallStreams, Platform
from ..errors import CancelledError
from ..model import CallRequest, CallResult, CallState

# Python sees a Ctrl-C that came just before a lock was waited for only when the waiting ends.
_LOOK_SECONDS = 0.5


class CallHandle:
    """A started call: `Client.start` gives it. ``await handle`` waits without blocking the event loop. Thread-safe.

    Its text holds neither id nor time, so that saved notebooks stay the same.
    """

    def __init__(self, platform: Platform, request: CallRequest) -> None:
        self._platform = platform
        self._request = request
        self._future: Future[CallResult] = Future()
        self._lock = threading.Lock()
        self._call_id = ""
        self._cancel: Callable[[], None] | None = None
        self._cancelled = False
        threading.Thread(target=self._run, name="moc_call", daemon=True).start()

    @property
    def function(self) -> str:
        """The name that was called."""
        return self._request.function

    @property
    def call_id(self) -> str:
        """Id of the call; empty until it has begun."""
        return self._call_id

    @property
    def state(self) -> CallState:
        """How far it is."""
        if not self._future.done():
            return CallState.RUNNING
        error = self._future.exception()
        if error is None:
            return CallState.DONE
        return CallState.CANCELLED if isinstance(error, CancelledError) else CallState.FAILED

    def cancel(self) -> None:
        """End the guest; idempotent, returns at once, and changes nothing about a call that has ended.

        Its :meth:`wait` then raises CancelledError.
        """
        with self._lock:
            self._cancelled = True
            cancel = self._cancel
        if cancel is not None and not self._future.done():
            cancel()

    def wait(self, timeout_seconds: float | None = None) -> CallResult:
        """Wait for the end of the call and give its result; as often as you like.

        Raises
        ------
        TimeoutError
            It has not ended after `timeout_seconds`. It goes on, as it does after a KeyboardInterrupt.
        CancelledError
            It was cancelled.
        MocError
            It failed; as `Client.call` does.
        """
        end = math.inf if timeout_seconds is None else time.monotonic() + timeout_seconds
        while True:
            try:
                return self._future.result(min(max(0.0, end - time.monotonic()), _LOOK_SECONDS))
            except WaitTimeoutError:
                if self._future.done():
                    raise
                if time.monotonic() >= end:
                    raise TimeoutError(
                        f"The call of {self.function!r} has not ended after {timeout_seconds:g} s; it goes on."
                    ) from None

    def when_ended(self, callback: Callable[[CallHandle], object]) -> None:
        """Call `callback` once the call has ended, on whatever thread; at once when it already has."""
        self._future.add_done_callback(lambda _: callback(self))

    def __await__(self) -> Generator[Any, None, CallResult]:
        return self._wait_on_loop().__await__()

    async def _wait_on_loop(self) -> CallResult:
        # Not the future itself: who stops waiting does not stop the call, for which others may wait as well.
        loop = asyncio.get_running_loop()
        ended = loop.create_future()

        def wake(_: object) -> None:
            with contextlib.suppress(RuntimeError):  # The loop of one who waits no longer may be closed.
                loop.call_soon_threadsafe(lambda: None if ended.done() else ended.set_result(None))

        self._future.add_done_callback(wake)
        await ended
        return self._future.result()

    def __repr__(self) -> str:
        return f"<call of {self.function!r}: {self.state.value}>"

    def _run(self) -> None:
        try:
            result = self._platform.call_sync(self._request, CallStreams(begun=self._begun))
        except BaseException as error:  # Whoever waits for the call gets it.
            self._future.set_exception(error)
        else:
            self._future.set_result(result)

    def _begun(self, call_id: str, cancel: Callable[[], None]) -> None:
        with self._lock:
            self._call_id, self._cancel = call_id, cancel
            cancelled = self._cancelled
        if cancelled:
            cancel()
