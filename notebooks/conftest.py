"""Where the notebooks run when pytest tests them with nbval: on a fresh storage, embedded or through a server.

``pytest --nbval --nbval-cell-timeout=60 notebooks/`` runs them embedded: the kernel opens the storage itself.
``--moc-through=server`` starts a server first and lets the kernels find it as those of JupyterLab do. The saved outputs
are the same for both.

nbval uses no fixtures, so this happens at the start and the end of the session.
"""

from __future__ import annotations

import os
import shutil
import tempfile
from pathlib import Path

import pytest

from support import MocServer, start_server

_directory = pytest.StashKey[Path]()
_server = pytest.StashKey[MocServer]()


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
        session.config.stash[_server] = start_server(directory / "storage")
        os.environ["MOC_ENDPOINT_FILE"] = str(directory / "storage" / "endpoint.json")


def pytest_unconfigure(config: pytest.Config) -> None:
    """Stop the server and remove the storage; nbval's kernels have ended by now."""
    server = config.stash.get(_server, None)
    if server is not None:
        server.interrupt()
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
