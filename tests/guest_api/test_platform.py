"""Guests ask what runs and export what is stored; their log; the names that the first modules import."""

from __future__ import annotations

import asyncio
import base64
import json
from pathlib import Path

import numpy
import pytest
import zarr

from moc_server_ext.cluster import Cluster
from moc_server_ext.engines.wasm.text import wat_to_wasm
from moc_server_ext.errors import LimitExceededError
from moc_server_ext.guest_api.errno import Errno
from moc_server_ext.model import ArraySpec, CallRequest, Declaration, Limits, parse_grants

NOTHING = wat_to_wasm('(module (func (export "run")))')


# -- status -----------------------------------------------------------------------------------------------------------


def test_status_tells_functions_blobs_calls_and_limits(moc, play, program):
    record = moc.functions.put("listed", NOTHING)
    result = play(program.wasm(program.pour(program.call("get_status"))), grants=("status",), limits={"buffers": 7})
    status = json.loads(result.output)
    assert {"name": "listed", "tech_id": record.blob_id} in status["blob_names"]
    assert {"tech_id": record.blob_id, "content_type": "application/wasm", "length": len(NOTHING)} in status["blobs"]
    # The one that asks waits for the answer.
    assert status["calls"] == {"running": 1, "waiting": 1, "queued": 0}
    assert status["limits"] == {**Limits().to_json(), "buffers": 7}
    assert status["version"] == moc.status()["version"]


def test_status_tells_nothing_about_the_machine(moc, play, program):
    result = play(program.wasm(program.pour(program.call("get_status"))), grants=("status",))
    assert set(json.loads(result.output)) == {"version", "calls", "limits", "blob_names", "blobs"}
    for secret in (str(moc.storage.path), moc.storage.instance_id):
        assert secret.encode() not in result.output


@pytest.mark.parametrize("name", ["get_status", "export_database"])
def test_the_platform_tells_nothing_without_the_grant_for_it(play, program, name):
    grant = {"get_status": "status", "export_database": "export"}
    others = tuple(set(grant.values()) - {grant[name]})
    result = play(program.wasm(program.call(name)), grants=others)
    assert result.result == -Errno.EACCES
    assert f"no grant '{grant[name]}'".encode() in result.stderr


# -- export -----------------------------------------------------------------------------------------------------------


@pytest.fixture
def full(tmp_path: Path):
    """A cluster of its own, with something of everything in it."""
    with Cluster.open(tmp_path / "storage", cache_directory=tmp_path / "modules") as cluster:
        cluster.buffers.put("text/a b", b"some text", "text/plain")
        cluster.buffers.put(
            "numbers", numpy.arange(6, dtype="int16").tobytes(), array=ArraySpec("int16", (2, 3), (2, 2))
        )
        cluster.kv.set(b"\xffkey/1", b"value")
        cluster.functions.put("näme/1", NOTHING)
        yield cluster


def export(cluster: Cluster, content: bytes, **declared) -> dict[str, bytes]:
    cluster.functions.put("exporter", content, Declaration(grants=parse_grants(("export",)), **declared))
    result = cluster.call_sync(CallRequest("exporter", entry="run"))
    assert result.result == 0, result.result
    return {key: base64.b64decode(value, validate=True) for key, value in json.loads(result.output).items()}


def test_an_export_is_a_zarr_store_of_all_that_is_stored(full, program):
    entries = export(full, program.wasm(program.pour(program.call("export_database"))))
    assert {key for key in entries if not key.startswith("functions/")} == set(full.zarr.list(limit=1000))
    store = asyncio.run(_as_store(entries))
    group = zarr.open_group(store, mode="r", zarr_format=3)
    assert group["buffers/numbers"][:].tolist() == [[0, 1, 2], [3, 4, 5]]
    assert group["buffers/text%2Fa%20b"][:].tobytes() == b"some text"
    assert group["kv/%FFkey%2F1"][:].tobytes() == b"value"
    assert group["blobs"][full.functions.get("näme/1").blob_id][:].tobytes() == NOTHING
    assert json.loads(entries["functions/n%C3%A4me%2F1"])["name"] == "näme/1"


async def _as_store(entries: dict[str, bytes]) -> zarr.storage.MemoryStore:
    prototype = zarr.core.buffer.default_buffer_prototype()
    store = zarr.storage.MemoryStore()
    for key, content in entries.items():
        await store.set(key, prototype.buffer.from_bytes(content))
    return store


def test_no_secret_of_the_storage_directory_is_in_an_export(full, program):
    token = (full.storage.path / "token").read_bytes().strip()
    entries = export(full, program.wasm(program.pour(program.call("export_database"))))
    assert len(token) >= 16
    assert token not in b"".join(entries.values())
    assert str(full.storage.path).encode() not in b"".join(entries.values())


def test_an_export_that_has_no_room_is_refused_and_one_that_just_fits_is_whole(full, program):
    content = program.wasm(program.pour(program.call("export_database")))
    whole = export(full, content)
    encoded = {key: base64.b64encode(value).decode() for key, value in whole.items()}
    size = len(json.dumps(encoded, separators=(",", ":"), ensure_ascii=False).encode())
    for room, result in ((size - 1, -Errno.ENOSPC), (size, 0)):
        answer = full.call_sync(CallRequest("exporter", entry="run", limits={"scratch_bytes": room}))
        assert answer.result == result


def test_a_value_that_is_far_too_large_is_not_even_read(moc, play, program, monkeypatch):
    moc.buffers.put("huge", iter([bytes(1 << 20)] * 8))
    read = []
    monkeypatch.setattr(type(moc.zarr), "read", lambda self, key, *range: read.append(key))
    result = play(program.wasm(program.call("export_database")), grants=("export",), limits={"scratch_bytes": 1 << 20})
    moc.buffers.delete("huge")
    assert result.result == -Errno.ENOSPC
    assert "buffers/huge/c/0" not in read


# -- log --------------------------------------------------------------------------------------------------------------


def test_each_line_of_the_log_begins_with_its_level(play, program):
    lines = [program.call("log", level, f"level {level}") for level in range(6)]
    lines.append(program.call("log", 2, "two\nlines\n"))
    result = play(program.wasm(*(f"(drop {each})" for each in lines)))
    assert result.stderr.decode().splitlines() == [
        "[trace] level 0", "[debug] level 1", "[info] level 2", "[warn] level 3", "[error] level 4",
        "[critical] level 5", "[info] two", "[info] lines",
    ]  # fmt: skip


@pytest.mark.parametrize("level", [-1, 6, 1 << 30])
def test_other_levels_are_refused_and_log_nothing(play, program, level):
    result = play(program.wasm(program.call("log", level, "x")))
    assert (result.result, result.stderr) == (-Errno.EINVAL, b"")


@pytest.mark.parametrize("text", ["x" * 96, "\n" * 20])
def test_a_log_beyond_its_limit_ends_the_call(play, program, text):
    """Also when only the levels of its lines make it too long."""
    with pytest.raises(LimitExceededError, match="stderr_bytes"):
        play(program.wasm(program.call("log", 0, text)), limits={"stderr_bytes": 100})


def test_text_that_cannot_be_logged_is_not_copied(play, program):
    """All of the guest's memory in one line: refused by its length alone."""
    body = "(call $print_debug (i32.const 0) (i32.const 524288))"
    with pytest.raises(LimitExceededError, match="stderr_bytes") as caught:
        play(program.wasm(body), limits={"stderr_bytes": 1000})
    assert caught.value.stderr == ""
