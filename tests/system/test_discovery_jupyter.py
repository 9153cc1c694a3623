"""Kernels of real Jupyter servers find the cluster of theirs, however the server lets people in."""

from __future__ import annotations

import os
import stat
import subprocess
import sys
from pathlib import Path

import pytest
from jupyter_server.auth import passwd

from jupyter_support import PASSWORD, JupyterServer, closing, read_endpoint_file, start_kernel
from moc_server_ext.http.tls import ensure_certificate
from support import wait_until

pytestmark = pytest.mark.timeout(180)

CONNECT = "from moc_kernel import connect\nmoc = connect()\nprint(moc.origin)"
# Nothing but the process id of the server leads there: neither its environment nor the default storage.
BY_PID = """
import os
os.environ.pop("MOC_ENDPOINT_FILE")
os.environ["MOC_STORAGE"] = "/nowhere/at/all"
from moc_server_ext.client import connect
with connect() as found:
    print(found.origin)
"""


def start(mode: str, tmp_path: Path) -> JupyterServer:
    storage = tmp_path / "storage"
    if mode == "password":
        return JupyterServer(storage, f"--PasswordIdentityProvider.hashed_password={passwd(PASSWORD)}", token=None)
    if mode == "base_url":
        return JupyterServer(storage, "--ServerApp.base_url=/a@b/", "--ServerApp.allow_unauthenticated_access=False")
    if mode == "tls":
        made = ensure_certificate(tmp_path / "certificate")
        return JupyterServer(storage, f"--ServerApp.certfile={made.cert_file}", f"--ServerApp.keyfile={made.key_file}")
    return JupyterServer(storage)


@pytest.mark.parametrize("mode", ["token", "password", "base_url", "tls"])
def test_a_kernel_finds_its_server_by_its_environment_and_by_its_servers_process(mode, tmp_path):
    with closing(start(mode, tmp_path)) as server:
        endpoint = server.wait_until_announced()
        if mode == "password":
            server.log_in(PASSWORD)
        if mode == "tls":
            assert server.url.startswith("https://")
        announcement = tmp_path / "runtime" / f"moc-{server.process.pid}.json"
        assert stat.S_IMODE(announcement.stat().st_mode) == 0o600
        assert endpoint["token"] not in announcement.read_text()
        with closing(server.start_kernel("python3" if mode == "token" else "moc")) as kernel:
            if mode == "token":
                kernel.do("%load_ext moc_kernel")
            assert kernel.do(CONNECT) == f"server {endpoint['url']}"
            kernel.do("%moc kv set k v")
            assert kernel.do("%moc kv get k") == "v"
            assert kernel.do(BY_PID) == f"server {endpoint['url']}"
        server.stop()
        assert not announcement.exists()
        assert read_endpoint_file(tmp_path / "storage") == {}


def test_kernels_that_were_started_by_something_else_ask_the_owner_of_the_storage(tmp_path):
    dead = subprocess.run([sys.executable, "-c", "import os; print(os.getpid())"], capture_output=True, check=True)
    parents = [{}, {"JPY_PARENT_PID": str(os.getpid())}, {"JPY_PARENT_PID": dead.stdout.decode().strip()}]
    with closing(JupyterServer(tmp_path / "storage")) as server:
        endpoint = server.wait_until_announced()
        for environment in parents:
            with closing(start_kernel("python3", tmp_path / "storage", **environment)) as kernel:
                assert kernel.do("%load_ext moc_kernel\n" + CONNECT) == f"server {endpoint['url']}", environment


def test_a_second_server_on_the_storage_attaches_to_its_owner_and_so_do_its_kernels(tmp_path):
    with closing(JupyterServer(tmp_path / "storage")) as owner:
        endpoint = owner.wait_until_announced()
        with closing(JupyterServer(tmp_path / "storage")) as second:
            with closing(second.start_kernel()) as kernel:
                assert kernel.do(CONNECT) == f"server {endpoint['url']}"
                assert kernel.do(BY_PID) == f"server {endpoint['url']}"
            second.stop()
            assert len(second.moc_lines) == 1
            assert f"process {owner.process.pid}" in second.moc_lines[0]
        # The owner is not concerned.
        assert read_endpoint_file(tmp_path / "storage") == endpoint
        assert (tmp_path / "runtime" / f"moc-{owner.process.pid}.json").exists()


def test_a_server_that_was_restarted_under_a_running_kernel_is_found_again(tmp_path):
    storage = tmp_path / "storage"
    with closing(JupyterServer(storage)) as first:
        environment = {"MOC_ENDPOINT_FILE": str(storage / "endpoint.json"), "JPY_PARENT_PID": str(first.process.pid)}
        first.wait_until_announced()
        with closing(start_kernel("moc", storage, **environment)) as kernel:
            kernel.do(f"{CONNECT}\nmoc.kv['k'] = 'kept'")
            first.stop()
            gone = kernel.run("%moc kv get k")
            assert gone.error_name == "ServerUnreachableError"
            # Asked for once more it says who is missing, and opens nothing.
            assert kernel.run("connect()").error_name == "ServerUnreachableError"
            assert read_endpoint_file(storage) == {}
            with closing(JupyterServer(storage)) as second:
                # The server holds the storage, and does not answer yet: it is waited for.
                wait_until(lambda: (storage / "LOCK").read_text().strip() == str(second.process.pid), second.process)
                assert kernel.do("%moc kv get k") == "kept"
                assert kernel.do("print(connect().origin)") == f"server {read_endpoint_file(storage)['url']}"


def test_without_a_gateway_kernels_use_jupyters_own_port_over_its_own_certificate(tmp_path):
    made = ensure_certificate(tmp_path / "certificate")
    options = [f"--ServerApp.certfile={made.cert_file}", f"--ServerApp.keyfile={made.key_file}"]
    with closing(
        JupyterServer(
            tmp_path / "storage", "--MocExtension.enable_gateway=False", "--ServerApp.base_url=/a@b/", *options
        )
    ) as server:
        endpoint = server.wait_until_announced()
        assert endpoint["jupyter_url"].startswith("https://127.0.0.1")
        with closing(server.start_kernel()) as kernel:
            assert kernel.do(CONNECT) == f"server {endpoint['jupyter_url']}"
            kernel.do("%moc kv set k v")


def test_a_server_that_no_kernel_can_be_let_into_says_so(tmp_path):
    options = ["--MocExtension.enable_gateway=False", f"--PasswordIdentityProvider.hashed_password={passwd(PASSWORD)}"]
    with closing(JupyterServer(tmp_path / "storage", *options, token=None)) as server:
        wait_until(lambda: bool(server.moc_lines), server.process)
        assert "kernels cannot reach this server" in server.moc_lines[0]
        assert read_endpoint_file(tmp_path / "storage") == {}
