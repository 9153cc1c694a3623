"""The shape of errors: JSON with a code, never a traceback, never HTML."""

from __future__ import annotations

import threading
from concurrent.futures import ThreadPoolExecutor

import pytest

from moc_server_ext.errors import (
    BodyTooLargeError,
    InvalidInputError,
    LimitExceededError,
    MethodNotAllowedError,
    MocError,
    OverloadedError,
    StorageFullError,
    TrapError,
)
from moc_server_ext.model import CallRequest


def error_of(response):
    assert response.headers["content-type"] == "application/json"
    body = response.json()
    assert set(body) == {"error"}
    assert set(body["error"]) == {"code", "message", "details"}
    return body["error"]


def test_an_unknown_address_is_404(gateway):
    response = gateway.request("GET", "nothing")
    assert response.status_code == 404
    assert error_of(response)["code"] == "not_found"


@pytest.mark.parametrize("path", ["", "functions/", "functions//call", "status/more", "kv/a/b", "../status"])
def test_paths_that_are_nearly_one_are_404(gateway, path):
    assert gateway.request("GET", path).status_code == 404


def test_a_wrong_method_is_405_with_what_is_allowed(gateway):
    response = gateway.request("DELETE", "functions/x/call")
    assert response.status_code == 405
    assert response.headers["allow"] == "POST"
    assert error_of(response)["code"] == "method_not_allowed"
    assert gateway.request("PATCH", "functions").headers["allow"] == "GET, HEAD"


def test_a_function_that_is_not_there_is_named(gateway):
    response = gateway.request("GET", "functions/upercase")
    assert response.status_code == 404
    assert error_of(response)["code"] == "function_not_found"
    assert "upercase" in error_of(response)["message"]


@pytest.mark.parametrize(
    ("error", "status"),
    [
        (TrapError("f", "unreachable", backtrace=["main"]), 422),
        (LimitExceededError("f", "timeout_seconds", 1.0, found=float("inf")), 422),
        (StorageFullError("buffer 'x'"), 507),
        (MocError("something", thing=b"bytes"), 500),
    ],
)
def test_errors_of_the_platform_keep_code_and_details(gateway, error, status):
    def fail(request):
        raise error

    gateway.platform.on_call = fail
    response = gateway.request("POST", "functions/f/call")
    assert response.status_code == status
    assert error_of(response)["code"] == error.code
    assert error_of(response)["message"] == error.message
    assert set(error_of(response)["details"]) == set(error.details)


def test_a_fault_is_500_without_its_traceback(gateway, caplog):
    def fail(request):
        raise RuntimeError("secret detail")

    gateway.platform.on_call = fail
    response = gateway.request("POST", "functions/f/call")
    assert response.status_code == 500
    assert error_of(response)["code"] == "internal"
    assert "secret" not in response.text
    incident = error_of(response)["details"]["incident"]
    assert any(incident in record.getMessage() and record.exc_info for record in caplog.records)


def test_an_error_of_head_comes_in_a_header(gateway):
    response = gateway.request("HEAD", "buffers/none")
    assert response.status_code == 404
    assert response.content == b""
    assert '"buffer_not_found"' in response.headers["moc-error"]


@pytest.mark.parametrize("size", [(1 << 20) + 1, 3 << 20])
def test_a_body_that_is_too_large_is_413(gateway, size):
    response = gateway.request("PUT", "buffers/x", content=b"x" * size)
    assert response.status_code == 413
    assert error_of(response)["details"]["limit_bytes"] == 1 << 20
    assert gateway.platform.buffers.list() == []


def test_a_body_of_unknown_length_that_is_too_large_is_413(gateway):
    response = gateway.request("PUT", "buffers/x", content=iter([b"x" * (1 << 19)] * 3))
    assert response.status_code == 413
    assert gateway.platform.buffers.list() == []


def test_a_body_of_exactly_the_limit_is_taken(gateway):
    assert gateway.request("PUT", "buffers/x", content=b"x" * (1 << 20)).status_code == 201


def test_the_client_raises_the_class_that_the_server_raised(client):
    with pytest.raises(BodyTooLargeError):
        client.buffers.put("x", b"x" * (2 << 20))
    with pytest.raises(InvalidInputError, match="no blob id"):
        client.blobs.stat("nonsense")


def test_an_unknown_query_parameter_is_named_with_the_known_ones(gateway):
    response = gateway.request("POST", "functions/f/call?tiemout=1")
    assert response.status_code == 400
    assert "'tiemout'" in error_of(response)["message"]
    assert "limit" in error_of(response)["message"]


@pytest.mark.parametrize(
    "query", ["limit=memory_bytes=-1", "limit=x=1", "mode=fast", "env=novalue", "entry=a&entry=b", "arg=%FF"]
)
def test_bad_queries_are_400(gateway, query):
    assert gateway.request("POST", f"functions/f/call?{query}").status_code == 400


@pytest.mark.parametrize("body", [b"", b"{", b"[]", b"\xff", b"[" * 100_000, b'{"source": 1}'])
def test_a_plan_that_cannot_be_read_is_400(gateway, body):
    assert gateway.request("POST", "runs", content=body).status_code == 400


def test_a_compressed_body_is_refused_rather_than_stored(gateway):
    response = gateway.request("PUT", "buffers/x", content=b"...", headers={"Content-Encoding": "gzip"})
    assert response.status_code == 400
    assert gateway.platform.buffers.list() == []


def test_more_requests_than_fit_are_503_with_retry_after(gateway):
    release, begun = threading.Event(), threading.Semaphore(0)

    def wait():
        begun.release()
        release.wait(60)
        return []

    gateway.platform.runs.list = wait
    with ThreadPoolExecutor(8) as pool:
        # Two run and two wait; none of the others can begin before one of these ends.
        answers = [pool.submit(gateway.request, "GET", "runs") for _ in range(8)]
        for _ in range(2):
            assert begun.acquire(timeout=60)
        refused = []
        while len(refused) < 4:
            refused = [each.result() for each in answers if each.done()]
        assert {each.status_code for each in refused} == {503}
        assert all(each.headers["retry-after"] == "1" for each in refused)
        assert error_of(refused[0])["code"] == OverloadedError.code
        # Calls need none of these threads.
        assert gateway.request("POST", "functions/f/call", content=b"a").content == b"A"
        release.set()
        assert sorted(each.result().status_code for each in answers) == [200] * 4 + [503] * 4


@pytest.mark.parametrize("accept", ["*/*", "application/json"])
def test_a_call_that_is_not_admitted_is_503_with_retry_after(gateway, accept):
    def refuse(request):
        raise OverloadedError(7)

    gateway.platform.on_call = refuse
    response = gateway.request("POST", "functions/f/call", headers={"Accept": accept})
    assert (response.status_code, response.headers["retry-after"]) == (503, "7")
    assert error_of(response)["code"] == OverloadedError.code


@pytest.mark.parametrize(
    "raw",
    [
        b"GET /moc/api/v1/status HTTP/1.1\r\nHost: x\r\nContent-Length: abc\r\n\r\n",
        b"GET /moc/api/v1/%zz HTTP/1.1\r\nHost: x\r\n\r\n",
        b"GET / HTTP/9.9\r\n\r\n",
        b"\x00\x01\x02\r\n\r\n",
        b"PUT /moc/api/v1/buffers/x HTTP/1.1\r\nHost: x\r\nContent-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n",
    ],
)
def test_malformed_requests_end_and_leave_the_gateway_answering(gateway, raw):
    with gateway.connection() as stream:
        stream.sendall(raw)
        answer = stream.recv(65536)
    assert b"Traceback" not in answer
    assert b"<html" not in answer
    assert gateway.request("GET", "status").status_code == 200


def test_method_errors_rebuild_on_the_clients_side(gateway):
    from moc_server_ext.errors import from_json

    error = from_json(error_of(gateway.request("DELETE", "status")))
    assert isinstance(error, MethodNotAllowedError)
    assert error.details["allowed"] == ["GET", "HEAD"]


def test_a_request_knows_who_asks(gateway):
    seen: list[CallRequest] = []
    gateway.platform.on_call = lambda request: (seen.append(request), gateway.platform.uppercase(request))[1]
    gateway.request("POST", "functions/f/call")
    assert seen[0].caller == "token"
