"""``calls/{id}`` over HTTP, and the client's noun."""

from __future__ import annotations

import threading

import pytest

from moc_server_ext.client.http import HttpPlatform
from moc_server_ext.engines.wasm.text import wat_to_wasm
from moc_server_ext.errors import CallNotFoundError
from moc_server_ext.model import CallState, Mode

SPIN = wat_to_wasm('(module (memory (export "memory") 1) (func (export "_start") (loop (br 0))))')
ADD = wat_to_wasm('(module (func (export "add") (param i32 i32) (result i32) (i32.add (local.get 0) (local.get 1))))')


class Begun:
    """Knows the id of the call that began last."""

    def __init__(self) -> None:
        self.call_id = ""
        self.event = threading.Event()

    def call_started(self, record):
        self.call_id = record.call_id
        self.event.set()

    def call_ended(self, record):
        pass

    def run_ended(self, record):
        pass


@pytest.fixture
def remote(cluster_gateway):
    platform = HttpPlatform(cluster_gateway.url, cluster_gateway.token, str(cluster_gateway.ca_file))
    yield platform
    platform.close()


def test_a_call_that_has_ended_is_told_by_the_id_of_its_answer(cluster_gateway, remote):
    cluster_gateway.platform.functions.put("add", ADD)
    answer = cluster_gateway.request("POST", "functions/add/call?arg=20&arg=22", content=b"input")
    record = remote.calls.get(answer.headers["moc-call-id"])
    assert (record.state, record.result, record.exit_code, record.error) == (CallState.DONE, 42, None, None)
    assert (record.function, record.mode, record.caller, record.input_bytes) == ("add", Mode.DIRECT, "token", 5)
    assert record.duration_us == int(answer.headers["moc-duration-us"])
    assert record == cluster_gateway.platform.calls.get(record.call_id)


def test_deleting_a_call_that_runs_ends_it_and_its_caller_is_told(cluster_gateway, remote):
    cluster = cluster_gateway.platform
    cluster.functions.put("spin", SPIN)
    begun, answers = Begun(), []
    cluster.subscribe(begun)
    caller = threading.Thread(target=lambda: answers.append(cluster_gateway.request("POST", "functions/spin/call")))
    caller.start()
    assert begun.event.wait(60)
    assert remote.calls.get(begun.call_id).state is CallState.RUNNING
    ended = remote.calls.cancel(begun.call_id)
    assert (ended.state, ended.error["code"]) == (CallState.CANCELLED, "cancelled")
    caller.join(60)
    assert (answers[0].status_code, answers[0].json()["error"]["code"]) == (422, "cancelled")
    assert remote.calls.cancel(begun.call_id) == ended


def test_calls_are_listed_over_http_as_in_process(cluster_gateway, remote):
    cluster_gateway.platform.functions.put("add", ADD)
    answers = [cluster_gateway.request("POST", f"functions/add/call?arg={n}&arg=1") for n in range(3)]
    listed = remote.calls.list()
    assert [each.call_id for each in listed[:3]] == [each.headers["moc-call-id"] for each in reversed(answers)]
    assert listed == cluster_gateway.platform.calls.list()
    assert remote.calls.list(limit=1) == listed[:1]
    assert cluster_gateway.request("GET", "calls?limit=0").json()["error"]["code"] == "invalid_input"


def test_a_call_of_a_client_that_went_away_is_told_as_cancelled(cluster_gateway, remote):
    cluster = cluster_gateway.platform
    cluster.functions.put("spin", SPIN)
    begun = Begun()
    cluster.subscribe(begun)
    with cluster_gateway.connection() as stream:
        stream.sendall(
            b"POST /moc/api/v1/functions/spin/call HTTP/1.1\r\nHost: localhost\r\nContent-Length: 0\r\n"
            b"Authorization: Bearer " + cluster_gateway.token.encode() + b"\r\n\r\n"
        )
        assert begun.event.wait(60)
    assert remote.calls.cancel(begun.call_id).state is CallState.CANCELLED


@pytest.mark.parametrize("call_id", ["none", "%2E%2E", "a%2Fb", "%F0%9F%92%A3", "x" * 5000])
def test_an_unknown_id_is_not_found(cluster_gateway, call_id):
    for method in ("GET", "DELETE"):
        answer = cluster_gateway.request(method, f"calls/{call_id}")
        assert (answer.status_code, answer.json()["error"]["code"]) == (404, "call_not_found")
        assert len(answer.content) < 500


def test_the_client_raises_the_same_error(remote):
    for method in (remote.calls.get, remote.calls.cancel):
        with pytest.raises(CallNotFoundError):
            method("none")
