"""The engine for ``application/wasm``: checks modules, runs calls, keeps warm instances.

It resolves nothing: names, modes, grants and limits come sealed in an ``Invocation``. How guests are driven is
:mod:`.driver`'s business, where modules come from is :mod:`.modules`'.
"""

from __future__ import annotations

import asyncio
import hashlib
import threading
import time
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path
from typing import Final

from ...abc import CallServices
from ...buffers.exchange import ExchangeBuffer
from ...guest_api.context import CallContext
from ...guest_api.registry import GuestModule
from ...model import CallResult, Invocation, Mode, ModuleInterface, Number
from ...resources import processors
from .coroutine import CoroutineGuest
from .disk_cache import DiskCache
from .driver import BlockingDriver
from .loop_driver import LoopDriver
from .machine import Machine
from .modules import Modules
from .prepared import Export, Prepared
from .profiles import ProfileName
from .results import finished
from .run_queue import RunQueue
from .tree import Load
from .values import check_numbers
from .warm import PooledInstances, WarmGuest, WarmInstance
from .warm_pool import WarmPool

_BLOCKING_THREADS: Final = 16


class WasmEngine:
    """Runs WebAssembly modules; safe for several threads.

    Parameters
    ----------
    modules
        What guests may import.
    cache_directory
        Where compiled modules are kept; made with mode 0700 when it is not there.
    pool
        Keeps the instances of reusable functions; closed with the engine.

    Attributes
    ----------
    guest_modules
        The import modules that it provides, under all their names.

    Raises
    ------
    InvalidInputError
        Others may write into the cache directory.
    """

    def __init__(self, modules: Sequence[GuestModule], *, cache_directory: Path, pool: WarmPool | None = None) -> None:
        self._guest_modules = tuple(modules)
        self._lock = threading.Lock()
        self._machines: dict[ProfileName, Machine] = {}
        by_name = {name: each for each in modules for name in (each.name, *each.aliases)}
        self.guest_modules = tuple(sorted(by_name))
        self._modules = Modules(by_name, self._machine, DiskCache(cache_directory))
        self._pool = WarmPool() if pool is None else pool
        self._driver = BlockingDriver(self._resolve, self._finish, self._pool)
        self._blocking = ThreadPoolExecutor(_BLOCKING_THREADS, thread_name_prefix="moc_blocking")
        self._queue = RunQueue(processors())
        self._loop_drivers: dict[asyncio.AbstractEventLoop, LoopDriver] = {}

    def make_ready(self) -> None:
        """Reserve what instances live in, which else the first call has to wait for; blocks for tens of milliseconds.

        Raises
        ------
        UnavailableError
            There is no room for it. The first call tries again.
        """
        self._machine("pooled").make_ready()

    def inspect(self, name: str, content: bytes) -> ModuleInterface:
        """Compile and check a module, and tell what it exports. Never runs any of it.

        Parameters
        ----------
        name
            What messages call it.

        Raises
        ------
        InvalidModuleError
            It is no module that can run here; the message says why.
        MissingImportError
            It imports something that no guest API provides and no function can. Whether functions provide what is left,
            its ``bound_imports``, is not for the engine to know.
        """
        blob_id = hashlib.sha256(content).hexdigest()
        return self._modules.get(name, blob_id, lambda: content).interface

    def run(self, context: CallContext, load: Load) -> CallResult:
        """Run a call to its end, on a fresh instance or, of a reusable function, on a warm one.

        Blocks; Ctrl-C on the main thread ends the call.

        Parameters
        ----------
        load
            Gives the module's bytes, when no compiled one is at hand.

        Raises
        ------
        GuestError
            The guest failed, or reached a limit; with its backtrace and the end of its stderr.
        EntryPointNotFoundError, InvalidArgumentsError, InvalidModuleError
            The call could not begin.
        KeyboardInterrupt
            The call is over, and the engine stays usable.
        """
        return self._driver.run(context, load)

    async def drive(self, context: CallContext, load: Load) -> CallResult:
        """Do as :meth:`run` does on the running event loop, whose thread is never held for long.

        Cancelling the coroutine cancels the call.
        """
        loop = asyncio.get_running_loop()
        driver = self._loop_drivers.get(loop)
        if driver is None:
            self._loop_drivers = {each: known for each, known in self._loop_drivers.items() if not each.is_closed()}
            driver = self._loop_drivers[loop] = LoopDriver(
                resolve=self._resolve,
                at_hand=self._at_hand,
                finish=self._finish,
                pool=self._pool,
                queue=self._queue,
                blocking=self._blocking,
            )
        return await driver.run(context, load)

    def warm(self, invocation: Invocation, load: Load, services: CallServices | None = None) -> WarmInstance:
        """Make an instance that answers many direct calls, with the limits of `invocation` for each.

        Raises
        ------
        GuestError
            The module's own initialisation failed, or reached a limit.
        EntryPointNotFoundError, InvalidModuleError
            There is nothing to call.
        """
        prepared = self._modules.get(invocation.function, invocation.blob_id, load)
        entry = prepared.entry(invocation.function, invocation.entry)
        if prepared.waits or (prepared.waits_live and invocation.grants.allowed_hosts):

            def context(numbers: tuple[Number, ...]) -> CallContext:
                return CallContext(replace(invocation, numbers=numbers), ExchangeBuffer(b""), services=services)

            return PooledInstances(lambda each: self.run(each, load), context)
        return WarmGuest(prepared, invocation, entry, services)

    def close(self) -> None:
        """Let go of all modules and end the clocks; calls that run go on to their end. Idempotent."""
        self._driver.close()
        self._queue.close()
        self._pool.close()
        self._blocking.shutdown(wait=False, cancel_futures=True)
        self._modules.clear()
        with self._lock:
            machines = list(self._machines.values())
            self._machines.clear()
        for machine in machines:
            machine.ticker.close()

    def _resolve(self, context: CallContext, load: Load) -> tuple[Prepared, Export]:
        invocation = context.invocation
        began = time.monotonic()
        prepared = self._modules.get(invocation.function, invocation.blob_id, load)
        if context.parent is None:
            # Compiling is the platform's work, not the guest's; inside of another guest's time it still counts.
            context.extend(time.monotonic() - began)
        return prepared, _entry(prepared, invocation)

    def _at_hand(self, context: CallContext) -> tuple[Prepared, Export] | None:
        prepared = self._modules.at_hand(context.invocation.blob_id)
        return None if prepared is None else (prepared, _entry(prepared, context.invocation))

    @staticmethod
    def _finish(guest: CoroutineGuest) -> CallResult:
        context = guest.context
        result, exit_code = guest.result, guest.exit_code
        if context.invocation.mode is Mode.POSIX:
            if exit_code is None:
                # `main` without the libc's start code gives its exit code back.
                exit_code = result & 0xFF if isinstance(result, int) else 0
            result = None
        return finished(context, result=result, exit_code=exit_code, began_ns=guest.began_ns)

    def _machine(self, profile: ProfileName) -> Machine:
        with self._lock:
            machine = self._machines.get(profile)
            if machine is None:
                machine = self._machines[profile] = Machine(profile, self._guest_modules)
            return machine


def _entry(prepared: Prepared, invocation: Invocation) -> Export:
    entry = prepared.entry(invocation.function, invocation.entry)
    check_numbers(invocation.function, entry.shown_name, entry.numbers, invocation.numbers)
    return entry
