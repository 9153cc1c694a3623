"""Several files as the inputs of one call: ``moc run``, and ``moc call`` with a storage of its own and a server's."""

from __future__ import annotations

import json

import pytest

from guests import tells_inputs
from moc_server_ext.client import connect
from support import start_server

TOLD = b'one\n{}\ntwo\n{"moc-dtype": "uint8", "moc-shape": "[3]"}\n'


@pytest.fixture(autouse=True)
def files(tmp_path):
    (tmp_path / "x").write_bytes(b"one")
    (tmp_path / "y").write_bytes(b"two")
    (tmp_path / "tell.wasm").write_bytes(tells_inputs())


@pytest.fixture(params=["embedded", "server"])
def door(request, tmp_path):
    storage = tmp_path / "storage"
    with connect(storage=storage) as moc:
        moc.functions.put("tell", tells_inputs())
    server = start_server(storage) if request.param == "server" else None
    yield request.param
    if server is not None:
        server.kill()


WORDS = ("--input-file", "x", "--input-file", "y")


def test_call_takes_several_files(door, moc_inside):
    done = moc_inside("call", *WORDS, "tell")
    assert (done.returncode, done.stdout, done.stderr) == (0, b"one\n{}\ntwo\n{}\n", b"")


def test_call_reads_standard_input_as_one_of_several(door, moc):
    done = moc("call", "--input-file", "x", "--input-file", "-", "tell", input=b"piped")
    assert (done.returncode, done.stdout) == (0, b"one\n{}\npiped\n{}\n")


def test_run_takes_several_files_and_tells_of_arrays(moc_inside):
    done = moc_inside("run", "--input-file", "x", "--input-file", "y", "tell.wasm")
    assert (done.returncode, done.stdout) == (0, b"one\n{}\ntwo\n{}\n")
    body = json.loads(moc_inside("--json", "run", *WORDS, "tell.wasm").stdout)
    assert body["output"] == "b25lCnt9CnR3bwp7fQo="


def test_an_input_that_is_no_such_array_is_refused_by_run(moc_inside):
    array = ("--dtype", "uint8", "--shape", "3")
    assert moc_inside("run", *WORDS, *array, *array, "tell.wasm").stdout == TOLD.replace(
        b"one\n{}", b'one\n{"moc-dtype": "uint8", "moc-shape": "[3]"}'
    )
    done = moc_inside("run", *WORDS, *array, "--dtype", "uint8", "--shape", "4", "tell.wasm")
    assert (done.returncode, done.stdout) == (1, b"")
    assert b"input 1 has 3" in done.stderr


def test_too_many_files_are_refused_by_run(moc_inside):
    done = moc_inside("run", *["--input-file", "x"] * 65, "tell.wasm")
    assert (done.returncode, done.stdout) == (1, b"")
    assert done.stderr.startswith(b"moc: error[invalid_input]: A call has at most 64 inputs; found 65.")
