"""The sample ``api-buffers``: what guests do with buffers, in each of its exports."""

from __future__ import annotations

import base64
import json
import time
from collections.abc import Callable

import pytest

from moc_server_ext.cluster import Cluster
from moc_server_ext.guest_api.core import CORE
from moc_server_ext.guest_api.errno import Errno
from moc_server_ext.model import CallInput, CallRequest, CallResult, Declaration, parse_grants
from web import answer, web_server

NAME = "api-buffers"
Try = Callable[..., CallResult]


@pytest.fixture(scope="module")
def show(cluster: Cluster) -> Try:
    def show(entry: str, *inputs: CallInput) -> CallResult:
        first, *more = inputs or (CallInput(b""),)
        return cluster.call_sync(
            CallRequest(
                NAME, entry=entry, input=first.content, input_headers=first.headers, more_inputs=tuple(more)
            )
        )  # fmt: skip

    return show


def test_each_function_of_the_guest_api_is_in_a_sample(manifest, samples_directory):
    sources = "".join((samples_directory / sample["source"]).read_text() for sample in manifest["samples"])
    names = [f"moc_{name}" if name == "log" else name for name, each in CORE.functions.items() if not each.instead]
    assert [name for name in names if f"{name}(" not in sources] == []


def test_describe_tells_the_headers_of_all_inputs(show: Try):
    result = show(
        "describe", CallInput(b"a", {"content-type": "text/plain"}), CallInput(b"b"), CallInput(b"c", {"x": "y"})
    )
    assert (result.result, list(map(json.loads, result.output.splitlines()))) == (
        0, [{"content-type": "text/plain"}, {}, {"x": "y"}],
    )  # fmt: skip


def test_page_answers_with_a_header_and_escapes_what_it_shows(show: Try):
    result = show("page", CallInput(b"a < b & c"))
    assert (result.result, result.output) == (0, b"<!doctype html><pre>a &lt; b &amp; c</pre>\n")
    assert result.output_headers == {"content-type": "text/html; charset=utf-8"}


@pytest.mark.parametrize("content", [b"", b"any bytes \0\xff", bytes(100_000)], ids=["empty", "short", "long"])
def test_encode_and_decode_are_each_others_reverse(show: Try, content: bytes):
    encoded = show("encode", CallInput(content))
    assert (encoded.result, encoded.output) == (0, base64.b64encode(content))
    assert show("decode", CallInput(encoded.output)).output == content


def test_decode_refuses_what_is_no_base64(show: Try):
    assert show("decode", CallInput(b"c*==")).result == -Errno.EINVAL


def test_twice_keeps_the_input_in_a_buffer_of_its_own(show: Try):
    assert show("twice", CallInput(b"ab" * 5_000)).output == b"ab" * 10_000


def test_stamp_tells_the_time(show: Try):
    before = int(time.time())
    assert before <= int(show("stamp").output) <= time.time()


def test_get_fetches_a_url_of_a_host_that_it_may_reach(cluster: Cluster, samples_directory):
    with web_server() as web:
        web.answers["/"] = answer(b"an answer")
        module = (samples_directory / "c/api-buffers/api-buffers.wasm").read_bytes()
        cluster.functions.put("reaches-out", module, Declaration(grants=parse_grants((), (web.host,))))
        try:
            result = cluster.call_sync(CallRequest("reaches-out", entry="get", input=web.url().encode()))
        finally:
            cluster.functions.delete("reaches-out")
    assert (result.result, result.output) == (0, b"an answer")


def test_get_reaches_no_other_host(show: Try):
    result = show("get", CallInput(b"http://192.0.2.1/"))
    assert (result.result, result.output) == (-Errno.EACCES, b"")
