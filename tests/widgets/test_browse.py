"""The browse view: what it lists, and what it shows of what is chosen."""

from __future__ import annotations

import threading
from typing import Any

import numpy
import pytest

from comms import Recorder, record_comms
from guests import guest
from moc_server_ext.model import CallRequest, CallState
from moc_widgets.browse import BrowseWidget


@pytest.fixture(scope="module", autouse=True)
def _things(moc):
    moc.functions.put("spin", guest("spin"))
    moc.buffers["grid"] = numpy.arange(12, dtype="f4").reshape(3, 4)
    moc.buffers["a/<b>"] = "some text"
    moc.kv["visits"] = b"12"
    moc.kv[b"\xff\x00"] = bytes(100_000)


@pytest.fixture
def comm(moc, monkeypatch) -> Recorder:
    comms = record_comms(monkeypatch, "listing")
    BrowseWidget(moc)
    return comms[0]


def choose(comm: Recorder, kind: str, identity: str, answer: str) -> dict[str, Any]:
    count = len([each for each in comm.messages if each["type"] == answer])
    comm.say({"type": "choose", "kind": kind, "id": identity})
    return comm.wait(answer, count + 1)


def test_it_opens_with_all_that_there_is(comm):
    listing = comm.state("listing")
    assert [row["cells"][:2] for row in listing["functions"]["rows"]] == [["spin", "_start"]]
    assert [row["cells"][:3] for row in listing["buffers"]["rows"]] == [
        ["a/<b>", "text/plain; charset=utf-8", {"size": "9"}],
        ["grid", "float32 (3, 4)", {"size": "48"}],
    ]
    assert [row["cells"] for row in listing["keys"]["rows"]] == [["visits"], ["\\xff\\x00"]]
    assert comm.state("origin").startswith("embedded on ")


def test_a_buffer_that_is_chosen_is_looked_into(comm):
    opened = choose(comm, "buffers", "grid", "opened")
    assert (opened["kind"], opened["id"], opened["about"]["view"]) == ("buffers", "grid", "array")
    comm.say({"type": "inspect", "message": {"type": "statistics", "job": 1}})
    done = comm.wait("inspected", fits=lambda each: each["message"].get("is_done", False))
    assert done["message"]["figures"]["max"] == "11.0"


def test_the_value_of_a_key_is_looked_into_as_a_buffer_is(comm, moc):
    key = b"\xff\x00"
    opened = choose(comm, "keys", key.hex(), "opened")
    assert (opened["about"]["size"], opened["about"]["view"]) == ("100000", "hex")
    comm.say({"type": "inspect", "message": {"type": "pages", "wanted": ["65536"]}})
    page = comm.wait("inspected", fits=lambda each: each["message"]["type"] == "page")
    assert page["bytes"] == [bytes(100_000 - 65536)]
    moc.kv[key] = bytes(99) + b"!"
    comm.say({"type": "inspect", "message": {"type": "pages", "wanted": ["0"]}})
    trouble = comm.wait("inspected", fits=lambda each: each["message"]["type"] == "trouble")
    assert trouble["message"]["kind"] == "replaced"
    moc.kv[key] = bytes(100_000)


def test_a_function_that_is_chosen_is_described(comm):
    facts = dict(choose(comm, "functions", "spin", "described")["facts"])
    assert (facts["mode"], facts["exports"]) == ("posix", "_start() -> ()")
    assert facts["blob id"]


def test_a_call_that_runs_is_shown_and_cancelled(comm, moc):
    handle = moc.begin(CallRequest("spin"))
    running = threading.Event()
    while not running.wait(0.01):
        if handle.call_id and moc.platform.calls.get(handle.call_id).state is CallState.RUNNING:
            running.set()
    count = len([each for each in comm.messages if each["type"] == "listing"])
    comm.say({"type": "list"})
    comm.wait("listing", count + 1)
    row = comm.state("listing")["calls"]["rows"][0]
    assert (row["id"], row["cells"][:2], row["is_running"]) == (handle.call_id, ["spin", "running"], True)
    assert choose(comm, "calls", handle.call_id, "described")["is_running"]
    comm.say({"type": "cancel", "kind": "calls", "id": handle.call_id})
    ended = comm.wait("described", fits=lambda each: not each["is_running"])
    assert dict(ended["facts"])["state"] == "cancelled"


@pytest.mark.parametrize(
    "message",
    [
        None,
        [],
        {"type": "choose"},
        {"type": "choose", "kind": "secrets", "id": "x"},
        {"type": "choose", "kind": ["buffers"], "id": "x"},
        {"type": "choose", "kind": "buffers", "id": 7},
        {"type": "choose", "kind": "buffers", "id": "no such buffer"},
        {"type": "choose", "kind": "buffers", "id": "x" * 100_000},
        {"type": "choose", "kind": "keys", "id": "zz"},
        {"type": "choose", "kind": "keys", "id": ""},
        {"type": "choose", "kind": "calls", "id": "../../status"},
        {"type": "cancel", "kind": "calls", "id": "none"},
        {"type": "inspect", "message": {"type": "open"}},
        {"type": "inspect"},
    ],
)
def test_a_message_that_makes_no_sense_is_answered_in_words_or_not_at_all(comm, message):
    comm.say(message)
    assert choose(comm, "functions", "spin", "described")["id"] == "spin"
    others = [each for each in comm.messages if each["type"] != "described"]
    assert [each["type"] for each in others] in ([], ["trouble"])


def test_its_static_page_names_what_there_is_the_same_each_time(comm, moc):
    from ipywidgets.widgets.widget import _instances

    bundle = _instances[comm.comm_id]._static_bundle()
    assert bundle == BrowseWidget(moc)._static_bundle()
    assert "a/&lt;b&gt;" in bundle["text/html"]
    assert "spin" in bundle["text/plain"]
    assert "Calls" not in bundle["text/plain"]


def test_many_things_are_cut_and_counted(monkeypatch, tmp_path):
    from moc_server_ext.client import connect

    monkeypatch.setattr("moc_widgets.listing.ROWS", 3)
    comms = record_comms(monkeypatch, "listing")
    with connect(storage=tmp_path / "storage") as moc:
        for number in range(5):
            moc.buffers[f"b{number}"] = b""
        BrowseWidget(moc)
        listing = comms[0].state("listing")
    assert (len(listing["buffers"]["rows"]), listing["buffers"]["left"]) == (3, 2)
