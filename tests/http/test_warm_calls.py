"""Warm instances over HTTP: kept between requests of one caller, told by the status."""

from __future__ import annotations

import wasmtime

COUNTER = """(module (memory (export "memory") 1) (global $n (mut i32) (i32.const 0))
  (func (export "next") (result i32) (global.set $n (i32.add (global.get $n) (i32.const 1))) (global.get $n)))"""


def test_an_instance_serves_the_requests_of_one_caller_and_of_no_other(cluster_gateway):
    def call(caller: str) -> int:
        answer = cluster_gateway.request(
            "POST", "functions/counter/call", headers={"Moc-Client": caller, "Accept": "application/json"}
        )
        assert answer.status_code == 200, answer.text
        return int(answer.json()["result"])

    put = cluster_gateway.request(
        "PUT",
        "functions/counter?reusable",
        content=bytes(wasmtime.wat2wasm(COUNTER)),
        headers={"Content-Type": "application/wasm"},
    )
    assert put.status_code == 201
    assert [call("one") for _ in range(3)] == [1, 2, 3]
    assert [call("two"), call("one")] == [1, 4]
    assert cluster_gateway.request("GET", "status").json()["warm"] == {"instances": 2, "memory_bytes": 2 * 65536}
