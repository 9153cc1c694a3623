"""Requests that no client would send: answered or dropped, never believed, and the next one works."""

from __future__ import annotations

import json
import time
from typing import Any
from urllib.parse import unquote

import pytest

from moc_server_ext.engines.wasm.text import wat_to_wasm
from moc_server_ext.http.messages import ApiResponse
from moc_server_ext.http.routes import find_operation
from moc_server_ext.model import CallResult

SMALLEST = wat_to_wasm('(module (memory (export "memory") 1) (func (export "_start")))')


def exchange(gateway: Any, raw: bytes) -> bytes:
    """Send bytes on a connection of their own and give all that comes back until the server closes or is silent."""
    with gateway.connection() as stream:
        stream.settimeout(60)
        answer = b""
        try:
            stream.sendall(raw)
            while part := stream.recv(1 << 16):
                answer += part
        except OSError:  # the time is over, or the server has closed, perhaps before all was sent
            pass
    return answer


def request(gateway: Any, line: str, *headers: str, body: bytes = b"") -> bytes:
    """Put a request together, with the token."""
    head = [line, "Host: localhost", f"Authorization: Bearer {gateway.token}", *headers, "Connection: close"]
    return "\r\n".join(head).encode() + b"\r\n\r\n" + body


def statuses(answer: bytes) -> list[int]:
    """Give the status of each response in an answer."""
    return [int(line.split()[1]) for line in answer.split(b"\r\n") if line.startswith(b"HTTP/1.1 ")]


@pytest.fixture(autouse=True)
def still_there(gateway):
    """After each test the gateway answers, and nothing that was hidden in a body was done."""
    yield
    assert gateway.request("GET", "status").status_code == 200
    assert [each.name for each in gateway.platform.buffers.list() if each.name.startswith("smuggled")] == []


SMUGGLED = b"PUT /moc/api/v1/buffers/smuggled HTTP/1.1\r\nHost: x\r\nContent-Length: 1\r\n\r\nx"


@pytest.mark.parametrize(
    ("headers", "body"),
    [
        (("Content-Length: 5", "Transfer-Encoding: chunked"), b"0\r\n\r\n" + SMUGGLED),
        (("Transfer-Encoding: chunked", "Content-Length: 5"), b"0\r\n\r\n" + SMUGGLED),
        (("Content-Length: 0", f"Content-Length: {len(SMUGGLED)}"), SMUGGLED),
        (("Content-Length: 0, 5",), SMUGGLED),
        (("Content-Length: +0",), SMUGGLED),
        (("Content-Length: -1",), SMUGGLED),
        (("Content-Length: 0x0",), SMUGGLED),
        (("Content-Length: 1_0",), SMUGGLED),
        (("Content-Length: \u0660",), SMUGGLED),
        (("Transfer-Encoding: identity, chunked",), b"0\r\n\r\n" + SMUGGLED),
        (("Transfer-Encoding: xchunked",), SMUGGLED),
        (("Transfer-Encoding : chunked",), b"0\r\n\r\n" + SMUGGLED),
        (("Transfer-Encoding: chunked",), b"0x5\r\nhello\r\n0\r\n\r\n"),
        (("Transfer-Encoding: chunked",), b"-1\r\nhello\r\n0\r\n\r\n"),
        (("Transfer-Encoding: chunked",), b"5\r\nhelloXX0\r\n\r\n"),
        (("Transfer-Encoding: chunked",), b"f" * 70000 + b"\r\n"),
    ],
)
def test_a_body_whose_end_is_not_clear_is_no_second_request(gateway, headers, body):
    answer = exchange(gateway, request(gateway, "PUT /moc/api/v1/buffers/victim HTTP/1.1", *headers, body=body))
    assert [each for each in statuses(answer) if each < 400] in ([], [201])
    assert len(statuses(answer)) <= 1
    assert b"Traceback" not in answer


@pytest.mark.parametrize(
    "name",
    [
        "a%0d%0aSet-Cookie:x=1",
        "a%0aX-Evil:1",
        "%00",
        "a%00b",
        "%ff",
        "%c0%ae%c0%ae",
        "%ed%a0%80",
        "%20",
        "%7f",
        "%u0041",
    ],
)
def test_names_that_could_break_something_are_refused(gateway, name):
    response = gateway.request("PUT", f"buffers/{name}", content=b"x")
    if response.status_code == 201:  # what is no escape is text
        assert name == "%u0041"
        return
    assert response.status_code == 400
    assert "set-cookie" not in response.headers
    assert "x-evil" not in response.headers


@pytest.mark.parametrize(
    "name", ["..", "%2e%2e", "..%2f..%2fetc%2fpasswd", "%2e%2e%2f", ".%2fx", "a%2f..%2fb", "%5c..%5c"]
)
def test_a_name_is_a_name_and_never_a_path(gateway, name):
    answer = exchange(
        gateway, request(gateway, f"PUT /moc/api/v1/buffers/{name} HTTP/1.1", "Content-Length: 4", body=b"mine")
    )
    assert statuses(answer) == [201]
    assert gateway.platform.buffers.read(unquote(name)) == b"mine"
    location = next(line for line in answer.split(b"\r\n") if line.lower().startswith(b"location:"))
    assert b"/moc/api/v1/buffers/" in location


@pytest.mark.parametrize(
    "target",
    [
        "/moc/api/v1/../../../etc/passwd",
        "/moc/api/v1//status",
        "//moc/api/v1/status",
        "/x/moc/api/v1/status",
        "/moc/api/v1/status/",
        "/moc/api/v1/status%00",
        "/moc/api/v1/%73tatus",
        "https://elsewhere.example/moc/api/v1/status",
        "*",
    ],
)
def test_an_address_has_one_spelling(gateway, target):
    assert statuses(exchange(gateway, request(gateway, f"GET {target} HTTP/1.1"))) in ([404], [400])


@pytest.mark.parametrize("method", ["TRACE", "CONNECT", "PROPFIND", "get", "OPTIONS", "PATCH", "X" * 1000])
def test_other_methods_are_405_or_dropped(gateway, method):
    answer = exchange(gateway, request(gateway, f"{method} /moc/api/v1/status HTTP/1.1"))
    assert statuses(answer) in ([405], [400], [501], [])
    assert gateway.token.encode() not in answer


def test_overlong_urls_and_headers_are_refused(gateway):
    for raw in (
        request(gateway, f"GET /moc/api/v1/{'x' * 300_000} HTTP/1.1"),
        request(gateway, "GET /moc/api/v1/status HTTP/1.1", f"X-Long: {'x' * 300_000}"),
        request(gateway, "GET /moc/api/v1/status HTTP/1.1", *(f"X-{each}: y" for each in range(40_000))),
    ):
        assert all(status >= 400 for status in statuses(exchange(gateway, raw)))
    assert gateway.request("GET", "kv/" + "x" * 60_000).status_code == 400


@pytest.mark.parametrize("path", ["status", "buffers", "functions", "nothing", "buffers/b", "buffers/none", "blobs/zz"])
def test_head_never_has_a_body(gateway, path):
    gateway.request("PUT", "buffers/b", content=b"0123456789")
    answer = exchange(gateway, request(gateway, f"HEAD /moc/api/v1/{path} HTTP/1.1"))
    head, _, body = answer.partition(b"\r\n\r\n")
    assert head.startswith(b"HTTP/1.1 ")
    assert body == b""


@pytest.mark.parametrize(
    ("header", "status"),
    [
        ("bytes=" + ",".join(f"{each}-{each}" for each in range(5000)), 200),
        ("bytes=0-0," * 20, 200),
        ("bytes=0-99999999999999999999999999", 200),
        ("bytes=99999999999999999999999999-", 200),
        ("bytes=999999999999999999-", 416),
        ("bytes=-999999999999999999", 206),
        ("bytes=-0", 416),
        ("bytes=--5", 200),
        ("bytes=5-2", 200),
        ("bytes=\u0665-", 200),
        ("bytes=1e1-", 200),
        ("lines=0-1", 200),
        ("bytes=0-0", 206),
    ],
)
def test_a_range_is_one_range_or_ignored(gateway, header, status):
    gateway.request("PUT", "buffers/b", content=b"0123456789")
    response = gateway.request("GET", "buffers/b", headers={"Range": header.encode()})
    assert response.status_code == status
    assert len(response.content) <= (10 if status < 400 else 1000)


@pytest.mark.parametrize(
    "body",
    [
        b"[" * 1_000_000,
        b'{"a":' * 200_000,
        b"9" * 1_000_000,
        b'{"source": "s", "map": "m", "partitions": ' + b"9" * 100_000 + b"}",
        b'{"source": "s", "map": "m", "partitions": 1e400}',
        b'{"source": "s", "map": "m", "partitions": NaN}',
        b'{"source": "\\ud800", "map": "m"}',
        b'{"source": "s", "map": "m", "threads": true}',
        b'"\xff"',
        b"\xff\xfe{\x00}\x00",
        b'{"source": ' + json.dumps("x" * 900_000).encode() + b', "map": "m"}',
        b"",
    ],
    ids=range(12),
)
def test_json_bombs_are_refused(gateway, body):
    response = gateway.request("POST", "runs", content=body)
    # What is well formed reaches the platform, which knows no such buffer.
    assert response.status_code in (400, 404, 201)
    if response.status_code == 201:
        assert body.startswith(b'{"source": "')
    assert len(response.content) < 5000 or response.status_code == 201


@pytest.mark.parametrize(
    "query",
    [
        "mode=%ff",
        "mode=%C3%28",
        "%ff=1",
        "mode=posix&mode=direct",
        "entry=eee%00",
        "env=A%00=b",
        "arg=%00",
        "limit=x=1",
        "limit=timeout_seconds=1e999",
        "limit=timeout_seconds=nan",
        "limit=memory_bytes=-1",
        "limit=memory_bytes=" + "9" * 5000,
        "limit=memory_bytes=" + "9" * 4299 + "GiB",
        "limit=memory_bytes=9223372036854775808",
        "limit=timeout_seconds=1e300",
    ],
)
def test_queries_that_are_none_are_refused(cluster_gateway, query):
    cluster_gateway.platform.functions.put("f", wat_to_wasm('(module (func (export "_start")))'))
    response = cluster_gateway.request("POST", f"functions/f/call?{query}")
    assert response.status_code in (400, 404)
    assert response.json()["error"]["code"] in ("invalid_input", "entry_point_not_found")


def test_a_function_is_not_registered_with_a_limit_that_nobody_could_read_again(cluster_gateway):
    for limit in ("9" * 4299 + "GiB", "9" * 4299, "9" * 5000):
        response = cluster_gateway.request("PUT", f"functions/f?limit=memory_bytes={limit}", content=SMALLEST)
        assert (response.status_code, response.json()["error"]["code"]) == (400, "invalid_input")
        assert len(response.content) < 1000
    assert cluster_gateway.request("GET", "functions/f").status_code == 404


def test_more_parameters_than_anybody_needs_are_refused(gateway):
    assert gateway.request("POST", "functions/f/call?" + "arg=&" * 1001).status_code == 400


def test_a_chunked_body_far_above_the_limit_is_413_long_before_its_end(gateway):
    sent = 0

    def parts():
        nonlocal sent
        for _ in range(1024):
            sent += 1 << 20
            yield bytes(1 << 20)

    response = gateway.request("PUT", "buffers/large", content=parts())
    assert (response.status_code, response.json()["error"]["code"]) == (413, "body_too_large")
    assert sent < 1 << 30
    assert gateway.request("GET", "buffers/large").status_code == 404


def test_a_chunked_body_above_the_limit_is_413(gateway):
    def parts():
        for _ in range(64):
            yield bytes(64 << 10)

    assert gateway.request("PUT", "buffers/large", content=parts()).status_code == 413
    assert gateway.request("GET", "buffers/large").status_code == 404


def test_a_body_without_end_is_cut_off(gateway):
    """Chunk after chunk: the server stops reading long before the client stops sending."""
    sent = 0
    chunk = b"10000\r\n" + bytes(1 << 16) + b"\r\n"
    with gateway.connection() as stream:
        stream.sendall(
            f"PUT /moc/api/v1/buffers/x HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer {gateway.token}\r\n"
            "Transfer-Encoding: chunked\r\n\r\n".encode()
        )
        end = time.monotonic() + 30
        try:
            while time.monotonic() < end and sent < 1 << 30:
                stream.sendall(chunk)
                sent += len(chunk)
        except OSError:
            pass
    assert sent < 256 << 20


@pytest.mark.parametrize("origin", ["https://evil.example", "null"])
def test_no_other_origin_is_let_in(gateway, origin):
    headers = {
        "Origin": origin,
        "Access-Control-Request-Method": "PUT",
        "Access-Control-Request-Headers": "authorization",
    }
    for response in (
        gateway.request("GET", "status", headers=headers),
        gateway.request("OPTIONS", "status", headers=headers),
        gateway.http.options(gateway.api + "status", headers=headers),
    ):
        assert not [name for name in response.headers if name.startswith("access-control")]


def test_the_host_header_is_never_believed(gateway):
    raw = request(gateway, "PUT /moc/api/v1/buffers/x HTTP/1.1", "X-Forwarded-Host: evil.example",
                  "X-Forwarded-For: 1.2.3.4", "Content-Length: 1", body=b"x")  # fmt: skip
    answer = exchange(gateway, raw.replace(b"Host: localhost", b"Host: evil.example"))
    assert statuses(answer) == [201]
    assert b"evil" not in answer


def test_without_the_token_nothing_tells_whether_a_thing_exists(gateway):
    gateway.request("PUT", "buffers/there", content=b"x")
    gateway.request("PUT", "functions/there", content=b"x")
    for noun in ("buffers", "functions", "kv", "runs"):
        for method in ("GET", "DELETE", "PUT"):
            answers = {
                (each.status_code, each.text, tuple(sorted(name for name in each.headers if name != "date")))
                for each in (
                    gateway.http.request(method, f"{gateway.api}{noun}/{name}") for name in ("there", "not-there")
                )
            }
            assert len(answers) == 1


def test_no_log_line_has_the_token(gateway, caplog):
    def fail(request):
        raise RuntimeError("a fault")

    gateway.platform.on_call = fail
    with caplog.at_level(0):
        gateway.request("POST", "functions/f/call")
        gateway.http.get(gateway.api + "status", headers={"Authorization": "Bearer wrong-secret"})
        exchange(gateway, request(gateway, "GET /moc/api/v1/%zz HTTP/9.9"))
    assert caplog.records
    text = " ".join(record.getMessage() + str(record.exc_text or "") for record in caplog.records)
    assert gateway.token not in text
    assert "wrong-secret" not in text


def test_a_guests_output_can_set_no_header_but_its_type(gateway):
    evil = {"content-type": "text/html\r\nSet-Cookie: x=1", "set-cookie": "x=1", "location": "https://evil.example"}
    gateway.platform.on_call = lambda request: CallResult("id", None, 0, b"<script>", output_headers=evil)
    response = gateway.request("POST", "functions/f/call")
    assert response.headers["content-type"] == "application/octet-stream"
    assert "set-cookie" not in response.headers
    assert "location" not in response.headers
    assert response.headers["content-security-policy"] == "sandbox"


def test_a_header_that_would_begin_another_is_an_error_of_ours_and_never_leaves(gateway, monkeypatch, caplog):
    def get_status(request):
        return ApiResponse(headers={"Moc-Record": "x\r\nSet-Cookie: x=1"})

    route, _ = find_operation("GET", ("status",))
    monkeypatch.setitem(route.operations, "GET", get_status)
    response = gateway.request("GET", "status")
    assert response.status_code == 500
    assert response.json()["error"]["code"] == "internal"
    assert "moc-record" not in response.headers
    assert "set-cookie" not in response.headers
