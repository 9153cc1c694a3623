"""The cluster as it is put together: real storage, real engine, real guests."""

from __future__ import annotations

import asyncio
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from moc_server_ext.cluster import Cluster, default_storage_path
from moc_server_ext.engines.wasm.text import wat_to_wasm
from moc_server_ext.errors import (
    CancelledError,
    EntryPointNotFoundError,
    FunctionNotFoundError,
    InvalidArgumentsError,
    InvalidModuleError,
    LimitExceededError,
    LockedStorageError,
    MissingImportError,
    StorageFormatError,
    TaskFailedError,
    TrapError,
    UnavailableError,
)
from moc_server_ext.model import CallRequest, Declaration, Grants, Limits, MapReduce, RunState
from moc_server_ext.plans.wait import wait

ADD = """(module
  (func (export "add") (param i32 i32) (result i32) (i32.add (local.get 0) (local.get 1)))
  (func (export "half") (param f64) (result f64) (f64.div (local.get 0) (f64.const 2)))
  (func (export "trap") unreachable)
  (func (export "spin") (loop (br 0))))"""
COUNTER = """(module (global $n (mut i32) (i32.const 0))
  (func (export "next") (result i32) (global.set $n (i32.add (global.get $n) (i32.const 1))) (global.get $n)))"""
CAT = """(module
  (import "wasi_snapshot_preview1" "fd_read" (func $read (param i32 i32 i32 i32) (result i32)))
  (import "wasi_snapshot_preview1" "fd_write" (func $write (param i32 i32 i32 i32) (result i32)))
  (memory (export "memory") 2)
  (func (export "_start")
    (loop $next
      (i32.store (i32.const 0) (i32.const 64))
      (i32.store (i32.const 4) (i32.const 65536))
      (drop (call $read (i32.const 0) (i32.const 0) (i32.const 1) (i32.const 8)))
      (if (i32.load (i32.const 8)) (then
        (i32.store (i32.const 4) (i32.load (i32.const 8)))
        (drop (call $write (i32.const 1) (i32.const 0) (i32.const 1) (i32.const 8)))
        (br $next))))))"""
EXIT = """(module
  (import "wasi_snapshot_preview1" "proc_exit" (func $exit (param i32)))
  (memory (export "memory") 1)
  (func (export "_start") (call $exit (i32.const 3))))"""
SPIN = '(module (memory (export "memory") 1) (func (export "_start") (loop (br 0))))'

# Calls "cat" with the input that it was given, and gives the callee's answer as its exit code.
CALLER = """(module
  (import "wasi_snapshot_preview1" "proc_exit" (func $exit (param i32)))
  (import "core" "call_function" (func $call
    (param i32 i32 i32 i32 i32 i32 i32 i32 i32 i32 i32 i32 i32 i32) (result i32)))
  (memory (export "memory") 1)
  (data (i32.const 0) "CALLEE")
  (func (export "_start") (call $exit (i32.and (i32.const 127) (call $call
    (i32.const 0) (i32.const SIZE) (i32.const 0) (i32.const 0) (i32.const 0) (i32.const 0) (i32.const 0) (i32.const 0)
    (i32.const 1) (i32.const 2) (i32.const 0) (i32.const 0) (i32.const 0) (i32.const 0))))))"""


def caller_of(name: str) -> str:
    return CALLER.replace("CALLEE", name).replace("SIZE", str(len(name)))


@pytest.fixture
def paths(tmp_path: Path) -> tuple[Path, Path]:
    return tmp_path / "storage", tmp_path / "cache"


@pytest.fixture
def moc(paths: tuple[Path, Path]) -> Iterator[Cluster]:
    storage, cache = paths
    with Cluster.open(storage, cache_directory=cache) as cluster:
        yield cluster


def put(moc: Cluster, name: str, wat: str, declaration: Declaration = Declaration()) -> None:
    moc.functions.put(name, wat_to_wasm(wat), declaration)


def test_a_posix_function_gets_its_input_and_gives_its_output(moc: Cluster) -> None:
    put(moc, "cat", CAT)
    result = moc.call_sync(CallRequest("cat", input=b"abc" * 100_000))
    assert (result.output, result.exit_code, result.result) == (b"abc" * 100_000, 0, None)


def test_a_direct_function_gets_numbers_and_gives_one(moc: Cluster) -> None:
    put(moc, "add", ADD)
    assert moc.call_sync(CallRequest("add", ("2", "-5"))).result == -3
    assert moc.call_sync(CallRequest("add", ("7",), entry="half")).result == 3.5


def test_a_call_on_an_event_loop_gives_the_same(moc: Cluster) -> None:
    put(moc, "add", ADD)
    assert asyncio.run(moc.call(CallRequest("add", ("2", "3")))).result == 5


def test_a_non_zero_exit_code_is_a_result(moc: Cluster) -> None:
    put(moc, "exit", EXIT)
    assert moc.call_sync(CallRequest("exit")).exit_code == 3


def test_a_blob_is_called_by_its_id(moc: Cluster) -> None:
    blob_id = moc.blobs.put(wat_to_wasm(ADD), "application/wasm").blob_id
    assert moc.call_sync(CallRequest(blob_id, ("2", "3"), entry="add")).result == 5


def test_everything_is_there_after_opening_again(paths: tuple[Path, Path]) -> None:
    storage, cache = paths
    with Cluster.open(storage, cache_directory=cache) as moc:
        put(moc, "add", ADD, Declaration(entry="add", limits={"timeout_seconds": 5}))
        moc.kv.set(b"k", b"v")
        before = moc.functions.get("add")
    with Cluster.open(storage, cache_directory=cache) as moc:
        assert moc.functions.get("add") == before
        assert moc.call_sync(CallRequest("add", ("2", "3"))).result == 5
        assert moc.kv.get(b"k") == b"v"


@pytest.mark.parametrize("content", [b"<html>", b"", b"\0asm", wat_to_wasm(ADD)[:-3]])
def test_what_is_no_module_is_refused_and_not_stored(moc: Cluster, content: bytes) -> None:
    with pytest.raises(InvalidModuleError):
        moc.functions.put("f", content)
    assert moc.functions.list() == []


def test_an_import_that_nothing_provides_is_named(moc: Cluster) -> None:
    with pytest.raises(MissingImportError, match=r"`env\.rand`"):
        put(moc, "f", '(module (import "env" "rand" (func)) (func (export "f")))')
    with pytest.raises(FunctionNotFoundError):
        moc.functions.get("f")


def test_requests_that_cannot_be_resolved_say_why(moc: Cluster) -> None:
    put(moc, "sums", ADD)
    with pytest.raises(FunctionNotFoundError, match="Did you mean 'sums'"):
        moc.call_sync(CallRequest("sum"))
    with pytest.raises(EntryPointNotFoundError, match="'add', 'half', 'trap' and 'spin'"):
        moc.call_sync(CallRequest("sums"))
    with pytest.raises(InvalidArgumentsError, match=r"\(i32, i32\).*\(1, x\)"):
        moc.call_sync(CallRequest("sums", ("1", "x"), entry="add"))


def test_a_trap_leaves_the_cluster_usable(moc: Cluster) -> None:
    put(moc, "add", ADD)
    with pytest.raises(TrapError):
        moc.call_sync(CallRequest("add", entry="trap"))
    assert moc.call_sync(CallRequest("add", ("2", "3"))).result == 5


@pytest.mark.parametrize("level", ["server", "function", "call"])
def test_the_lowest_limit_counts(paths: tuple[Path, Path], level: str) -> None:
    limits = {each: {"timeout_seconds": 0.05 if each == level else 50} for each in ("server", "function", "call")}
    with Cluster.open(paths[0], cache_directory=paths[1], limits=Limits(**limits["server"])) as moc:
        put(moc, "spin", SPIN, Declaration(limits=limits["function"]))
        with pytest.raises(LimitExceededError, match=r"timeout_seconds = 0\.05"):
            moc.call_sync(CallRequest("spin", limits=limits["call"]))


def test_a_guest_calls_another_function_that_it_was_granted(moc: Cluster) -> None:
    put(moc, "cat", CAT)
    put(moc, "caller", caller_of("cat"), Declaration(grants=Grants(frozenset({"call:c*"}))))
    result = moc.call_sync(CallRequest("caller", input=b"through two"))
    assert (result.exit_code, result.output) == (0, b"through two")


def test_a_guest_without_the_grant_is_told_what_is_missing(moc: Cluster) -> None:
    put(moc, "cat", CAT)
    put(moc, "caller", caller_of("cat"))
    result = moc.call_sync(CallRequest("caller", input=b"no"))
    assert result.exit_code == 128 - 2  # -EACCES in seven bits
    assert b"--grant call:cat" in result.stderr


def test_calls_without_end_reach_the_depth_limit_and_return(moc: Cluster) -> None:
    put(moc, "self", caller_of("self"), Declaration(grants=Grants(frozenset({"call"}))))
    result = moc.call_sync(CallRequest("self"))
    assert b"call_depth = 16" in result.stderr


def test_a_reusable_function_keeps_its_instance_in_a_prepared_call(moc: Cluster) -> None:
    put(moc, "warm", COUNTER, Declaration(reusable=True))
    put(moc, "fresh", COUNTER)
    with moc.prepare(CallRequest("warm")) as warm, moc.prepare(CallRequest("fresh")) as fresh:
        assert [warm.call() for _ in range(3)] == [1, 2, 3]
        assert [fresh.call() for _ in range(3)] == [1, 1, 1]


def test_a_prepared_call_works_from_several_threads(moc: Cluster) -> None:
    put(moc, "add", ADD, Declaration(reusable=True))
    wrong: list[object] = []

    def work(n: int) -> None:
        wrong.extend(n for i in range(200) if prepared.call(n, i) != n + i)

    with moc.prepare(CallRequest("add", entry="add")) as prepared:
        threads = [threading.Thread(target=work, args=(n,)) for n in range(4)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    assert wrong == []


def start_spinning(moc: Cluster) -> tuple[threading.Thread, list[BaseException]]:
    put(moc, "spin", SPIN)
    errors: list[BaseException] = []

    def run() -> None:
        try:
            moc.call_sync(CallRequest("spin"))
        except BaseException as error:
            errors.append(error)

    thread = threading.Thread(target=run)
    thread.start()
    while not moc.status()["calls"]["running"]:
        time.sleep(0.001)
    return thread, errors


def test_closing_ends_a_guest_that_runs_and_is_idempotent(paths: tuple[Path, Path]) -> None:
    moc = Cluster.open(paths[0], cache_directory=paths[1])
    thread, errors = start_spinning(moc)
    moc.close()
    thread.join()
    assert [type(each) for each in errors] == [CancelledError]
    with pytest.raises(UnavailableError):
        moc.call_sync(CallRequest("spin"))
    moc.close()
    Cluster.open(paths[0], cache_directory=paths[1]).close()


def test_cancelling_a_coroutine_ends_its_guest(moc: Cluster) -> None:
    put(moc, "spin", SPIN)

    async def main() -> None:
        task = asyncio.create_task(moc.call(CallRequest("spin")))
        while not moc.status()["calls"]["running"]:
            await asyncio.sleep(0.001)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        while moc.status()["calls"]["running"]:
            await asyncio.sleep(0.001)

    asyncio.run(main())


def test_cancelling_a_run_ends_a_guest_that_never_would(moc: Cluster) -> None:
    put(moc, "spin", SPIN)
    moc.buffers.put("text", b"a\nb\n")
    run_id = moc.runs.start(MapReduce("text", "spin", sink="out", split_bytes=1)).run_id
    assert moc.runs.cancel(run_id).state is RunState.CANCELLED
    assert [each.name for each in moc.buffers.list()] == ["text"]


def test_a_failing_task_names_stage_and_function_and_stores_nothing(moc: Cluster) -> None:
    put(moc, "cat", CAT)
    put(moc, "exit", EXIT)
    moc.buffers.put("text", b"a\nb\n")
    record = wait(moc.runs, moc.runs.start(MapReduce("text", "cat", reduce="exit", sink="out")).run_id)
    with pytest.raises(TaskFailedError, match=r"Task 0 of stage 'reduce' \(function 'exit'\) failed.*exit code 3"):
        moc.runs.output(record.run_id)
    assert [each.name for each in moc.buffers.list()] == ["text"]


def test_a_second_owner_is_refused(moc: Cluster, paths: tuple[Path, Path]) -> None:
    with pytest.raises(LockedStorageError):
        Cluster.open(paths[0], cache_directory=paths[1])


def test_a_storage_that_cannot_be_opened_is_not_held(tmp_path: Path) -> None:
    (tmp_path / "letter.txt").write_text("not a storage")
    with pytest.raises(StorageFormatError):
        Cluster.open(tmp_path, cache_directory=tmp_path / "cache")
    assert [each.name for each in tmp_path.iterdir()] == ["letter.txt"]


def test_the_status_tells_what_there_is(moc: Cluster) -> None:
    put(moc, "add", ADD)
    moc.buffers.put("b", b"x")
    status = moc.status()
    assert (status["functions"], status["buffers"], status["runs"], status["pid"]) == (1, 1, 0, os.getpid())
    assert status["instance_id"] == moc.storage.instance_id
    assert status["calls"]["running"] == 0


def test_the_storage_directory_is_the_named_one(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("MOC_STORAGE", str(tmp_path / "here"))
    assert default_storage_path() == tmp_path / "here"
    monkeypatch.delenv("MOC_STORAGE")
    monkeypatch.setenv("XDG_DATA_HOME", str(tmp_path))
    monkeypatch.setenv("HOME", str(tmp_path))
    assert default_storage_path().name == "moc"
    assert default_storage_path().is_relative_to(tmp_path)


INTERRUPTED = """
import sys
from pathlib import Path
from moc_server_ext.cluster import Cluster
from moc_server_ext.model import CallRequest
base = Path(sys.argv[1])
with Cluster.open(base / "storage", cache_directory=base / "cache") as moc:
    moc.functions.put("spin", (base / "spin.wasm").read_bytes())
    moc.functions.put("cat", (base / "cat.wasm").read_bytes())
    try:
        print("ready", flush=True)
        moc.call_sync(CallRequest("spin"))
    except KeyboardInterrupt:
        print("interrupted", moc.status()["calls"]["running"], moc.call_sync(CallRequest("cat", input=b"on")).output)
"""


def test_ctrl_c_ends_the_call_and_leaves_the_cluster_usable(tmp_path: Path) -> None:
    (tmp_path / "spin.wasm").write_bytes(wat_to_wasm(SPIN))
    (tmp_path / "cat.wasm").write_bytes(wat_to_wasm(CAT))
    with subprocess.Popen(
        [sys.executable, "-c", INTERRUPTED, str(tmp_path)], stdout=subprocess.PIPE, text=True
    ) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == "ready\n"
        process.send_signal(signal.SIGINT)
        assert process.stdout.readline() == "interrupted 0 b'on'\n"
        assert process.wait(60) == 0
