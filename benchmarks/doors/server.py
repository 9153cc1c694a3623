"""The two sides of the comparison as processes: a Jupyter server with moc in it, and bare servers with its certificate.

The server is the real one: ``jupyter_server`` with the extension that everybody loads, and beside it the benchmark's
own probe (:mod:`.probe`). It is known by its endpoint file, as every client knows it.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
import time
import urllib.request
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import quote, urlsplit

from moc_server_ext.client import connect
from moc_server_ext.client.client import Client

from .load import Target

_ROOT = Path(__file__).parent.parent.parent
_START_SECONDS = 60.0
_TOKEN = "a-token-for-benchmarks"


@dataclass(frozen=True, slots=True)
class Server:
    """A running server with moc in it."""

    pid: int
    endpoint: Mapping[str, Any]
    storage: Path

    @property
    def target(self) -> Target:
        """The gateway, for the load generator."""
        return Target(self.endpoint["url"], Path(self.endpoint["ca_file"]), self.endpoint["token"])

    def call_request(self, name: str, body: bytes = b"", *, arguments: tuple[str, ...] = (), **headers: str) -> bytes:
        """Write the request that calls a function."""
        query = "&".join(f"arg={quote(each)}" for each in arguments)
        path = f"/moc/api/v1/functions/{name}/call"
        return self.target.request("POST", f"{path}?{query}" if query else path, body, **headers)

    def client(self) -> Client:
        """Connect as a person would."""
        return connect(storage=self.storage)

    def stalls(self) -> dict[str, float]:
        """Give the event loop's stalls since they were asked for before, in milliseconds."""
        parts = urlsplit(self.endpoint["jupyter_url"])
        url = f"{parts.scheme}://{parts.netloc}{parts.path}moc-bench/stalls"
        request = urllib.request.Request(url, headers={"Authorization": f"token {_TOKEN}"})
        with urllib.request.urlopen(request, timeout=30) as response:
            stalls: dict[str, float] = json.load(response)
            return stalls


@contextmanager
def moc_server(**traits: object) -> Iterator[Server]:
    """Run a server on a storage of its own, with `traits` of the extension."""
    with tempfile.TemporaryDirectory() as directory:
        storage = Path(directory) / "storage"
        config = Path(directory) / "config"
        config.mkdir()
        (config / "jupyter_server_config.json").write_text(
            json.dumps(
                {
                    "ServerApp": {
                        "jpserver_extensions": {"moc_server_ext": True, "benchmarks.doors.probe": True},
                        "open_browser": False,
                        "port": 0,
                        "root_dir": directory,
                        "allow_root": True,
                        "log_level": "ERROR",
                    },
                    "IdentityProvider": {"token": _TOKEN},
                    "MocExtension": {"storage": str(storage), "gateway_port": 0, "required": True, **traits},
                }
            )
        )
        log = Path(directory) / "log"
        with log.open("wb") as output:
            process = subprocess.Popen(
                [sys.executable, "-m", "jupyter_server"],
                cwd=_ROOT,
                env={**clean_environment(), "JUPYTER_CONFIG_DIR": str(config)},
                stdout=output,
                stderr=subprocess.STDOUT,
            )
        try:
            yield Server(process.pid, _await_endpoint(process, storage / "endpoint.json", log), storage)
        finally:
            process.kill()
            process.wait()


def _await_endpoint(process: subprocess.Popen[bytes], path: Path, log: Path) -> dict[str, Any]:
    deadline = time.monotonic() + _START_SECONDS
    while time.monotonic() < deadline and process.poll() is None:
        try:
            endpoint: dict[str, Any] = json.loads(path.read_text())
        except (OSError, ValueError):
            time.sleep(0.02)  # The file appears when the server listens; there is no event to wait for.
        else:
            return endpoint
    raise RuntimeError(f"the server did not start:\n{log.read_text(errors='replace')}")


def clean_environment() -> dict[str, str]:
    """Give this process's environment without what would lead moc or Jupyter elsewhere."""
    return {name: value for name, value in os.environ.items() if not name.startswith(("MOC_", "JPY_", "JUPYTER_"))}


@contextmanager
def peer(kind: str, server: Server) -> Iterator[tuple[int, Target]]:
    """Run one of the bare servers of :mod:`.peer` with `server`'s certificate; gives its process id and target."""
    certificate = Path(server.endpoint["ca_file"])
    process = subprocess.Popen(
        [sys.executable, "-m", "benchmarks.doors.peer", kind, str(certificate), str(certificate.with_name("key.pem"))],
        cwd=_ROOT,
        stdout=subprocess.PIPE,
        text=True,
    )
    try:
        assert process.stdout is not None
        yield process.pid, Target(f"https://localhost:{int(process.stdout.readline())}", certificate)
    finally:
        process.kill()
        process.communicate()
