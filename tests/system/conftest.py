"""The four doors of the platform, each real: notebook magics, the Python client in a notebook, the shell, and curl."""

from __future__ import annotations

import dataclasses
import json
import queue
import subprocess
import sys
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import pytest
from jupyter_client.blocking import BlockingKernelClient
from jupyter_client.manager import KernelManager

from support import MocServer, clean_environment, start_server

TRACES_OF_PYTHON = ("Traceback", '.py"', ".py:", ".py,", "site-packages")


@dataclasses.dataclass
class Answer:
    """What a door gave: `error` is all that a person sees of a failure, empty where there was none."""

    output: str
    error: str
    code: str
    status: int

    def check_refused(self, code: str, *parts: str) -> None:
        """Check that it is the error `code`, that it says all of `parts`, and shows nothing of Python."""
        assert self.code == code, self
        for part in parts:
            assert part in self.error, self.error
        for trace in TRACES_OF_PYTHON:
            assert trace not in self.error, self.error


@dataclasses.dataclass
class Shell:
    """The ``moc`` command, with a server or embedded, by where its storage is."""

    directory: Path
    environment: dict[str, str]

    def __call__(self, *words: str, input: bytes = b"", **environment: str) -> Answer:
        done = subprocess.run(
            [sys.executable, "-m", "moc_server_ext.cli", *words],
            input=input,
            capture_output=True,
            cwd=self.directory,
            env={**self.environment, **environment},
            timeout=100,
        )
        error = done.stderr.decode()
        code = error.partition("moc: error[")[2].partition("]")[0]
        return Answer(done.stdout.decode(errors="replace"), error, code, done.returncode)

    def started(self, *words: str) -> subprocess.Popen[bytes]:
        """Start a command line and do not wait for its end."""
        return subprocess.Popen(
            [sys.executable, "-m", "moc_server_ext.cli", *words],
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            cwd=self.directory,
            env=self.environment,
        )


@dataclasses.dataclass
class Curl:
    """``curl`` with the certificate and, unless told otherwise, the header file of a server."""

    server: MocServer

    def __call__(self, method: str, path: str, *options: str, authorized: bool = True, body: bytes = b"") -> Answer:
        storage = self.server.storage
        command = [
            "curl",
            "--silent",
            "--show-error",
            "--max-time",
            "90",
            "--cacert",
            str(storage / "tls" / "cert.pem"),
        ]
        command += ["-H", f"@{storage / 'authorization.header'}"] if authorized else []
        command += ["--request", method, "--data-binary", "@-", "-H", "Content-Type:"] if method != "GET" else []
        address = f"{self.server.endpoint['url']}/moc/api/v1/{path}"
        command += ["--write-out", r"\n%{http_code}", *options, address]
        done = subprocess.run(command, input=body, capture_output=True, timeout=100)
        assert done.returncode == 0, done.stderr.decode()
        text, _, status = done.stdout.decode(errors="replace").rpartition("\n")
        if int(status) < 400:
            return Answer(text, "", "", int(status))
        error = json.loads(text.rpartition("\r\n\r\n")[2])["error"]
        shown = "\n".join([error["message"], *error["details"].get("backtrace", []), str(error["details"])])
        return Answer("", shown, error["code"], int(status))


class Notebook:
    """A running ``moc`` kernel."""

    def __init__(self, manager: KernelManager, client: BlockingKernelClient) -> None:
        self.manager = manager
        self.client = client

    def __call__(self, code: str) -> Answer:
        """Run a cell to its end."""
        message_id = self.client.execute(code, allow_stdin=False)
        output, error, error_code = "", "", ""
        while True:
            message = self.client.get_iopub_msg(timeout=100)
            if message["parent_header"].get("msg_id") != message_id:
                continue
            kind, content = message["msg_type"], message["content"]
            if kind == "status" and content["execution_state"] == "idle":
                break
            if kind == "stream":
                output += content["text"]
            elif kind == "execute_result":
                output += content["data"]["text/plain"]
            elif kind == "error":
                error = _without_colours(content["traceback"])
                error_code = error.partition("moc: error[")[2].partition("]")[0]
        reply = self._reply(message_id)
        assert (reply["status"] == "error") == bool(error)
        return Answer(output, error, error_code, int(bool(error)))

    def _reply(self, message_id: str) -> dict[str, Any]:
        while True:
            message = self.client.get_shell_msg(timeout=100)
            if message["parent_header"].get("msg_id") == message_id:
                return dict(message["content"])


def _without_colours(lines: Sequence[str]) -> str:
    return "\n".join(lines).replace("\x1b[31m", "").replace("\x1b[0m", "")


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[MocServer]:
    """Give one real server for the module."""
    running = start_server(tmp_path_factory.mktemp("served") / "storage")
    yield running
    running.kill()


@pytest.fixture(scope="module")
def curl_at() -> type[Curl]:
    """Make a curl at a server."""
    return Curl


@pytest.fixture(scope="module")
def shell_on(files: Path) -> Callable[[Path], Shell]:
    """Make a command line on a storage."""
    return lambda storage: Shell(files, clean_environment(MOC_STORAGE=str(storage), COLUMNS="200"))


@pytest.fixture(scope="module")
def curl(server: MocServer, curl_at: type[Curl]) -> Curl:
    """Give curl at the server of the module."""
    return curl_at(server)


@pytest.fixture(scope="module")
def shell(server: MocServer, shell_on: Callable[[Path], Shell]) -> Shell:
    """Give the command line beside the server of the module."""
    return shell_on(server.storage)


@pytest.fixture(scope="module")
def embedded_shell(shell_on: Callable[[Path], Shell], tmp_path_factory: pytest.TempPathFactory) -> Shell:
    """Give the command line on a storage of its own."""
    return shell_on(tmp_path_factory.mktemp("alone") / "storage")


@pytest.fixture(scope="module")
def notebook(files: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Notebook]:
    """Give one real kernel for the module, embedded, which has connected."""
    storage = tmp_path_factory.mktemp("notebook") / "storage"
    manager = KernelManager(kernel_name="moc")
    manager.start_kernel(env=clean_environment(MOC_STORAGE=str(storage)), cwd=str(files))
    client = manager.client()
    client.start_channels()
    try:
        client.wait_for_ready(timeout=60)
        while True:
            client.get_iopub_msg(timeout=0)
    except queue.Empty:
        pass
    running = Notebook(manager, client)
    try:
        assert running("from moc_kernel import connect\nmoc = connect()").error == ""
        yield running
    finally:
        client.stop_channels()
        manager.shutdown_kernel(now=True)
        client.context.destroy()
