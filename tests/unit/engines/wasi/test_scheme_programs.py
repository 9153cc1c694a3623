"""``buffer: blob: kv: call:`` as C programs use them, on a real cluster, under both drivers."""

from __future__ import annotations

import asyncio
import errno
import os
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from moc_server_ext.cluster import Cluster
from moc_server_ext.compilers import compiler_for
from moc_server_ext.engines.wasm.text import wat_to_wasm
from moc_server_ext.errors import CancelledError, LimitExceededError, StorageFullError, TrapError
from moc_server_ext.guest_api.errno import Errno
from moc_server_ext.model import CallRequest, CallResult, Declaration, parse_array, parse_grants
from moc_server_ext.scope import CallScope
from support import ROOT, wait_until

HERE = Path(__file__).parent
SECONDS = 60
GRANTS = ("buffer:mine*", "kv:mine/", "blob:uppercase", "call:*")

Run = Callable[..., CallResult]


@pytest.fixture(scope="session")
def program() -> bytes:
    source = HERE / "schemes.c"
    return compiler_for("c").compile(source.read_text(), filename=source.name).content


@pytest.fixture(scope="module")
def directory(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("schemes")


@pytest.fixture(scope="module")
def cluster(directory: Path, program: bytes) -> Iterator[Cluster]:
    with Cluster.open(directory / "storage", cache_directory=directory / "cache") as cluster:
        cluster.functions.put("program", program, Declaration(grants=parse_grants(GRANTS)))
        cluster.functions.put("ungranted", program)
        cluster.functions.put("uppercase", (ROOT / "samples/c/uppercase/uppercase.wasm").read_bytes())
        yield cluster


@pytest.fixture(params=["blocking", "loop"])
def run(cluster: Cluster, request: pytest.FixtureRequest) -> Run:
    def run(*arguments: str, name: str = "program", input: bytes = b"", **limits: Any) -> CallResult:
        asked = CallRequest(name, arguments=arguments, input=input, limits=limits)
        if request.param == "loop":
            return asyncio.run(cluster.call(asked))
        return cluster.call_sync(asked)

    return run


@pytest.fixture(autouse=True)
def nothing_is_left_behind(cluster: Cluster, directory: Path) -> Iterator[None]:
    yield
    for each in cluster.buffers.list():
        cluster.buffers.delete(each.name)
    # A call that was given up lets go of its file once the storage is done with the part that it was at.
    wait_until(lambda: not list((directory / "storage/tmp").iterdir()))


# -- buffers ----------------------------------------------------------------------------------------------------------


def test_a_program_writes_a_buffer_that_is_there_when_close_returns(run, cluster):
    result = run("put", "buffer://mine", "hello ", "world")
    assert (result.exit_code, result.stderr) == (0, b"")
    record = cluster.buffers.stat("mine")
    assert cluster.buffers.read("mine") == b"hello world"
    assert record.origin == {"call_id": result.call_id, "function": "program"}


@pytest.mark.parametrize(
    "path", ["buffer://mine", "buffer:/mine", "/buffer:/mine", "./buffer://mine", "tmp/buffer:/mine"]
)
def test_a_program_reads_a_buffer_under_every_spelling(run, cluster, path):
    content = os.urandom(700_000)
    cluster.buffers.put("mine", content)
    assert run("cat", path).output == content
    assert run("tail", path, "300000").output == content[-300_000:]
    assert run("size", path).output == b"700000 1"


def test_an_array_reads_as_its_elements_in_c_order_and_is_only_replaced_whole(run, cluster):
    content = bytes(range(96))
    cluster.buffers.put("mine", content, array=parse_array("uint8", [8, 12], [3, 5]))
    assert run("cat", "buffer://mine").output == content
    refused = run("append", "buffer://mine", "more")
    assert refused.exit_code == Errno.ENOTSUP
    assert b"'mine' is an array" in refused.stderr
    assert run("patch", "buffer://mine", "x", "3").exit_code == Errno.ENOTSUP
    assert cluster.buffers.read("mine") == content
    assert run("put", "buffer://mine", "text").exit_code == 0
    assert cluster.buffers.stat("mine").array is None


def test_appending_keeps_what_is_there_and_what_it_is(run, cluster):
    content = os.urandom(600_000)
    cluster.buffers.put("mine", content, "text/plain", {"x-kept": "yes"})
    assert run("append", "buffer://mine", "and", " more").exit_code == 0
    record = cluster.buffers.stat("mine")
    assert cluster.buffers.read("mine") == content + b"and more"
    assert (record.content_type, dict(record.headers)) == ("text/plain", {"x-kept": "yes"})
    assert run("append", "buffer://mine-new", "first").exit_code == 0
    assert cluster.buffers.read("mine-new") == b"first"


def test_opening_to_append_without_writing_stores_nothing_anew(run, cluster):
    before = cluster.buffers.put("mine", b"as it was")
    assert run("append", "buffer://mine").exit_code == 0
    assert cluster.buffers.stat("mine").created_at == before.created_at


def test_an_exclusive_open_makes_a_new_buffer_only(run, cluster):
    assert run("create", "buffer://mine", "first").exit_code == 0
    assert run("create", "buffer://mine", "second").exit_code == Errno.EEXIST
    assert cluster.buffers.read("mine") == b"first"


def test_a_program_changes_a_buffer_anywhere(run, cluster):
    cluster.buffers.put("mine", b"hello world")
    assert run("patch", "buffer://mine", "W", "6").output == b"hello World"
    assert cluster.buffers.read("mine") == b"hello World"


def test_a_buffer_too_large_for_the_scratch_space_is_not_loaded_but_can_be_written(run, cluster):
    cluster.buffers.put("mine", bytes(3 << 20))
    assert run("patch", "buffer://mine", "x", "0", scratch_bytes=1 << 20).exit_code == Errno.ENOSPC
    assert run("flood", "buffer://mine", "4", scratch_bytes=1 << 20).exit_code == 0
    assert cluster.buffers.read("mine") == b"x" * (4 << 20)


def test_removing_a_buffer(run, cluster):
    cluster.buffers.put("mine", b"")
    assert run("rm", "buffer://mine").exit_code == 0
    assert run("rm", "buffer://mine").exit_code == Errno.ENOENT
    assert run("cat", "buffer://mine").exit_code == Errno.ENOENT
    assert run("size", "buffer://mine").exit_code == Errno.ENOENT
    assert not cluster.buffers.list()


# -- the end of a program ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize("path", ["buffer://mine", "kv://mine/left"])
@pytest.mark.parametrize("exit_code", [0, 3])
def test_what_is_left_open_is_stored_before_the_result_is_given(run, path, exit_code):
    assert run("leave", path, "open", str(exit_code)).exit_code == exit_code
    assert run("cat", path).output == b"open"


def test_what_stdio_writes_on_the_way_out_is_stored(run, cluster):
    assert run("stdio", "buffer://mine", "no fclose").exit_code == 0
    assert cluster.buffers.read("mine") == b"no fclose\n"


def test_what_a_callee_leaves_open_is_stored_before_its_caller_reads_its_output(run, cluster):
    assert run("call", "call://program", "handed on").output == b"handed on"
    record = cluster.buffers.stat("mine-called")
    assert cluster.buffers.read("mine-called") == b"handed on"
    assert record.origin["function"] == "program"


@pytest.mark.parametrize("path", ["buffer://mine", "kv://mine/not"])
def test_a_trap_or_a_limit_stores_nothing(run, path):
    with pytest.raises(TrapError):
        run("trap", path, "lost")
    with pytest.raises(LimitExceededError, match="timeout_seconds"):
        run("spin", path, "lost", timeout_seconds=0.2)
    assert run("cat", path).exit_code == Errno.ENOENT


def test_a_cancelled_call_stores_nothing(cluster):
    scope = CallScope()
    ended = []

    def call() -> None:
        with pytest.raises(CancelledError):
            cluster.call_sync(CallRequest("program", arguments=("spin", "buffer://mine", "lost")), scope=scope)
        ended.append(True)

    thread = threading.Thread(target=call)
    thread.start()
    wait_until(lambda: cluster.calls.list(limit=1)[0].state == "running")
    scope.cancel()
    thread.join(SECONDS)
    assert ended
    assert not cluster.buffers.list()


def test_a_flood_that_is_ended_leaves_no_file(run, cluster):
    with pytest.raises(LimitExceededError):
        run("flood", "buffer://mine", "4000", timeout_seconds=0.3)
    assert not cluster.buffers.list()


@pytest.mark.parametrize(
    "arguments", [("leave", "buffer://mine", "x" * 100_000), ("put", "buffer://mine", "x" * 100_000)]
)
def test_the_result_waits_for_the_disk_and_the_event_loop_does_not(cluster, monkeypatch, arguments):
    reached, released, real = threading.Event(), threading.Event(), os.fsync

    def fsync(descriptor: int) -> None:
        reached.set()
        assert released.wait(SECONDS)
        real(descriptor)

    async def both() -> None:
        loop = asyncio.get_running_loop()
        writing = asyncio.ensure_future(cluster.call(CallRequest("program", arguments=arguments)))
        assert await loop.run_in_executor(None, reached.wait, SECONDS)
        other = await cluster.call(CallRequest("uppercase", input=b"meanwhile"))
        assert other.output == b"MEANWHILE"
        assert not writing.done()
        assert not cluster.buffers.list()
        released.set()
        assert (await writing).exit_code == 0

    monkeypatch.setattr(os, "fsync", fsync)
    asyncio.run(both())
    assert cluster.buffers.stat("mine").size == 100_000


def _full(monkeypatch: pytest.MonkeyPatch) -> None:
    def fsync(_: int) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(os, "fsync", fsync)


def test_a_full_disk_is_the_answer_of_close(run, cluster, monkeypatch):
    cluster.buffers.put("mine", b"as it was")
    _full(monkeypatch)
    result = run("flood", "buffer://mine", "1")
    assert result.exit_code == Errno.ENOSPC
    assert b"close: No space left" in result.stderr
    assert b"storage_full" in result.stderr
    assert cluster.buffers.read("mine") == b"as it was"


def test_a_full_disk_at_the_end_fails_the_call(run, cluster, monkeypatch):
    _full(monkeypatch)
    with pytest.raises(StorageFullError, match="mine"):
        run("leave", "buffer://mine", "x" * 100_000)
    assert not cluster.buffers.list()


# -- grants -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("path", ["buffer://other", "kv://other", "blob://other", "call://other"])
@pytest.mark.parametrize("command", ["cat", "put", "append", "call", "size"])
def test_a_refusal_names_the_grant_and_does_not_tell_what_there_is(run, cluster, path, command):
    cluster.kv.set(b"other", b"")
    cluster.buffers.put("other", b"")
    there = run(command, path, name="ungranted")
    absent = run(command, f"{path}-absent", name="ungranted")
    assert there.exit_code == absent.exit_code == Errno.EACCES
    assert absent.stderr.replace(b"-absent", b"") == there.stderr
    kind = path.partition(":")[0]
    assert f"no grant '{kind}:other'. Register it again with `moc push --grant {kind}:other".encode() in there.stderr


def test_the_grant_counts_not_the_way_that_a_path_takes(run, cluster):
    cluster.buffers.put("other", b"secret")
    for path in ("buffer://mine/../other", "mine/buffer://other", "buffer:/other/../mine", "buffer://./other"):
        result = run("cat", path)
        assert (result.output, result.exit_code != 0) == (b"", True), path


# -- key-values and blobs ---------------------------------------------------------------------------------------------


def test_a_key_is_written_read_changed_and_removed(run, cluster):
    assert run("put", "kv://mine/a/b", "one", "two").exit_code == 0
    assert cluster.kv.get(b"mine/a/b") == b"onetwo"
    assert run("cat", "kv:/mine/a/b").output == b"onetwo"
    assert run("size", "kv://mine/a/b").output == b"6 1"
    assert run("patch", "kv://mine/a/b", "T", "3").output == b"oneTwo"
    assert run("append", "kv://mine/a/b", "!").exit_code == 0
    assert cluster.kv.get(b"mine/a/b") == b"oneTwo!"
    assert run("create", "kv://mine/a/b", "!").exit_code == Errno.EEXIST
    assert run("rm", "kv://mine/a/b").exit_code == 0
    assert run("cat", "kv://mine/a/b").exit_code == Errno.ENOENT


def test_a_blob_is_read_by_the_name_of_its_function_and_by_its_id(run, cluster):
    record = cluster.functions.get("uppercase")
    content = cluster.blobs.read(record.blob_id)
    assert run("cat", "blob://uppercase").output == content
    cluster.functions.put("reader", cluster.blobs.read(cluster.functions.get("program").blob_id),
                          Declaration(grants=parse_grants(["blob"])))  # fmt: skip
    assert run("cat", f"blob:/{record.blob_id}", name="reader").output == content
    assert run("size", f"blob:/{record.blob_id}", name="reader").output == b"%d 1" % len(content)
    assert run("cat", f"blob:/{'0' * 64}", name="reader").exit_code == Errno.ENOENT
    assert run("cat", "blob://nobody", name="reader").exit_code == Errno.ENOENT
    for command in ("put", "append", "create", "rm"):
        assert run(command, "blob://uppercase").exit_code == Errno.EROFS


# -- calls ------------------------------------------------------------------------------------------------------------


def test_a_program_that_only_opens_writes_and_reads_calls_a_function(run):
    result = run("call", "call://uppercase", "shout ", "this")
    assert (result.exit_code, result.output, result.stderr) == (0, b"SHOUT THIS", b"")
    assert run("cat", "call:/uppercase").output == b""


def test_a_callee_that_fails_is_eio_with_the_reason_on_stderr(run, cluster):
    result = run("call", "call://program")
    assert result.exit_code == Errno.EIO
    assert b"Function 'program' ended with exit code 9." in result.stderr
    cluster.functions.put("broken", wat_to_wasm('(module (func (export "_start") unreachable))'))
    result = run("call", "call://broken")
    assert result.exit_code == Errno.EIO
    assert b"Function 'broken' trapped" in result.stderr


def test_an_unknown_callee_is_not_there_when_it_is_first_read(run):
    result = run("call", "call://nobody", "input")
    assert result.exit_code == Errno.ENOENT
    assert b"No function is named 'nobody'" in result.stderr


def test_input_and_output_of_a_call_count_as_scratch_space(run):
    assert run("call", "call://uppercase", *["x" * 10_000] * 3, scratch_bytes=20_000).exit_code == Errno.ENOSPC


def test_a_callee_gets_the_time_of_its_caller(run, cluster):
    cluster.functions.put("endless", wat_to_wasm('(module (func (export "_start") (loop $l (br $l))))'))
    with pytest.raises(LimitExceededError, match="'program' reached its limit timeout_seconds"):
        run("call", "call://endless", "x", timeout_seconds=0.2)
