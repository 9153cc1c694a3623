"""Asking a server that may not answer: with a deadline, and without touching what the patient client has."""

from __future__ import annotations

import os
import socket

import pytest

from moc_server_ext.client.discovery import find_server
from moc_server_ext.client.http import HttpPlatform
from moc_server_ext.errors import ServerUnreachableError
from moc_server_ext.storage.endpoint import Endpoint, write_endpoint


@pytest.fixture
def silent():
    """Give the address of a server that takes connections and says nothing."""
    with socket.create_server(("127.0.0.1", 0)) as listening:
        yield f"http://127.0.0.1:{listening.getsockname()[1]}"


@pytest.mark.timeout(20)  # A patient request would wait for a minute.
def test_a_silent_server_is_unreachable_when_the_time_is_over(silent):
    platform = HttpPlatform(silent, "t")
    try:
        hurried = platform.hurried(0.05)
        for ask in (hurried.status, hurried.functions.list, hurried.buffers.list):
            with pytest.raises(ServerUnreachableError, match="did not answer in time"):
                ask()
        hurried.close()
        # The connections are the patient one's, and stay.
        with pytest.raises(ServerUnreachableError, match="did not answer in time"):
            platform.hurried(0.05).status()
    finally:
        platform.close()


@pytest.mark.timeout(20)
def test_a_silent_owner_of_the_storage_is_no_server_and_nothing_is_opened(silent, tmp_path, monkeypatch):
    for name in ("MOC_URL", "MOC_TOKEN", "MOC_ENDPOINT_FILE"):
        monkeypatch.delenv(name, raising=False)
    assert find_server(storage=tmp_path / "none", seconds=0.05) is None
    assert not (tmp_path / "none").exists()
    write_endpoint(tmp_path, Endpoint(os.getpid(), silent, None, "t", None, "i"))
    assert find_server(storage=tmp_path, seconds=0.05) is None
    assert [each.name for each in tmp_path.iterdir()] == ["endpoint.json"]
