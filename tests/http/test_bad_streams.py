"""Connections that break off, lie, dawdle or say nothing: no guest takes half a body for all, or runs for nobody."""

from __future__ import annotations

import contextlib
import json
import resource
import socket
import ssl
import subprocess
import threading
from collections.abc import Callable
from typing import Any

import pytest

from guests import guest
from moc_server_ext.errors import GuestError, UnauthorizedError
from moc_server_ext.frames import CONTENT_TYPE, Decoder, Frame
from moc_server_ext.http.gateway import GatewayHandler
from raw_calls import begin, chunk, response_of
from support import wait_until

PIECE = bytes(64 << 10)


def running(gateway: Any) -> int:
    return gateway.request("GET", "status").json()["calls"]["running"]


@pytest.fixture
def served(cluster_gateway):
    for name in ("cat", "swallow", "spin", "sleep", "flood", "burst", "pause"):
        cluster_gateway.platform.functions.put(name, guest(name))
    yield cluster_gateway
    assert cluster_gateway.request("GET", "status").status_code == 200


@pytest.fixture
def outcomes(served):
    """How the calls of a gateway ended, in the order of their ends."""
    call, seen = served.platform.call, []

    async def watched(request, **streams):
        try:
            result = await call(request, **streams)
        except BaseException as error:
            seen.append(error)
            raise
        seen.append(result)
        return result

    served.platform.call = watched
    return seen


class HalfClosing:
    """A TLS client that can end its sending and go on reading, which Python's own sockets cannot."""

    def __init__(self, gateway: Any) -> None:
        context = ssl.create_default_context(cafile=gateway.ca_file)
        self._in, self._out = ssl.MemoryBIO(), ssl.MemoryBIO()
        self._tls = context.wrap_bio(self._in, self._out, server_hostname="localhost")
        port = int(gateway.url.rpartition(":")[2])
        self.plain = socket.create_connection(("127.0.0.1", port), timeout=60)
        self._until(self._tls.do_handshake)

    def sendall(self, data: bytes) -> None:
        self._tls.write(data)
        self._flush()

    def shut_down(self) -> None:
        self.plain.shutdown(socket.SHUT_WR)

    def read_to_the_end(self) -> bytes:
        found = b""
        try:
            while part := self._until(lambda: self._tls.read(1 << 16)):
                found += part
        except ssl.SSLError:  # an end without a close_notify
            pass
        return found

    def read_some(self) -> bytes:
        return self._until(lambda: self._tls.read(1 << 16))

    def close(self) -> None:
        self.plain.close()

    def _flush(self) -> None:
        if data := self._out.read():
            self.plain.sendall(data)

    def _until(self, act: Callable[[], Any]) -> Any:
        while True:
            try:
                result = act()
            except ssl.SSLWantReadError:
                self._flush()
                part = self.plain.recv(1 << 16)
                if part:
                    self._in.write(part)
                else:
                    self._in.write_eof()
            else:
                self._flush()
                return result


# -- clients that end their sending, or go away -----------------------------------------------------------------------


@pytest.mark.parametrize("version", ["1.0", "1.1"])
def test_a_client_that_only_ends_its_sending_gets_its_answer(gateway, version):
    begun, release = threading.Event(), threading.Event()

    def block(request):
        begun.set()
        assert release.wait(60)
        return gateway.platform.uppercase(request)

    gateway.platform.on_call = block
    client = HalfClosing(gateway)
    begin(gateway, client, "f", "Content-Length: 5", version=version)
    client.sendall(b"hello")
    assert begun.wait(60)
    client.shut_down()
    if version == "1.1":
        assert client.read_some().startswith(b"HTTP/1.1 100 ")  # the question whether somebody is there
    release.set()
    answer = client.read_to_the_end()
    client.close()
    assert answer.startswith(b"HTTP/1.1 200 ")
    assert answer.endswith(b"\r\n\r\nHELLO")


def test_a_streamed_upload_whose_client_then_ends_its_sending_gets_its_answer(served):
    client = HalfClosing(served)
    begin(served, client, "cat", "Content-Length: 400000")
    sending = threading.Thread(target=lambda: (client.sendall(bytes(400_000)), client.shut_down()))
    sending.start()
    sending.join()
    answer = client.read_to_the_end()
    client.close()
    # The server may have asked whether somebody is there.
    assert answer.replace(b"HTTP/1.1 100 Continue\r\n\r\n", b"").startswith(b"HTTP/1.1 200 ")
    assert answer.endswith(b"0\r\n\r\n")
    assert answer.count(b"\0") == 400_000


@pytest.mark.parametrize("name", ["spin", "sleep"])
def test_a_client_that_ends_its_sending_and_then_closes_ends_its_guest(served, name):
    client = HalfClosing(served)
    begin(served, client, name, "Content-Length: 0")
    wait_until(lambda: running(served) == 1)
    client.shut_down()
    assert client.read_some().startswith(b"HTTP/1.1 100 ")
    client.close()
    wait_until(lambda: running(served) == 0)


@pytest.mark.parametrize("accept", ["*/*", CONTENT_TYPE])
def test_a_client_that_closes_in_mid_answer_ends_its_guest(served, accept):
    client = HalfClosing(served)
    begin(served, client, "burst", "Content-Length: 0", f"Accept: {accept}")
    found = b""
    while len(found) < 128 << 10:
        found += client.read_some()
    client.shut_down()
    client.close()
    wait_until(lambda: running(served) == 0)


def test_a_client_that_resets_while_its_input_is_not_read_ends_its_guest(served):
    with served.connection() as stream:
        begin(served, stream, "spin", "Content-Length: 1000000")
        stream.sendall(bytes(500_000))  # more than the channel takes, so that the server has stopped reading
        wait_until(lambda: running(served) == 1)
        stream.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\1\0\0\0\0\0\0\0")
    wait_until(lambda: running(served) == 0)


def test_a_client_process_that_dies_in_mid_call_ends_its_guest(served):
    command = ["curl", "--silent", "--no-buffer", "--cacert", str(served.ca_file), "-X", "POST", "-T", "."]
    command += ["-H", f"Authorization: Bearer {served.token}", f"{served.api}functions/cat/call"]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as curl:
        assert curl.stdin is not None
        assert curl.stdout is not None
        curl.stdin.write(2 * PIECE)
        curl.stdin.flush()
        assert curl.stdout.read(len(PIECE)) == PIECE
        assert running(served) == 1
        curl.kill()
    wait_until(lambda: running(served) == 0)


def test_a_call_goes_on_when_its_token_is_revoked_in_mid_stream_and_the_next_is_refused(served, monkeypatch):
    with served.connection() as stream:
        begin(served, stream, "cat", "Content-Length: 300000")
        stream.sendall(bytes(150_000))
        response = response_of(stream)
        assert len(response.read1(1000)) == 1000

        async def refuse(handler):
            raise UnauthorizedError

        with monkeypatch.context() as patch:
            patch.setattr(GatewayHandler, "authenticate", refuse)
            assert served.request("GET", "status").status_code == 401
            stream.sendall(bytes(150_000))
            assert len(response.read()) == 299_000


# -- bodies that are not what was announced ---------------------------------------------------------------------------


@pytest.mark.parametrize("announced", [1_000, 1_000_000])
def test_a_body_that_is_shorter_than_announced_is_never_whole_for_the_guest(served, outcomes, announced):
    with served.connection() as stream:
        begin(served, stream, "swallow", f"Content-Length: {announced}")
        stream.sendall(bytes(announced // 2))
        wait_until(lambda: running(served) == 1)
    wait_until(lambda: len(outcomes) == 1)
    assert isinstance(outcomes[0], BaseException)
    wait_until(lambda: running(served) == 0)


@pytest.mark.parametrize(
    "rest",
    [
        b"5\r\nabc",
        b"ffffffff\r\nabc",
        b"5\r\nabcdefg\r\n0\r\n\r\n",
        b"-5\r\nabcde\r\n0\r\n\r\n",
        b"zz\r\n",
        b"0\r\nabc",
    ],
)
def test_a_chunked_body_with_a_lying_size_is_never_whole_for_the_guest(served, outcomes, rest):
    with served.connection() as stream:
        begin(served, stream, "swallow", "Transfer-Encoding: chunked")
        stream.sendall(chunk(PIECE))
        wait_until(lambda: running(served) == 1)
        stream.sendall(rest)
    wait_until(lambda: len(outcomes) == 1)
    assert isinstance(outcomes[0], BaseException)
    wait_until(lambda: running(served) == 0)


def test_what_is_longer_than_announced_is_not_of_this_call(served):
    with served.connection() as stream:
        begin(served, stream, "cat", "Content-Length: 3")
        stream.sendall(b"abcdef\r\n\r\n")
        assert response_of(stream).read() == b"abc"
        rest = b""
        while part := stream.recv(1 << 16):
            rest += part
        assert rest.split(b"\r\n")[0] in (b"HTTP/1.1 400 Bad Request", b"")


# -- who dawdles ------------------------------------------------------------------------------------------------------


def test_an_upload_of_a_byte_at_a_time_comes_through(served):
    decoder = Decoder()
    with served.connection() as stream:
        begin(served, stream, "cat", "Transfer-Encoding: chunked", f"Accept: {CONTENT_TYPE}")
        stream.sendall(b"1\r\na\r\n")
        response = response_of(stream)
        output = b""
        for byte in b"bcdef":
            for each in chunk(bytes([byte])):
                stream.sendall(bytes([each]))
            wanted = len(output) + 1
            while len(output) < wanted:
                output += b"".join(payload for kind, payload in decoder.feed(response.read1()) if kind is Frame.OUTPUT)
        stream.sendall(b"0\r\n\r\n")
        last = list(decoder.feed(response.read()))
        output += b"".join(payload for kind, payload in last if kind is Frame.OUTPUT)
        assert output == b"abcdef"
        assert last[-1][0] is Frame.RESULT


@pytest.mark.parametrize("header", ["Content-Length: 10", "Content-Length: 100000", "Transfer-Encoding: chunked"])
def test_an_upload_that_never_comes_ends_with_the_calls_timeout(served, header):
    with served.connection() as stream:
        begin(served, stream, "cat", header, query="?limit=timeout_seconds=0.2")
        response = response_of(stream)
        assert response.status == 422
        assert json.loads(response.read())["error"]["details"]["limit"] == "timeout_seconds"
    assert running(served) == 0


@pytest.mark.parametrize("accept", ["*/*", CONTENT_TYPE])
def test_a_reader_that_stops_reading_ends_with_the_calls_timeout(served, outcomes, accept):
    with served.connection() as stream:
        begin(served, stream, "flood", "Content-Length: 0", f"Accept: {accept}", query="?limit=timeout_seconds=2")
        assert response_of(stream).status == 200
        wait_until(lambda: len(outcomes) == 1)
        assert isinstance(outcomes[0], GuestError)
        assert outcomes[0].details["limit"] == "timeout_seconds"
        wait_until(lambda: running(served) == 0)


# -- who says nothing -------------------------------------------------------------------------------------------------


@pytest.fixture
def many_files():
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = 8192 if hard == resource.RLIM_INFINITY else min(hard, 8192)
    if wanted < 4096:
        pytest.skip("this process may not open 4,096 files")
    resource.setrlimit(resource.RLIMIT_NOFILE, (max(soft, wanted), hard))
    yield
    resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))


def is_closed(connection: socket.socket) -> bool:
    try:
        return connection.recv(1 << 16, socket.MSG_DONTWAIT) == b""
    except BlockingIOError:
        return False
    except ConnectionError:
        return True


def test_a_thousand_connections_that_say_nothing_are_shed_and_the_others_are_answered(crowded_gateway, many_files):
    port = int(crowded_gateway.url.rpartition(":")[2])
    context = ssl.create_default_context(cafile=crowded_gateway.ca_file)
    halves = ssl.MemoryBIO(), ssl.MemoryBIO()
    with pytest.raises(ssl.SSLWantReadError):
        context.wrap_bio(*halves, server_hostname="localhost").do_handshake()
    hello = halves[1].read()
    silent: list[socket.socket] = []
    try:
        for number in range(1_200):
            connection = socket.create_connection(("127.0.0.1", port), timeout=60)
            silent.append(connection)
            if number % 6 == 0:
                connection.sendall(hello[: 1 + number % len(hello)])
            if number % 100 == 0:
                assert crowded_gateway.request("GET", "status").status_code == 200
                with crowded_gateway.connection() as fresh:
                    begin(crowded_gateway, fresh, "f", "Content-Length: 1")
                    fresh.sendall(b"x")
                    assert response_of(fresh).read() == b"X"
        # All of them: beyond the bound at once, the last ones when their time for the handshake is over.
        wait_until(lambda: all(map(is_closed, silent)))
    finally:
        for connection in silent:
            connection.close()


def test_a_connection_with_a_call_is_not_shed_for_new_ones(crowded_gateway):
    begun, release = threading.Event(), threading.Event()

    def block(request):
        begun.set()
        assert release.wait(60)
        return crowded_gateway.platform.uppercase(request)

    crowded_gateway.platform.on_call = block
    port = int(crowded_gateway.url.rpartition(":")[2])
    with crowded_gateway.connection() as stream:
        begin(crowded_gateway, stream, "f", "Content-Length: 1")
        stream.sendall(b"x")
        assert begun.wait(60)
        others = [socket.create_connection(("127.0.0.1", port), timeout=60) for _ in range(150)]
        try:
            wait_until(lambda: sum(map(is_closed, others)) >= 50)
            release.set()
            assert response_of(stream).read() == b"X"
        finally:
            release.set()
            for each in others:
                each.close()


def test_requests_without_the_token_keep_nobody_out(crowded_gateway):
    port = int(crowded_gateway.url.rpartition(":")[2])
    context = ssl.create_default_context(cafile=crowded_gateway.ca_file)
    head = b"PUT /moc/api/v1/buffers/x HTTP/1.1\r\nHost: localhost\r\nContent-Length: 1000\r\n\r\n"
    with contextlib.ExitStack() as strangers:
        for _ in range(120):
            plain = strangers.enter_context(socket.create_connection(("127.0.0.1", port), timeout=60))
            stream = strangers.enter_context(context.wrap_socket(plain, server_hostname="localhost"))
            stream.sendall(head)
        with crowded_gateway.connection() as fresh:
            begin(crowded_gateway, fresh, "f", "Content-Length: 1")
            fresh.sendall(b"x")
            assert response_of(fresh).read() == b"X"
