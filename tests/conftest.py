"""Fixtures for all tests."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from support import MocServer, register_samples, start_server


@pytest.fixture
def moc_server(tmp_path: Path) -> Iterator[MocServer]:
    """Give a fresh server with the shipped samples registered."""
    storage = tmp_path / "storage"
    register_samples(storage)
    server = start_server(storage)
    yield server
    server.kill()
