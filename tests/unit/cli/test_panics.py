"""A guest that panics tells why, once, whoever called it: the text is on its stderr, the trap says nothing of it."""

from __future__ import annotations

import json
import traceback
from pathlib import Path

import pytest

from guests import PANIC, panicking
from moc_server_ext.client.client import Client
from moc_server_ext.cluster import Cluster
from moc_server_ext.errors import TrapError

FIRST_LINE = "moc: error[guest_trap]: Function 'panic' trapped in app::parse: unreachable instruction executed."


@pytest.fixture
def file(tmp_path: Path) -> str:
    (tmp_path / "panic.wasm").write_bytes(panicking())
    return "panic.wasm"


def test_on_the_command_line_it_stands_above_the_trap(moc_inside, file):
    assert moc_inside("push", "panic", file).returncode == 0
    for command in ("run", file), ("call", "panic"):
        done = moc_inside(*command)
        lines = done.stderr.decode().splitlines()
        assert (done.returncode, done.stdout) == (1, b"")
        assert lines[:2] == [PANIC, FIRST_LINE]
        assert lines[3:6] == ["    __rust_start_panic", "    core::panicking::panic_fmt", "    app::parse"]
        assert done.stderr.count(PANIC.encode()) == 1


def test_in_json_it_is_in_the_details(moc_inside, file):
    moc_inside("push", "panic", file)
    error = json.loads(moc_inside("--json", "call", "panic").stderr)["error"]
    assert error["details"]["stderr"] == PANIC + "\n"
    assert json.dumps(error).count("InvalidDigit") == 1


def test_in_python_it_is_in_the_traceback(tmp_path):
    with Cluster.open(tmp_path / "storage", cache_directory=tmp_path / "modules") as cluster:
        cluster.functions.put("panic", panicking())
        with pytest.raises(TrapError) as caught:
            Client(cluster).call("panic")
    caught.value.add_note("while the test ran")
    shown = "".join(traceback.format_exception(caught.value))
    assert shown.endswith(f"guest stderr (its end):\n  {PANIC}\nwhile the test ran\n")
    assert shown.count(PANIC) == 1
