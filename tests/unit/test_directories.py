"""Mounted directories through every door: whose own process it is gets them, and nobody else."""

from __future__ import annotations

import asyncio
import os
import threading

import pytest

from moc_server_ext.buffers.exchange import ExchangeBuffer
from moc_server_ext.client.client import Client
from moc_server_ext.cluster import Cluster
from moc_server_ext.engines.wasm.text import wat_to_wasm
from moc_server_ext.errors import DirectoriesNotServedError, FunctionNotFoundError, InvalidInputError
from moc_server_ext.guest_api.context import CallContext
from moc_server_ext.model import CallRequest, Declaration, Mount, parse_grants
from mounted import CALLER, ENOENT, FILE, READER

SPIN = wat_to_wasm('(module (memory (export "memory") 1) (func (export "_start") (loop (br 0))))')
ADD = wat_to_wasm('(module (func (export "add") (param i32 i32) (result i32) (i32.add (local.get 0) (local.get 1))))')


@pytest.fixture
def cluster(tmp_path):
    with Cluster.open(tmp_path / "storage", cache_directory=tmp_path / "modules") as opened:
        opened.functions.put("reader", READER)
        yield opened


@pytest.fixture
def data(tmp_path):
    directory = tmp_path / "data"
    directory.mkdir()
    (directory / FILE).write_bytes(b"from the host")
    return directory


@pytest.fixture
def moc(cluster):
    return Client(cluster)


def test_an_embedded_client_mounts_directories(moc, data, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    for dirs in ({"/": data}, {"/": "data"}, ["data::/"], [f"{data}::/:ro"], [Mount(str(data), "/")]):
        assert moc.call("reader", dirs=dirs).output == b"from the host"
    assert moc.functions["reader"](dirs={"/": data}) == b"from the host"
    assert moc.start("reader", dirs={"/": data}).wait().output == b"from the host"
    assert asyncio.run(moc.call_async("reader", dirs={"/": data})).output == b"from the host"
    assert moc.call("reader").exit_code == ENOENT


def test_what_cannot_be_mounted_is_said_before_anything_runs(moc, data):
    with pytest.raises(InvalidInputError, match="No such file or directory"):
        moc.call("reader", dirs={"/": data / "none"})
    with pytest.raises(InvalidInputError, match="Not a directory"):
        moc.call("reader", dirs={"/": data / FILE})
    with pytest.raises(FunctionNotFoundError):
        moc.call("none", dirs={"/": data})
    assert all(record.function != "reader" for record in moc.platform.calls.list())


def test_a_direct_call_and_a_deterministic_function_get_no_directories(moc, data):
    moc.platform.functions.put("add", ADD)
    with pytest.raises(InvalidInputError, match=r"A direct call has no files.*'add'"):
        moc.call("add", 1, 2, dirs={"/": data})
    moc.platform.functions.put("reader", READER, Declaration(deterministic=True))
    with pytest.raises(InvalidInputError, match="declared deterministic"):
        moc.call("reader", dirs={"/": data})


def test_a_call_that_a_guest_makes_does_not_inherit_them(moc, data):
    moc.platform.functions.put("caller", CALLER, Declaration(grants=parse_grants(["call:reader"], ())))
    assert moc.call("caller", dirs={"/": data}).exit_code == ENOENT


def test_not_even_a_request_with_mounts_gets_them_from_a_guest(cluster, data):
    orchestrator = cluster._orchestrator
    request = CallRequest("reader", mounts=(Mount(str(data), "/"),))
    parent = CallContext(orchestrator.prepare(request).invocation, ExchangeBuffer(b""), services=orchestrator)
    assert parent.invocation.mounts
    assert orchestrator.nested(parent, request).invocation.mounts == ()


def test_the_door_of_servers_refuses_them_whoever_asks(cluster, data):
    request = CallRequest("reader", mounts=(Mount(str(data), "/"),))
    with pytest.raises(DirectoriesNotServedError, match=r"'.*data' cannot be mounted. Use `moc run --dir`"):
        asyncio.run(cluster.call(request))


def open_here(directory):
    found = []
    for name in os.listdir("/proc/self/fd"):
        try:
            found.append(os.readlink(f"/proc/self/fd/{name}").startswith(str(directory)))
        except FileNotFoundError:
            continue  # That of the listing itself.
    return sum(found)


def test_whatever_the_end_of_a_call_its_directories_are_closed(moc, data):
    moc.platform.functions.put("spin", SPIN)
    moc.platform.functions.put("trap", wat_to_wasm('(module (func (export "_start") unreachable))'))
    moc.call("reader", dirs={"/": data})
    for name in ("trap", "spin"):
        with pytest.raises(Exception, match=name):
            moc.call(name, dirs={"/": data}, limits={"timeout_seconds": 0.2})
    cancelled = moc.start("spin", dirs={"/": data})
    begun = threading.Event()
    while not cancelled.call_id:
        begun.wait(0.01)
    cancelled.cancel()
    with pytest.raises(Exception, match="spin"):
        cancelled.wait(60)
    assert open_here(data) == 0
