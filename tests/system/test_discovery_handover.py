"""A server that starts on a storage which a kernel has opened: the kernel hands it over and goes on as its client."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from jupyter_support import (
    JupyterServer,
    closing,
    environment_of,
    read_endpoint_file,
    start_kernel,
    wait_for_endpoint,
)
from moc_server_ext.client.following import address_of
from moc_server_ext.client.transport import Transport
from moc_server_ext.errors import ConflictError
from moc_server_ext.storage.endpoint import read_endpoint
from support import wait_until

pytestmark = pytest.mark.timeout(180)

CONNECT = "from moc_kernel import connect\nmoc = connect()\n"
SPIN = '%%moc wat spin\n(module (func (export "spin") (loop br 0)))'
SPINNING = """
import threading
def spin():
    try:
        moc.call("spin", limits={"timeout_seconds": 50})
    except Exception:
        pass
thread = threading.Thread(target=spin, daemon=True)
thread.start()
while not moc.status()["calls"]["running"]:
    pass
"""


@pytest.fixture
def kernel(tmp_path):
    with closing(start_kernel("moc", tmp_path / "storage")) as running:
        running.do(f"{CONNECT}moc.kv['k'] = 'kept'\nmoc.buffers['b'] = b'bytes'\nhandle = moc.buffers['b']")
        running.do('%%moc wat one\n(module (func (export "one") (result i32) i32.const 1))')
        running.do("one = moc.functions['one']")
        yield running


def ask_for_handover(storage: Path, pid: int) -> None:
    endpoint = read_endpoint(storage)
    assert endpoint is not None
    transport = Transport(address_of(endpoint))
    try:
        transport.request("POST", "handover", body=json.dumps({"pid": pid}).encode())
    finally:
        transport.close()


def test_a_kernel_goes_on_with_all_its_handles_at_the_server_that_took_over(kernel, tmp_path):
    storage = tmp_path / "storage"
    with closing(start_kernel("moc", storage)) as client_kernel:
        client_kernel.do(f"{CONNECT}assert moc.origin.startswith('server')")
        with closing(JupyterServer(storage)) as server:
            endpoint = server.wait_until_announced()
            assert endpoint["embedded"] is False
            for each in (kernel, client_kernel):
                assert each.do("print(moc.kv['k'].decode(), moc.origin)") == f"kept server {endpoint['url']}"
            assert kernel.do("print(one(), bytes(handle), connect() is moc)") == "1 b'bytes' True"
            assert kernel.do("%moc kv get k") == "kept"
            assert server.moc_lines == []
            # And again, when that server is followed by another.
            server.stop()
            with closing(JupyterServer(storage)) as next_server:
                next_server.wait_until_announced()
                assert kernel.do("print(moc.kv['k'].decode())") == "kept"


def test_a_storage_with_a_call_under_way_stays_and_the_server_attaches(kernel, tmp_path):
    kernel.do(SPIN)
    kernel.do(SPINNING)
    endpoint = read_endpoint_file(tmp_path / "storage")
    with pytest.raises(ConflictError, match="call is under way"):
        ask_for_handover(tmp_path / "storage", os.getpid())
    with closing(JupyterServer(tmp_path / "storage")) as server:
        with closing(server.start_kernel()) as second:
            assert second.do(f"{CONNECT}print(moc.origin)") == f"server {endpoint['url']}"
            assert second.do("%moc kv get k") == "kept"
        server.stop()
    assert len(server.moc_lines) == 1
    assert "work under way" in server.moc_lines[0]
    serve = [sys.executable, "-m", "moc_server_ext.cli", "serve", "--port", "0", "--jupyter-port", "0"]
    refused = subprocess.run(
        serve, env=environment_of(tmp_path, tmp_path / "storage"), capture_output=True, text=True, timeout=100
    )
    assert refused.returncode == 1
    assert refused.stderr.startswith("moc: error[storage_locked]: ")
    assert kernel.do("print(moc.origin)").startswith("embedded")


def test_a_server_hands_its_storage_over_to_nobody(tmp_path):
    with closing(JupyterServer(tmp_path / "storage")) as server:
        server.wait_until_announced()
        with pytest.raises(ConflictError, match="owner of this storage is a server"):
            ask_for_handover(tmp_path / "storage", os.getpid())
        assert read_endpoint_file(tmp_path / "storage")["pid"] == server.process.pid


def test_a_kernel_whose_heir_died_says_so_and_opens_the_storage_only_when_asked(kernel, tmp_path):
    heir = subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE)
    ask_for_handover(tmp_path / "storage", heir.pid)
    heir.kill()
    heir.wait()
    assert heir.stdin is not None
    heir.stdin.close()
    for _ in range(2):
        lost = kernel.run("%moc kv get k")
        assert lost.error_name == "ServerUnreachableError"
        assert f"handed over to process {heir.pid}, which has ended" in lost.error
        assert read_endpoint_file(tmp_path / "storage") == {}
    again = kernel.run("moc = connect()\nprint(moc.origin, moc.kv['k'].decode())")
    assert again.stdout.strip() == f"embedded on {tmp_path / 'storage'} kept"
    assert again.stderr.startswith("moc: no server found")


def test_a_kernel_that_dies_while_it_is_asked_leaves_the_storage_to_the_server(kernel, tmp_path):
    # Stopped, it holds the lock and takes connections, and does not answer; killed, it leaves both.
    assert kernel.manager is not None
    kernel_pid = read_endpoint_file(tmp_path / "storage")["pid"]
    os.kill(kernel_pid, signal.SIGSTOP)
    server = _started(tmp_path / "storage")
    try:
        wait_until(lambda: _is_connected_to(kernel_pid, tmp_path / "storage"), server)
        os.kill(kernel_pid, signal.SIGKILL)
        assert wait_for_endpoint(tmp_path / "storage", server)["embedded"] is False
    finally:
        server.kill()
        server.wait()


def _started(storage: Path) -> subprocess.Popen[bytes]:
    serve = [sys.executable, "-m", "moc_server_ext.cli", "serve", "--port", "0", "--jupyter-port", "0"]
    return subprocess.Popen(serve, env=environment_of(storage.parent, storage), stdout=subprocess.DEVNULL)


def _is_connected_to(pid: int, storage: Path) -> bool:
    """Tell whether somebody has connected to the gateway of the owner, by the kernel's own table."""
    port = int(read_endpoint_file(storage)["url"].rpartition(":")[2])
    entries = [line.split() for line in Path("/proc/net/tcp").read_text().splitlines()[1:]]
    return any(entry[2].endswith(f":{port:04X}") and entry[3] == "01" for entry in entries)


def test_a_server_takes_over_from_a_program_and_the_program_goes_on(tmp_path):
    storage = tmp_path / "storage"
    program = (
        "from moc_server_ext.client import connect\n"
        "moc = connect()\nmoc.kv['k'] = b'1'\nprint(moc.origin, flush=True)\ninput()\n"
        "print(moc.kv['k'].decode(), moc.origin, flush=True)\n"
    )
    with subprocess.Popen(
        [sys.executable, "-W", "error", "-c", program],
        env=environment_of(tmp_path, storage),
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    ) as process:
        assert process.stdout is not None
        assert process.stdout.readline().startswith("embedded")
        with closing(JupyterServer(storage)) as server:
            endpoint = server.wait_until_announced()
            output, _ = process.communicate("\n", timeout=60)
            assert output.strip() == f"1 server {endpoint['url']}"
            assert read_endpoint_file(storage) == endpoint
