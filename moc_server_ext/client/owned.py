"""The platform of a storage that this process has opened, until it hands the storage over to a server that starts.

Owns the moment of turning: who uses the cluster is counted, so that it is closed between two uses and never in the
middle of one. How the new owner is found is in :mod:`.discovery`.
"""

from __future__ import annotations

import atexit
import contextlib
import enum
import os
import threading
import time
from collections.abc import Callable, Generator, Iterator
from typing import TYPE_CHECKING, Any, Protocol, cast

from ..abc import (
    Backups,
    Blobs,
    Buffers,
    Calls,
    CallStreams,
    Functions,
    Hierarchy,
    KeyValues,
    LocalBackups,
    LocalBlobs,
    LocalBuffers,
    LocalHierarchy,
    Platform,
    Runs,
)
from ..errors import ConflictError, HandedOverError, InvalidInputError, ServerUnreachableError
from ..model import (
    BackupProgress,
    BackupRecord,
    BackupReport,
    CallRequest,
    CallResult,
    CheckProgress,
    CheckReport,
    RunState,
)
from ..storage.endpoint import ENDPOINT_FILE, remove_endpoint
from .following import address_of, trusted

if TYPE_CHECKING:
    from pathlib import Path

    from ..buffers.channel import Channel
    from ..cluster import Cluster
    from ..scope import CallScope
    from .http import HttpPlatform
    from .transport import Address

_SETTLE_SECONDS = 2.0
_FIND_SECONDS = 30.0
# The output of a run that has just ended is in memory only, and whoever waited for the run is about to ask for it.
_AFTER_RUN_SECONDS = 2.0


class FindOwner(Protocol):
    """Finds the new owner's platform; ServerUnreachableError if none appears in the time."""

    def __call__(self, heir: int | None, seconds: float) -> HttpPlatform:
        """Look for up to `seconds`; `heir` is the process that asked for the storage, if it told."""
        ...


class _Phase(enum.Enum):
    OWNING = enum.auto()
    HANDING_OVER = enum.auto()
    HANDED_OVER = enum.auto()
    CLOSED = enum.auto()


class _Doorway(Protocol):
    """Lets an operation through to the platform that is to do it."""

    def __call__(self, *, calls: bool = False, runs: bool = False) -> contextlib.AbstractContextManager[Platform]: ...


class _Noun:
    """One noun; each of its methods goes through the doorway on its own."""

    def __init__(self, doorway: _Doorway, name: str) -> None:
        self._doorway = doorway
        self._name = name

    def __getattr__(self, method: str) -> Callable[..., Any]:
        if method.startswith("_"):
            raise AttributeError(method)

        def use(*arguments: Any, **options: Any) -> Any:
            with self._doorway(runs=self._name == "runs") as platform:
                return getattr(getattr(platform, self._name), method)(*arguments, **options)

        return use


class _BackupsNoun(_Noun):
    """The noun whose work goes on while its steps are taken: the doorway is held until its end."""

    def create(self, *arguments: Any, **options: Any) -> Generator[BackupProgress, None, BackupRecord]:
        with self._doorway() as platform:
            return (yield from platform.backups.create(*arguments, **options))

    def verify(self, *arguments: Any, **options: Any) -> Generator[BackupProgress, None, BackupReport]:
        with self._doorway() as platform:
            return (yield from platform.backups.verify(*arguments, **options))


class _Face:
    """The nouns and verbs of ``abc.Platform``, each through one doorway."""

    def __init__(self, doorway: _Doorway) -> None:
        self._doorway = doorway
        self.functions = cast(Functions, _Noun(doorway, "functions"))
        self.blobs = cast(Blobs, _Noun(doorway, "blobs"))
        self.buffers = cast(Buffers, _Noun(doorway, "buffers"))
        self.kv = cast(KeyValues, _Noun(doorway, "kv"))
        self.zarr: Hierarchy = cast(Hierarchy, _Noun(doorway, "zarr"))
        self.runs = cast(Runs, _Noun(doorway, "runs"))
        self.calls = cast(Calls, _Noun(doorway, "calls"))
        self.backups: Backups = cast(Backups, _BackupsNoun(doorway, "backups"))

    def status(self) -> dict[str, Any]:
        """Tell what runs."""
        with self._doorway() as platform:
            return platform.status()

    def gc(self, *, dry_run: bool = False) -> dict[str, Any]:
        """Remove the object files that nothing refers to and that are due."""
        with self._doorway() as platform:
            return platform.gc(dry_run=dry_run)

    def fsck(
        self, *, quick: bool = False, repair: bool = False, remove_damaged: bool = False
    ) -> Generator[CheckProgress, None, CheckReport]:
        """Check everything that is stored, in steps."""
        with self._doorway() as platform:
            return (yield from platform.fsck(quick=quick, repair=repair, remove_damaged=remove_damaged))

    def promote(self) -> dict[str, Any]:
        """Make this standby the primary."""
        with self._doorway() as platform:
            return platform.promote()


class ServedFace(_Face):
    """What other processes see: an operation that comes while or after the storage is handed over is refused at once.

    It raises HandedOverError, and nothing was done: its client turns to the new owner.
    """

    def __init__(self, doorway: _Doorway) -> None:
        super().__init__(doorway)
        self.blobs: LocalBlobs = cast(LocalBlobs, _Noun(doorway, "blobs"))
        self.buffers: LocalBuffers = cast(LocalBuffers, _Noun(doorway, "buffers"))
        self.zarr: LocalHierarchy = cast(LocalHierarchy, _Noun(doorway, "zarr"))
        self.backups: LocalBackups = cast(LocalBackups, _BackupsNoun(doorway, "backups"))

    async def call(
        self,
        request: CallRequest,
        *,
        input: Channel | bytes | None = None,
        output: Channel | None = None,
        stderr: Callable[[bytes], None] | None = None,
        scope: CallScope | None = None,
    ) -> CallResult:
        """Run a function on the running event loop; see :meth:`..cluster.Cluster.call`."""
        with self._doorway(calls=True) as platform:
            cluster = cast("Cluster", platform)
            return await cluster.call(request, input=input, output=output, stderr=stderr, scope=scope)

    def call_sync(
        self, request: CallRequest, streams: CallStreams | None = None, *, scope: CallScope | None = None
    ) -> CallResult:
        """Run a function and wait for its end; cancelling `scope` ends it."""
        with self._doorway(calls=True) as platform:
            return cast("Cluster", platform).call_sync(request, streams, scope=scope)

    def close(self) -> None:
        """Do nothing: the storage is not theirs."""


class OwnedPlatform(_Face):
    """A cluster that this process owns, and after it was handed over the server that owns it now.

    Thread-safe; implements :class:`~..abc.Platform`. An operation that comes while the storage is handed over waits for
    the new owner.

    Parameters
    ----------
    find_owner
        Finds the new owner's platform, given the process that asked for the storage and how many seconds to look.
    """

    def __init__(self, cluster: Cluster, find_owner: FindOwner) -> None:
        super().__init__(self._use)
        self.served = ServedFace(self._serve)
        self.path: Path = cluster.storage.path
        self._cluster = cluster
        self._find_owner = find_owner
        self._changed = threading.Condition()
        self._phase = _Phase.OWNING
        self._users = self._calls = 0
        self._last_run_use = float("-inf")
        self._heir: int | None = None
        self._owner: HttpPlatform | None = None
        self._finding = threading.Lock()
        self._stop_serving: Callable[[], None] | None = None
        self._unserved: str | None = None
        self._pid = os.getpid()
        atexit.register(self._close_at_exit)

    @property
    def origin(self) -> str:
        """Who answers, in words."""
        if self._owner is not None:
            return f"server {self._owner.url}"
        if self._phase is _Phase.HANDED_OVER:
            return f"the new owner of {self.path}"
        note = f" (other processes cannot use it: {self._unserved})" if self._unserved else ""
        return f"embedded on {self.path}{note}"

    @property
    def address(self) -> Address | None:
        """Where others reach what is stored: this process, if it serves it, or the new owner."""
        if self._owner is not None:
            return self._owner.address
        endpoint = trusted(self.path / ENDPOINT_FILE)
        return None if endpoint is None or endpoint.pid != self._pid else address_of(endpoint)

    def zarr_store(self, path: str) -> Any:
        """Give the storage as a store of zarr, while this process owns it, and as the new owner shows it afterwards."""
        if self._phase is _Phase.OWNING:
            return self._cluster.storage.zarr_store(path)
        from ..arrays.hierarchy_store import HierarchyStore

        return HierarchyStore(self.zarr, path)

    def serve_with(self, stop: Callable[[], None]) -> None:
        """Take what ends the serving of this storage to others."""
        self._stop_serving = stop

    def stop_serving(self, reason: str) -> None:
        """Go on for this process alone; :attr:`origin` says why."""
        self._unserved = reason
        stop, self._stop_serving = self._stop_serving, None
        if stop is not None:
            stop()

    def call_sync(self, request: CallRequest, streams: CallStreams | None = None) -> CallResult:
        """Run a function and wait for its end. KeyboardInterrupt cancels it."""
        with self._use(calls=True) as platform:
            return platform.call_sync(request, streams)

    def hurried(self, seconds: float) -> Platform:
        """Give the platform for somebody who cannot wait; see :func:`.http.hurried`."""
        if self._phase is _Phase.OWNING:
            return self
        return self._new_owner(seconds).hurried(seconds)

    # -- handing over -------------------------------------------------------------------------------------------------

    def hand_over(self, heir: int | None) -> None:
        """Close the cluster and let another process own the storage; called from a thread that uses no part of it.

        Parameters
        ----------
        heir
            The process that asks, if it tells; clients wait for it as long as it lives.

        Raises
        ------
        ConflictError
            Calls or runs are under way, or some operation does not end. The storage stays where it is.
        HandedOverError
            It was handed over already.
        """
        with self._changed:
            if self._phase is not _Phase.OWNING:
                raise HandedOverError(str(self.path))
            self._check_idle()
            # From here on nothing begins; what reads or writes just now ends first.
            self._phase = _Phase.HANDING_OVER
            if not self._changed.wait_for(lambda: self._users == 0, _SETTLE_SECONDS):
                self._enter(_Phase.OWNING)
                raise _busy("an operation")
            self._heir = heir
        try:
            # While the storage is still ours: its next owner writes a file of the same name.
            remove_endpoint(self.path)
            self._cluster.storage.hand_over_to(heir)
            self._cluster.close()
        finally:
            # Also if closing failed: the cluster is of no use any more.
            with self._changed:
                self._enter(_Phase.HANDED_OVER)

    def _check_idle(self) -> None:
        if self._calls:
            raise _busy("a call")
        runs = self._cluster.runs.list()
        recent = time.monotonic() - self._last_run_use < _AFTER_RUN_SECONDS
        if recent or any(each.state is RunState.RUNNING for each in runs):
            raise _busy("a run")

    def _enter(self, phase: _Phase) -> None:
        self._phase = phase
        self._changed.notify_all()

    # -- using --------------------------------------------------------------------------------------------------------

    @contextlib.contextmanager
    def _use(self, *, calls: bool = False, runs: bool = False) -> Iterator[Platform]:
        with self._changed:
            self._changed.wait_for(lambda: self._phase is not _Phase.HANDING_OVER)
            owning = self._phase is _Phase.OWNING
            if owning:
                self._begin(calls)
        if not owning:
            # On the server it is no business of ours how long it takes.
            yield self._new_owner()
            return
        try:
            yield self._cluster
        finally:
            self._end(calls, runs)

    @contextlib.contextmanager
    def _serve(self, *, calls: bool = False, runs: bool = False) -> Iterator[Platform]:
        with self._changed:
            if self._phase is not _Phase.OWNING:
                raise HandedOverError(str(self.path))
            self._begin(calls)
        try:
            yield self._cluster
        finally:
            self._end(calls, runs)

    def _begin(self, calls: bool) -> None:
        self._users += 1
        self._calls += calls

    def _end(self, calls: bool, runs: bool) -> None:
        with self._changed:
            self._users -= 1
            self._calls -= calls
            if runs:
                self._last_run_use = time.monotonic()
            self._changed.notify_all()

    def _new_owner(self, seconds: float | None = None) -> HttpPlatform:
        patience = _FIND_SECONDS if seconds is None else seconds
        if not self._finding.acquire(timeout=patience):
            raise ServerUnreachableError(str(self.path), "this storage was handed over to a server that is looked for")
        try:
            if self._phase is _Phase.CLOSED:
                raise InvalidInputError("This client is closed. Make a new one with connect().")
            if self._owner is None:
                self._owner = self._find_owner(self._heir, patience)
            return self._owner
        finally:
            self._finding.release()

    # -- the end ------------------------------------------------------------------------------------------------------

    def close(self) -> None:
        """Serve no longer and let go of the storage, or of the server; idempotent."""
        with self._changed:
            # Not in the middle: the cluster would be closed twice at once.
            self._changed.wait_for(lambda: self._phase is not _Phase.HANDING_OVER)
            before = self._phase
            self._enter(_Phase.CLOSED)
        if before is _Phase.CLOSED:
            return
        atexit.unregister(self._close_at_exit)
        if before is not _Phase.HANDED_OVER:
            remove_endpoint(self.path)
        if self._stop_serving is not None:
            self._stop_serving()
        self._cluster.close()
        if self._owner is not None:
            self._owner.close()

    def _close_at_exit(self) -> None:
        # A forked child owns nothing.
        if os.getpid() == self._pid:
            self.close()


def _busy(what: str) -> ConflictError:
    return ConflictError(f"The storage is not handed over: {what} is under way. Ask again when it has ended.")
