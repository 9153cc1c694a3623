"""The cluster: the composition root, where storage, engine, orchestrator and plans are put together.

The Jupyter extension, the command line and the embedded client share it. It owns the life of its parts, and nothing
else: what they do is in their own modules.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Generator
from contextlib import ExitStack
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Any, Final, Self

from .abc import (
    Calls,
    CallStreams,
    Functions,
    KeyValues,
    LocalBackups,
    LocalBlobs,
    LocalBuffers,
    LocalHierarchy,
    Observer,
    Runs,
)
from .model import Activity, CallRequest, CallResult, CheckProgress, CheckReport, Limits

if TYPE_CHECKING:
    from .buffers.channel import Channel
    from .observers import Observers
    from .orchestrator import Orchestrator, PreparedCall
    from .plans.runs import RunTable
    from .scope import CallScope
    from .storage import Storage
    from .storage.backup.noun import StoredBackups
    from .storage.replication.service import Replication

# Of the memory that all guests may hold: what waits must not be most of it.
_WARM_SHARE: Final = 4


def default_storage_path() -> Path:
    """Give the storage directory that is used when none is named: ``$MOC_STORAGE``, else the user's data directory."""
    named = os.environ.get("MOC_STORAGE")
    if named:
        return Path(os.path.expanduser(named))
    import platformdirs

    return Path(platformdirs.user_data_dir("moc", appauthor=False))


def default_cache_directory() -> Path:
    """Give the directory for compiled modules: machine code that this installation made, only for this machine."""
    import platformdirs

    return Path(platformdirs.user_cache_dir("moc", appauthor=False)) / "modules"


class Cluster:
    """The whole platform in this process; implements ``abc.Platform``. Thread-safe; a context manager.

    Made by :meth:`open`. Only :meth:`call`, :meth:`subscribe` and :meth:`activity` may be used on an event loop's
    thread: all else blocks.

    Attributes
    ----------
    storage
        The storage directory that this cluster owns.
    functions, blobs, buffers, kv, zarr, calls, runs, backups
        The nouns.
    """

    def __init__(
        self,
        storage: Storage,
        orchestrator: Orchestrator,
        runs: RunTable,
        observers: Observers,
        backups: StoredBackups,
        replication: Replication,
        closing: ExitStack,
    ) -> None:
        self.storage = storage
        self._orchestrator = orchestrator
        self._runs = runs
        self._observers = observers
        self._backups = backups
        self._replication = replication
        self._closing = closing

    @classmethod
    def open(
        cls,
        path: Path | str | None = None,
        *,
        limits: Limits = Limits(),
        cache_directory: Path | None = None,
        concurrent_calls: int | None = None,
        queued_calls: int = 1024,
        memory_bytes: int | None = None,
        warm_instances: int = 64,
        storage_bytes: int = 0,
        grace_seconds: float | None = None,
        backup_target: str | None = None,
        replicate_to: str = "",
        replicate_sync: bool = False,
        follow: str = "",
    ) -> Self:
        """Open a storage directory, which is made if need be, and own it until :meth:`close`.

        Parameters
        ----------
        path
            The storage directory; :func:`default_storage_path` when not given.
        limits
            The server's limits, which functions and calls only lower.
        cache_directory
            Where compiled modules are cached; the user's cache directory when not given.
        concurrent_calls
            How many calls compute at once, by turns; twice the processors and four more when not given. Those that
            wait for something do not count.
        queued_calls
            How many more may wait for their turn.
        memory_bytes
            Linear memory that all guests may hold together; half of what the machine or container has when not given.
        warm_instances
            How many instances of reusable functions may wait for their next call.
        storage_bytes
            How much may be stored, in bytes; 0 is as much as there is room for.
        grace_seconds
            How long an object file stays after nothing refers to it; a minute when not given.
        backup_target
            Where backups go when nothing else is said; see :func:`~.storage.targets.opening.open_target`.
        replicate_to
            The target (a directory or ``s3://bucket/prefix``) that every commit is shipped to; a standby does so once
            it is promoted. Empty ships nothing.
        replicate_sync
            Whether a write is acknowledged only when it is on the target.
        follow
            The target whose commits this storage, which is then read-only, repeats. Empty follows nobody.

        Raises
        ------
        LockedStorageError
            Another process owns the directory. It is left as it is.
        StorageFormatError, ReadOnlyStorageError, CorruptStorageError
            The directory cannot be used. Nothing is held open.
        ReplicationError, BackupTargetError
            The target belongs to another instance, or holds nothing to follow. Nothing is held open.
        """
        # The engine alone takes as long to import as all else together, and a client of a server needs none of it.
        from .admission import Admission
        from .calls import CallTable
        from .egress.network import Network
        from .engines.wasi import PREVIEW1, UNSTABLE
        from .engines.wasm import WarmPool, WasmEngine
        from .functions import FunctionTable
        from .guest_api.core import CORE
        from .observers import Observers
        from .orchestrator import Orchestrator
        from .plans.runs import RunTable
        from .resources import memory_bytes as usable_bytes
        from .resources import processors
        from .storage import Storage
        from .storage.backup.noun import StoredBackups
        from .storage.collector import GRACE_SECONDS
        from .storage.replication.service import Replication

        with ExitStack() as opening:
            storage = Storage.open(
                default_storage_path() if path is None else Path(path),
                grace_seconds=GRACE_SECONDS if grace_seconds is None else grace_seconds,
                storage_bytes=storage_bytes,
            )
            opening.callback(storage.close)
            replication = Replication(storage, replicate_to=replicate_to, synchronous=replicate_sync, follow=follow)
            opening.callback(replication.close)
            budget_bytes = memory_bytes or usable_bytes() // 2
            pool = WarmPool(warm_instances, most_bytes=budget_bytes // _WARM_SHARE)
            engine = WasmEngine(
                [CORE, PREVIEW1, UNSTABLE], cache_directory=cache_directory or default_cache_directory(), pool=pool
            )
            opening.callback(engine.close)
            observers = Observers()
            orchestrator = Orchestrator(
                functions=FunctionTable(storage.names, engine.inspect, engine.guest_modules),
                blobs=storage.blobs,
                buffers=storage.buffers,
                kv=storage.kv,
                zarr=storage.zarr,
                engine=engine,
                limits=limits,
                admission=Admission(
                    concurrent_calls or 2 * processors() + 4,
                    queued_calls,
                    memory_bytes=budget_bytes,
                    idle=pool,
                ),
                network=Network(),
                calls=CallTable(observers),
            )
            opening.callback(orchestrator.close)
            runs = RunTable(storage.buffers, orchestrator.prepare, observers)
            opening.callback(runs.close)
            backups = StoredBackups(storage, backup_target)
            return cls(storage, orchestrator, runs, observers, backups, replication, opening.pop_all())

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.close()

    # -- nouns --------------------------------------------------------------------------------------------------------

    @property
    def functions(self) -> Functions:
        """Names that point to executable blobs."""
        return self._orchestrator.functions

    @property
    def blobs(self) -> LocalBlobs:
        """Immutable bytes by the SHA-256 of their content."""
        return self.storage.blobs

    @property
    def buffers(self) -> LocalBuffers:
        """Stored, named buffers."""
        return self.storage.buffers

    @property
    def kv(self) -> KeyValues:
        """Durable bytes by key."""
        return self._orchestrator.kv

    @property
    def zarr(self) -> LocalHierarchy:
        """All that is stored, as one Zarr hierarchy."""
        return self.storage.zarr

    @property
    def calls(self) -> Calls:
        """Calls that run, and the last ones that ended."""
        return self._orchestrator.calls

    @property
    def runs(self) -> Runs:
        """Executions of plans."""
        return self._runs

    @property
    def backups(self) -> LocalBackups:
        """Copies of everything that is stored, elsewhere."""
        return self._backups

    # -- verbs --------------------------------------------------------------------------------------------------------

    async def call(
        self,
        request: CallRequest,
        *,
        input: Channel | bytes | None = None,
        output: Channel | None = None,
        stderr: Callable[[bytes], None] | None = None,
        scope: CallScope | None = None,
    ) -> CallResult:
        """Run a function on the running event loop; cancelling the coroutine cancels the guest.

        Parameters
        ----------
        input
            Takes the place of the request's input.
        output
            Gets the output, which the result then lacks; it is closed at the end, and the reader makes room in it.
        stderr
            Gets each part of stderr as it comes, on whatever thread.
        scope
            Ends the call, with CancelledError, when it is cancelled.

        Raises
        ------
        MocError
            As :meth:`call_sync` does.
        """
        return await self._orchestrator.call(request, input=input, output=output, stderr=stderr, scope=scope)

    def call_sync(
        self, request: CallRequest, streams: CallStreams | None = None, *, scope: CallScope | None = None
    ) -> CallResult:
        """Run a function and wait for its end. KeyboardInterrupt cancels it.

        Parameters
        ----------
        streams
            Where input comes from and output goes to while it runs; None keeps both in memory.
        scope
            Ends the call, with CancelledError, when it is cancelled from another thread.

        Raises
        ------
        FunctionNotFoundError, BlobNotFoundError, EntryPointNotFoundError, InvalidInputError
            The request cannot be resolved. Nothing ran.
        OverloadedError
            As many calls run and wait as may. Nothing ran.
        GuestError
            The guest failed. What it changed through host functions before that stays.
        """
        return self._orchestrator.call_sync(request, streams, scope=scope)

    def make_ready(self) -> None:
        """Prepare what else the first call has to wait for, such as the memory where guests live.

        Blocks for tens of milliseconds; calls may come meanwhile. Servers do so at their start.
        """
        self._orchestrator.engine.make_ready()

    def prepare(self, request: CallRequest) -> PreparedCall:
        """Resolve a request once, for many calls; raises the errors of resolving."""
        return self._orchestrator.prepare(request)

    def subscribe(self, observer: Observer, *, starts: bool | Callable[[], bool] = True) -> Callable[[], None]:
        """Tell `observer` of calls and runs from now on; calling what is given back ends it, and is idempotent.

        Parameters
        ----------
        starts
            Whether it is told when calls begin, too; a function is asked each time, on whatever thread.
        """
        return self._observers.subscribe(observer, starts=starts)

    def activity(self) -> Activity:
        """Tell how busy the cluster is. Never blocks, and may be called on an event loop's thread."""
        return self._orchestrator.activity()

    def status(self) -> dict[str, Any]:
        """Tell what runs: version, process, instance id, storage, counts, limits."""
        from importlib.metadata import version

        admission = self._orchestrator.admission
        storage = self.storage.status()
        return {
            "version": version("my-own-cluster"),
            "pid": os.getpid(),
            "instance_id": self.storage.instance_id,
            "storage": storage,
            "backup": self._backups.status(),
            "replication": self._replication.status(),
            "functions": storage["names"],
            "buffers": storage["buffers"],
            "runs": len(self.runs.list()),
            "calls": {
                "running": admission.running,
                "active": admission.active,
                "places": admission.places,
                "queued": admission.queued,
                "queue": admission.queue_limit,
                "memory_bytes": admission.held_bytes,
                "memory_budget_bytes": admission.memory_bytes,
            },
            "warm": {"instances": admission.idle.count, "memory_bytes": admission.idle.memory_bytes},
            "limits": self._orchestrator.limits.to_json(),
        }

    def gc(self, *, dry_run: bool = False) -> dict[str, Any]:
        """Remove the object files that nothing refers to and that are due; tell what went, and what is held and why.

        Parameters
        ----------
        dry_run
            Remove nothing; tell what would go, and of the files that the catalog does not know.
        """
        return self.storage.gc(dry_run=dry_run)

    def fsck(
        self, *, quick: bool = False, repair: bool = False, remove_damaged: bool = False
    ) -> Generator[CheckProgress, None, CheckReport]:
        """Check everything that is stored, in steps; see :meth:`.abc.Platform.fsck`."""
        return self.storage.fsck(quick=quick, repair=repair, remove_damaged=remove_damaged)

    def promote(self) -> dict[str, Any]:
        """Make this standby the primary: repeats the log to its end, and ends the turn of whoever wrote it.

        Returns
        -------
        dict
            ``epoch``, ``sequence`` (the last commit of the former primary) and ``former_instance_id``.

        Raises
        ------
        ConflictError
            It is no standby. Nothing was changed.
        ReplicationError, BackupTargetError
            Another standby was promoted at the same moment, or the target cannot be read. It follows on.
        """
        return self._replication.promote()

    def close(self) -> None:
        """End runs and calls, and let go of the storage directory; idempotent.

        Calls that run are cancelled, and their end is waited for; further calls are refused with UnavailableError.
        """
        self._closing.close()
