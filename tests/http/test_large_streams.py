"""Hundreds of megabytes through a guest, in both directions at once, in a server whose memory does not notice."""

from __future__ import annotations

import contextlib
import hashlib
import socket
import ssl
import threading
import time
from collections.abc import Iterator
from http.client import HTTPConnection, HTTPResponse
from pathlib import Path
from typing import Any

import httpx
import pytest

from guests import guest
from moc_server_ext.cluster import Cluster
from support import MocServer, start_server

pytestmark = pytest.mark.timeout(240)

TOTAL_BYTES = 256_000_000
PIECE = bytes(range(256)) * 1024
GROWTH_BYTES = 64 << 20


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[MocServer]:
    storage = tmp_path_factory.mktemp("large") / "storage"
    with Cluster.open(storage) as cluster:
        for name in ("cat", "swallow", "flood"):
            cluster.functions.put(name, guest(name))
    running = start_server(storage)
    yield running
    running.kill()


def memory_of(server: MocServer, field: str) -> int:
    """Read a line of the process's status, in bytes."""
    for line in Path(f"/proc/{server.process.pid}/status").read_text().splitlines():
        if line.startswith(field + ":"):
            return int(line.split()[1]) << 10
    raise AssertionError(field)


@contextlib.contextmanager
def bounded_memory(server: MocServer) -> Iterator[None]:
    """Hold the peak of the server's memory against what it had before."""
    idle = memory_of(server, "VmRSS")
    Path(f"/proc/{server.process.pid}/clear_refs").write_text("5")  # the peak is measured from here
    yield
    assert memory_of(server, "VmHWM") - idle <= GROWTH_BYTES


@contextlib.contextmanager
def call(server: MocServer, name: str, *headers: str, query: str = "") -> Iterator[Any]:
    """Open a connection and send the head of a call."""
    endpoint = server.endpoint
    context = ssl.create_default_context(cafile=endpoint["ca_file"])
    with (
        socket.create_connection(("127.0.0.1", server.gateway_port), timeout=60) as plain,
        context.wrap_socket(plain, server_hostname="localhost") as stream,
    ):
        head = [f"POST /moc/api/v1/functions/{name}/call{query} HTTP/1.1", "Host: localhost",
                f"Authorization: Bearer {endpoint['token']}", *headers]  # fmt: skip
        stream.sendall("\r\n".join(head).encode() + b"\r\n\r\n")
        yield stream


def upload(stream: Any, total: int) -> str:
    digest = hashlib.sha256()
    for start in range(0, total, len(PIECE)):
        part = PIECE[: min(len(PIECE), total - start)]
        digest.update(part)
        stream.sendall(part)
    return digest.hexdigest()


def test_256_megabytes_pass_in_both_directions_at_once_in_64_mebibytes(server):
    # A socket's two directions may be used by two threads, a TLS connection's only one after the other: two of them
    # would need a lock around each piece. So the plain port of Jupyter is used, and TLS below.
    with bounded_memory(server):
        sent: list[str] = []
        connection = HTTPConnection("127.0.0.1", jupyter_port(server), timeout=60)
        connection.putrequest("POST", "/moc/api/v1/functions/cat/call")
        connection.putheader("Authorization", f"token {jupyter_token(server)}")
        connection.putheader("Content-Length", str(TOTAL_BYTES))
        connection.endheaders()
        sender = threading.Thread(target=lambda: sent.append(upload(connection.sock, TOTAL_BYTES)))
        sender.start()
        response = HTTPResponse(connection.sock)
        response.begin()
        assert response.status == 200
        digest, received = hashlib.sha256(), 0
        while part := response.read1(1 << 16):
            digest.update(part)
            received += len(part)
        sender.join(60)
        connection.close()
    assert (received, [digest.hexdigest()]) == (TOTAL_BYTES, sent)


def test_256_megabytes_are_taken_over_tls_in_64_mebibytes(server):
    with bounded_memory(server), call(server, "swallow", f"Content-Length: {TOTAL_BYTES}") as stream:
        upload(stream, TOTAL_BYTES)
        response = HTTPResponse(stream)
        response.begin()
        assert (response.status, len(response.read())) == (200, 10)


@pytest.mark.parametrize("accept", ["*/*", "application/vnd.moc.frames"])
def test_256_megabytes_are_given_over_tls_in_64_mebibytes(server, accept):
    with bounded_memory(server), call(server, "flood", "Content-Length: 0", f"Accept: {accept}") as stream:
        response = HTTPResponse(stream)
        response.begin()
        received = 0
        while received < TOTAL_BYTES:
            received += len(response.read1(1 << 18))


def test_readers_that_do_not_read_cost_little_memory(server):
    with bounded_memory(server), contextlib.ExitStack() as stack:
        streams = [
            stack.enter_context(
                call(server, "flood", "Content-Length: 0", query="?limit=timeout_seconds=3&limit=memory_bytes=1MiB")
            )
            for _ in range(20)
        ]
        for stream in streams:
            response = HTTPResponse(stream)
            response.begin()
            assert response.status == 200
        # From here on nobody reads, until the time of all calls is over.
        end = time.monotonic() + 60
        while status(server)["calls"]["running"]:
            assert time.monotonic() < end
            time.sleep(0.05)  # the server gives no sign of its own


def status(server: MocServer) -> Any:
    endpoint = server.endpoint
    context = ssl.create_default_context(cafile=endpoint["ca_file"])
    headers = {"Authorization": f"Bearer {endpoint['token']}"}
    return httpx.get(f"{endpoint['url']}/moc/api/v1/status", headers=headers, verify=context, trust_env=False).json()


def jupyter_port(server: MocServer) -> int:
    return int(server.endpoint["jupyter_url"].split(":")[2].split("/")[0])


def jupyter_token(server: MocServer) -> str:
    return next(line.partition("token=")[2] for line in server.printed.splitlines() if "token=" in line).strip()
