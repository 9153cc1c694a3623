"""``get_url``, called by guests of a real cluster against a real server that they were allowed by address."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import wasmtime

from moc_server_ext.cluster import Cluster
from moc_server_ext.errors import LimitExceededError
from moc_server_ext.guest_api.errno import Errno
from moc_server_ext.model import CallRequest, CallResult, Declaration, parse_grants
from web import Web, answer

# Its result is the body's size or the error; the output is the body, then the headers.
WAT = """(module
  (import "core" "get_url" (func $get_url (param i32 i32) (result i32)))
  (import "core" "read_exchange_buffer" (func $read (param i32 i32 i32) (result i32)))
  (import "core" "read_exchange_buffer_headers" (func $headers (param i32) (result i32)))
  (import "core" "write_exchange_buffer" (func $write (param i32 i32 i32) (result i32)))
  (memory (export "memory") 4)
  (func $pour (param $id i32) (result i32) (local $size i32)
    (local.set $size (call $read (local.get $id) (i32.const 65536) (i32.const 131072)))
    (drop (call $write (i32.const 2) (i32.const 65536) (local.get $size)))
    (local.get $size))
  (func (export "run") (param $length i32) (result i32) (local $id i32) (local $size i32)
    (drop (call $read (i32.const 1) (i32.const 1024) (i32.const 16384)))
    (local.set $id (call $get_url (i32.const 1024) (local.get $length)))
    (if (i32.lt_s (local.get $id) (i32.const 0)) (then (return (local.get $id))))
    (local.set $size (call $pour (local.get $id)))
    (drop (call $pour (call $headers (local.get $id))))
    (local.get $size)))"""

Get = Callable[..., CallResult]


@pytest.fixture(scope="module")
def cluster(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Cluster]:
    directory: Path = tmp_path_factory.mktemp("get-url")
    with Cluster.open(directory / "storage", cache_directory=directory / "cache") as cluster:
        yield cluster


@pytest.fixture
def get(cluster: Cluster, web: Web) -> Get:
    def get(
        url: str, *, hosts: tuple[str, ...] | None = None, deterministic: bool = False, **limits: Any
    ) -> CallResult:
        grants = parse_grants((), (web.host,) if hosts is None else hosts)
        declaration = Declaration(grants=grants, deterministic=deterministic)
        cluster.functions.put("get", bytes(wasmtime.wat2wasm(WAT)), declaration)
        content = url.encode()
        return cluster.call_sync(CallRequest("get", arguments=(str(len(content)),), input=content, limits=limits))

    return get


@pytest.mark.parametrize("status", [200, 404])
def test_an_answer_is_a_buffer_with_headers_and_status_whatever_that_is(status, get, web):
    web.answers["/"] = answer(b"hello", f"{status} X", content_type="text/plain", x_moc_status_code="999")
    result = get(web.url())
    assert result.result == 5
    assert result.output.startswith(b"hello")
    headers = json.loads(result.output[5:])
    assert headers["content-type"] == "text/plain"
    assert headers["x-moc-status-code"] == str(status)


def test_a_host_that_is_not_allowed_is_eacces_with_what_is_missing_on_stderr(get, web):
    result = get(web.url(), hosts=("example.com",))
    assert result.result == -Errno.EACCES
    assert f"moc push --allow-host {web.host}".encode() in result.stderr
    assert web.connections == 0


@pytest.mark.parametrize(
    ("url", "errno"),
    [
        ("file:///etc/passwd", Errno.EINVAL),
        ("", Errno.EINVAL),
        ("http://example.com/" + "a" * 9000, Errno.E2BIG),
    ],
)
def test_what_is_no_url_is_refused(url, errno, get):
    assert get(url).result == -errno


def test_a_failed_request_is_eio_with_the_reason_on_stderr(get, web):
    web.answers["/"] = b"this is not HTTP\r\n\r\n"
    result = get(web.url())
    assert result.result == -Errno.EIO
    assert b"not HTTP" in result.stderr


def test_a_body_that_the_buffers_have_no_room_for_is_enospc(get, web):
    web.answers["/"] = answer(bytes(4096))
    assert get(web.url(), scratch_bytes=4095).result == -Errno.ENOSPC
    assert get(web.url(), scratch_bytes=4096 + 1024).result == 4096


def test_a_body_beyond_the_limit_ends_the_call(get, web):
    web.answers["/"] = b"HTTP/1.1 200 OK\r\n\r\n" + bytes(5000)
    with pytest.raises(LimitExceededError, match="response_bytes"):
        get(web.url(), response_bytes=4096)


def test_a_deterministic_function_has_no_network(get, web):
    assert get(web.url(), deterministic=True).result == -Errno.ENOSYS
    assert web.connections == 0
