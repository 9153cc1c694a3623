"""Connections that stay open: several requests on one, and the end of those on which nothing is asked."""

from __future__ import annotations

import threading
from http.client import HTTPResponse
from typing import Any

import pytest


def call(gateway: Any, name: str, body: bytes) -> bytes:
    head = (
        f"POST /moc/api/v1/functions/{name}/call HTTP/1.1\r\n"
        f"Host: localhost\r\nAuthorization: Bearer {gateway.token}\r\nContent-Length: {len(body)}\r\n\r\n"
    )
    return head.encode() + body


def next_body(stream: Any) -> bytes:
    response = HTTPResponse(stream)
    response.begin()
    return response.read()


def response_to_status(gateway: Any, stream: Any) -> HTTPResponse:
    head = f"GET /moc/api/v1/status HTTP/1.1\r\nHost: localhost\r\nAuthorization: Bearer {gateway.token}\r\n\r\n"
    stream.sendall(head.encode())
    response = HTTPResponse(stream)
    response.begin()
    return response


def test_requests_on_one_connection_are_answered_one_after_the_other(gateway):
    with gateway.connection() as stream:
        for body in (b"one", b"two", b"three"):
            stream.sendall(call(gateway, "f", body))
            assert next_body(stream) == body.upper()
        response = response_to_status(gateway, stream)
        assert response.status == 200
        assert response.getheader("Date")
        assert response.getheader("Server") is None


def test_requests_sent_at_once_are_answered_in_their_order(gateway):
    with gateway.connection() as stream:
        stream.sendall(b"".join(call(gateway, "f", body) for body in (b"one", b"two", b"three")))
        received = b""
        while received.count(b"\r\n\r\n") < 3 or not received.endswith(b"THREE"):
            received += stream.recv(1 << 16)
        assert [each in received for each in (b"ONE", b"TWO", b"THREE")] == [True] * 3
        assert received.index(b"ONE") < received.index(b"TWO") < received.index(b"THREE")


@pytest.mark.parametrize(
    "said", [b"", b"POST /moc/api/v1/functions/f/call HTTP/1.1\r\nHost: loc"], ids=["none", "half"]
)
def test_a_connection_whose_head_does_not_come_is_closed(served, said):
    with served(gateway={"idle_seconds": 0.3}) as gateway, gateway.connection() as stream:
        stream.sendall(said)
        stream.settimeout(30)
        assert stream.recv(1) == b""


def test_a_connection_that_idles_after_an_answer_is_closed_and_one_with_a_call_is_not(served):
    with served(gateway={"idle_seconds": 0.3}) as gateway:
        begun, release = threading.Event(), threading.Event()

        def block(request):
            begun.set()
            assert release.wait(60)
            return gateway.platform.uppercase(request)

        gateway.platform.on_call = block
        with gateway.connection() as busy, gateway.connection() as idle:
            busy.sendall(call(gateway, "f", b"x"))
            try:
                assert begun.wait(60)
                assert response_to_status(gateway, idle).read()
                idle.settimeout(30)
                assert idle.recv(1) == b""
            finally:
                release.set()
            assert next_body(busy) == b"X"
