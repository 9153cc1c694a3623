"""Stored bytes come and go in parts: what a client does in the middle leaves nothing behind, and nothing half there."""

from __future__ import annotations

import contextlib
import hashlib
import os
import socket
import ssl
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import httpx
import pytest

from moc_server_ext.client.http import HttpPlatform
from moc_server_ext.errors import CorruptStorageError, ServerUnreachableError, StorageFullError
from moc_server_ext.http.bodies import PART_BYTES
from support import wait_until

MIB = 1 << 20
CONTENT = os.urandom(PART_BYTES + 200_000)
LARGE = bytes(range(256)) * (40 * MIB // 256)


def staged(gateway: Any) -> list[Path]:
    return list((gateway.platform.storage.path / "tmp").iterdir())


def objects_held(gateway: Any) -> int:
    """Count the object files that this process, which has the gateway in it, holds open."""
    storage = gateway.platform.storage
    storage._versions.forget_all()
    count = storage._objects.pins.kept() - len(storage._objects._open_files)
    for each in os.listdir("/proc/self/fd"):
        with contextlib.suppress(OSError):
            count += str(storage.path / "objects") in os.readlink(f"/proc/self/fd/{each}")
    return count


def begin_upload(gateway: Any, stream: ssl.SSLSocket, *headers: str, sent: bytes = CONTENT, path: str = "buffers/x"):
    """Send the head and the first bytes of an upload, and wait until they are on the disk."""
    method = "POST" if path == "blobs" else "PUT"
    head = [f"{method} /moc/api/v1/{path} HTTP/1.1", "Host: x", f"Authorization: Bearer {gateway.token}", *headers]
    before = len(staged(gateway))
    stream.sendall("\r\n".join(head).encode() + b"\r\n\r\n" + sent)
    wait_until(lambda: len(staged(gateway)) == before + 1)


def answer_of(stream: ssl.SSLSocket) -> bytes:
    answer = b""
    with contextlib.suppress(OSError):
        while part := stream.recv(1 << 16):
            answer += part
    return answer


@pytest.fixture(autouse=True)
def nothing_is_left(gateway):
    yield
    wait_until(lambda: staged(gateway) == [] and objects_held(gateway) == 0)


@pytest.fixture
def impatient(served) -> Iterator[Any]:
    """A gateway that hangs up on clients which are silent for a moment."""
    with served(silent_seconds=0.2) as running:
        yield running


@pytest.fixture
def roomy(served) -> Iterator[Any]:
    """A gateway that takes larger bodies."""
    with served(max_body_bytes=64 * MIB, waiting=32) as running:
        yield running


# -- uploads ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("path", ["buffers/x", "blobs"])
def test_a_client_that_goes_away_in_the_middle_leaves_nothing(gateway, path):
    with gateway.connection() as stream:
        begin_upload(gateway, stream, f"Content-Length: {MIB}", path=path)
    wait_until(lambda: staged(gateway) == [])
    assert gateway.request("GET", "buffers/x").status_code == 404
    assert gateway.request("GET", "buffers").json() == {"buffers": []}


@pytest.mark.parametrize("length", [len(CONTENT) + 1, MIB])
def test_a_body_shorter_than_announced_is_never_stored(gateway, length):
    gateway.platform.buffers.put("x", b"before")
    with gateway.connection() as stream:
        begin_upload(gateway, stream, f"Content-Length: {length}")
        stream.shutdown(socket.SHUT_WR)  # half-closed: the client still listens
        assert not answer_of(stream).startswith(b"HTTP/1.1 2")
    wait_until(lambda: staged(gateway) == [])
    assert gateway.platform.buffers.read("x") == b"before"


def test_a_body_longer_than_announced_is_stored_as_announced(gateway):
    with gateway.connection() as stream:
        headers = (f"Content-Length: {len(CONTENT) - 5}", "Connection: close")
        begin_upload(gateway, stream, *headers, sent=CONTENT[:PART_BYTES])
        stream.sendall(CONTENT[PART_BYTES:])
        answer = answer_of(stream)
    assert answer.startswith(b"HTTP/1.1 201")
    assert answer.count(b"HTTP/1.1 2") == 1
    assert gateway.platform.buffers.read("x") == CONTENT[:-5]


@pytest.mark.parametrize("lie", [b"\r\nzz\r\n", b"\r\n-5\r\n", b"XX", b"\r\nfffffffffffff\r\n", b"\r\n5\r\nabc"])
def test_chunks_whose_sizes_lie_store_nothing(gateway, lie):
    with gateway.connection() as stream:
        chunk = f"{len(CONTENT):x}\r\n".encode() + CONTENT
        begin_upload(gateway, stream, "Transfer-Encoding: chunked", sent=chunk)
        stream.sendall(lie)
        stream.shutdown(socket.SHUT_WR)
        assert b"HTTP/1.1 2" not in answer_of(stream)
    wait_until(lambda: staged(gateway) == [])
    assert gateway.request("GET", "buffers/x").status_code == 404


def test_a_client_that_is_silent_in_the_middle_is_left(impatient):
    with impatient.connection() as stream:
        begin_upload(impatient, stream, f"Content-Length: {MIB}")
        assert answer_of(stream) == b"", "the server has hung up"
    wait_until(lambda: staged(impatient) == [])


@pytest.mark.parametrize("token", ["right", "wrong"])
def test_a_client_that_is_silent_in_a_body_that_goes_nowhere_is_left(impatient, token):
    shown = impatient.token if token == "right" else token
    with impatient.connection() as stream:
        head = f"PUT /moc/api/v1/kv/x HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer {shown}\r\nContent-Length: 9\r\n\r\n"
        stream.sendall(head.encode() + b"1")
        with contextlib.suppress(ConnectionError, ssl.SSLError):
            assert stream.recv(1) == b"", "the server has hung up"


def test_a_slow_client_is_waited_for_as_long_as_it_sends(impatient):
    slices = [CONTENT[each : each + 40_000] for each in range(0, len(CONTENT), 40_000)]
    over = threading.Event()

    def slowly() -> Iterator[bytes]:
        for each in slices:
            yield each
            over.wait(0.04)  # in all much longer than a client may be silent

    assert impatient.request("PUT", "buffers/x", content=slowly()).status_code == 201
    assert impatient.platform.buffers.read("x") == CONTENT


def test_two_uploads_of_one_name_are_both_whole_and_the_later_one_stays(gateway):
    first, second = CONTENT, CONTENT[::-1]
    with gateway.connection() as one, gateway.connection() as other:
        for stream, content in ((one, first), (other, second)):
            begin_upload(gateway, stream, f"Content-Length: {len(content)}", sent=content[:PART_BYTES])
        assert len(staged(gateway)) == 2
        for stream, content in ((other, second), (one, first)):
            stream.sendall(content[PART_BYTES:])
            assert stream.recv(1 << 16).startswith(b"HTTP/1.1 201")
            assert gateway.platform.buffers.read("x") == content


def test_the_same_blob_twice_at_once_is_stored_once(gateway):
    blob_id = hashlib.sha256(CONTENT).hexdigest()
    with gateway.connection() as one, gateway.connection() as other:
        for stream in (one, other):
            begin_upload(gateway, stream, f"Content-Length: {len(CONTENT)}", sent=CONTENT[:PART_BYTES], path="blobs")
        for stream in (one, other):
            stream.sendall(CONTENT[PART_BYTES:])
            assert stream.recv(1 << 16).startswith(b"HTTP/1.1 201")
    assert gateway.platform.blobs.read(blob_id) == CONTENT
    assert len(list((gateway.platform.storage.path / "objects").glob("*/*"))) == 1


@pytest.mark.parametrize(
    ("path", "headers"),
    [("buffers/%20x", {}), ("buffers/x", {"Content-Type": "no type"}), ("buffers/x", {"Moc-Headers": "[]"}),
     ("buffers/x?limit=1", {}), ("buffers/x", {"Content-Encoding": "gzip"})],
)  # fmt: skip
def test_what_is_refused_is_refused_for_large_bodies_too(gateway, path, headers):
    assert gateway.request("PUT", path, content=CONTENT, headers=headers).status_code == 400
    wait_until(lambda: staged(gateway) == [])
    assert gateway.request("GET", "buffers").json() == {"buffers": []}


def test_a_body_in_chunks_that_grows_above_the_limit_leaves_nothing(gateway):
    parts = (CONTENT for _ in range(4))
    assert gateway.request("PUT", "buffers/x", content=parts).json()["error"]["code"] == "body_too_large"
    wait_until(lambda: staged(gateway) == [])


def test_a_disk_that_fills_up_in_the_middle_is_told(roomy, monkeypatch):
    write = os.write
    written = 0

    def fills_up(descriptor: int, part: Any) -> int:
        nonlocal written
        if "/tmp/" in os.readlink(f"/proc/self/fd/{descriptor}").removeprefix("/tmp"):
            written += len(part)
            if written > 2 * MIB:
                raise OSError(28, "No space left on device")
        return write(descriptor, part)

    roomy.platform.buffers.put("x", b"before")
    monkeypatch.setattr(os, "write", fills_up)
    response = roomy.request("PUT", "buffers/x", content=bytes(8 * MIB))
    monkeypatch.undo()
    assert response.status_code == StorageFullError.http_status
    assert response.json()["error"]["code"] == "storage_full"
    assert staged(roomy) == []
    assert roomy.platform.buffers.read("x") == b"before"


def test_uploads_of_many_clients_at_once_all_come_whole(roomy):
    contents = {f"b{number}": bytes([number]) * (PART_BYTES + number) for number in range(8)}
    client = HttpPlatform(roomy.url, roomy.token, str(roomy.ca_file))
    with contextlib.closing(client), ThreadPoolExecutor(4) as pool:
        list(pool.map(lambda name: client.buffers.put(name, iter([contents[name]])), contents))
        assert list(pool.map(client.buffers.read, contents)) == list(contents.values())


# -- downloads --------------------------------------------------------------------------------------------------------


def test_a_download_stays_one_version_while_the_buffer_is_replaced_and_deleted(gateway):
    gateway.platform.buffers.put("x", LARGE)
    url, headers = f"{gateway.api}buffers/x", {"Authorization": f"Bearer {gateway.token}"}
    with gateway.http.stream("GET", url, headers=headers) as response:
        parts = response.iter_raw(1 << 20)
        first = next(parts)
        gateway.platform.buffers.put("x", b"another")
        gateway.platform.buffers.delete("x")
        assert first + b"".join(parts) == LARGE
    assert response.headers["content-length"] == str(len(LARGE))


def test_a_large_range_comes_in_parts_too(gateway):
    gateway.platform.buffers.put("x", LARGE)
    response = gateway.request("GET", "buffers/x", headers={"Range": f"bytes=5-{20 * MIB}"})
    assert response.status_code == 206
    assert response.headers["content-range"] == f"bytes 5-{20 * MIB}/{len(LARGE)}"
    assert response.content == LARGE[5 : 20 * MIB + 1]
    assert gateway.request("HEAD", "buffers/x").headers["content-length"] == str(len(LARGE))


def begin_download(gateway: Any, stream: ssl.SSLSocket) -> None:
    stream.sendall(
        f"GET /moc/api/v1/buffers/x HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer {gateway.token}\r\n\r\n".encode()
    )
    assert stream.recv(1000).startswith(b"HTTP/1.1 200")
    wait_until(lambda: objects_held(gateway) == 1)


def test_a_client_that_goes_away_ends_the_reading(gateway):
    gateway.platform.buffers.put("x", LARGE)
    with gateway.connection() as stream:
        begin_download(gateway, stream)
    wait_until(lambda: objects_held(gateway) == 0)
    assert gateway.request("GET", "status").status_code == 200


def test_a_client_that_takes_nothing_is_left(impatient):
    impatient.platform.buffers.put("x", LARGE)
    with impatient.connection() as stream:
        begin_download(impatient, stream)
        wait_until(lambda: objects_held(impatient) == 0)
        assert len(answer_of(stream)) < len(LARGE), "what was under way, and then the end"


def damage(gateway: Any, offset: int) -> None:
    (path,) = (gateway.platform.storage.path / "objects").glob("*/*")
    with path.open("r+b") as file:
        file.seek(offset)
        file.write(b"\xff\x00\xff")


@pytest.mark.parametrize("offset", [0, len(LARGE) - 3])
def test_a_damaged_buffer_never_arrives_whole(gateway, client, offset):
    gateway.platform.buffers.put("x", LARGE)
    damage(gateway, offset)
    with pytest.raises(httpx.RemoteProtocolError, match="without sending complete message body"):
        gateway.request("GET", "buffers/x")
    given: list[bytes] = []
    with pytest.raises(ServerUnreachableError, match="connection broke"):
        given.extend(client.buffers.parts("x"))
    assert sum(map(len, given)) < len(LARGE)


def test_a_small_damaged_buffer_and_one_without_its_file_are_errors(gateway, client):
    gateway.platform.buffers.put("x", bytes(100_000))
    damage(gateway, 7)
    with pytest.raises(CorruptStorageError, match="checksum"):
        client.buffers.read("x")
    gateway.platform.buffers.put("x", bytes(100_000))
    objects = gateway.platform.storage.path / "objects"
    # The other one goes when its last reader has let go.
    wait_until(lambda: gateway.platform.storage.collect(ignore_grace=True).held.total() == 0)
    (path,) = objects.glob("*/*")
    path.unlink()
    with pytest.raises(CorruptStorageError, match="missing"):
        list(client.buffers.parts("x"))
    assert client.buffers.stat("x").size == 100_000
