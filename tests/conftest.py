"""Fixtures for all tests."""

from __future__ import annotations

import contextlib
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import settings

from fuzzing import ROUND
from support import MocServer, register_samples, start_server
from web import Web, web_server

# `make fuzz` chooses it by --hypothesis-profile.
# No deadline: a busy machine is not a fault.
settings.register_profile("unhurried", deadline=None)
settings.load_profile("unhurried")
settings.register_profile("fuzz", max_examples=ROUND, deadline=None, print_blob=True)


@pytest.fixture
def moc_server(tmp_path: Path) -> Iterator[MocServer]:
    """Give a fresh server with the shipped samples registered."""
    storage = tmp_path / "storage"
    register_samples(storage)
    server = start_server(storage)
    yield server
    server.kill()


@pytest.fixture
def web() -> Iterator[Web]:
    """Give a web server that listens on this machine and has no answers yet."""
    with web_server() as server:
        yield server


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """Give a directory on a disk of 4 MiB of its own."""
    target = tmp_path / "disk"
    target.mkdir()
    mounted = None
    with contextlib.suppress(FileNotFoundError):
        mounted = subprocess.run(["mount", "-t", "tmpfs", "-o", "size=4m", "tmpfs", str(target)], capture_output=True)
    if mounted is None or mounted.returncode:
        pytest.skip("mounting a small disk needs root: the full disk is only simulated by the other tests")
    yield target
    subprocess.run(["umount", str(target)], check=True)
