"""Metrics: what they count, where they are told, and that several servers in one process do not meet in them."""

from __future__ import annotations

import asyncio
import re
import time
from pathlib import Path

import pytest
from prometheus_client import CollectorRegistry
from prometheus_client.parser import text_string_to_metric_families

from moc_server_ext.cluster import Cluster
from moc_server_ext.engines.wasm.text import wat_to_wasm
from moc_server_ext.errors import GuestError
from moc_server_ext.http.metrics import Heartbeat, Metrics
from moc_server_ext.http.observation import Observation
from moc_server_ext.http.workers import Workers
from moc_server_ext.model import Activity, CallRecord, CallRequest, CallState, MapReduce, Mode, RunRecord, RunState

TRAP = wat_to_wasm('(module (memory (export "memory") 1) (func (export "_start") unreachable))')
START = wat_to_wasm('(module (memory (export "memory") 1) (func (export "_start")))')


def figures(text: bytes | str) -> dict[str, float]:
    """Read the text format; a name with its labels gives a value."""
    text = text.decode() if isinstance(text, bytes) else text
    return {
        sample.name + "".join(f"{{{name}={value}}}" for name, value in sample.labels.items()): sample.value
        for family in text_string_to_metric_families(text)
        for sample in family.samples
    }


def ended(state: CallState, seconds: float = 0.0, *, caller: str = "me", function: str = "f") -> CallRecord:
    return CallRecord(
        "id", function, Mode.POSIX, caller, state, 0.0, round(seconds * 1e6), input_bytes=3, output_bytes=5
    )


class FakeCluster:
    def __init__(self) -> None:
        self.now = Activity(running=2, waiting=1, queued=1, refused=7, memory_bytes=65536)

    def subscribe(self, observer, *, starts=True):
        return lambda: None

    def activity(self):
        return self.now


# -- what is counted --------------------------------------------------------------------------------------------------


def test_every_outcome_is_there_from_the_beginning():
    found = figures(Metrics().text())
    for outcome in ("done", "failed", "cancelled"):
        assert found[f"moc_calls_total{{outcome={outcome}}}"] == 0
        assert found[f"moc_runs_total{{outcome={outcome}}}"] == 0


def test_calls_are_counted_by_outcome_with_their_bytes_and_their_time():
    metrics = Metrics()
    for state, seconds in ((CallState.DONE, 0.0004), (CallState.DONE, 0.2), (CallState.FAILED, 500.0)):
        metrics.call_ended(ended(state, seconds))
    found = figures(metrics.text())
    assert found["moc_calls_total{outcome=done}"] == 2
    assert found["moc_calls_total{outcome=failed}"] == 1
    assert found["moc_call_input_bytes_total"] == 9
    assert found["moc_call_output_bytes_total"] == 15
    assert found["moc_call_duration_seconds_count"] == 3
    assert found["moc_call_duration_seconds_sum"] == pytest.approx(500.2004)
    buckets = {name: value for name, value in found.items() if name.startswith("moc_call_duration_seconds_bucket")}
    assert buckets["moc_call_duration_seconds_bucket{le=0.0005}"] == 1
    assert buckets["moc_call_duration_seconds_bucket{le=0.25}"] == 2
    assert buckets["moc_call_duration_seconds_bucket{le=60.0}"] == 2
    assert buckets["moc_call_duration_seconds_bucket{le=+Inf}"] == 3
    assert list(buckets.values()) == sorted(buckets.values())


def test_a_duration_on_a_bound_is_in_its_bucket():
    metrics = Metrics()
    metrics.call_ended(ended(CallState.DONE, 0.001))
    assert figures(metrics.text())["moc_call_duration_seconds_bucket{le=0.001}"] == 1


def test_no_label_comes_from_outside():
    metrics = Metrics()
    names = set(figures(metrics.text()))
    for number in range(50):
        metrics.call_ended(ended(CallState.DONE, caller=f"c{number}", function=f'f{number}"\n'))
    metrics.run_ended(RunRecord("id", MapReduce("s", "m"), RunState.FAILED, "map", 0, 1))
    assert set(figures(metrics.text())) == names


def test_how_busy_it_is_is_asked_at_the_moment_of_telling():
    metrics, cluster = Metrics(), FakeCluster()
    metrics.watch(cluster, lambda: {"stored_bytes": 11, "free_bytes": 12})
    found = figures(metrics.text())
    assert [found[f"moc_calls_{each}"] for each in ("running", "queued", "refused_total")] == [2, 1, 7]
    assert [found["moc_storage_bytes"], found["moc_storage_free_bytes"]] == [11, 12]
    assert [found["moc_warm_instances"], found["moc_warm_memory_bytes"]] == [0, 0]
    cluster.now = Activity(
        running=0, waiting=0, queued=0, refused=8, memory_bytes=0, warm_instances=3, warm_bytes=196608
    )
    found = figures(metrics.text())
    assert [found["moc_warm_instances"], found["moc_warm_memory_bytes"]] == [3, 196608]
    assert [found[f"moc_calls_{each}"] for each in ("running", "queued", "refused_total")] == [0, 0, 8]


def test_a_loop_that_is_held_up_is_seen():
    async def main() -> list[float]:
        delays: list[float] = []
        heartbeat = Heartbeat(delays.append, beat_seconds=0.001)
        heartbeat.start()
        time.sleep(0.2)
        while not delays:
            await asyncio.sleep(0)
        heartbeat.stop()
        heartbeat.stop()
        count = len(delays)
        await asyncio.sleep(0.01)
        assert len(delays) == count
        return delays

    assert asyncio.run(main())[0] > 0.15


# -- a cluster --------------------------------------------------------------------------------------------------------


def open_cluster(tmp_path: Path, name: str) -> Cluster:
    cluster = Cluster.open(tmp_path / name, cache_directory=tmp_path / "cache")
    cluster.functions.put("start", START)
    cluster.functions.put("trap", TRAP)
    return cluster


class NoEvents:
    def register_event_schema(self, schema):
        pass

    def emit(self, *, schema_id, data):
        pass


def test_two_clusters_in_one_process_are_told_apart_and_the_process_tells_one(tmp_path):
    process = CollectorRegistry(auto_describe=True)
    one, two = Metrics(), Metrics()
    with open_cluster(tmp_path, "one") as first, open_cluster(tmp_path, "two") as second:
        one.watch(first, first.storage.status)
        two.watch(second, second.storage.status)
        assert [one.publish(process), one.publish(process), two.publish(process)] == [True, True, False]
        first.call_sync(CallRequest("start"))
        with pytest.raises(GuestError):
            second.call_sync(CallRequest("trap"))
        found = [figures(each.text()) for each in (one, two)]
        assert [each["moc_calls_total{outcome=done}"] for each in found] == [1, 0]
        assert [each["moc_calls_total{outcome=failed}"] for each in found] == [0, 1]
        assert all(each["moc_storage_bytes"] > 0 for each in found)
        assert process.get_sample_value("moc_calls_total", {"outcome": "done"}) == 1
        two.unpublish()
        one.unpublish()
        one.unpublish()
        assert process.get_sample_value("moc_calls_total", {"outcome": "done"}) is None
        assert two.publish(process)
        assert process.get_sample_value("moc_calls_total", {"outcome": "failed"}) == 1


def test_a_server_that_starts_and_ends_twice_in_a_process_leaves_nothing_behind(tmp_path):
    async def serve(name: str) -> float:
        workers = Workers(1)
        with open_cluster(tmp_path, name) as cluster:
            observation = Observation(cluster, workers)
            observation.start(NoEvents())
            await asyncio.to_thread(cluster.call_sync, CallRequest("start"))
            observation.stop()
            observation.stop()
            workers.close()
            found = figures(observation.metrics.text())
        return found["moc_calls_total{outcome=done}"]

    assert [asyncio.run(serve("one")), asyncio.run(serve("two"))] == [1, 1]


# -- told over HTTP ---------------------------------------------------------------------------------------------------


def test_the_gateway_tells_them_as_text_to_who_has_the_token(gateway):
    answer = gateway.request("GET", "metrics")
    assert (answer.status_code, answer.headers["content-type"]) == (200, "text/plain; version=0.0.4; charset=utf-8")
    assert "moc_calls_total{outcome=done}" in figures(answer.text)
    assert gateway.http.get(gateway.api + "metrics").status_code == 401


def test_every_metric_is_listed_in_the_reference_with_its_type():
    page = (Path(__file__).parents[2] / "docs" / "reference" / "http.md").read_text()
    listed = dict(re.findall(r"^\| `(moc_\w+)` \| (\w+) \|", page, re.MULTILINE))
    metrics = Metrics()
    metrics.watch(FakeCluster(), lambda: {"stored_bytes": 0, "free_bytes": 0})
    found = {
        family.name + ("_total" if family.type == "counter" else ""): family.type
        for family in text_string_to_metric_families(metrics.text().decode())
        if not family.name.endswith("_created")
    }
    assert listed == found
