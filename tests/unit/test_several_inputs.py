"""Several inputs on the platform itself, and from Python."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Iterator
from pathlib import Path

import numpy
import pytest

from guests import tells_inputs
from moc_server_ext.abc import CallStreams
from moc_server_ext.client.client import Client
from moc_server_ext.cluster import Cluster
from moc_server_ext.errors import InvalidInputError
from moc_server_ext.model import INPUTS_MAX, CallInput, CallRequest, CallResult


@pytest.fixture(scope="module")
def cluster(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Cluster]:
    directory: Path = tmp_path_factory.mktemp("inputs")
    with Cluster.open(directory / "storage", cache_directory=directory / "cache") as cluster:
        cluster.functions.put("tell", tells_inputs())
        yield cluster


@pytest.fixture
def moc(cluster: Cluster) -> Client:
    return Client(cluster, origin="embedded")


def told(result: CallResult) -> list[tuple[bytes, dict[str, str]]]:
    lines = result.output.split(b"\n")[:-1]
    return [(content, json.loads(headers)) for content, headers in zip(lines[::2], lines[1::2], strict=True)]


TEXT = {"content-type": "text/plain"}
REQUEST = CallRequest("tell", input=b"one", more_inputs=(CallInput(b"two", TEXT), CallInput(b"")))
TOLD = [(b"one", {}), (b"two", TEXT), (b"", {})]


def test_the_blocking_and_the_waiting_door_give_the_guest_all_inputs(cluster):
    assert told(cluster.call_sync(REQUEST)) == told(asyncio.run(cluster.call(REQUEST))) == TOLD


def test_a_stream_may_be_the_first_of_several_inputs(cluster):
    source = iter([b"o", b"ne"])
    result = cluster.call_sync(REQUEST, CallStreams(source=source))
    assert result.output == b"o" + b'ne\n{}\ntwo\n{"content-type": "text/plain"}\n\n{}\n'


def test_the_record_counts_the_bytes_of_all(cluster):
    assert cluster.calls.get(cluster.call_sync(REQUEST).call_id).input_bytes == 6


@pytest.mark.parametrize(
    "headers",
    [{"moc-dtype": "uint8", "moc-shape": "[2]"}, {"moc-dtype": "uint8"}, {"moc-dtype": "x", "moc-shape": "[3]"}],
)
def test_an_input_that_is_not_the_array_it_is_said_to_be_runs_nothing(cluster, headers):
    before = cluster.calls.list()
    with pytest.raises(InvalidInputError):
        cluster.call_sync(CallRequest("tell", more_inputs=(CallInput(b"abc", headers),)))
    assert cluster.calls.list() == before


# -- from Python ------------------------------------------------------------------------------------------------------


def test_a_list_of_inputs_keeps_what_each_is(moc):
    moc.buffers["text"] = "stored"
    array = numpy.arange(3, dtype="uint8") + 65
    inputs = ["é", array, moc.buffers["text"], moc.call("tell", input=b"x")]
    found = told(moc.call("tell", inputs=inputs))[:3]
    assert [content for content, _ in found] == ["é".encode(), b"ABC", b"stored"]
    assert found[1][1] == {"moc-dtype": "uint8", "moc-shape": "[3]"}
    assert found[2][1]["content-type"].startswith("text/plain")


def test_every_way_to_call_takes_inputs(moc):
    async def waits() -> list[CallResult]:
        return [await moc.call_async("tell", inputs=["a", "b"]), await moc.start("tell", inputs=["a", "b"])]

    function = moc.functions["tell"]
    expected = b"a\n{}\nb\n{}\n"
    assert [each.output for each in asyncio.run(waits())] == [expected, expected]
    assert function(inputs=["a", "b"]) == expected
    assert asyncio.run(function.call_async(inputs=("a", "b"))) == expected


def test_no_inputs_are_one_that_is_empty(moc):
    assert told(moc.call("tell", inputs=[])) == [(b"", {})]


@pytest.mark.parametrize(
    ("arguments", "options", "said"),
    [
        ((), {"input": b"a", "inputs": [b"b"]}, "given twice: as input= and as inputs="),
        ((numpy.zeros(2),), {"inputs": [b"b"]}, "as an array among the arguments and as inputs="),
        ((), {"inputs": b"bytes"}, "takes a list of inputs, not bytes"),
        ((), {"inputs": "text"}, "takes a list of inputs, not str"),
        ((), {"inputs": [b""] * (INPUTS_MAX + 1)}, "at most 64 inputs; found 65"),
        ((), {"inputs": [b"", 5]}, "int"),
    ],
)
def test_inputs_that_cannot_be_are_refused_before_the_call(moc, cluster, arguments, options, said):
    before = cluster.calls.list()
    with pytest.raises(InvalidInputError, match=said):
        moc.call("tell", *arguments, **options)
    assert cluster.calls.list() == before


def test_a_bytes_argument_of_a_function_and_inputs_exclude_one_another(moc):
    with pytest.raises(InvalidInputError, match="as a bytes argument and as inputs="):
        moc.functions["tell"](b"a", inputs=[b"b"])
