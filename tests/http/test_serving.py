"""Whole servers: `moc serve` in a process of its own, from the printed block to a clean end."""

from __future__ import annotations

import contextlib
import json
import os
import shlex
import shutil
import signal
import socket
import subprocess
import sys
from pathlib import Path

import httpx
import pytest

from jupyter_support import client_of
from moc_server_ext.client import connect
from moc_server_ext.client.client import Client
from moc_server_ext.cluster import Cluster
from moc_server_ext.engines.wasm.text import wat_to_wasm
from moc_server_ext.errors import LockedStorageError, ServerUnreachableError, TrapError, UnauthorizedError

pytestmark = pytest.mark.timeout(180)

# Upper-cases stdin, in 64 KiB at most.
UPPERCASE = """
(module
  (import "wasi_snapshot_preview1" "fd_read" (func $read (param i32 i32 i32 i32) (result i32)))
  (import "wasi_snapshot_preview1" "fd_write" (func $write (param i32 i32 i32 i32) (result i32)))
  (memory (export "memory") 2)
  (func (export "_start") (local $i i32) (local $end i32) (local $c i32)
    (i32.store (i32.const 0) (i32.const 1024))
    (i32.store (i32.const 4) (i32.const 65536))
    (drop (call $read (i32.const 0) (i32.const 0) (i32.const 1) (i32.const 8)))
    (local.set $i (i32.const 1024))
    (local.set $end (i32.add (i32.const 1024) (i32.load (i32.const 8))))
    (block $done (loop $next
      (br_if $done (i32.ge_u (local.get $i) (local.get $end)))
      (local.set $c (i32.load8_u (local.get $i)))
      (if (i32.lt_u (i32.sub (local.get $c) (i32.const 97)) (i32.const 26))
        (then (i32.store8 (local.get $i) (i32.sub (local.get $c) (i32.const 32)))))
      (local.set $i (i32.add (local.get $i) (i32.const 1)))
      (br $next)))
    (i32.store (i32.const 4) (i32.load (i32.const 8)))
    (drop (call $write (i32.const 1) (i32.const 0) (i32.const 1) (i32.const 8)))))
"""
ENDLESS = '(module (memory (export "memory") 1) (func (export "_start") (loop (br 0))))'
TRAPS = '(module (memory (export "memory") 1) (func $deep (unreachable)) (func (export "_start") (call $deep)))'


def put_functions(storage: Path) -> Path:
    with Cluster.open(storage, cache_directory=storage.parent / "cache") as cluster:
        for name, text in {"uppercase": UPPERCASE, "endless": ENDLESS, "traps": TRAPS}.items():
            cluster.functions.put(name, wat_to_wasm(text))
    return storage


@pytest.fixture
def stored(tmp_path: Path) -> Path:
    """A storage with functions in it, closed again."""
    return put_functions(tmp_path / "served")


@pytest.fixture(scope="module")
def server(serve_for_all, tmp_path_factory: pytest.TempPathFactory):
    """A server with functions, for those tests that change nothing of it."""
    return serve_for_all(storage=put_functions(tmp_path_factory.mktemp("shared") / "served"))


@pytest.fixture(autouse=True)
def _clean(monkeypatch, tmp_path):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    for name in ("MOC_URL", "MOC_TOKEN", "MOC_ENDPOINT_FILE", "MOC_STORAGE"):
        monkeypatch.delenv(name, raising=False)


def connect_to(server) -> Client:
    return connect(storage=server.storage)


def jupyter(server) -> httpx.Client:
    return httpx.Client(base_url=server.endpoint["jupyter_url"], trust_env=False, timeout=60)


def token_of(server) -> str:
    return httpx.URL(server.line("Jupyter(?:Lab)?")).params["token"]


# -- the printed block ------------------------------------------------------------------------------------------------


def test_the_printed_curl_line_works_when_it_is_pasted(server):
    if shutil.which("curl") is None:
        pytest.skip("curl is not installed")
    line = server.line("Try")
    assert "functions/uppercase/call -d hello" in line
    answer = subprocess.run(["bash", "-c", f"{line} --silent --show-error"], capture_output=True, timeout=60)
    assert (answer.returncode, answer.stdout, answer.stderr) == (0, b"HELLO", b"")
    words = shlex.split(line)
    token = server.endpoint["token"]
    assert not any(token in word for word in words)
    assert "-k" not in words


def test_without_functions_the_printed_line_asks_for_the_status(serve):
    server = serve()
    assert server.line("Try").endswith("/moc/api/v1/status")
    assert server.line("Storage") == str(server.storage)
    assert server.line("Gateway") == server.endpoint["url"] + "/moc/api/v1/"


def test_nothing_but_the_block_and_one_last_line_is_printed(serve):
    server = serve()
    assert len(server.output) == 5
    code, rest = server.stop()
    assert (code, rest) == (0, "moc: shutting down.\n")


def test_the_printed_jupyter_address_is_logged_in(server):
    with jupyter(server) as http:
        assert http.get("api/contents").status_code == 403
        assert http.get("api/contents", params={"token": token_of(server)}).status_code == 200


def test_the_lab_opens_on_the_notebook(serve, tmp_path):
    pytest.importorskip("jupyterlab")
    notebooks = tmp_path / "note books"
    notebooks.mkdir()
    (notebooks / "a b.ipynb").write_text('{"cells": [], "metadata": {}, "nbformat": 4, "nbformat_minor": 5}')
    server = serve("--lab", "--notebook-dir", str(notebooks), "--open-path", "a b.ipynb")
    url = server.line("JupyterLab")
    assert "/lab/tree/a%20b.ipynb?token=" in url
    with httpx.Client(trust_env=False, timeout=60, follow_redirects=True) as http:
        page = http.get(url)
        assert page.status_code == 200
        assert "jupyter-config-data" in page.text
    assert server.stop()[0] == 0


def test_the_endpoint_file_is_private_and_goes_at_the_end(serve):
    server = serve()
    file = server.storage / "endpoint.json"
    assert file.stat().st_mode & 0o777 == 0o600
    assert set(server.endpoint) == {"pid", "url", "jupyter_url", "token", "ca_file", "instance_id", "embedded"}
    assert server.endpoint["pid"] == server.process.pid
    server.stop()
    assert not file.exists()


# -- the end ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("signum", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_ends_it_cleanly_although_a_guest_computes(serve, stored, signum):
    server = serve()
    with connect_to(server) as moc:
        call = subprocess.Popen(
            [sys.executable, "-c", "import sys; from moc_server_ext.client import connect;"
             "connect(storage=sys.argv[1]).call('endless')", str(stored)],
            stderr=subprocess.DEVNULL,
        )  # fmt: skip
        while moc.status()["calls"]["running"] == 0:
            assert call.poll() is None
    code, rest = server.stop(signum)
    assert code == 0
    assert rest.splitlines()[0] == "moc: shutting down."
    assert "Traceback" not in rest
    call.wait(60)
    with Cluster.open(stored) as cluster:
        assert len(cluster.functions.list()) == 3


def test_a_kernel_does_not_hold_it_up(serve):
    server = serve()
    with jupyter(server) as http:
        headers = {"Authorization": f"token {token_of(server)}"}
        kernel = http.post("api/kernels", json={"name": "python3"}, headers=headers).raise_for_status().json()["id"]
    # One that is still starting would say on its own that it was interrupted.
    file = server.storage.parent / "home/.local/share/jupyter/runtime" / f"kernel-{kernel}.json"
    client = client_of(file)
    client.start_channels()
    client.wait_for_ready(timeout=60)
    client.stop_channels()
    code, rest = server.stop()
    assert (code, rest) == (0, "moc: shutting down.\n")


def test_a_kernel_that_restarts_just_then_does_not_hold_it_up(serve):
    """Jupyter's own clean-up fails in this moment, and would leave the server running."""
    server = serve()
    with jupyter(server) as http:
        headers = {"Authorization": f"token {token_of(server)}"}
        kernel = http.post("api/kernels", json={"name": "python3"}, headers=headers).raise_for_status().json()["id"]
        # The answer comes when the restart is over: it is not waited for.
        with contextlib.suppress(httpx.ReadTimeout):
            http.post(f"api/kernels/{kernel}/restart", headers=headers, timeout=0.05)
        code, rest = server.stop()
    assert code == 0
    assert "moc: shutting down.\n" in rest


def test_a_kernel_inherits_where_the_server_is(serve):
    server = serve()
    environment = Path(f"/proc/{server.process.pid}/environ")
    if not environment.exists():
        pytest.skip("needs /proc")
    with jupyter(server) as http:
        headers = {"Authorization": f"token {token_of(server)}"}
        http.post("api/kernels", json={"name": "python3"}, headers=headers).raise_for_status()
    children = Path(f"/proc/{server.process.pid}/task/{server.process.pid}/children").read_text().split()
    found = [Path(f"/proc/{pid}/environ").read_bytes() for pid in children]
    assert any(f"MOC_ENDPOINT_FILE={server.storage}/endpoint.json\0".encode() in each for each in found)


# -- what is in the way -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("option", ["--port", "--jupyter-port"])
def test_a_taken_port_is_named_with_its_option(serve, a_taken_port, option):
    server = serve(option, str(a_taken_port))
    assert server.process.returncode == 1
    assert len(server.output) == 1
    assert server.output[0].startswith("moc: error[address_in_use]: ")
    assert f"Port {a_taken_port} on 127.0.0.1" in server.output[0]
    assert server.output[0].endswith(f"{option}.")
    # Nothing is left behind: the same storage opens at once.
    with Cluster.open(server.storage) as cluster:
        assert cluster.functions.list() == []


def test_an_address_of_another_machine_is_refused(serve):
    server = serve("--host", "192.0.2.1")
    assert server.process.returncode == 1
    assert "192.0.2.1" in server.output[0]


def test_a_storage_with_an_owner_is_named(serve, tmp_path):
    with Cluster.open(tmp_path / "served"):
        server = serve()
    assert server.process.returncode == 1
    assert len(server.output) == 1
    assert server.output[0].startswith("moc: error[storage_locked]: ")


def test_what_is_not_there_is_named(serve, tmp_path):
    server = serve("--notebook-dir", str(tmp_path / "nowhere"))
    assert server.process.returncode == 1
    assert "--notebook-dir" in server.output[0]
    server = serve("--open-path", "none.ipynb", "--lab")
    assert server.process.returncode == 1
    assert "--open-path" in server.output[0]


# -- clients ----------------------------------------------------------------------------------------------------------


def test_a_client_finds_the_server_and_does_what_it_can(server):
    with connect_to(server) as moc:
        assert moc.origin == f"server {server.endpoint['url']}"
        assert moc.functions["uppercase"](b"abc") == b"ABC"
        with pytest.raises(TrapError, match="unreachable") as raised:
            moc.call("traps")
        assert raised.value.backtrace
        moc.buffers["x"] = b"stored"
        assert bytes(moc.buffers["x"]) == b"stored"


def test_a_second_owner_is_refused_while_the_server_runs(server):
    with pytest.raises(LockedStorageError):
        Cluster.open(server.storage)


def test_a_client_finds_a_killed_and_restarted_server_again(serve, stored):
    first = serve()
    with connect_to(first) as moc:
        moc.buffers["x"] = b"acknowledged"
        url = first.endpoint["url"]
        first.process.kill()
        first.process.wait(60)
        with pytest.raises(ServerUnreachableError):
            moc.status()
        second = serve()
        assert second.endpoint["url"] != url
        assert bytes(moc.buffers["x"]) == b"acknowledged"
        assert moc.functions["uppercase"](b"again") == b"AGAIN"
        assert moc.origin == f"server {second.endpoint['url']}"


def test_a_client_takes_up_a_new_token(serve, stored):
    first = serve()
    with connect_to(first) as moc:
        port = httpx.URL(first.endpoint["url"]).port
        first.stop()
        (stored / "token").unlink()
        (stored / "authorization.header").unlink()
        (stored / "catalog.sqlite3").touch()
        second = serve("--port", str(port))
        if second.process.poll() is not None:
            pytest.skip(f"the storage does not make a new token: {second.output}")
        assert moc.functions["uppercase"](b"again") == b"AGAIN"


def test_a_wrong_token_is_told(server):
    endpoint = server.endpoint
    with connect(endpoint["url"], "wrong", ca_file=endpoint["ca_file"]) as moc, pytest.raises(UnauthorizedError):
        moc.status()


def test_a_server_without_its_certificate_is_not_trusted(server, monkeypatch, tmp_path):
    monkeypatch.setenv("MOC_STORAGE", str(tmp_path / "elsewhere"))
    with (
        connect(server.endpoint["url"], server.endpoint["token"]) as moc,
        pytest.raises(ServerUnreachableError, match="certificate"),
    ):
        moc.status()


def test_the_environment_of_a_kernel_leads_to_the_server(server, monkeypatch):
    monkeypatch.setenv("MOC_ENDPOINT_FILE", str(server.storage / "endpoint.json"))
    with connect() as moc:
        assert moc.functions["uppercase"](b"abc") == b"ABC"
    monkeypatch.delenv("MOC_ENDPOINT_FILE")
    monkeypatch.setenv("MOC_STORAGE", str(server.storage))
    with connect() as moc:
        assert moc.origin.startswith("server")


def test_a_jupyter_url_serves_the_same_platform(server):
    with connect(server.endpoint["jupyter_url"], token_of(server)) as moc:
        assert moc.functions["uppercase"](b"abc") == b"ABC"
        assert json.dumps(moc.status()["instance_id"])


def test_the_gateway_listens_on_the_loopback_only(server):
    port = httpx.URL(server.endpoint["url"]).port
    addresses = {info[4][0] for info in socket.getaddrinfo(socket.gethostname(), None, socket.AF_INET)}
    for address in addresses - {"127.0.0.1", "127.0.1.1"}:
        with pytest.raises(OSError, match="refused"):
            socket.create_connection((address, port), timeout=60)
    assert os.path.exists(server.storage)
