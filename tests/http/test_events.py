"""Jupyter events of calls and runs, and a real Jupyter server that tells them and its metrics."""

from __future__ import annotations

import asyncio
import json
import logging
import re
import ssl
from pathlib import Path
from typing import Any

import httpx
import pytest
import yaml
from jupyter_events import EventLogger
from prometheus_client.parser import text_string_to_metric_families
from tornado.httpclient import HTTPRequest
from tornado.websocket import websocket_connect

from jupyter_support import TOKEN, JupyterServer
from moc_server_ext.engines.wasm.text import wat_to_wasm
from moc_server_ext.http.events.emitter import CALL_ENDED, CALL_STARTED, RUN_ENDED, SCHEMA_FILES, EventEmitter
from moc_server_ext.model import CallRecord, CallState, MapReduce, Mode, RunRecord, RunState

pytestmark = pytest.mark.timeout(120)

ECHO = wat_to_wasm((Path(__file__).parents[2] / "samples/wat/wasi-write/wasi-write.wat").read_text())
TRAP = wat_to_wasm('(module (memory (export "memory") 1) (func (export "_start") unreachable))')
SECRET = "do-not-tell-this"
RECORD = CallRecord(
    "id", "f", Mode.DIRECT, "me", CallState.FAILED, 1.5, 7, (41, 42), None, 3, 4, SECRET.encode(),
    {"code": "guest_trap", "message": SECRET, "details": {"stderr": SECRET}},
)  # fmt: skip
RUN = RunRecord("id", MapReduce("lines", "map"), RunState.DONE, "map", 1, 1, 5, 6)


class Log:
    """An event log that keeps what it is told."""

    def __init__(self) -> None:
        self.told: list[tuple[str, dict[str, Any]]] = []

    def register_event_schema(self, schema):
        pass

    def emit(self, *, schema_id, data):
        self.told.append((schema_id, data))


async def until(condition) -> None:
    async with asyncio.timeout(30):
        while not condition():
            await asyncio.sleep(0.001)


# -- schemas ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("schema_id", SCHEMA_FILES)
def test_every_field_of_an_event_is_described_and_numbers_have_a_unit(schema_id):
    schema = yaml.safe_load(SCHEMA_FILES[schema_id].read_text())
    assert (schema["$id"], schema["version"]) == (schema_id, "1")
    assert schema["additionalProperties"] is False
    assert schema["required"] == list(schema["properties"])
    for name, field in schema["properties"].items():
        assert field["description"].endswith("."), name
        if field.get("type") in ("integer", "number"):
            assert re.search(r"seconds|microseconds|bytes|[Nn]umber of|How many", field["description"]), name


def test_every_event_is_listed_in_the_reference_with_its_fields():
    page = (Path(__file__).parents[2] / "docs" / "reference" / "http.md").read_text()
    listed = {
        schema_id: re.findall(r"`(\w+)`", fields)
        for schema_id, fields in re.findall(r"^\| `(urn:[\w:-]+)` \| (.*) \|$", page, re.MULTILINE)
    }
    assert listed == {
        schema_id: list(yaml.safe_load(path.read_text())["properties"]) for schema_id, path in SCHEMA_FILES.items()
    }


def test_jupyters_own_logger_takes_every_event_and_none_tells_what_is_inside():
    written: list[str] = []

    class Handler(logging.Handler):
        def emit(self, record):
            written.append(self.format(record))

    async def main() -> None:
        log = EventLogger()
        log.register_handler(Handler())
        emitter = EventEmitter(log, asyncio.get_running_loop())
        emitter.register_schemas()
        emitter.call_started(RECORD)
        emitter.call_ended(RECORD)
        emitter.run_ended(RUN)
        await until(lambda: len(written) == 3)

    asyncio.run(main())
    events = [json.loads(each) for each in written]
    assert [each["__schema__"] for each in events] == [CALL_STARTED, CALL_ENDED, RUN_ENDED]
    assert SECRET not in "".join(written)
    assert "result" not in events[1]
    assert (events[1]["error_code"], events[1]["duration_us"], events[1]["input_bytes"]) == ("guest_trap", 7, 3)


def test_what_nobody_listens_to_takes_no_place_from_what_somebody_does():
    written: list[str] = []

    class Handler(logging.Handler):
        def emit(self, record):
            written.append(self.format(record))

    async def main() -> None:
        log = EventLogger()
        emitter = EventEmitter(log, asyncio.get_running_loop())
        emitter.register_schemas()
        for _ in range(1500):
            emitter.call_started(RECORD)
        assert not emitter.hears_starts()
        log.register_handler(Handler())
        assert emitter.hears_starts()
        emitter.call_ended(RECORD)
        await until(lambda: len(written) == 1)

    asyncio.run(main())
    assert [(each["__schema__"], each["left_out"]) for each in map(json.loads, written)] == [(CALL_ENDED, 0)]


# -- bounds -----------------------------------------------------------------------------------------------------------


def test_events_from_other_threads_are_emitted_on_the_loop_in_order():
    log = Log()

    async def main() -> None:
        emitter = EventEmitter(log, asyncio.get_running_loop())

        def tell() -> None:
            for number in range(500):
                emitter.call_started(CallRecord(str(number), "f", Mode.POSIX, "me", CallState.RUNNING, 0.0))

        await asyncio.to_thread(tell)
        await until(lambda: len(log.told) == 500)

    asyncio.run(main())
    assert [data["call_id"] for _, data in log.told] == [str(number) for number in range(500)]


def test_more_events_than_may_wait_are_left_out_and_the_next_one_tells_how_many():
    log = Log()

    async def main() -> None:
        emitter = EventEmitter(log, asyncio.get_running_loop())
        for _ in range(1500):
            emitter.call_started(RECORD)
        await until(lambda: len(log.told) == 1000)
        emitter.call_ended(RECORD)
        emitter.call_ended(RECORD)
        await until(lambda: len(log.told) == 1002)

    asyncio.run(main())
    assert [data["left_out"] for _, data in log.told] == [0] * 1000 + [500, 0]


def test_slow_listeners_do_not_hold_the_loop_up():
    class SlowLog(Log):
        def emit(self, *, schema_id, data):
            super().emit(schema_id=schema_id, data=data)
            end = loop.time() + 0.003  # longer than the time that is spent at once
            while loop.time() < end:
                pass

    log = SlowLog()

    async def main() -> int:
        nonlocal loop
        loop = asyncio.get_running_loop()
        emitter = EventEmitter(log, loop)
        for _ in range(5):
            emitter.call_started(RECORD)
        turns = 0
        while len(log.told) < 5:
            await asyncio.sleep(0)
            turns += 1
        return turns

    loop: asyncio.AbstractEventLoop
    assert asyncio.run(main()) > 5


def test_an_event_that_cannot_be_emitted_is_logged_once_and_the_next_ones_go_on(caplog):
    class Failing(Log):
        def emit(self, *, schema_id, data):
            super().emit(schema_id=schema_id, data=data)
            raise ValueError("a listener is broken")

    log = Failing()

    async def main() -> None:
        emitter = EventEmitter(log, asyncio.get_running_loop())
        for _ in range(3):
            emitter.call_started(RECORD)
        await until(lambda: len(log.told) == 3)

    asyncio.run(main())
    assert len(caplog.records) == 1


def test_nothing_is_emitted_after_the_end():
    log = Log()

    async def main() -> None:
        emitter = EventEmitter(log, asyncio.get_running_loop())
        emitter.call_started(RECORD)
        emitter.close()
        emitter.call_ended(RECORD)
        for _ in range(5):
            await asyncio.sleep(0)

    asyncio.run(main())
    assert log.told == []


# -- a real server ----------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def jupyter(tmp_path_factory: pytest.TempPathFactory):
    directory = tmp_path_factory.mktemp("jupyter")
    server = JupyterServer(
        directory / "storage",
        "--ServerApp.base_url=/a@b/",
        "--ServerApp.allow_unauthenticated_access=False",
    )
    try:
        server.wait_until_it_answers()
        assert server.request("PUT", "functions/echo", content=ECHO).status_code == 201
        assert server.request("PUT", "functions/trap", content=TRAP).status_code == 201
        yield server
    finally:
        server.stop()


def events_of(jupyter: JupyterServer, act, count: int) -> list[dict[str, Any]]:
    """Subscribe as a front end does, do something, and give the events of moc."""

    async def main() -> list[dict[str, Any]]:
        url = jupyter.url.replace("http://", "ws://") + "api/events/subscribe"
        socket = await websocket_connect(HTTPRequest(url, headers={"Authorization": f"token {TOKEN}"}))
        found: list[dict[str, Any]] = []
        try:
            acting = asyncio.create_task(asyncio.to_thread(act))
            async with asyncio.timeout(60):
                while len(found) < count:
                    message = await socket.read_message()
                    assert isinstance(message, str)
                    event = json.loads(message)
                    if event["schema_id"].startswith("urn:my-own-cluster:"):
                        found.append(event)
                await acting
        finally:
            socket.close()
            async with asyncio.timeout(30):
                while await socket.read_message() is not None:
                    pass  # until the server has said goodbye too
        return found

    return asyncio.run(main())


def test_a_subscriber_is_told_of_calls_as_they_begin_and_end(jupyter):
    def act() -> None:
        query = f"arg={SECRET}&env=KEY={SECRET}"
        assert jupyter.request("POST", f"functions/echo/call?{query}", content=SECRET.encode()).status_code == 200
        assert jupyter.request("POST", "functions/trap/call").status_code == 422

    events = events_of(jupyter, act, 4)
    assert [(each["schema_id"], each["function"]) for each in events] == [
        (CALL_STARTED, "echo"),
        (CALL_ENDED, "echo"),
        (CALL_STARTED, "trap"),
        (CALL_ENDED, "trap"),
    ]
    assert SECRET not in json.dumps(events)
    done, failed = events[1], events[3]
    assert (done["state"], done["exit_code"], done["error_code"]) == ("done", 0, None)
    assert done["input_bytes"] == len(SECRET)
    assert (failed["state"], failed["error_code"], failed["left_out"]) == ("failed", "guest_trap", 0)
    assert done["caller"].startswith("jupyter:")
    assert jupyter.request("GET", f"calls/{done['call_id']}").json()["state"] == "done"


def test_a_subscriber_is_told_of_a_run_that_ended(jupyter):
    assert jupyter.request("PUT", "buffers/lines", content=b"a\nb\n").status_code == 201

    def act() -> None:
        assert jupyter.request("POST", "runs", json={"source": "lines", "map": "trap"}).status_code == 201

    (event,) = events_of(jupyter, act, 1)
    assert (event["schema_id"], event["map"], event["state"]) == (RUN_ENDED, "trap", "failed")
    assert event["error_code"] == "task_failed"


def test_the_gateway_and_both_addresses_of_jupyter_tell_the_same_metrics(jupyter):
    assert jupyter.request("POST", "functions/echo/call").status_code == 200
    status = jupyter.request("GET", "status").json()
    endpoint = json.loads((Path(status["storage"]["path"]) / "endpoint.json").read_text())
    context = ssl.create_default_context(cafile=endpoint["ca_file"])
    texts = [
        jupyter.request("GET", "metrics").text,
        jupyter.http.get(jupyter.url + "metrics", headers={"Authorization": f"token {TOKEN}"}).text,
        httpx.get(
            endpoint["url"] + "/moc/api/v1/metrics",
            headers={"Authorization": f"Bearer {endpoint['token']}"},
            verify=context,
            trust_env=False,
        ).text,
    ]
    found = []
    for text in texts:
        samples = {
            (sample.name, sample.labels.get("outcome")): sample.value
            for family in text_string_to_metric_families(text)
            if family.name.startswith("moc_")
            for sample in family.samples
        }
        found.append(samples)
        assert samples["moc_calls_total", "done"] >= 1
        assert samples["moc_event_loop_delay_seconds_count", None] > 0
        assert samples["moc_storage_bytes", None] > 0
    assert found[0].keys() == found[1].keys() == found[2].keys()
    assert httpx.get(jupyter.url + "metrics", trust_env=False).status_code == 403
