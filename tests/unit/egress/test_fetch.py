"""Outbound requests that are allowed: what is sent, what comes back, what is followed."""

from __future__ import annotations

import asyncio
import ssl
import threading
import time

import pytest

from moc_server_ext.egress.fetch import Fetch
from moc_server_ext.egress.network import Network
from moc_server_ext.egress.rules import AllowedHosts
from moc_server_ext.errors import HostNotAllowedError, OutboundRequestError
from moc_server_ext.http.tls import ensure_certificate, server_context
from web import ScriptedNetwork, answer, redirect, web_server

SERVER = "8.8.8.8"
SECONDS = 60


def fetch(url, *allowed, network=None, limit_bytes=1 << 20, seconds=SECONDS, **more):
    """Do a whole request and give status, headers and the parts of the body."""

    async def go():
        request = Fetch(
            url,
            function="f",
            allowed=AllowedHosts("f", allowed),
            limit_bytes=limit_bytes,
            network=network or Network(),
            **more,
        )
        deadline = time.monotonic() + seconds
        try:
            status, headers = await request.start(deadline)
            parts = []
            while part := await request.read(deadline):
                parts.append(part)
            assert await request.read(deadline) == b""
            return status, headers, b"".join(parts)
        finally:
            request.close()

    return asyncio.run(go())


def test_a_get_request_gives_status_headers_and_body(web):
    web.answers["/a?b=c"] = answer(b"hello", Content_Type="text/plain", X_Two="1").replace(
        b"X-Two: 1", b"X-Two: 1\r\nx-two: 2"
    )
    status, headers, body = fetch(web.url("/a?b=c#fragment"), web.host)
    assert (status, body) == (200, b"hello")
    assert headers["content-type"] == "text/plain"
    assert headers["x-two"] == "1, 2"
    head = web.requests[0].decode().split("\r\n")
    assert head[0] == "GET /a?b=c HTTP/1.1"
    assert f"host: 127.0.0.1:{web.port}" in head
    assert "accept-encoding: identity" in head


def test_a_body_is_posted_with_its_length_and_type(web):
    web.answers["/"] = answer(b"taken", "201 Created")
    body = bytes(range(256)) * 4096
    status, _, given = fetch(
        web.url(), web.host, method="POST", body=body, headers={"Content-Type": "application/json"}
    )
    assert (status, given) == (201, b"taken")
    head, _, sent = web.requests[0].partition(b"\r\n\r\n")
    assert sent == body
    assert b"content-type: application/json" in head


def test_an_error_of_the_server_is_an_answer(web):
    assert fetch(web.url("/nowhere"), web.host)[::2] == (404, b"no such path")


def test_a_chunked_body_arrives_in_parts_before_it_has_ended(web):
    async def go():
        proceed = threading.Event()

        def talk(connection, _request):
            connection.sendall(b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n5\r\nfirst\r\n")
            proceed.wait(SECONDS)
            connection.sendall(b"6\r\nsecond\r\n0\r\n\r\n")

        web.answers["/"] = talk
        request = Fetch(
            web.url(), function="f", allowed=AllowedHosts("f", [web.host]), limit_bytes=100, network=Network()
        )
        deadline = time.monotonic() + SECONDS
        await request.start(deadline)
        parts = [await request.read(deadline)]
        proceed.set()
        parts += [await request.read(deadline), await request.read(deadline)]
        return parts

    assert asyncio.run(go()) == [b"first", b"second", b""]


def test_a_reader_that_waits_holds_the_server_back(web):
    sent = 0

    def talk(connection, _request):
        nonlocal sent
        connection.settimeout(SECONDS)
        connection.sendall(b"HTTP/1.1 200 OK\r\n\r\n")
        part = bytes(1 << 16)
        try:
            while sent < 1 << 30:
                connection.sendall(part)
                sent += len(part)
        except OSError:
            return

    web.answers["/"] = talk

    async def go():
        request = Fetch(
            web.url(), function="f", allowed=AllowedHosts("f", [web.host]), limit_bytes=1 << 40, network=Network()
        )
        deadline = time.monotonic() + SECONDS
        await request.start(deadline)
        await request.read(deadline)
        before = -1
        # The server has stopped when nothing more leaves it for a while.
        while before != sent:
            before = sent
            await asyncio.sleep(0.2)
        request.close()
        await asyncio.to_thread(web.gone.wait, SECONDS)

    asyncio.run(go())
    assert sent < 64 << 20


def test_a_name_that_leads_to_a_private_address_needs_both_to_be_allowed(web):
    network = ScriptedNetwork({"intranet": [["127.0.0.1"]]})
    web.answers["/"] = answer(b"inside")
    url = web.url(host="intranet")
    with pytest.raises(HostNotAllowedError) as refusal:
        fetch(url, f"intranet:{web.port}", network=network)
    assert f"--allow-host 127.0.0.1:{web.port}" in refusal.value.message
    assert "loopback" in refusal.value.message
    assert fetch(url, f"intranet:{web.port}", web.host, network=network)[2] == b"inside"
    assert f"host: intranet:{web.port}".encode() in web.requests[0]


def test_the_second_address_is_tried_when_the_first_does_not_answer(web):
    network = ScriptedNetwork({"twice.example": [["9.9.9.9", SERVER]]}, {SERVER: web.port})
    web.answers["/"] = answer(b"ok")
    assert fetch("http://twice.example/", "twice.example", network=network)[2] == b"ok"
    assert network.connected == ["9.9.9.9", SERVER]


def test_names_are_compared_without_case_and_final_dot_and_in_any_script(web):
    web.answers["/"] = answer(b"ok")
    for url, allowed in [
        ("http://EXAMPLE.Org./", "example.org"),
        ("http://example.org/", "Example.ORG."),
        ("http://BÜCHER.example/", "xn--bcher-kva.example"),
    ]:
        name = "xn--bcher-kva.example" if "xn" in allowed else "example.org"
        network = ScriptedNetwork({name: [[SERVER]]}, {SERVER: web.port})
        assert fetch(url, allowed, network=network)[2] == b"ok"
        assert f"host: {name}\r\n".encode() in web.requests[-1]


def test_tls_proves_the_name_while_the_connection_goes_to_the_checked_address(tmp_path):
    certificate = ensure_certificate(tmp_path, ["example.test"])
    network = ScriptedNetwork({"example.test": [[SERVER]], "other.test": [[SERVER]]})
    network.authorities = ssl.create_default_context(cafile=certificate.cert_file)
    with web_server(server_context(certificate)) as web:
        network.servers[SERVER] = web.port
        web.answers["/"] = answer(b"secret")
        assert fetch("https://example.test/", "example.test", network=network)[2] == b"secret"
        assert web.server_names == ["example.test"]
        with pytest.raises(OutboundRequestError, match=r"certificate is not trusted.*other\.test"):
            fetch("https://other.test/", "other.test", network=network)
        network.authorities = None
        with pytest.raises(OutboundRequestError, match="certificate is not trusted"):
            fetch("https://example.test/", "example.test", network=network)
    assert len(web.requests) == 1


@pytest.mark.parametrize(
    ("status", "method", "second"),
    [
        ("301 Moved", "POST", "GET"),
        ("302 Found", "POST", "GET"),
        ("303 See Other", "POST", "GET"),
        ("303 See Other", "PUT", "GET"),
        ("302 Found", "PUT", "PUT"),
        ("307 Temporary", "POST", "POST"),
        ("308 Permanent", "POST", "POST"),
    ],
)
def test_a_redirect_keeps_or_drops_method_and_body_as_http_says(web, status, method, second):
    web.answers["/old/one"] = redirect("../new?x=1", status)
    web.answers["/new?x=1"] = answer(b"there")
    _, _, body = fetch(web.url("/old/one"), web.host, method=method, body=b"{}", headers={"Content-Type": "a/b"})
    assert body == b"there"
    assert web.lines == [f"{method} /old/one HTTP/1.1", f"{second} /new?x=1 HTTP/1.1"]
    assert web.requests[1].endswith(b"{}") == (second != "GET")
    assert (b"content-type" in web.requests[1]) == (second != "GET")


def test_credentials_stay_with_the_origin_that_they_were_given_for(web):
    with web_server() as other:
        web.answers["/"] = redirect("/here")
        web.answers["/here"] = redirect(other.url("/there"))
        other.answers["/there"] = answer(b"ok")
        secrets = {"Authorization": "Bearer s3cret", "Cookie": "a=b", "X-Plain": "1"}
        assert fetch(web.url(), web.host, other.host, headers=secrets)[2] == b"ok"
        assert b"authorization: Bearer s3cret" in web.requests[1]
        assert b"s3cret" not in other.requests[0]
        assert b"cookie" not in other.requests[0]
        assert b"x-plain: 1" in other.requests[0]


def test_cookies_are_not_kept(web):
    web.answers["/"] = answer(b"", "302 Found", location="/next", set_cookie="id=1")
    web.answers["/next"] = answer(b"ok")
    assert fetch(web.url(), web.host)[2] == b"ok"
    assert b"cookie" not in web.requests[1].lower()


def test_proxies_and_credentials_of_the_environment_are_ignored(web, monkeypatch, tmp_path):
    netrc = tmp_path / "netrc"
    netrc.write_text("machine 127.0.0.1 login me password s3cret")
    netrc.chmod(0o600)
    monkeypatch.setenv("NETRC", str(netrc))
    for name in ("http_proxy", "HTTP_PROXY", "all_proxy"):
        monkeypatch.setenv(name, "http://127.0.0.1:1")
    web.answers["/"] = answer(b"ok")
    assert fetch(web.url(), web.host)[2] == b"ok"
    assert b"authorization" not in web.requests[0]


def test_a_server_that_nobody_answers_for_is_named():
    with web_server() as web:
        url, host = web.url(), web.host
    with pytest.raises(OutboundRequestError, match="Connection refused"):
        fetch(url, host)


def test_a_name_that_does_not_resolve_is_said_so():
    with pytest.raises(OutboundRequestError, match=r"gone\.example.*does not resolve"):
        fetch("http://gone.example/", "gone.example", network=ScriptedNetwork())


def test_closing_ends_the_connection_and_may_be_repeated(web):
    web.answers["/"] = lambda connection, _request: connection.sendall(b"HTTP/1.1 200 OK\r\n\r\nmore")

    async def go():
        request = Fetch(
            web.url(), function="f", allowed=AllowedHosts("f", [web.host]), limit_bytes=100, network=Network()
        )
        await request.start(time.monotonic() + SECONDS)
        await asyncio.to_thread(request.close)
        request.close()
        assert await request.read(time.monotonic() + SECONDS) == b""
        assert await asyncio.to_thread(web.gone.wait, SECONDS)

    asyncio.run(go())
