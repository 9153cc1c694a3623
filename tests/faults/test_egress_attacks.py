"""Attacks on outbound requests: each row is one way to reach what was not allowed, or to never end."""

from __future__ import annotations

import asyncio
import gzip
import threading
import time

import pytest

from moc_server_ext.egress.fetch import MAX_REDIRECTS, Fetch
from moc_server_ext.egress.rules import AllowedHosts
from moc_server_ext.errors import (
    HostNotAllowedError,
    InvalidUrlError,
    LimitExceededError,
    MocError,
    OutboundRequestError,
)
from web import ScriptedNetwork, answer, redirect, web_server

PUBLIC = "8.8.8.8"
SECONDS = 60


@pytest.fixture
def web():
    with web_server() as server:
        server.answers["/"] = answer(b"reached")
        yield server


@pytest.fixture
def network(web):
    """Give a network where public.example is `web`, and other names lead where they should not."""
    names = {
        "public.example": [[PUBLIC]],
        "metadata.example": [["169.254.169.254"]],
        "loopback.example": [["127.0.0.1"]],
        "mixed.example": [[PUBLIC, "10.0.0.1"]],
        "mapped.example": [["::ffff:127.0.0.1"]],
        "nat64.example": [["64:ff9b::a9fe:a9fe"]],
        "teredo.example": [["2001:0:7f00:1::1"]],
        "localhost": [["127.0.0.1", "::1"]],
        "empty.example": [[]],
    }
    return ScriptedNetwork(names, {PUBLIC: web.port})


def fetch(url, *allowed, network, limit_bytes=1 << 20, seconds=SECONDS, **more):
    async def go():
        request = Fetch(
            url, function="f", allowed=AllowedHosts("f", allowed), limit_bytes=limit_bytes, network=network, **more
        )
        deadline = time.monotonic() + seconds
        try:
            status, _ = await request.start(deadline)
            parts = []
            while part := await request.read(deadline):
                parts.append(part)
            return status, b"".join(parts)
        finally:
            request.close()

    return asyncio.run(go())


EVERYTHING = ("public.example", "127.0.0.1", "0177.0.0.1", "2130706433", "0x7f000001", "localhost")

MISREAD = [
    # Spellings of 127.0.0.1 that the C library takes, allowed as such or not
    "http://2130706433/",
    "http://017700000001/",
    "http://0x7f000001/",
    "http://0x7f.0.0.1/",
    "http://0177.0.0.1/",
    "http://127.1/",
    "http://127.0.1/",
    "http://127.0.0.1.2/",
    "http://127.0.0.01/",
    "http://127.0.0.256/",
    "http://4294967297/",
    "http://0x/",
    "http://1.2.3.0x4/",
    "http://１２７.1/",
    "http://①②⑦.1/",
    "http://127。1/",
    # Names that are none
    "http:///",
    "http://./",
    "http://../",
    "http://public..example/",
    "http://.public.example/",
    "http://-public.example/",
    "http://public.example../",
    "http://" + "a" * 64 + ".example/",
    "http://" + "a." * 127 + "example/",
    "http://public%2eexample/",
    "http://public.example%00.evil/",
    "http://[::1/",
    "http://[::1]evil/",
    "http://[127.0.0.1]/",
    "http://[fe80::1%25eth0]/",
    "http://[public.example]/",
    "http://::1/",
    # User names, and what two parsers read in two ways
    "http://user@public.example/",
    "http://user:secret@public.example/",
    "http://public.example@127.0.0.1/",
    "http://public.example:80@127.0.0.1/",
    "http://127.0.0.1:80\\@public.example/",
    "http://public.example\\.evil/",
    "http:\\\\public.example/",
    "http://public.example:80:80/",
    "http://public.example:/",
    "http://public.example:0/",
    "http://public.example:65536/",
    "http://public.example:８０/",
    "http://public.example:+80/",
    "http://public.example:80 /",
    # Characters that others drop or that would end a line of the request
    "http://public.example/\r\nHost: evil/",
    "http://public.example/ HTTP/1.1",
    "http://pub\tlic.example/",
    "ht\ntp://public.example/",
    " http://public.example/",
    "http://public.example\0/",
    "http://public.example/\x7f",
    "http://public.example/\u2028",
    "http://public.example/\udcff",
    "http://public\u200b.example/\u200b",
    # Other schemes
    "file:///etc/passwd",
    "ftp://public.example/",
    "gopher://public.example/",
    "unix:///var/run/docker.sock",
    "ws://public.example/",
    "javascript:alert(1)",
    "//public.example/",
    "public.example/",
    "",
    "http:public.example",
    "http://public.example/" + "a" * 9000,
]


@pytest.mark.parametrize("url", MISREAD, ids=lambda url: ascii(url)[1:41])
def test_a_url_that_can_be_misread_is_refused_before_anything_is_looked_up(url, web, network):
    with pytest.raises(InvalidUrlError) as refusal:
        fetch(url, *EVERYTHING, network=network)
    assert "\n" not in refusal.value.message
    assert "\0" not in refusal.value.message
    assert (network.resolved, network.connected, web.requests) == ([], [], [])


NOT_ALLOWED = [
    "http://127.0.0.1/",
    "http://[::1]/",
    "http://[::ffff:127.0.0.1]/",
    "http://[::ffff:7f00:1]/",
    "http://[::127.0.0.1]/",
    "http://[64:ff9b::7f00:1]/",
    "http://[2002:7f00:1::]/",
    "http://[2001:0:7f00:1::1]/",
    "http://169.254.169.254/latest/meta-data/",
    "http://0.0.0.0/",
    "http://1.1.1.1/",
    "http://localhost/",
    "http://localhost./",
    "http://LOCALHOST/",
    "http://metadata.google.internal/",
    "http://evil.example/",
    "http://public.example.evil.example/",
    "http://notpublic.example/",
    "http://sub.public.example/",
    "http://example/",
    "http://public.example:8080/",
    "http://public.example:443/",
    "https://public.example:80/",
    "http://127.0.0.1?public.example",
    "http://127.0.0.1#public.example",
    "http://127.0.0.1#@public.example/",
    "http://127.0.0.1/@public.example/",
    "http://рublic.example/",
]


@pytest.mark.parametrize("url", NOT_ALLOWED)
def test_a_host_that_is_not_allowed_is_refused_before_anything_is_looked_up(url, web, network):
    with pytest.raises(HostNotAllowedError) as refusal:
        fetch(url, "public.example", network=network)
    assert f"--allow-host {refusal.value.details['host']}" in refusal.value.message
    assert (network.resolved, network.connected, web.requests) == ([], [], [])


@pytest.mark.parametrize(
    "host",
    ["metadata.example", "loopback.example", "mixed.example", "mapped.example", "nat64.example", "teredo.example",
     "localhost", "localhost."],
)  # fmt: skip
def test_a_name_with_one_address_that_is_not_public_is_refused_whole(host, web, network):
    with pytest.raises(HostNotAllowedError, match=r"--allow-host [\d\[]"):
        fetch(f"http://{host}/", host, network=network)
    assert (network.connected, web.requests) == ([], [])


def test_a_name_whose_answer_changes_is_connected_to_where_it_was_checked(web, network):
    network.names["rebinding.example"] = [[PUBLIC], ["127.0.0.1"]]
    assert fetch("http://rebinding.example/", "rebinding.example", network=network) == (200, b"reached")
    assert network.resolved == ["rebinding.example"]
    assert network.connected == [PUBLIC]


def test_a_name_whose_answer_changes_is_refused_when_a_redirect_asks_again(web, network):
    network.names["rebinding.example"] = [[PUBLIC], ["127.0.0.1"]]
    web.answers["/"] = redirect("http://rebinding.example/inside")
    with pytest.raises(HostNotAllowedError, match="loopback"):
        fetch("http://rebinding.example/", "rebinding.example", network=network)
    assert network.connected == [PUBLIC]
    assert len(web.requests) == 1


def test_a_name_without_an_address_is_refused(network):
    with pytest.raises(OutboundRequestError, match="no address"):
        fetch("http://empty.example/", "empty.example", network=network)


LEADING_AWAY = [
    ("http://169.254.169.254/latest/", HostNotAllowedError),
    ("http://metadata.example/", HostNotAllowedError),
    ("http://127.0.0.1/", HostNotAllowedError),
    ("http://2852039166/", InvalidUrlError),
    ("http://[::ffff:169.254.169.254]/", HostNotAllowedError),
    ("//evil.example/", HostNotAllowedError),
    ("http://public.example:8080/", HostNotAllowedError),
    ("https://public.example:8443/", HostNotAllowedError),
    ("http://user:pass@public.example/", InvalidUrlError),
    ("http://public.example@evil.example/", InvalidUrlError),
    ("\\\\evil.example\\", InvalidUrlError),
    ("/\\evil.example/", InvalidUrlError),
    ("/a\tb", InvalidUrlError),
    ("//[", InvalidUrlError),
    ("file:///etc/passwd", InvalidUrlError),
    ("ftp://public.example/", InvalidUrlError),
    ("data:text/plain,hello", InvalidUrlError),
    ("gopher://127.0.0.1:6379/_FLUSHALL", InvalidUrlError),
]


@pytest.mark.parametrize(("location", "error"), LEADING_AWAY)
def test_a_redirect_away_from_what_is_allowed_is_not_followed(location, error, web, network):
    web.answers["/"] = redirect(location)
    with pytest.raises(error):
        fetch("http://public.example/", "public.example", network=network)
    assert len(web.requests) == 1
    assert network.connected == [PUBLIC]


def test_a_redirect_from_https_to_http_is_not_followed():
    allowed = AllowedHosts("f", ["public.example"])
    request = Fetch("https://public.example/", function="f", allowed=allowed, limit_bytes=1, network=ScriptedNetwork())
    with pytest.raises(OutboundRequestError, match="https to http"):
        request._redirect(302, "http://public.example/")


def test_a_redirect_loop_ends(web, network):
    web.answers["/"] = redirect("/")
    with pytest.raises(OutboundRequestError, match="redirects"):
        fetch("http://public.example/", "public.example", network=network)
    assert len(web.requests) == MAX_REDIRECTS + 1


def test_a_redirect_without_an_address_is_an_answer(web, network):
    web.answers["/"] = answer(b"somewhere", "302 Found")
    assert fetch("http://public.example/", "public.example", network=network) == (302, b"somewhere")


NOT_HTTP = {
    "nothing": b"",
    "another protocol": b"220 mail.example ESMTP\r\n",
    "no status": b"HTTP/1.1\r\n\r\n",
    "two lengths": b"HTTP/1.1 200 OK\r\ncontent-length: 1\r\ncontent-length: 2\r\n\r\nab",
    "negative length": b"HTTP/1.1 200 OK\r\ncontent-length: -1\r\n\r\n",
    "huge length": b"HTTP/1.1 200 OK\r\ncontent-length: " + b"9" * 5000 + b"\r\n\r\n",
    "unknown coding": b"HTTP/1.1 200 OK\r\ntransfer-encoding: gzip\r\n\r\n",
    "bad chunk": b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\nzz\r\n",
    "cut chunk": b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n5\r\nab",
    "cut body": b"HTTP/1.1 200 OK\r\ncontent-length: 5\r\n\r\nab",
    "folded into NUL": b"HTTP/1.1 200 OK\r\nx: a\0b\r\n\r\n",
    "endless header": b"HTTP/1.1 200 OK\r\nx: " + b"a" * (1 << 20),
    "many headers": b"HTTP/1.1 200 OK\r\n" + b"x: aaaaaaaa\r\n" * (1 << 16),
    "endless chunk head": b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n1;" + b"a" * (1 << 20),
    "upgrade": b"HTTP/1.1 101 Switching Protocols\r\nupgrade: x\r\n\r\n",
    "interim answers": b"HTTP/1.1 100 Continue\r\n\r\n" * 100,
}


@pytest.mark.parametrize("kind", NOT_HTTP)
def test_an_answer_that_is_not_http_is_refused(kind, web, network):
    web.answers["/"] = NOT_HTTP[kind]
    with pytest.raises(OutboundRequestError):
        fetch("http://public.example/", "public.example", network=network)


def test_an_answer_that_announces_too_much_is_refused_at_once(web, network):
    web.answers["/"] = b"HTTP/1.1 200 OK\r\ncontent-length: 1048577\r\n\r\nx"
    with pytest.raises(LimitExceededError, match="response_bytes"):
        fetch("http://public.example/", "public.example", network=network)


@pytest.mark.parametrize("framing", ["chunked", "until it closes"])
def test_an_answer_that_never_ends_is_dropped_at_the_limit(framing, web, network):
    part = bytes(1 << 16)

    def talk(connection, _request):
        chunked = framing == "chunked"
        connection.sendall(b"HTTP/1.1 200 OK\r\n" + (b"transfer-encoding: chunked\r\n\r\n" if chunked else b"\r\n"))
        while True:
            connection.sendall(b"10000\r\n%b\r\n" % part if chunked else part)

    web.answers["/"] = talk
    with pytest.raises(LimitExceededError, match="response_bytes"):
        fetch("http://public.example/", "public.example", network=network)
    assert web.gone.wait(SECONDS)


def test_an_answer_of_exactly_the_limit_is_whole(web, network):
    web.answers["/"] = answer(bytes(1 << 20))
    assert len(fetch("http://public.example/", "public.example", network=network)[1]) == 1 << 20


def test_a_compressed_bomb_is_given_as_it_is(web, network):
    bomb = gzip.compress(bytes(32 << 20))
    web.answers["/"] = answer(bomb, content_encoding="gzip")
    assert fetch("http://public.example/", "public.example", network=network) == (200, bomb)


@pytest.mark.parametrize("sent", [b"", b"HTTP/1.1 200 OK\r\nx: ", b"HTTP/1.1 200 OK\r\n\r\npart of it"])
def test_a_server_that_falls_silent_is_left_at_the_deadline(sent, web, network):
    silent = threading.Event()

    def talk(connection, _request):
        connection.sendall(sent)
        silent.wait(SECONDS)

    web.answers["/"] = talk
    try:
        with pytest.raises(OutboundRequestError, match="longer than the call may"):
            fetch("http://public.example/", "public.example", network=network, seconds=0.3)
    finally:
        silent.set()


def test_headers_that_drip_are_left_at_the_deadline(web, network):
    stopped = threading.Event()

    def talk(connection, _request):
        connection.sendall(b"HTTP/1.1 200 OK\r\n")
        while not stopped.wait(0.02):
            connection.sendall(b"x: y\r\n")

    web.answers["/"] = talk
    try:
        with pytest.raises(OutboundRequestError, match="longer than the call may"):
            fetch("http://public.example/", "public.example", network=network, seconds=0.3)
    finally:
        stopped.set()


def test_headers_of_the_connection_cannot_be_given(network):
    for name in ("Host", "Content-Length", "Transfer-Encoding", "Connection"):
        with pytest.raises(ValueError, match="belong to the connection"):
            fetch("http://public.example/", "public.example", network=network, headers={name: "x"})


@pytest.mark.parametrize(
    "entry", ["", "*", "*.example", "0x7f.1", "2130706433", "127.1", "[::1", "public.example:x", ":80"]
)
def test_an_entry_of_the_list_that_is_no_host_allows_nothing(entry, network):
    for url in ("http://public.example/", "http://127.0.0.1/", "http://[::1]/"):
        with pytest.raises(MocError):
            fetch(url, entry, network=network)
    assert network.resolved == []
