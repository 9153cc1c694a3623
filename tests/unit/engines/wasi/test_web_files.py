"""``http://…`` as files: guests of a real cluster, and a real server that they were allowed by address."""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import Any

import pytest
import wasmtime

from moc_server_ext.abc import CallStreams
from moc_server_ext.cluster import Cluster
from moc_server_ext.errors import CancelledError, LimitExceededError
from moc_server_ext.guest_api.errno import Errno
from moc_server_ext.model import CallRequest, CallResult, Declaration, parse_grants
from moc_server_ext.scope import CallScope
from support import ROOT
from web import Web, answer, redirect

READ, WRITE = 2, 64
SECONDS = 60

IMPORTS = """
(import "wasi_snapshot_preview1" "path_open"
  (func $open (param i32 i32 i32 i32 i32 i64 i64 i32 i32) (result i32)))
(import "wasi_snapshot_preview1" "fd_read" (func $fd_read (param i32 i32 i32 i32) (result i32)))
(import "wasi_snapshot_preview1" "fd_write" (func $fd_write (param i32 i32 i32 i32) (result i32)))
(import "wasi_snapshot_preview1" "fd_seek" (func $fd_seek (param i32 i64 i32 i32) (result i32)))
(import "wasi_snapshot_preview1" "fd_close" (func $fd_close (param i32) (result i32)))
(import "wasi_snapshot_preview1" "path_filestat_get" (func $stat (param i32 i32 i32 i32 i32) (result i32)))
(import "wasi_snapshot_preview1" "path_unlink_file" (func $unlink (param i32 i32 i32) (result i32)))
(import "wasi_snapshot_preview1" "poll_oneoff" (func $poll (param i32 i32 i32 i32) (result i32)))
(import "wasi_snapshot_preview1" "proc_exit" (func $exit (param i32)))
"""

COPY = """(loop $more
  (call $must (call $read (i32.const 4096)))
  (if (i32.load (i32.const 0)) (then (call $must (call $put (i32.const 1) (i32.load (i32.const 0)))) (br $more))))"""


def literal(text: bytes) -> str:
    return "".join(f"\\{byte:02x}" for byte in text)


def program(path: str, body: str, *, rights: int = READ, sent: bytes = b"", more: str = "") -> bytes:
    """Make a guest that opens `path` as descriptor 4, then does `body`; its exit code is the first errno."""
    name = path.encode()
    return bytes(
        wasmtime.wat2wasm(f"""(module {IMPORTS}
          (memory (export "memory") 2)
          (data (i32.const 1024) "{literal(name)}") (data (i32.const 8192) "{literal(sent)}") {more}
          (func $must (param $errno i32) (if (local.get $errno) (then (call $exit (local.get $errno)))))
          (func $vector (param $at i32) (param $length i32)
            (i32.store (i32.const 16) (local.get $at)) (i32.store (i32.const 20) (local.get $length)))
          (func $read (param $length i32) (result i32)
            (call $vector (i32.const 65536) (local.get $length))
            (call $fd_read (i32.const 4) (i32.const 16) (i32.const 1) (i32.const 0)))
          (func $put (param $fd i32) (param $length i32) (result i32)
            (call $vector (i32.const 65536) (local.get $length))
            (call $fd_write (local.get $fd) (i32.const 16) (i32.const 1) (i32.const 8)))
          (func $send (result i32)
            (call $vector (i32.const 8192) (i32.const {len(sent)}))
            (call $fd_write (i32.const 4) (i32.const 16) (i32.const 1) (i32.const 8)))
          (func (export "_start")
            (call $must (call $open (i32.const 3) (i32.const 0) (i32.const 1024) (i32.const {len(name)})
              (i32.const 0) (i64.const {rights}) (i64.const 0) (i32.const 0) (i32.const 12)))
            {body}))""")
    )


Run = Callable[..., CallResult]


@pytest.fixture
def run(cluster: Cluster, web: Web) -> Run:
    """Register a guest that may reach the server, and call it."""

    def run(
        content: bytes,
        *arguments: str,
        hosts: tuple[str, ...] | None = None,
        streams: CallStreams | None = None,
        deterministic: bool = False,
        **limits: Any,
    ) -> CallResult:
        grants = parse_grants((), (web.host,) if hosts is None else hosts)
        cluster.functions.put("guest", content, Declaration(grants=grants, deterministic=deterministic))
        return cluster.call_sync(CallRequest("guest", arguments=arguments, limits=limits), streams)

    return run


@pytest.fixture(scope="session")
def sample() -> bytes:
    return (ROOT / "samples/c/http-request/http-request.wasm").read_bytes()


def test_the_sample_copies_an_answer_of_many_parts(run, web, sample):
    content = bytes(range(256)) * 20_000
    web.answers["/big?x=1"] = answer(content)
    result = run(sample, web.url("/big?x=1"))
    assert (result.exit_code, result.stderr) == (0, b"")
    assert result.output == content
    assert web.lines == ["GET /big?x=1 HTTP/1.1"]


def test_redirects_are_followed_within_what_is_allowed(run, web, sample):
    web.answers["/a"] = redirect("/b")
    web.answers["/b"] = answer(b"there")
    assert run(sample, web.url("/a")).output == b"there"
    web.answers["/a"] = redirect("http://127.0.0.1:1/")
    result = run(sample, web.url("/a"))
    assert (result.exit_code, result.output) == (1, b"")
    assert b"--allow-host 127.0.0.1:1" in result.stderr
    assert b"Permission denied" in result.stderr


@pytest.mark.parametrize("prefix", ["http://", "http:/", "/http:/", "/http://", "some/where/http:/", "./http://"])
def test_a_url_is_recognised_however_a_runtime_has_cleaned_it(prefix, run, web):
    web.answers["/a/api://input"] = answer(b"ok")
    result = run(program(f"{prefix}{web.host}/a/api://input", COPY))
    assert (result.exit_code, result.output, result.stderr) == (0, b"ok", b"")


def test_a_part_reaches_the_caller_before_the_answer_has_ended(run, web, sample):
    seen = threading.Event()

    def talk(connection, _request):
        connection.sendall(b"HTTP/1.1 200 OK\r\ncontent-length: 11\r\n\r\nfirst")
        assert seen.wait(SECONDS)
        connection.sendall(b"second")

    web.answers["/"] = talk
    parts: list[bytes] = []

    def take(part: bytes) -> None:
        parts.append(part)
        seen.set()

    assert run(sample, web.url(), streams=CallStreams(output=take)).exit_code == 0
    assert parts == [b"first", b"second"]


def test_what_is_written_before_the_first_read_is_posted(run, web):
    web.answers["/"] = answer(b"taken")
    body = f"(call $must (call $send)) (call $must (call $send)) {COPY}"
    result = run(program(web.url(), body, rights=READ | WRITE, sent=b'{"a":1}'))
    assert (result.exit_code, result.output) == (0, b"taken")
    assert web.lines == ["POST / HTTP/1.1"]
    assert web.requests[0].endswith(b'\r\n\r\n{"a":1}{"a":1}')
    assert b"content-type: application/json\r\n" in web.requests[0]


def test_nothing_is_sent_by_opening_alone(run, web):
    assert run(program(web.url(), "(call $must (call $fd_close (i32.const 4)))")).exit_code == 0
    assert web.connections == 0


def test_a_body_counts_as_a_private_file_until_it_is_sent(run, web):
    result = run(
        program(web.url(), "(call $must (call $send))", rights=READ | WRITE, sent=bytes(4096)), scratch_bytes=2048
    )
    assert result.exit_code == Errno.ENOSPC


def test_writing_after_reading_is_refused(run, web):
    web.answers["/"] = answer(b"ok")
    body = f"{COPY} (call $must (call $send))"
    assert run(program(web.url(), body, rights=READ | WRITE, sent=b"late")).exit_code == Errno.EPERM


def test_writing_without_reading_is_refused_with_the_reason(run, web):
    result = run(program(web.url(), "", rights=WRITE))
    assert result.exit_code == Errno.EACCES
    assert b"open it for reading as well" in result.stderr


def test_an_error_of_the_server_is_eio_with_status_and_body_on_stderr(run, web):
    web.answers["/"] = answer(b"no \x1b[31mtea\n" + b"x" * 10_000, "418 Teapot")
    result = run(program(web.url(), COPY))
    assert (result.exit_code, result.output) == (Errno.EIO, b"")
    assert b"418: no \xef\xbf\xbd[31mtea" in result.stderr
    assert len(result.stderr) < 5000


def test_reads_after_a_failure_fail_and_after_the_end_give_nothing(run, web):
    twice = "(drop (call $read (i32.const 9))) (call $must (call $read (i32.const 9)))"
    assert run(program(web.url("/nowhere"), twice)).exit_code == Errno.EIO
    web.answers["/"] = answer(b"ok")
    result = run(program(web.url(), f"{COPY} {COPY}"))
    assert (result.exit_code, result.output) == (0, b"ok")


def test_a_body_that_breaks_off_is_read_up_to_there_and_then_eio(run, web):
    web.answers["/"] = b"HTTP/1.1 200 OK\r\ncontent-length: 100\r\n\r\nonly this"
    result = run(program(web.url(), COPY))
    assert (result.exit_code, result.output) == (Errno.EIO, b"only this")
    assert b"closed" in result.stderr


@pytest.mark.parametrize("hosts", [(), ("127.0.0.1",), ("localhost",), ("127.0.0.2:80",)])
def test_a_host_that_is_not_allowed_is_eacces_with_what_is_missing_on_stderr(hosts, run, web):
    result = run(program(web.url(), COPY), hosts=hosts)
    assert result.exit_code == Errno.EACCES
    assert f"moc push --allow-host {web.host}".encode() in result.stderr
    assert web.connections == 0


def test_describing_a_url_sends_nothing_and_needs_the_same_permission(run, web):
    url = web.url()
    stat = f"""(call $must (call $stat (i32.const 3) (i32.const 0) (i32.const 8192) (i32.const {len(url)})
      (i32.const 32768)))"""
    for hosts, exit_code in [((web.host,), 0), (("example.com",), Errno.EACCES)]:
        assert run(program("api://input", stat, sent=url.encode()), hosts=hosts).exit_code == exit_code
    assert web.connections == 0


@pytest.mark.parametrize(
    "path", ["http://", "http:/", "https://user@example.com/", "http://exa mple.com/", "http://0x7f.1/"]
)
def test_what_is_no_url_is_einval(path, run):
    result = run(program(path, ""))
    assert result.exit_code == Errno.EINVAL
    assert b"cannot be requested" in result.stderr


@pytest.mark.parametrize(
    ("path", "errno"), [("http", 44), ("http:", 44), ("xhttp://a/", 44), ("HTTP://a/", 44), ("a:/b", 44)]
)
def test_what_only_looks_like_a_url_is_a_path(path, errno, run):
    assert run(program(path, "")).exit_code == errno


def test_a_url_cannot_be_sought_in_or_removed(run, web):
    seek = "(call $must (call $fd_seek (i32.const 4) (i64.const 0) (i32.const 0) (i32.const 0)))"
    assert run(program(web.url(), seek)).exit_code == Errno.ESPIPE
    unlink = f"(call $must (call $unlink (i32.const 3) (i32.const 1024) (i32.const {len(web.url())})))"
    assert run(program(web.url(), unlink)).exit_code == Errno.EPERM


def test_a_deterministic_function_has_no_network(run, web):
    assert run(program(web.url(), COPY), deterministic=True).exit_code == Errno.ENOSYS
    assert web.connections == 0


def test_a_longer_answer_than_is_allowed_ends_the_call(run, web, sample):
    web.answers["/"] = b"HTTP/1.1 200 OK\r\n\r\n" + bytes(5000)
    with pytest.raises(LimitExceededError, match="response_bytes"):
        run(sample, web.url(), response_bytes=4096)


def test_a_silent_server_is_left_when_the_time_of_the_call_is_over(run, web, sample):
    held = threading.Event()
    web.answers["/"] = lambda _connection, _request: held.wait(SECONDS)
    try:
        with pytest.raises(LimitExceededError, match="timeout_seconds"):
            run(sample, web.url(), timeout_seconds=0.3)
    finally:
        held.set()
    assert web.gone.wait(SECONDS)


def test_cancelling_a_call_that_waits_drops_its_connection(cluster, web, sample):
    asked = threading.Event()
    web.answers["/"] = lambda connection, _request: (asked.set(), connection.recv(1))[1]
    cluster.functions.put("guest", sample, Declaration(grants=parse_grants((), [web.host])))
    scope = CallScope()
    failures: list[BaseException] = []

    def call() -> None:
        try:
            cluster.call_sync(CallRequest("guest", arguments=(web.url(),)), scope=scope)
        except CancelledError as error:
            failures.append(error)

    thread = threading.Thread(target=call)
    thread.start()
    assert asked.wait(SECONDS)
    scope.cancel()
    thread.join(SECONDS)
    assert len(failures) == 1
    assert web.gone.wait(SECONDS)


def test_what_a_guest_leaves_open_is_dropped_at_its_end(run, web):
    web.answers["/"] = lambda connection, _request: (
        connection.sendall(b"HTTP/1.1 200 OK\r\n\r\nendless"), connection.recv(1))[0]  # fmt: skip
    assert run(program(web.url(), "(call $must (call $read (i32.const 4)))")).exit_code == 0
    assert web.gone.wait(SECONDS)


SUBSCRIBED = "".join(
    f'(data (i32.const {at}) "{literal(content)}")'
    for at, content in [
        (16384 + 8, b"\x01"), (16384 + 16, b"\x04"),  # a read of descriptor 4
        (16384 + 48 + 8, b"\x00"), (16384 + 48 + 16, b"\x01"), (16384 + 48 + 24, (1_000_000).to_bytes(8, "little")),
    ]
)  # fmt: skip


def test_poll_waits_for_an_answer(run, web):
    web.answers["/"] = answer(b"ok")
    poll = "(call $must (call $poll (i32.const 16384) (i32.const 20480) (i32.const 1) (i32.const 12)))"
    result = run(program(web.url(), f"{poll} {COPY}", more=SUBSCRIBED))
    assert (result.exit_code, result.output) == (0, b"ok")


def test_an_answer_that_poll_gave_up_on_is_still_read_whole(run, web):
    polled = threading.Event()

    def talk(connection, _request):
        # The guest tells by its output that its clock has rung.
        assert polled.wait(SECONDS)
        connection.sendall(answer(b"late"))

    web.answers["/"] = talk
    poll = """(call $must (call $poll (i32.const 16384) (i32.const 20480) (i32.const 2) (i32.const 12)))
      (i32.store8 (i32.const 65536) (i32.add (i32.const 48) (i32.load8_u (i32.const 20490))))
      (call $must (call $put (i32.const 1) (i32.const 1)))"""
    parts: list[bytes] = []

    def take(part: bytes) -> None:
        parts.append(part)
        polled.set()

    result = run(program(web.url(), f"{poll} {COPY}", more=SUBSCRIBED), streams=CallStreams(output=take))
    assert result.exit_code == 0
    assert parts == [b"0", b"late"]
    assert web.connections == 1


def test_a_function_that_is_called_by_another_uses_its_own_hosts(cluster, web, sample):
    web.answers["/"] = answer(b"through two functions")
    cluster.functions.put("http-request", sample, Declaration(grants=parse_grants((), [web.host])))
    url = web.url().encode()
    caller = wasmtime.wat2wasm(f"""(module
      (import "core" "call_function" (func $call (param {"i32 " * 14}) (result i32)))
      (memory (export "memory") 1)
      (data (i32.const 64) "http-request{literal(url)}")
      (func (export "run") (result i32)
        (i32.store (i32.const 0) (i32.const 76)) (i32.store (i32.const 4) (i32.const {len(url)}))
        (call $call (i32.const 64) (i32.const 12) (i32.const 0) (i32.const 0) (i32.const 0) (i32.const 0)
          (i32.const 0) (i32.const 0) (i32.const 0) (i32.const 2) (i32.const 0) (i32.const 0)
          (i32.const 0) (i32.const 1))))""")
    cluster.functions.put("caller", bytes(caller), Declaration(grants=parse_grants(["call:http-request"])))
    result = cluster.call_sync(CallRequest("caller"))
    assert (result.result, result.output) == (0, b"through two functions")
