"""A client that goes away takes its call with it: no guest runs on for nobody."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
import threading
from typing import Any

from moc_server_ext.engines.wasm.text import wat_to_wasm
from support import wait_until

SPIN = wat_to_wasm('(module (memory (export "memory") 1) (func (export "_start") (loop (br 0))))')
SLEEP = wat_to_wasm("""(module
  (import "wasi_snapshot_preview1" "poll_oneoff" (func $poll (param i32 i32 i32 i32) (result i32)))
  (memory (export "memory") 1)
  (data (i32.const 24) "\\ff\\ff\\ff\\ff\\ff\\ff\\ff\\7f")
  (func (export "_start") (drop (call $poll (i32.const 0) (i32.const 64) (i32.const 1) (i32.const 128)))))""")


def running_calls(gateway: Any) -> int:
    return gateway.request("GET", "status").json()["calls"]["running"]


def begin_call(stream: socket.socket, token: str, name: str) -> None:
    stream.sendall(
        f"POST /moc/api/v1/functions/{name}/call HTTP/1.1\r\nHost: x\r\n"
        f"Authorization: Bearer {token}\r\nContent-Length: 0\r\n\r\n".encode()
    )


def test_a_client_that_hangs_up_ends_its_guest(cluster_gateway):
    for name, content in (("spin", SPIN), ("sleep", SLEEP)):
        cluster_gateway.platform.functions.put(name, content)
        with cluster_gateway.connection() as stream:
            begin_call(stream, cluster_gateway.token, name)
            wait_until(lambda: running_calls(cluster_gateway) == 1)
        wait_until(lambda: running_calls(cluster_gateway) == 0)


def test_a_request_that_waits_for_a_thread_is_forgotten_with_its_client(gateway):
    begun, release = [], threading.Event()

    def block():
        begun.append(True)
        release.wait(60)
        return []

    def ask(stream):
        stream.sendall(
            f"GET /moc/api/v1/runs HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer {gateway.token}\r\n\r\n".encode()
        )

    gateway.platform.runs.list = block
    work = gateway.workers._work
    with gateway.connection() as first, gateway.connection() as second:
        ask(first)
        ask(second)
        wait_until(lambda: len(begun) == 2)
        with gateway.connection() as third:
            ask(third)
            wait_until(lambda: len(work) == 3)
        wait_until(lambda: len(work) == 2)
        release.set()
        assert first.recv(1 << 16).startswith(b"HTTP/1.1 200")
        assert second.recv(1 << 16).startswith(b"HTTP/1.1 200")
    assert len(begun) == 2


def test_ctrl_c_in_a_client_ends_the_guest_on_the_server(cluster_gateway, tmp_path):
    cluster_gateway.platform.functions.put("spin", SPIN)
    script = (
        "import sys\n"
        "from moc_server_ext.client.http import HttpPlatform\n"
        "from moc_server_ext.model import CallRequest\n"
        "HttpPlatform(*sys.argv[1:]).call_sync(CallRequest('spin'))\n"
    )
    arguments = [cluster_gateway.url, cluster_gateway.token, str(cluster_gateway.ca_file)]
    client = subprocess.Popen([sys.executable, "-c", script, *arguments], stderr=subprocess.PIPE, env=dict(os.environ))
    try:
        wait_until(lambda: running_calls(cluster_gateway) == 1)
        client.send_signal(signal.SIGINT)
        _, said = client.communicate(timeout=60)
        assert b"KeyboardInterrupt" in said
        wait_until(lambda: running_calls(cluster_gateway) == 0)
    finally:
        client.kill()
        client.communicate()
