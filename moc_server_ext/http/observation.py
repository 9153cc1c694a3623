"""What a server tells of itself while it runs: its metrics and its events. Owns when that begins and ends."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable
from typing import TYPE_CHECKING

from ..errors import MocError
from .events.emitter import EventEmitter, EventLog
from .metrics import Heartbeat, Metrics
from .workers import Workers

if TYPE_CHECKING:
    from ..cluster import Cluster

_REFRESH_SECONDS = 30.0

_log = logging.getLogger(__name__)


class Observation:
    """Measures and tells what happens in one cluster, from :meth:`start` to :meth:`stop`.

    Parameters
    ----------
    workers
        Look at the storage, which blocks.

    Attributes
    ----------
    metrics
        Count from the beginning.
    """

    def __init__(self, cluster: Cluster, workers: Workers) -> None:
        self.metrics = Metrics()
        self.metrics.watch(cluster, cluster.storage.status)
        self._cluster = cluster
        self._workers = workers
        self._heartbeat = Heartbeat(self.metrics.loop_delayed)
        self._refreshing: asyncio.Task[None] | None = None
        self._emitter: EventEmitter | None = None
        self._unsubscribe: Callable[[], None] | None = None

    def start(self, log: EventLog) -> None:
        """Begin; called once, on the running event loop, where events are emitted to `log`."""
        loop = asyncio.get_running_loop()
        if not self.metrics.publish():
            _log.info("moc: /metrics tells of another cluster in this process; this one's are at moc/api/v1/metrics.")
        self._heartbeat.start()
        self._refreshing = loop.create_task(self._refresh())
        self._emitter = EventEmitter(log, loop)
        self._emitter.register_schemas()
        self._unsubscribe = self._cluster.subscribe(self._emitter, starts=self._emitter.hears_starts)

    def stop(self) -> None:
        """End all of it; on the event loop, idempotent. Metrics go on counting, and can be read as text."""
        self.metrics.unpublish()
        self._heartbeat.stop()
        if self._refreshing is not None:
            self._refreshing.cancel()
        if self._unsubscribe is not None:
            self._unsubscribe()
        if self._emitter is not None:
            self._emitter.close()

    async def _refresh(self) -> None:
        while True:
            try:
                await self._workers.run(self.metrics.refresh)
            except MocError as error:
                # Busy, or a storage in trouble: what was seen last stays.
                _log.debug("The storage cannot be looked at: %s", error.message)
            await asyncio.sleep(_REFRESH_SECONDS)
