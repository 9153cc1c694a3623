"""Real parts that tests share: a server process on a storage directory of its own, and waiting for what it does."""

from __future__ import annotations

import dataclasses
import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

ROOT = Path(__file__).parent.parent
START_SECONDS = 60


@dataclasses.dataclass
class MocServer:
    """A running ``moc serve``."""

    process: subprocess.Popen[bytes]
    storage: Path
    log: Path

    @property
    def endpoint(self) -> dict[str, str]:
        """What ``endpoint.json`` says."""
        return json.loads((self.storage / "endpoint.json").read_text())

    @property
    def gateway_port(self) -> int:
        """Where the gateway listens."""
        return urlsplit(self.endpoint["url"]).port or 443

    @property
    def printed(self) -> str:
        """What it has printed so far."""
        return self.log.read_text()

    def kill(self) -> None:
        """End it as a power cut would."""
        self.process.kill()
        self.process.wait()

    def interrupt(self) -> int:
        """End it as Ctrl-C would and give its exit status."""
        self.process.send_signal(signal.SIGINT)
        return self.process.wait(timeout=60)


def wait_until(is_so: Callable[[], bool], process: subprocess.Popen[Any] | None = None) -> None:
    """Look again and again until `is_so()`: for what gives no sign of its own, such as what another process does."""
    deadline = time.monotonic() + START_SECONDS
    while not is_so():
        assert process is None or process.poll() is None, "the process has ended"
        assert time.monotonic() < deadline, "it did not come to pass"
        time.sleep(0.01)


def check_in_the_end(ask: Callable[[], Any], expected: Any) -> None:
    """Check that the answer is `expected`, at last: for what gives up early when the machine is busy, as a Tab does."""
    deadline = time.monotonic() + START_SECONDS
    while (answer := ask()) != expected:
        assert time.monotonic() < deadline, answer


def clean_environment(**more: str) -> dict[str, str]:
    """Give this process's environment without what would lead moc or Jupyter elsewhere."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith(("MOC_", "JPY_", "JUPYTER_"))}
    return {**kept, **more}


def start_server(storage: Path, *options: str, **environment: str) -> MocServer:
    """Start ``moc serve`` on free ports and wait until it has written its endpoint file and printed its addresses."""
    command = [sys.executable, "-m", "moc_server_ext.cli", "serve", "--storage", str(storage),
               "--port", "0", "--jupyter-port", "0", *options]  # fmt: skip
    log = storage.parent / f"server-of-{storage.name}.log"
    with log.open("wb") as output:
        process = subprocess.Popen(
            command, env=clean_environment(**environment), stdout=output, stderr=subprocess.STDOUT
        )
    server = MocServer(process, storage, log)
    deadline = time.monotonic() + START_SECONDS
    while time.monotonic() < deadline and process.poll() is None:
        try:
            if server.endpoint["pid"] == process.pid and "curl" in server.printed:
                return server
        except (OSError, ValueError):
            pass
        time.sleep(0.02)  # the file appears when the server listens; there is no event to wait for
    server.kill()
    raise RuntimeError(f"moc serve did not start:\n{server.printed}")


def register_samples(storage: Path) -> None:
    """Put the shipped samples into a storage, as `make run` does."""
    script = [sys.executable, str(ROOT / "samples" / "main_job.py"), "--register-only", "--storage", str(storage)]
    subprocess.run(script, check=True, capture_output=True, env=clean_environment())
