"""Many threads, cancellation at any moment, Ctrl-C at any moment: nothing is lost, nothing is left behind."""

from __future__ import annotations

import asyncio
import os
import random
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from moc_server_ext.cluster import Cluster
from moc_server_ext.engines.wasm.text import wat_to_wasm
from moc_server_ext.errors import CancelledError, LimitExceededError, TrapError, UnavailableError
from moc_server_ext.model import CallRequest, Declaration, Grants, Mode
from support import wait_until

THREADS = 16
ROUNDS = 40

CALL_SELF = "(call $call_function (i32.const 100) (i32.const 3) (i32.const {at}) (i32.const {length}) {zeros})"
MIXED = f"""(module
  (import "wasi_snapshot_preview1" "fd_read" (func $fd_read (param i32 i32 i32 i32) (result i32)))
  (import "wasi_snapshot_preview1" "fd_write" (func $fd_write (param i32 i32 i32 i32) (result i32)))
  (import "wasi_snapshot_preview1" "poll_oneoff" (func $poll_oneoff (param i32 i32 i32 i32) (result i32)))
  (import "core" "call_function" (func $call_function (param {"i32 " * 14}) (result i32)))
  (memory (export "memory") 2)
  (data (i32.const 0) "\\00\\10\\00\\00\\00\\10\\00\\00")
  (data (i32.const 100) "mixtrapspin")
  (data (i32.const 224) "\\ff\\ff\\ff\\ff\\ff\\ff\\ff\\7f")
  (func (export "_start")
    (drop (call $fd_read (i32.const 0) (i32.const 0) (i32.const 1) (i32.const 8)))
    (i32.store (i32.const 4) (i32.load (i32.const 8)))
    (drop (call $fd_write (i32.const 1) (i32.const 0) (i32.const 1) (i32.const 8))))
  (func (export "add") (param i32 i32) (result i32) (i32.add (local.get 0) (local.get 1)))
  (func (export "trap") unreachable)
  (func (export "spin") (loop (br 0)))
  (func (export "sleep") (drop (call $poll_oneoff (i32.const 200) (i32.const 300) (i32.const 1) (i32.const 400))))
  (func (export "call_trap") (result i32) {CALL_SELF.format(at=103, length=4, zeros="(i32.const 0) " * 10)})
  (func (export "call_spin") (result i32) {CALL_SELF.format(at=107, length=4, zeros="(i32.const 0) " * 10)}))"""
PURE = '(module (func (export "add") (param i32 i32) (result i32) (i32.add (local.get 0) (local.get 1))))'


@pytest.fixture
def moc(tmp_path: Path) -> Iterator[Cluster]:
    with Cluster.open(tmp_path / "storage", cache_directory=tmp_path / "modules", concurrent_calls=THREADS) as cluster:
        cluster.functions.put("mix", wat_to_wasm(MIXED), Declaration(grants=Grants(frozenset({"call"}))))
        cluster.functions.put("pure", wat_to_wasm(PURE), Declaration(reusable=True))
        yield cluster


def direct(entry: str, *arguments: str, seconds: float = 30) -> CallRequest:
    return CallRequest("mix", mode=Mode.DIRECT, entry=entry, arguments=arguments, limits={"timeout_seconds": seconds})


def live(moc: Cluster) -> dict[str, int]:
    """Count what a call must not leave behind."""
    orchestrator = moc._orchestrator
    return {
        "places taken": orchestrator.admission.running,
        "calls waiting": orchestrator.admission.queued,
        "contexts": len(orchestrator._live),
        "guests": sum(each.ticker._running for each in orchestrator.engine._machines.values()),
    }


def open_files() -> int:
    return len(os.listdir("/proc/self/fd"))


def in_threads(work: Callable[[int], None]) -> None:
    """Do `work` in all threads at once; the first failure is the caller's."""
    failures: list[BaseException] = []

    def run(number: int) -> None:
        try:
            work(number)
        except BaseException as error:
            failures.append(error)

    threads = [threading.Thread(target=run, args=(number,)) for number in range(THREADS)]
    for each in threads:
        each.start()
    for each in threads:
        each.join(60)
        assert not each.is_alive()
    if failures:
        raise failures[0]


def test_calls_of_all_kinds_from_many_threads_leave_nothing_behind(moc: Cluster) -> None:
    prepared = moc.prepare(CallRequest("pure", entry="add"))

    def posix(text: bytes) -> None:
        assert moc.call_sync(CallRequest("mix", mode=Mode.POSIX, input=text)).output == text

    def work(number: int) -> None:
        chance = random.Random(number)
        for index in range(ROUNDS):
            kind = chance.randrange(6)
            if kind == 0:
                posix(f"{number} {index}".encode())
            elif kind == 1:
                assert moc.call_sync(direct("add", str(number), str(index))).result == number + index
            elif kind == 2:
                assert prepared.call(number, index) == number + index
            elif kind == 3:
                with pytest.raises(TrapError):
                    moc.call_sync(direct("trap"))
            elif kind == 4:
                with pytest.raises(LimitExceededError):
                    moc.call_sync(direct(chance.choice(["spin", "sleep", "call_spin"]), seconds=0.01))
            else:
                assert moc.call_sync(direct("call_trap")).result < 0

    work(0)
    files, threads = open_files(), threading.active_count()
    with prepared:
        in_threads(work)
    assert live(moc) == {"places taken": 0, "calls waiting": 0, "contexts": 0, "guests": 0}
    # Threads that have nothing to do end when they notice it.
    wait_until(lambda: threading.active_count() <= threads and open_files() <= files)


def test_coroutines_cancelled_at_any_moment_leave_no_guest(moc: Cluster) -> None:
    async def go() -> None:
        chance = random.Random(7)
        for _ in range(15):
            calls = [
                asyncio.create_task(moc.call(direct(entry))) for entry in ("spin", "sleep", "call_spin", "spin") * 2
            ]
            await asyncio.sleep(chance.random() * 0.02)
            for each in calls:
                each.cancel()
            for outcome in await asyncio.gather(*calls, return_exceptions=True):
                assert isinstance(outcome, asyncio.CancelledError)
        # The guests end on their threads, soon after their coroutines.
        end = time.monotonic() + 60
        while any(live(moc).values()) and time.monotonic() < end:
            await asyncio.sleep(0.01)
        assert (await moc.call(direct("add", "1", "2"))).result == 3

    asyncio.run(go())
    assert not any(live(moc).values())


def test_closing_while_all_threads_call_ends_all_of_them(moc: Cluster) -> None:
    begun = threading.Barrier(THREADS + 1)

    def work(number: int) -> None:
        begun.wait()
        entry = ("spin", "sleep", "call_spin", "add")[number % 4]
        request = direct(entry, *(("1", "2") if entry == "add" else ()))
        with pytest.raises((CancelledError, UnavailableError)):
            call_for_ever(request)

    def call_for_ever(request: CallRequest) -> None:
        while True:
            moc.call_sync(request)

    def close() -> None:
        begun.wait()
        time.sleep(0.05)  # some calls are inside a guest, some between two
        moc.close()

    closer = threading.Thread(target=close)
    closer.start()
    in_threads(work)
    closer.join(60)
    assert not closer.is_alive()
    assert not any(live(moc).values())


INTERRUPTED = """
import os, random, signal, sys, threading, time
from pathlib import Path
from moc_server_ext.cluster import Cluster
from moc_server_ext.errors import LimitExceededError, TrapError
from moc_server_ext.model import CallRequest, Mode

moc = Cluster.open(sys.argv[1], cache_directory=Path(sys.argv[1] + "-modules"))
short = {"timeout_seconds": 0.005}
requests = [
    CallRequest("mix", mode=Mode.POSIX, input=b"text"),
    CallRequest("mix", mode=Mode.DIRECT, entry="add", arguments=("1", "2")),
    CallRequest("mix", mode=Mode.DIRECT, entry="call_trap"),
    *(CallRequest("mix", mode=Mode.DIRECT, entry=each, limits=short) for each in ("spin", "sleep", "call_spin")),
]
for each in requests[:3]:
    moc.call_sync(each)
armed = over = False
hits = 0

def on_interrupt(number, frame):
    if armed:
        raise KeyboardInterrupt

def interrupt():
    chance = random.Random(1)
    while not over:
        time.sleep(chance.random() * 0.004)
        os.kill(os.getpid(), signal.SIGINT)

signal.signal(signal.SIGINT, on_interrupt)
thread = threading.Thread(target=interrupt)
thread.start()
chance = random.Random(2)
while hits < 300:
    try:
        armed = True
        moc.call_sync(chance.choice(requests))
        armed = False
    except KeyboardInterrupt:
        armed = False
        hits += 1
    except (LimitExceededError, TrapError):
        armed = False
over = True
thread.join()
orchestrator = moc._orchestrator
guests = sum(each.ticker._running for each in orchestrator.engine._machines.values())
print(orchestrator.admission.running, len(orchestrator._live), guests, moc.call_sync(requests[1]).result)
moc.close()
"""


def test_ctrl_c_at_any_moment_loses_no_place_and_no_guest(moc: Cluster, tmp_path: Path) -> None:
    moc.close()
    command = [sys.executable, "-X", "faulthandler", "-c", INTERRUPTED, str(tmp_path / "storage")]
    ended = subprocess.run(command, capture_output=True, text=True, timeout=100)
    assert ended.returncode == 0, ended.stderr
    # An exception in a finaliser, which only the library's own have, is printed by Python and passed over.
    assert ended.stdout.split() == ["0", "0", "0", "3"]
