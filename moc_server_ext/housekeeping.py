"""What a server's process does so that nobody waits for its memory: short collections, and giving back what calls took.

Which calls hold how much is :mod:`.admission`'s business.
"""

from __future__ import annotations

import asyncio
import contextlib
import ctypes
import gc
import os
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Final

_SWITCH_SECONDS: Final = 0.0001
_LOOK_SECONDS: Final = 2.0
_WORTH_BYTES: Final = 8 << 20
_STATM: Final = Path("/proc/self/statm")


class Housekeeping:
    """Keeps house on the running event loop, from :meth:`start` to :meth:`stop`.

    All that the process has made until then, Jupyter's modules above all, is left out of the garbage collector's
    rounds, each of which would hold every call up for a tenth of a second. The event loop gets the interpreter's lock
    back from a thread that computes after a tenth of a millisecond, not after five: one that holds the lock for less at
    a time, and frees it for a moment in between, as guests' host calls do, keeps others out for many times as long. And
    what the allocator keeps of the memory of calls that have ended goes back to the system, where the C library has a
    function for that (glibc).

    Parameters
    ----------
    is_idle
        Tells whether no call runs right now: only then memory is given back, which holds others up that allocate.
    """

    def __init__(self, is_idle: Callable[[], bool]) -> None:
        self._is_idle = is_idle
        self._switch_seconds = 0.0
        self._trim = getattr(ctypes.CDLL(None), "malloc_trim", None) if _STATM.exists() else None
        self._task: asyncio.Task[None] | None = None

    def start(self) -> None:
        """Begin; called on the loop."""
        gc.freeze()
        self._switch_seconds = sys.getswitchinterval()
        sys.setswitchinterval(min(self._switch_seconds, _SWITCH_SECONDS))
        if self._trim is not None:
            self._task = asyncio.get_running_loop().create_task(self._give_back(self._trim))

    async def stop(self) -> None:
        """End, and leave the interpreter as it was; once, after :meth:`start`."""
        gc.unfreeze()
        sys.setswitchinterval(self._switch_seconds)
        task, self._task = self._task, None
        if task is not None:
            task.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await task

    async def _give_back(self, trim: Callable[[int], object]) -> None:
        loop = asyncio.get_running_loop()
        kept = _resident_bytes()
        while True:
            await asyncio.sleep(_LOOK_SECONDS)
            if not self._is_idle():
                continue
            if _resident_bytes() >= kept + _WORTH_BYTES:
                # It takes the locks of the allocator's arenas one by one, and not the interpreter's.
                await loop.run_in_executor(None, trim, 0)
                kept = _resident_bytes()
            else:
                kept = min(kept, _resident_bytes())


def _resident_bytes() -> int:
    return int(_STATM.read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE")
