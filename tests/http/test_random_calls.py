"""Calls over HTTP with whatever parameters, headers and bodies: each is answered in the API's words, never with 500.

Raw requests go over one connection after another of a real gateway in front of a whole cluster.
"""

from __future__ import annotations

import contextlib
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.parse import quote, urlencode

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fuzzing import bounded
from guests import guest, tells_inputs
from moc_server_ext.cluster import Cluster
from moc_server_ext.engines.wasm.text import wat_to_wasm
from moc_server_ext.model import Limits
from raw_calls import chunk, response_of

pytestmark = pytest.mark.fuzz

FUNCTIONS = {
    "cat": guest("cat"),
    "tell": tells_inputs(),
    "add": wat_to_wasm('(module (func (export "add") (param i32 f64) (result f64) (local.get 1)))'),
    "trap": guest("trap"),
}
EXPECTED = {200, 400, 404, 411, 413, 415, 422}
SOME = ["posix", "direct", "_start", "add", "1", "-1", "2.5", "nan", "inf", "1e999", "", "=", "K=V", "\0", "../x", "é",
        "😀", "timeout_seconds=0.1", "memory_bytes=1", "memory_bytes=64KiB", "9" * 400, "x" * 5000]  # fmt: skip
text = st.one_of(st.sampled_from(SOME), st.sampled_from(SOME), st.text(max_size=12))
known = st.sampled_from(["mode", "entry", "arg", "env", "limit", "nothing"])
queries = st.lists(st.tuples(st.one_of(known, known, text), text), max_size=6).map(urlencode)
raw_queries = st.one_of(queries, queries, st.binary(max_size=40).map(lambda raw: quote(raw, safe="&=%+")))

MEDIA = ["text/plain", "application/octet-stream", "multipart/form-data", "multipart/form-data; boundary=xx",
         'multipart/form-data; boundary="x x"', "multipart/mixed; boundary=xx", "none", "", "a/b; c"]  # fmt: skip
values = {
    "Content-Type": st.sampled_from(MEDIA),
    "Accept": st.sampled_from(["*/*", "application/json", "application/vnd.moc.frames", "text/html;q=x", ""]),
    "Moc-Dtype": st.sampled_from(["uint8", "float64", "object", "", "|O"]),
    "Moc-Shape": st.sampled_from(["[3]", "[]", "[-1]", "[1e9]", "[9999999999,9999999999]", "{", "3"]),
    "Moc-Chunks": st.sampled_from(["[1]", "x"]),
    "Content-Encoding": st.sampled_from(["gzip", "identity"]),
    "Range": st.sampled_from(["bytes=0-0", "bytes=9-"]),
    "Expect": st.sampled_from(["100-continue", "200-ok"]),
    "X-Own": st.text("\t !~az", max_size=20),
}  # fmt: skip
headers = st.fixed_dictionaries({}, optional=values)

# Bodies of parts, from pieces that a part is made of.
PIECES = [b"--xx", b"\r\n", b"\r\n\r\n", b"--", b"--xx--\r\n", b"--xx\r\n\r\n", b"abc", b": ",
          b'Content-Disposition: form-data; name="a"', b"Content-Type: text/plain", b"Content-Type: none", b"\0",
          b"Moc-Dtype: uint8\r\nMoc-Shape: [3]", b"\xff\xfe", b"\n", b"X: " + b"y" * 9000,
          b"--xx\r\n\r\n1\r\n" * 65, b" " * 3000]  # fmt: skip
whole_parts = st.lists(st.sampled_from(PIECES).map(lambda piece: b"--xx\r\n\r\n" + piece + b"\r\n"), max_size=5)
forms = st.one_of(
    st.lists(st.one_of(st.sampled_from(PIECES), st.binary(max_size=6)), max_size=12).map(b"".join),
    whole_parts.map(lambda parts: b"".join(parts) + b"--xx--\r\n"),
)
bodies = st.one_of(forms, st.binary(max_size=100))


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory, serving_anything: Any) -> Iterator[Any]:
    root: Path = tmp_path_factory.mktemp("random-calls")
    limits = Limits(memory_bytes=8 << 20, timeout_seconds=5, output_bytes=1 << 20, stderr_bytes=1 << 16)
    with Cluster.open(root / "storage", limits=limits, cache_directory=root / "modules") as cluster:
        for name, content in FUNCTIONS.items():
            cluster.functions.put(name, content)
        with serving_anything(cluster, root) as running:
            yield running
            cluster.close()


def answer(server: Any, head: list[str], body: bytes) -> tuple[int, bytes]:
    """Send one request and give the status and the content of its answer; 0 for an answer that was dropped."""
    with server.connection() as stream:
        with contextlib.suppress(OSError):  # answered and closed before all was sent
            stream.sendall("\r\n".join(head).encode() + b"\r\n\r\n" + body)
        response = response_of(stream)
        return response.status, response.read()


def check(server: Any, status: int, content: bytes) -> None:
    """Check that an answer is one of a call, or an error in our words; and that the next one is answered."""
    assert status in EXPECTED, (status, content[:500])
    assert b"Traceback" not in content
    if status != 200:
        error = json.loads(content)["error"]
        assert error["message"]
        assert error["code"] != "internal"
    again = server.request("POST", "functions/cat/call", content=b"still there")
    assert again.content == b"still there"


@bounded(60)
@given(st.sampled_from([*FUNCTIONS, "none", "%00", "%ff"]), raw_queries, headers, bodies, st.booleans())
def test_whatever_a_call_is_asked_with_it_is_answered_in_words(
    server: Any, name: str, query: str, headers: dict[str, str], body: bytes, chunked: bool
) -> None:
    length = "Transfer-Encoding: chunked" if chunked else f"Content-Length: {len(body)}"
    head = [
        f"POST /moc/api/v1/functions/{name}/call?{query} HTTP/1.1", "Host: localhost", "Connection: close",
        f"Authorization: Bearer {server.token}", length, *(f"{each}: {value}" for each, value in headers.items()),
    ]  # fmt: skip
    status, content = answer(server, head, chunk(body) * bool(body) + chunk(b"") if chunked else body)
    check(server, status, content)


@bounded(60)
@given(st.lists(forms, min_size=1, max_size=3).map(b"".join), st.lists(st.integers(1, 40), max_size=8), st.booleans())
def test_whatever_a_form_is_made_of_its_parts_are_inputs_or_nothing_runs(
    server: Any, body: bytes, cuts: list[int], ends: bool
) -> None:
    body += b"--xx--\r\n" * ends
    head = [
        "POST /moc/api/v1/functions/tell/call HTTP/1.1", "Host: localhost", "Connection: close",
        f"Authorization: Bearer {server.token}", "Content-Type: multipart/form-data; boundary=xx",
        "Transfer-Encoding: chunked",
    ]  # fmt: skip
    framed, rest = b"", body
    for cut in cuts:
        part, rest = rest[:cut], rest[cut:]
        framed += chunk(part) * bool(part)
    status, content = answer(server, head, framed + chunk(rest) * bool(rest) + chunk(b""))
    check(server, status, content)
