"""Real Jupyter servers with the extension, and real kernels, in processes of their own."""

from __future__ import annotations

import contextlib
import dataclasses
import json
import queue
import re
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import httpx
from jupyter_client.blocking import BlockingKernelClient
from jupyter_client.manager import KernelManager

from support import clean_environment, wait_until

SECONDS = 60.0
TOKEN = "jupyter-token"
PASSWORD = "correct horse"


@dataclasses.dataclass
class Cell:
    """What one cell gave."""

    stdout: str = ""
    stderr: str = ""
    error: str = ""
    error_name: str = ""


class Kernel:
    """A running kernel and the one who types into it."""

    def __init__(self, client: BlockingKernelClient, manager: KernelManager | None = None) -> None:
        self.client = client
        self.manager = manager
        client.start_channels()
        self.wait()

    def wait(self) -> None:
        """Wait until it answers, and drop what it said until then."""
        self.client.wait_for_ready(timeout=SECONDS)
        with contextlib.suppress(queue.Empty):
            while True:
                self.client.get_iopub_msg(timeout=0)

    def run(self, code: str) -> Cell:
        """Run a cell to its end."""
        message_id = self.client.execute(code, allow_stdin=False)
        cell = Cell()
        while True:
            message = self.client.get_iopub_msg(timeout=SECONDS)
            if message["parent_header"].get("msg_id") != message_id:
                continue
            kind, content = message["msg_type"], message["content"]
            if kind == "status" and content["execution_state"] == "idle":
                return cell
            if kind == "stream":
                setattr(cell, content["name"], getattr(cell, content["name"]) + content["text"])
            elif kind == "error":
                cell.error, cell.error_name = "\n".join(content["traceback"]), content["ename"]

    def do(self, code: str) -> str:
        """Run a cell that must not fail and give what it printed."""
        cell = self.run(code)
        assert not cell.error, cell.error
        return cell.stdout.strip()

    def restart(self) -> None:
        """Restart it as a person does from the menu."""
        assert self.manager is not None
        self.manager.restart_kernel(now=True)
        self.wait()

    def end(self, *, now: bool = True) -> None:
        """End it; `now` is at once, as a crash would."""
        if self.manager is not None and self.manager.has_kernel:
            self.manager.shutdown_kernel(now=now)

    def close(self) -> None:
        """End it and the connection to it."""
        self.end()
        self.client.stop_channels()
        self.client.context.destroy()


def start_kernel(name: str, storage: Path, **environment: str) -> Kernel:
    """Start a kernel directly, as VS Code does: no server, no provisioner, only what `environment` says."""
    manager = KernelManager(kernel_name=name)
    home = storage.parent
    manager.start_kernel(env=environment_of(home, storage, **environment), cwd=str(home))
    return Kernel(manager.client(), manager)


def environment_of(home: Path, storage: Path, **more: str) -> dict[str, str]:
    """Give an environment in which Jupyter's own directories are below `home`."""
    runtime = home / "runtime"
    runtime.mkdir(mode=0o700, exist_ok=True)
    return clean_environment(
        MOC_STORAGE=str(storage), HOME=str(home), XDG_CACHE_HOME=str(home / "cache"), JUPYTER_RUNTIME_DIR=str(runtime)
    ) | dict(more)


def client_of(connection_file: Path) -> BlockingKernelClient:
    """Give a client of a kernel that somebody else has started."""
    client = BlockingKernelClient()
    client.load_connection_file(str(connection_file))
    # A kernel that gives no sign for a second is dead for the client, and on a busy machine only busy.
    client.hb_channel.time_to_dead = SECONDS
    return client


# Jupyter's own command, without what makes most of its start and concerns nobody here.
JUPYTER_SERVER = """
from moc_server_ext.http.deferral import defer_address_grammar
defer_address_grammar()
from jupyter_server.serverapp import main
main()
"""


class JupyterServer:
    """An ordinary ``jupyter server`` with the extension, on free ports.

    Parameters
    ----------
    token
        None leaves Jupyter's identity to `options`.
    environment
        What it has besides.
    """

    def __init__(
        self,
        storage: Path,
        *options: str,
        token: str | None = TOKEN,
        gateway_port: int = 0,
        environment: Mapping[str, str] | None = None,
    ) -> None:
        self.storage = storage
        self.home = storage.parent
        self.token = token
        command = [sys.executable, "-c", JUPYTER_SERVER, "--ServerApp.port=0", "--no-browser", "--allow-root"]
        command += ["--ServerApp.ip=127.0.0.1", f"--MocExtension.gateway_port={gateway_port}", *options]
        if token is not None:
            command.append(f"--IdentityProvider.token={token}")
        self.process = subprocess.Popen(
            command,
            cwd=self.home,
            env=environment_of(self.home, storage, **(environment or {})),
            text=True,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
        )
        self.log: list[str] = []
        self.url = ""
        assert self.process.stdout is not None
        for line in self.process.stdout:
            self.log.append(line)
            found = re.search(r"(https?://127\.0\.0\.1:\d+/\S*?)(?:\?|$)", line.strip())
            if found:
                self.url = found[1].removesuffix("tree")
            if "Use Control-C" in line:
                break
        # The rest is read on the side, so that a full pipe never stops the server.
        self._reader = threading.Thread(target=lambda: self.log.extend(self.process.stdout or ()))
        self._reader.start()
        self.http = httpx.Client(trust_env=False, timeout=60, verify=False, follow_redirects=True)
        self._headers = {"Authorization": f"token {token}"} if token else {}

    @property
    def api(self) -> str:
        """Where the API begins."""
        return self.url + "moc/api/v1/"

    def request(self, method: str, path: str, **options: Any) -> httpx.Response:
        """Ask the API for something, as somebody who has the token and no cookie."""
        self.http.cookies.clear()
        return self.http.request(method, self.api + path, headers=self._headers | options.pop("headers", {}), **options)

    def wait_until_it_answers(self) -> None:
        """Wait for its event loop: its log speaks before that runs."""
        wait_until(lambda: _answers(self.http, self.url + "api"), self.process)

    @property
    def moc_lines(self) -> list[str]:
        """What its log says about moc."""
        return [line.strip() for line in self.log if "moc:" in line]

    def wait_until_announced(self) -> dict[str, Any]:
        """Wait until it owns the storage and answers, and give its endpoint."""
        endpoint = wait_for_endpoint(self.storage, self.process)
        assert endpoint["pid"] == self.process.pid
        return endpoint

    def log_in(self, password: str) -> None:
        """Log in as a person does in a browser."""
        wait_until(lambda: _answers(self.http, self.url + "login"), self.process)
        xsrf = self.http.cookies.get("_xsrf") or ""
        self.http.post(self.url + "login", data={"password": password, "_xsrf": xsrf}).raise_for_status()
        self._headers = {"X-XSRFToken": self.http.cookies.get("_xsrf") or ""}

    def start_kernel(self, name: str = "moc") -> Kernel:
        """Start a kernel over the server's API."""
        self.wait_until_it_answers()
        answer = self.http.post(self.url + "api/kernels", json={"name": name}, headers=self._headers)
        assert answer.status_code == 201, answer.text
        file = self.home / "runtime" / f"kernel-{answer.json()['id']}.json"
        wait_until(file.exists, self.process)
        return Kernel(client_of(file))

    def kill(self) -> None:
        """End it as a power cut would, if it still runs."""
        self.process.kill()
        self._ended()

    def stop(self) -> str:
        """End it in order and give all that it logged."""
        self.process.send_signal(signal.SIGTERM)
        self._ended()
        return "".join(self.log)

    def _ended(self) -> None:
        self.http.close()
        self.process.wait(60)
        self._reader.join(60)
        if self.process.stdout is not None:
            self.process.stdout.close()


def _answers(http: httpx.Client, url: str) -> bool:
    try:
        http.get(url)
    except httpx.TransportError:
        return False
    return True


def read_endpoint_file(storage: Path) -> dict[str, Any]:
    """Give what ``endpoint.json`` says; empty when there is none."""
    try:
        return dict(json.loads((storage / "endpoint.json").read_text()))
    except FileNotFoundError:
        return {}


def wait_for_endpoint(storage: Path, process: subprocess.Popen[Any]) -> dict[str, Any]:
    """Wait until `process` has announced itself as the owner."""
    wait_until(lambda: read_endpoint_file(storage).get("pid") == process.pid, process)
    return read_endpoint_file(storage)


@contextlib.contextmanager
def closing(thing: Any) -> Iterator[Any]:
    """End a server or a kernel whatever happens."""
    try:
        yield thing
    finally:
        thing.kill() if isinstance(thing, JupyterServer) else thing.close()
