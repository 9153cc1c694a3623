"""Calls over HTTP against a server that speaks frames over real sockets, well and badly."""

from __future__ import annotations

import contextlib
import shutil
import socket
import ssl
import threading
from collections.abc import Callable, Iterator

import pytest

from frames_server import Asked, FramesServer, Script
from moc_server_ext.abc import CallStreams
from moc_server_ext.client import calls
from moc_server_ext.client.connections import Connections
from moc_server_ext.client.feed import REPEATABLE_BYTES
from moc_server_ext.client.http import HttpPlatform
from moc_server_ext.client.transport import Address
from moc_server_ext.errors import (
    CancelledError,
    ConnectionLostError,
    FunctionNotFoundError,
    InvalidInputError,
    OverloadedError,
    ServerUnreachableError,
    TrapError,
    UnauthorizedError,
)
from moc_server_ext.frames import Frame
from moc_server_ext.http.tls import ensure_certificate
from moc_server_ext.model import CallRequest

WAIT_SECONDS = 60
F = CallRequest("f", input=b"in")


@pytest.fixture
def serve() -> Iterator[Callable[..., FramesServer]]:
    servers: list[FramesServer] = []

    def start(*scripts: Script, tls: ssl.SSLContext | None = None) -> FramesServer:
        servers.append(FramesServer(*scripts, tls=tls))
        return servers[-1]

    yield start
    for each in servers:
        each.close()


@pytest.fixture
def platform_of() -> Iterator[Callable[..., HttpPlatform]]:
    with contextlib.ExitStack() as closing:

        def connect(server: FramesServer, token: str | None = "t", **more: object) -> HttpPlatform:
            platform = HttpPlatform(server.url, token, **more)
            closing.callback(platform.close)
            return platform

        yield connect


def echo(asked: Asked) -> None:
    """Answer with the input."""
    content = asked.read_body()
    asked.begin()
    asked.frame(Frame.OUTPUT, content)
    asked.end()


def busy(asked: Asked, seconds: float = 0.01) -> None:
    """Refuse as a server does that has too much to do."""
    asked.read_body()
    asked.refuse("429 Too Many Requests", OverloadedError(seconds).to_json(), Retry_After="1")


def test_a_call_is_sent_with_everything_and_its_result_collected(serve, platform_of):
    def script(asked: Asked) -> None:
        asked.read_body()
        asked.begin()
        asked.frame(Frame.OUTPUT, b"one ")
        asked.frame(Frame.STDERR, b"not \xff text")
        asked.frame(Frame.OUTPUT, b"two")
        asked.end(exit_code=3, output_headers={"a": "b"})

    server = serve(script)
    request = CallRequest("a/b ü", ("x y", "&"), entry="e", env={"K": "="}, limits={"timeout_seconds": 2.0})
    result = platform_of(server).call_sync(request)
    assert (result.output, result.stderr, result.exit_code) == (b"one two", b"not \xff text", 3)
    assert result.output_headers == {"a": "b"}
    (asked,) = server.asked
    assert asked.line == (
        "POST /moc/api/v1/functions/a%2Fb%20%C3%BC/call?arg=x+y&arg=%26&env=K%3D%3D&limit=timeout_seconds%3D2.0&entry=e"
        " HTTP/1.1"
    )
    assert asked.headers["accept"] == "application/vnd.moc.frames"
    assert asked.headers["authorization"] == "Bearer t"
    assert asked.headers["host"] == f"127.0.0.1:{server.port}"


def test_output_comes_while_input_still_goes_out(serve, platform_of):
    def script(asked: Asked) -> None:
        asked.begin()
        while part := asked.read_part():
            asked.frame(Frame.OUTPUT, part.upper())
        asked.end()

    answered = threading.Semaphore(0)
    taken: list[bytes] = []

    def source() -> Iterator[bytes]:
        for part in (b"first", b"second", b"third"):
            yield part
            assert answered.acquire(timeout=WAIT_SECONDS)

    def take(part: bytes) -> None:
        taken.append(part)
        answered.release()

    result = platform_of(serve(script)).call_sync(F, CallStreams(source=source(), output=take))
    assert taken == [b"FIRST", b"SECOND", b"THIRD"]
    assert result.output == b""


def test_much_passes_in_both_directions_at_once(serve, platform_of):
    def script(asked: Asked) -> None:
        asked.begin()
        while part := asked.read_part():
            asked.frame(Frame.OUTPUT, part)
        asked.end()

    part, count = bytes(range(256)) * 1024, 100
    sizes: list[int] = []
    streams = CallStreams(source=(part for _ in range(count)), output=lambda each: sizes.append(len(each)))
    platform_of(serve(script)).call_sync(F, streams)
    assert sum(sizes) == len(part) * count


def test_a_result_before_the_end_of_the_input_ends_the_call(serve, platform_of):
    def script(asked: Asked) -> None:
        asked.begin()
        asked.end(result=5, exit_code=None)

    never = threading.Event()

    def source() -> Iterator[bytes]:
        yield b"some"
        never.wait(WAIT_SECONDS)

    try:
        assert platform_of(serve(script)).call_sync(F, CallStreams(source=source())).result == 5
    finally:
        never.set()


def test_one_connection_serves_call_after_call(serve, platform_of):
    server = serve(echo)
    platform = platform_of(server)
    assert [platform.call_sync(CallRequest("f", input=b"%d" % n)).output for n in range(4)] == [b"0", b"1", b"2", b"3"]
    assert server.connections == 1
    server.hang_up()
    assert platform.call_sync(F).output == b"in"
    assert server.connections == 2


def test_clients_are_told_apart_and_each_calls_itself_the_same(serve, platform_of):
    server = serve(echo)
    for platform in (platform_of(server), platform_of(server)):
        platform.call_sync(F)
        platform.call_sync(F)
    names = [each.headers["moc-client"] for each in server.asked]
    assert names[0] == names[1] != names[2] == names[3]
    assert len(names[0]) >= 16


# -- what goes wrong --------------------------------------------------------------------------------------------------


def test_an_error_frame_and_a_refusal_are_raised_as_their_classes(serve, platform_of):
    def fails(asked: Asked) -> None:
        asked.read_body()
        asked.begin()
        asked.frame(Frame.OUTPUT, b"half")
        asked.frame(Frame.ERROR, b'{"code": "guest_trap", "message": "it trapped", "details": {"backtrace": ["f"]}}')
        asked.part(b"")

    def refuses(asked: Asked) -> None:
        asked.read_body()
        asked.refuse("404 Not Found", {"code": "function_not_found", "message": "no 'f'", "details": {"name": "f"}})

    server = serve(fails, refuses, echo)
    platform = platform_of(server)
    with pytest.raises(TrapError, match="it trapped") as raised:
        platform.call_sync(F)
    assert raised.value.backtrace == ["f"]
    with pytest.raises(FunctionNotFoundError, match="no 'f'"):
        platform.call_sync(F)
    assert platform.call_sync(F).output == b"in"
    assert server.connections == 1


def test_a_connection_cut_in_the_middle_says_how_much_came(serve, platform_of):
    def script(asked: Asked) -> None:
        asked.read_body()
        asked.begin()
        asked.frame(Frame.OUTPUT, b"x" * 1234)
        asked.stream.shutdown(socket.SHUT_RDWR)

    server = serve(script)
    with pytest.raises(ConnectionLostError, match=r"broke during the call, behind 1,234 bytes of output") as raised:
        platform_of(server).call_sync(F)
    assert raised.value.details["output_bytes"] == 1234
    assert len(server.asked) == 1


@pytest.mark.parametrize(
    "answer",
    [
        lambda asked: asked.send(b"HTTP/1.1 200 OK\r\nContent-Type: text/html\r\nContent-Length: 2\r\n\r\nhi"),
        lambda asked: (asked.head(), asked.part(b"?\0\0\0\0")),
        lambda asked: (asked.head(), asked.part(b"O\xff\xff\xff\xff")),
        lambda asked: (asked.head(), asked.frame(Frame.BEGIN, b"[]")),
        lambda asked: (asked.head(), asked.frame(Frame.RESULT, b"{}")),
        lambda asked: (asked.begin(), asked.frame(Frame.RESULT, b"[" * 100_000)),
        lambda asked: asked.send(b"HTTP/1.1 200 OK\r\nContent-Type: \xff\r\nContent-Length: 0\r\n\r\n"),
        lambda asked: asked.send(b"no HTTP at all\r\n\r\n"),
        lambda asked: asked.stream.shutdown(socket.SHUT_RDWR),
        lambda asked: (asked.begin(), asked.part(b"")),
    ],
)
def test_an_answer_that_is_none_is_no_server(answer, serve, platform_of):
    with pytest.raises(ServerUnreachableError):
        platform_of(serve(answer)).call_sync(F)


def test_what_a_taker_raises_closes_the_connection_and_the_client_goes_on(serve, platform_of):
    gone = threading.Event()

    def script(asked: Asked) -> None:
        asked.read_body()
        asked.begin()
        asked.frame(Frame.OUTPUT, b"part")
        if asked.is_gone():
            gone.set()

    platform = platform_of(serve(script, script, echo))
    for error in (KeyboardInterrupt, ValueError):
        gone.clear()

        def take(part: bytes, error: type[BaseException] = error) -> None:
            raise error

        with pytest.raises(error):
            platform.call_sync(F, CallStreams(output=take))
        assert gone.wait(WAIT_SECONDS)
    assert platform.call_sync(F).output == b"in"


def test_what_a_source_raises_ends_the_call(serve, platform_of):
    gone = threading.Event()

    def script(asked: Asked) -> None:
        if asked.is_gone():
            gone.set()

    def source() -> Iterator[bytes]:
        yield b"some"
        raise InvalidInputError("the file cannot be read")

    with pytest.raises(InvalidInputError, match="cannot be read"):
        platform_of(serve(script)).call_sync(F, CallStreams(source=source()))
    assert gone.wait(WAIT_SECONDS)


def test_a_call_is_cancelled_from_another_thread(serve, platform_of):
    begun, gone = threading.Event(), threading.Event()
    cancels: list[Callable[[], None]] = []

    def script(asked: Asked) -> None:
        asked.read_body()
        asked.begin()
        if asked.is_gone():
            gone.set()

    def tell(call_id: str, cancel: Callable[[], None]) -> None:
        cancels.append(cancel)
        if call_id:
            assert call_id == "c1"
            begun.set()

    def end() -> None:
        assert begun.wait(WAIT_SECONDS)
        cancels[0]()

    other = threading.Thread(target=end)
    other.start()
    with pytest.raises(CancelledError, match="'f'"):
        platform_of(serve(script)).call_sync(F, CallStreams(begun=tell))
    other.join()
    assert gone.wait(WAIT_SECONDS)


def test_text_that_is_none_is_refused_before_anything_is_sent(serve, platform_of):
    server = serve(echo)
    with pytest.raises(InvalidInputError):
        platform_of(server).call_sync(CallRequest("f", ("\udcff",)))
    with pytest.raises(InvalidInputError, match="no address of a server"):
        HttpPlatform("ftp://127.0.0.1", None).call_sync(F)
    with pytest.raises(InvalidInputError, match="token"):
        platform_of(server, "no\r\ntoken").call_sync(F)
    assert server.asked == []


# -- once more --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("source", [None, [b"i", b"n"]])
def test_a_busy_server_is_asked_again_with_the_same_input(source, serve, platform_of):
    server = serve(busy, busy, echo)
    streams = CallStreams(source=None if source is None else iter(source))
    assert platform_of(server).call_sync(F, streams).output == b"in"
    assert len(server.asked) == 3


def test_a_server_that_says_busy_in_a_frame_is_asked_again(serve, platform_of):
    def script(asked: Asked) -> None:
        asked.read_body()
        asked.begin()
        asked.frame(Frame.ERROR, b'{"code": "overloaded", "message": "busy", "details": {"retry_after_seconds": 0}}')
        asked.part(b"")

    assert platform_of(serve(script, echo)).call_sync(F).output == b"in"


def test_input_that_is_gone_is_not_sent_a_second_time(serve, platform_of):
    server = serve(busy, echo)
    streams = CallStreams(source=(b"x" * 65536 for _ in range(REPEATABLE_BYTES // 65536 + 1)))
    with pytest.raises(OverloadedError):
        platform_of(server).call_sync(F, streams)
    assert len(server.asked) == 1


def test_a_server_that_stays_busy_is_given_up(serve, platform_of, monkeypatch):
    monkeypatch.setattr(calls, "OVERLOADED_SECONDS", 0.2)
    server = serve(busy)
    with pytest.raises(OverloadedError):
        platform_of(server).call_sync(F)
    assert len(server.asked) > 1
    later = serve(lambda asked: busy(asked, 3000))
    with pytest.raises(OverloadedError):
        platform_of(later).call_sync(F)
    assert len(later.asked) == 1


def test_a_server_that_moved_is_found_again(serve, platform_of):
    gone, server = serve(echo), serve(echo)
    gone.close()
    found = Address(server.url, "t")
    assert platform_of(gone, rediscover=lambda: found).call_sync(F).output == b"in"
    with pytest.raises(ServerUnreachableError, match="refused"):
        platform_of(gone).call_sync(F)


def test_a_call_that_may_have_begun_is_not_sent_again(serve, platform_of):
    cut = serve(lambda asked: (asked.read_body(), asked.stream.shutdown(socket.SHUT_RDWR)))
    other = serve(echo)
    with pytest.raises(ConnectionLostError, match="before the server said that it began"):
        platform_of(cut, rediscover=lambda: Address(other.url, "t")).call_sync(F)
    assert other.asked == []


def test_a_token_that_is_no_longer_good_is_looked_up_again(serve, platform_of):
    def refuse(asked: Asked) -> None:
        asked.read_body()
        asked.refuse("401 Unauthorized", UnauthorizedError().to_json())

    server = serve(refuse, echo)
    found = Address(server.url, "new")
    assert platform_of(server, "old", rediscover=lambda: found).call_sync(F).output == b"in"
    assert [each.headers["authorization"] for each in server.asked] == ["Bearer old", "Bearer new"]


def test_a_certificate_that_was_made_anew_is_read_again(serve, platform_of, tmp_path):
    def server_context(name: str) -> ssl.SSLContext:
        made = ensure_certificate(tmp_path / name)
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(made.cert_file, made.key_file)
        return context

    server = serve(echo, tls=server_context("one"))
    ca_file = tmp_path / "ca.pem"
    shutil.copy(tmp_path / "one" / "cert.pem", ca_file)
    platform = platform_of(server, ca_file=str(ca_file))
    assert platform.call_sync(F).output == b"in"
    server.tls = server_context("two")
    server.hang_up()
    with pytest.raises(ServerUnreachableError, match="certificate is not trusted"):
        platform.call_sync(F)
    shutil.copy(tmp_path / "two" / "cert.pem", ca_file)
    assert platform.call_sync(F).output == b"in"


def test_a_server_behind_the_environments_proxy_is_reached_through_it(serve, monkeypatch):
    tunnels: list[bytes] = []
    server = serve(echo)

    def proxy() -> None:
        stream, _ = listener.accept()
        with stream:
            head = b""
            while not head.endswith(b"\r\n\r\n"):
                head += stream.recv(1)
            tunnels.append(head)
            with socket.create_connection(("127.0.0.1", server.port)) as onwards:
                stream.sendall(b"HTTP/1.1 200 Connection established\r\n\r\n")
                request = stream.recv(65536)
                while not request.endswith(b"in"):
                    request += stream.recv(65536)
                onwards.sendall(request)
                answer = b""
                while not answer.endswith(b"\r\n0\r\n\r\n"):
                    answer += onwards.recv(65536)
                stream.sendall(answer)

    with socket.create_server(("127.0.0.1", 0)) as listener:
        thread = threading.Thread(target=proxy)
        thread.start()
        for name in ("no_proxy", "NO_PROXY", "http_proxy"):
            monkeypatch.delenv(name, raising=False)
        monkeypatch.setenv("http_proxy", f"http://me:secret@127.0.0.1:{listener.getsockname()[1]}")
        connections = Connections("http://moc.example:8000/base/", lambda: None, proxied=True)
        connection = connections.take()
        answer = connection.begin("POST", "/", [("Host", connections.host)], b"in")
        while connection.part():
            pass
        connection.close()
        thread.join()
    assert answer.status == 200
    assert tunnels[0].startswith(b"CONNECT moc.example:8000 HTTP/1.")
    assert b"Proxy-Authorization: Basic bWU6c2VjcmV0\r\n" in tunnels[0]
    assert (connections.host, connections.prefix) == ("moc.example:8000", "/base")
