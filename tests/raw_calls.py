"""Calls as bytes on a connection, for tests that send what no client would, part by part."""

from __future__ import annotations

from http.client import HTTPResponse
from typing import Any


def begin(gateway: Any, stream: Any, name: str, *headers: str, query: str = "", version: str = "1.1") -> None:
    """Send the head of a call."""
    head = [
        f"POST /moc/api/v1/functions/{name}/call{query} HTTP/{version}",
        "Host: localhost",
        f"Authorization: Bearer {gateway.token}",
        *headers,
    ]
    stream.sendall("\r\n".join(head).encode() + b"\r\n\r\n")


def chunk(part: bytes) -> bytes:
    """Frame one part of a chunked body."""
    return b"%x\r\n%b\r\n" % (len(part), part)


def response_of(stream: Any) -> HTTPResponse:
    """Read the head of the response; its body comes as it is read."""
    response = HTTPResponse(stream)
    response.begin()
    return response
