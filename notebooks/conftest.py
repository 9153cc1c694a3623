"""Where the notebooks run when pytest tests them with nbval: on a fresh storage, embedded or through a server.

``pytest --nbval --nbval-cell-timeout=60 notebooks/`` runs them embedded: the kernel opens the storage itself.
``--moc-through=server`` starts a server first and lets the kernels find it as those of JupyterLab do. The saved outputs
are the same for both.

nbval uses no fixtures, so this happens at the start and the end of the session.
"""

from __future__ import annotations

import os
import shutil
import socket
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import pytest

START_SECONDS = 60
STOP_SECONDS = 30

_directory = pytest.StashKey[Path]()
_server = pytest.StashKey[subprocess.Popen[bytes]]()


def pytest_addoption(parser: pytest.Parser) -> None:
    """Offer the choice of the door."""
    parser.addoption(
        "--moc-through",
        choices=("embedded", "server"),
        default="embedded",
        help="Whether the notebooks' kernels open the storage themselves or talk to a server that is started for them.",
    )


def pytest_sessionstart(session: pytest.Session) -> None:
    """Prepare a storage directory, the compiler and, if asked for, a server."""
    for name in ("MOC_URL", "MOC_TOKEN", "MOC_ENDPOINT_FILE", "JPY_PARENT_PID"):
        os.environ.pop(name, None)
    directory = Path(tempfile.mkdtemp(prefix="moc-notebooks-"))
    session.config.stash[_directory] = directory
    os.environ["MOC_STORAGE"] = str(directory / "storage")
    _warm_the_compiler()
    if session.config.getoption("--moc-through") == "server":
        session.config.stash[_server] = _start_server(directory)
        os.environ["MOC_ENDPOINT_FILE"] = str(directory / "storage" / "endpoint.json")


def pytest_unconfigure(config: pytest.Config) -> None:
    """Stop the server and remove the storage; nbval's kernels have ended by now."""
    server = config.stash.get(_server, None)
    if server is not None:
        server.terminate()
        try:
            server.wait(STOP_SECONDS)
        except subprocess.TimeoutExpired:
            server.kill()
            server.wait()
    directory = config.stash.get(_directory, None)
    if directory is not None:
        shutil.rmtree(directory, ignore_errors=True)


def _warm_the_compiler() -> None:
    """Let the compiler build its C library now: on a new machine that takes longer than a cell may."""
    from moc_server_ext.compilers import compiler_for
    from moc_server_ext.errors import MocError

    compiler = compiler_for("c")
    try:
        compiler.compile('#include <stdio.h>\nint main(void) { puts("ready"); }', filename="program.c")
        compiler.compile("int one(void) { return 1; }", filename="function.c")
    except MocError as error:
        raise pytest.UsageError(error.message) from None


def _start_server(directory: Path) -> subprocess.Popen[bytes]:
    ports = [_free_port(), _free_port()]
    log = directory / "server.log"
    with log.open("wb") as output:
        server = subprocess.Popen(
            [sys.executable, "-m", "moc_server_ext.cli", "serve", "--storage", str(directory / "storage"),
             "--port", str(ports[0]), "--jupyter-port", str(ports[1])],
            stdout=output,
            stderr=subprocess.STDOUT,
        )  # fmt: skip
    endpoint = directory / "storage" / "endpoint.json"
    deadline = time.monotonic() + START_SECONDS
    while not endpoint.exists():
        if server.poll() is not None or time.monotonic() > deadline:
            server.kill()
            raise pytest.UsageError(f"The server did not start:\n{log.read_text(errors='replace')}")
        time.sleep(0.05)  # The file appears when the server listens; there is no event to wait for.
    return server


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])
