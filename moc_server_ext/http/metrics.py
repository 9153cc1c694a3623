"""Prometheus metrics of one server: what is counted, under which names, and where they are told.

A server has a registry of its own, so that several may live in one process. ``GET metrics`` tells it; :meth:`.publish`
adds it to the registry of the process, which Jupyter's own ``/metrics`` tells.
"""

from __future__ import annotations

import asyncio
import threading
from bisect import bisect_left
from collections.abc import Callable, Iterable, Mapping
from itertools import accumulate
from typing import Any, Final, Protocol

from prometheus_client import REGISTRY, CollectorRegistry, Counter, Gauge, Histogram, generate_latest
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, HistogramMetricFamily, Metric
from prometheus_client.registry import Collector

from ..abc import Observer
from ..model import Activity, CallRecord, CallState, RunRecord, RunState

_CALL_SECONDS: Final = (0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60)
_DELAY_SECONDS: Final = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 5)
_BEAT_SECONDS: Final = 0.1


class Watched(Protocol):
    """What metrics ask of a cluster."""

    def subscribe(self, observer: Observer, *, starts: bool = ...) -> Callable[[], None]:
        """Tell `observer` from now on."""
        ...

    def activity(self) -> Activity:
        """Tell how busy the cluster is, without blocking."""
        ...


class Metrics:
    """The metrics of one server; an ``abc.Observer``. Thread-safe.

    No label has values from outside, so that their number is bounded.
    """

    def __init__(self) -> None:
        registry = self._registry = CollectorRegistry()
        self._tally = _CallTally()
        registry.register(self._tally)
        runs = Counter("moc_runs", "Map-reduce runs that have ended.", ["outcome"], registry=registry)
        # Made at once: a series that appears only with its first event hides that event from a rate.
        self._runs = {each: runs.labels(each) for each in set(RunState) - {RunState.RUNNING}}
        self._delays = Histogram(
            "moc_event_loop_delay_seconds",
            "How late the server's event loop came to a timer, looked at ten times a second.",
            buckets=_DELAY_SECONDS,
            registry=registry,
        )
        self._stored = Gauge("moc_storage_bytes", "Bytes that are stored.", registry=registry)
        self._free = Gauge("moc_storage_free_bytes", "Bytes that the disk has left for more.", registry=registry)
        self._unpublish: Callable[[], None] | None = None
        self._read_storage: Callable[[], Mapping[str, Any]] | None = None

    def watch(self, cluster: Watched, read_storage: Callable[[], Mapping[str, Any]]) -> None:
        """Measure a cluster; called once.

        Parameters
        ----------
        read_storage
            Tells ``stored_bytes`` and ``free_bytes``; may block.
        """
        self._read_storage = read_storage
        self._registry.register(_ActivityCollector(cluster.activity))
        cluster.subscribe(self, starts=False)

    # -- what is measured ---------------------------------------------------------------------------------------------

    def call_started(self, record: CallRecord) -> None:
        """Do nothing: how many run is asked for when it is told."""

    def call_ended(self, record: CallRecord) -> None:
        """Count a call."""
        self._tally.add(record)

    def run_ended(self, record: RunRecord) -> None:
        """Count a run."""
        self._runs[record.state].inc()

    def loop_delayed(self, seconds: float) -> None:
        """Take how late the event loop was."""
        self._delays.observe(seconds)

    def refresh(self) -> None:
        """Look at the storage, which blocks; it is not looked at otherwise. Raises StorageError as the storage does."""
        if self._read_storage is not None:
            facts = self._read_storage()
            self._stored.set(facts["stored_bytes"])
            self._free.set(facts["free_bytes"])

    # -- where it is told ---------------------------------------------------------------------------------------------

    def text(self) -> bytes:
        """Give all of it in Prometheus' text format, with a fresh look at the storage: blocks."""
        self.refresh()
        return generate_latest(self._registry)

    def publish(self, registry: CollectorRegistry = REGISTRY) -> bool:
        """Add it to the registry of the process, until :meth:`unpublish`; idempotent.

        Tells whether it is there: a registry takes one server's, since two would have the same names.
        """
        if self._unpublish is None:
            try:
                registry.register(self._registry)
            except ValueError:
                return False
            self._unpublish = lambda: registry.unregister(self._registry)
        return True

    def unpublish(self) -> None:
        """Take back what :meth:`publish` did; idempotent."""
        if self._unpublish is not None:
            self._unpublish()
            self._unpublish = None


class _CallTally(Collector):
    """Counts calls. Every call of a server passes here: one lock and a few sums, where four metrics would take four."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._outcomes: dict[CallState, int] = {each: 0 for each in CallState if each is not CallState.RUNNING}
        self._durations = [0] * (len(_CALL_SECONDS) + 1)
        self._seconds = 0.0
        self._input_bytes = 0
        self._output_bytes = 0

    def add(self, record: CallRecord) -> None:
        """Count a call that has ended."""
        seconds = record.duration_us / 1e6
        bucket = bisect_left(_CALL_SECONDS, seconds)
        with self._lock:
            self._outcomes[record.state] += 1
            self._durations[bucket] += 1
            self._seconds += seconds
            self._input_bytes += record.input_bytes
            self._output_bytes += record.output_bytes

    def collect(self) -> Iterable[Metric]:
        """Give the families, all of one moment."""
        with self._lock:
            outcomes, durations, seconds = dict(self._outcomes), list(self._durations), self._seconds
            input_bytes, output_bytes = self._input_bytes, self._output_bytes
        calls = CounterMetricFamily("moc_calls", "Calls from outside that have ended.", labels=["outcome"])
        for outcome, count in outcomes.items():
            calls.add_metric([outcome], count)
        yield calls
        bounds = [*(str(float(each)) for each in _CALL_SECONDS), "+Inf"]
        yield HistogramMetricFamily(
            "moc_call_duration_seconds",
            "Wall time of calls from outside, without their wait for a turn.",
            buckets=list(zip(bounds, accumulate(durations), strict=True)),
            sum_value=seconds,
        )
        yield CounterMetricFamily(
            "moc_call_input_bytes", "Bytes of input that calls from outside got.", value=input_bytes
        )
        yield CounterMetricFamily(
            "moc_call_output_bytes", "Bytes of output that calls from outside gave.", value=output_bytes
        )


class _ActivityCollector(Collector):
    """Tells how busy a cluster is at the moment that somebody asks."""

    def __init__(self, activity: Callable[[], Activity]) -> None:
        self._activity = activity

    def collect(self) -> Iterable[Metric]:
        """Give one family a figure."""
        now = self._activity()
        yield GaugeMetricFamily("moc_calls_running", "Calls from outside that run.", value=now.running)
        yield GaugeMetricFamily("moc_calls_waiting", "Running calls that wait for something.", value=now.waiting)
        yield GaugeMetricFamily("moc_calls_queued", "Calls from outside that wait for their turn.", value=now.queued)
        yield GaugeMetricFamily("moc_guest_memory_bytes", "Memory that all guests hold.", value=now.memory_bytes)
        yield GaugeMetricFamily(
            "moc_warm_instances", "Instances of reusable functions that wait for a call.", value=now.warm_instances
        )
        yield GaugeMetricFamily("moc_warm_memory_bytes", "Memory that these instances hold.", value=now.warm_bytes)
        yield CounterMetricFamily(
            "moc_calls_refused", "Calls that were refused because there was too much work.", value=now.refused
        )


class Heartbeat:
    """A timer on an event loop that tells how late it comes. Used on the loop's own thread.

    Parameters
    ----------
    late
        Is told, in seconds, at every beat.
    """

    def __init__(self, late: Callable[[float], None], *, beat_seconds: float = _BEAT_SECONDS) -> None:
        self._late = late
        self._beat_seconds = beat_seconds
        self._timer: asyncio.TimerHandle | None = None

    def start(self) -> None:
        """Begin to beat; called on the running loop."""
        self._schedule(asyncio.get_running_loop())

    def stop(self) -> None:
        """Beat no more; idempotent."""
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def _schedule(self, loop: asyncio.AbstractEventLoop) -> None:
        due = loop.time() + self._beat_seconds

        def beat() -> None:
            self._late(max(0.0, loop.time() - due))
            self._schedule(loop)

        self._timer = loop.call_at(due, beat)
