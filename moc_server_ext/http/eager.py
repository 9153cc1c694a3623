"""Starting a coroutine at once, not with the loop's next turn: what ends without waiting has then ended already."""

from __future__ import annotations

import asyncio
import sys
from collections.abc import Coroutine, Generator
from types import coroutine as generator_coroutine
from typing import Any, TypeVar

T = TypeVar("T")


def start_now(coroutine: Coroutine[Any, Any, T]) -> asyncio.Future[T]:
    """Run a coroutine up to the first thing that it waits for; a task goes on from there.

    Until then it must not ask which task it is in: that is the caller's. Called on the running event loop.
    """
    loop = asyncio.get_running_loop()
    if sys.version_info >= (3, 12):
        return asyncio.Task(coroutine, loop=loop, eager_start=True)
    try:
        awaited = coroutine.send(None)
    except StopIteration as end:
        done: asyncio.Future[T] = loop.create_future()
        done.set_result(end.value)
        return done
    except Exception as error:
        failed: asyncio.Future[T] = loop.create_future()
        failed.set_exception(error)
        return failed
    task = loop.create_task(_go_on(coroutine, awaited))
    # A task that is cancelled before its first step never reaches what it was to go on with.
    task.add_done_callback(lambda _: coroutine.close())
    return task


async def _go_on(coroutine: Coroutine[Any, Any, T], awaited: Any) -> T:
    return await _steps(coroutine, awaited)


@generator_coroutine
def _steps(coroutine: Coroutine[Any, Any, T], awaited: Any) -> Generator[Any, Any, T]:
    while True:
        failure: BaseException | None = None
        value = None
        try:
            value = yield awaited
        except BaseException as error:
            failure = error
        try:
            awaited = coroutine.send(value) if failure is None else coroutine.throw(failure)
        except StopIteration as end:
            result: T = end.value
            return result
        finally:
            # Its traceback leads back to this frame.
            failure = None
