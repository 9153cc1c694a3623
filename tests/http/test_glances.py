"""Small ranges on the event loop: answered there only if nothing has to be waited for, and never out of date."""

from __future__ import annotations

import errno
import json
import os

import pytest

CONTENT = bytes(i * 31 % 251 for i in range(400_000))
RANGE = {"Range": "bytes=100000-104095"}
ADDRESSES = pytest.mark.parametrize("address", ["buffers/x", "zarr/buffers/x/c/0"])


@pytest.fixture
def on_threads(gateway):
    """Count the operations that go to a thread."""
    begun = []
    run = gateway.workers.run

    def counted(operation, **options):
        begun.append(operation)
        return run(operation, **options)

    gateway.workers.run = counted
    return begun


@pytest.fixture
def in_memory(monkeypatch):
    """Say of every byte that the system has it in memory: not every file system can tell."""
    preadv = os.preadv

    def read(descriptor, buffers, offset, flags=0):
        assert flags == os.RWF_NOWAIT
        return preadv(descriptor, buffers, offset)

    monkeypatch.setattr(os, "preadv", read)


@ADDRESSES
def test_a_small_range_of_what_was_read_of_late_takes_no_thread(gateway, on_threads, in_memory, address):
    gateway.platform.buffers.put("x", CONTENT)
    gateway.request("HEAD", "buffers/x")
    first = gateway.request("GET", address, headers=RANGE)
    on_threads.clear()
    again = gateway.request("GET", address, headers=RANGE)
    assert on_threads == []
    for answer in (first, again):
        assert (answer.status_code, answer.content) == (206, CONTENT[100_000:104_096])
        assert answer.headers["content-range"] == "bytes 100000-104095/400000"
    assert {**first.headers, "date": ""} == {**again.headers, "date": ""}
    held = {"If-None-Match": first.headers["etag"]}
    assert gateway.request("GET", address, headers=held).status_code == 304
    assert gateway.request("GET", address, headers={"Range": "bytes=400000-"}).status_code == 416
    assert on_threads == []
    assert gateway.request("GET", f"{address}?x=1", headers=RANGE).status_code == 400


@ADDRESSES
def test_what_is_large_or_whole_is_read_on_a_thread(gateway, on_threads, in_memory, address):
    gateway.platform.buffers.put("x", CONTENT)
    gateway.request("HEAD", "buffers/x")
    gateway.request("GET", address, headers=RANGE)
    for headers in ({}, {"Range": "bytes=0-70000"}):
        on_threads.clear()
        answer = gateway.request("GET", address, headers=headers)
        assert answer.content == CONTENT[: 70_001 if headers else None]
        assert on_threads


@ADDRESSES
@pytest.mark.parametrize("number", [errno.EAGAIN, errno.EOPNOTSUPP, errno.EIO, None])
def test_what_is_not_in_memory_is_read_on_a_thread(gateway, on_threads, monkeypatch, address, number):
    def read(descriptor, buffers, offset, flags=0):
        if number is None:
            return 1  # The rest is not there.
        raise OSError(number, os.strerror(number))

    monkeypatch.setattr(os, "preadv", read)
    gateway.platform.buffers.put("x", CONTENT)
    gateway.request("HEAD", "buffers/x")
    gateway.request("GET", address, headers=RANGE)
    on_threads.clear()
    assert gateway.request("GET", address, headers=RANGE).content == CONTENT[100_000:104_096]
    assert len(on_threads) == 1


@ADDRESSES
def test_what_was_replaced_or_removed_is_never_given(gateway, in_memory, address):
    for turn in range(3):
        content = bytes([turn]) * 400_000
        gateway.platform.buffers.put("x", content)
        gateway.request("HEAD", "buffers/x")
        for _ in range(3):
            assert gateway.request("GET", address, headers=RANGE).content == content[:4096]
    gateway.platform.buffers.delete("x")
    assert gateway.request("GET", address, headers=RANGE).status_code == 404


def test_a_range_of_an_array_is_found_in_its_chunk(gateway, on_threads, in_memory):
    headers = {"Moc-Dtype": "uint8", "Moc-Shape": "[4,100000]", "Moc-Chunks": "[1,100000]"}
    gateway.request("PUT", "buffers/x", content=CONTENT, headers=headers)
    wanted = {"within a chunk": (250_000, 250_999), "over two": (199_000, 201_000), "at an edge": (300_000, 300_009)}
    for start, stop in wanted.values():
        range = {"Range": f"bytes={start}-{stop}"}
        for _ in (1, 2):
            answer = gateway.request("GET", "buffers/x", headers=range)
            assert answer.content == CONTENT[start : stop + 1]
            assert json.loads(answer.headers["moc-shape"]) == [4, 100_000]
    on_threads.clear()
    gateway.request("GET", "buffers/x", headers={"Range": "bytes=250000-250999"})
    assert on_threads == []


def test_small_buffers_are_answered_whole_from_memory(gateway, on_threads):
    gateway.platform.buffers.put("x", b"small", "text/plain")
    gateway.request("GET", "buffers/x")
    on_threads.clear()
    assert gateway.request("GET", "buffers/x").content == b"small"
    assert on_threads == []
