"""Functions that import functions, over HTTP: what is refused, what is shown, and whose failure it was."""

from __future__ import annotations

import pytest

from moc_server_ext.client.http import HttpPlatform
from moc_server_ext.engines.wasm.text import wat_to_wasm
from moc_server_ext.errors import TrapError
from moc_server_ext.model import CallRequest

CALLEE = wat_to_wasm("""(module
  (func (export "half") (param f64) (result f64) (f64.div (local.get 0) (f64.const 2)))
  (func $inner (export "fall") unreachable))""")
CALLER = wat_to_wasm("""(module
  (import "callee" "half" (func $half (param f64) (result f64)))
  (import "callee" "fall" (func $fall))
  (func (export "quarter") (param f64) (result f64) (call $half (call $half (local.get 0))))
  (func $outer (export "fall") (call $fall)))""")


@pytest.fixture
def remote(cluster_gateway):
    platform = HttpPlatform(cluster_gateway.url, cluster_gateway.token, str(cluster_gateway.ca_file))
    yield platform
    platform.close()


def test_a_function_is_registered_with_its_callee_and_its_grant(cluster_gateway, remote):
    def put(name: str, content: bytes, query: str = "") -> tuple[int, dict[str, object]]:
        headers = {"Content-Type": "application/wasm"}
        answer = cluster_gateway.request("PUT", f"functions/{name}{query}", content=content, headers=headers)
        return answer.status_code, answer.json()

    status, body = put("caller", CALLER, "?grant=call:callee")
    assert (status, body["error"]["code"]) == (422, "missing_import")
    assert put("callee", CALLEE)[0] == 201
    status, body = put("caller", CALLER)
    assert (status, body["error"]["code"]) == (403, "not_granted")
    status, body = put("caller", CALLER, "?grant=call:callee")
    assert status == 201
    assert body["imports"] == [
        {"function": "callee", "export": "half", "params": ["f64"], "results": ["f64"]},
        {"function": "callee", "export": "fall", "params": [], "results": []},
    ]
    assert [str(each) for each in remote.functions.get("caller").imports] == [
        "callee.half(f64) -> (f64)",
        "callee.fall() -> ()",
    ]
    answer = cluster_gateway.request("POST", "functions/caller/call?entry=quarter&arg=5")
    assert answer.headers["moc-result"] == "1.25"


def test_a_callee_that_fails_is_the_callers_error_with_both_backtraces(cluster_gateway, remote):
    remote.functions.put("callee", CALLEE)
    cluster_gateway.request("PUT", "functions/caller?grant=call", content=CALLER)
    answer = cluster_gateway.request("POST", "functions/caller/call?entry=fall")
    error = answer.json()["error"]
    assert (answer.status_code, error["code"]) == (422, "guest_trap")
    assert (error["details"]["function"], error["details"]["called_by"]) == ("callee", ["caller"])
    with pytest.raises(TrapError) as caught:
        remote.call_sync(CallRequest("caller", entry="fall"))
    assert caught.value.called_by == ["caller"]
    assert caught.value.backtrace == ["inner", "outer in function 'caller'"]
