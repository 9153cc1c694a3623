"""Inside of calls: streams through a guest, host functions, copies into its memory, and a large module's first call."""

from __future__ import annotations

import ctypes
import hashlib
import os
import random
import statistics
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import wasmtime

from moc_server_ext.buffers.exchange import ExchangeBuffer
from moc_server_ext.cluster import Cluster
from moc_server_ext.engines.wasm import WasmEngine
from moc_server_ext.guest_api.context import CallContext
from moc_server_ext.guest_api.registry import GuestModule, Work
from moc_server_ext.model import CallRequest, Invocation, Mode

from .harness import Comparison, Measurement, compare
from .native import native_wasi

_MIB = 1 << 20
_STREAM_BYTES = 64 * _MIB
_COPY_BYTES = 8 * _MIB
_HOST_CALLS = 20_000
_LARGE_BYTES = 2_400_000
_ROUNDS = 5

_COPIES = """(module
  (import "wasi_snapshot_preview1" "fd_read" (func $read (param i32 i32 i32 i32) (result i32)))
  (import "wasi_snapshot_preview1" "fd_write" (func $write (param i32 i32 i32 i32) (result i32)))
  (memory (export "memory") 4)
  (func (export "_start")
    (i32.store (i32.const 0) (i32.const 65536))
    (loop $next
      (i32.store (i32.const 4) (i32.const {size}))
      (drop (call $read (i32.const 0) (i32.const 0) (i32.const 1) (i32.const 8)))
      (if (i32.load (i32.const 8)) (then
        (i32.store (i32.const 4) (i32.load (i32.const 8)))
        (drop (call $write (i32.const 1) (i32.const 0) (i32.const 1) (i32.const 8)))
        (br $next))))))"""
_ASKS = """(module
  (import "bench" "{name}" (func $ask (param i32 i32) (result i32)))
  (memory (export "memory") 130)
  (func (export "run") (param $times i32) (result i32)
    (local $sum i32)
    (loop $again
      (local.set $sum (call $ask (local.get $sum) (i32.const 1)))
      (br_if $again (local.tee $times (i32.sub (local.get $times) (i32.const 1)))))
    (local.get $sum)))"""


def run() -> list[Comparison | Measurement]:
    """Measure in this process."""
    with tempfile.TemporaryDirectory() as directory:
        path = Path(directory)
        return [*_streams(path), *_host_functions(path), _restart(path)]


def _streams(path: Path) -> list[Comparison]:
    content = os.urandom(_MIB) * (_STREAM_BYTES // _MIB)
    results = []
    with Cluster.open(path / "streams") as moc:
        for size, goal in ((1 << 10, 1.5), (64 << 10, 1.1)):
            module = bytes(wasmtime.wat2wasm(_COPIES.format(size=size)))
            moc.functions.put("copies", module)
            request = CallRequest("copies", input=content)
            native = native_wasi(module, content, path)
            if not moc.call_sync(request).output == native() == content:
                raise RuntimeError("the two sides of the stream benchmark disagree")
            results.append(
                compare(
                    f"64 MB through a posix call, in reads and writes of {size >> 10} KB",
                    lambda request=request: moc.call_sync(request),  # type: ignore[misc]
                    "wasmtime-py's own WASI, file to file",
                    native,
                    goal=goal,
                    rounds=_ROUNDS,
                    count=1,
                )
            )
    return results


def _host_functions(path: Path) -> list[Comparison | Measurement]:
    bench = GuestModule("bench")
    content = os.urandom(_COPY_BYTES)

    @bench.function("still")
    def still(_call: CallContext, a: int, b: int) -> int:
        return a + b

    @bench.function("at_once", waits=True)
    def at_once(_call: CallContext, a: int, b: int) -> int:
        return a + b

    @bench.function("waits", waits=True)
    def waits(_call: CallContext, a: int, b: int) -> Work:
        return Work(lambda: a + b)

    @bench.function("copy")
    def copy(call: CallContext, _a: int, _b: int) -> int:
        call.memory.write(65536, content)
        return 0

    engine = WasmEngine([bench], cache_directory=path / "modules")
    results: list[Comparison | Measurement] = []
    try:
        for name, what, goal_us in (
            ("still", "still host function", 1.5),
            ("at_once", "waiting host function that has its answer at once", 5.0),
            ("waits", "waiting host function whose guest is suspended, blocking driver", 0.0),
        ):
            taken_us = _per_host_call_us(engine, name)
            goal = f"≤ {goal_us} µs" if goal_us else ""
            results.append(
                Measurement(what, f"{taken_us:.2f} µs a call", goal, taken_us <= goal_us if goal_us else None)
            )
        module, invocation = _asking("copy")
        target = ctypes.create_string_buffer(_COPY_BYTES)
        with engine.warm(invocation, lambda: module) as warm:
            results.append(
                compare(
                    "8 MB into the memory of a warm guest",
                    lambda: warm.call(1),
                    "memmove of 8 MB",
                    lambda: ctypes.memmove(target, content, _COPY_BYTES),
                    goal=1.2,
                    count=20,
                )
            )
    finally:
        engine.close()
    return results


def _asking(name: str, *numbers: int) -> tuple[bytes, Invocation]:
    module = bytes(wasmtime.wat2wasm(_ASKS.format(name=name)))
    blob_id = hashlib.sha256(module).hexdigest()
    return module, Invocation("asks", blob_id, Mode.DIRECT, "run", numbers=numbers)


def _per_host_call_us(engine: WasmEngine, name: str) -> float:
    """Give the time of one call, by the difference between many and few."""

    def seconds(times: int) -> float:
        module, invocation = _asking(name, times)
        begin = time.perf_counter()
        result = engine.run(CallContext(invocation, ExchangeBuffer(b"")), lambda: module).result
        taken = time.perf_counter() - begin
        if result != times:
            raise RuntimeError("a host function was not called as often as it should have been")
        return taken

    seconds(1)
    pairs = [(seconds(1), seconds(_HOST_CALLS)) for _ in range(2 * _ROUNDS)]
    return statistics.median(many - few for few, many in pairs) / _HOST_CALLS * 1e6


def _restart(path: Path) -> Measurement:
    """Time the first call of a large module in a server that has just started, with the module in the disk's cache."""
    module = _large_module()

    def restarted(act: Callable[[Cluster], None], before: Callable[[Cluster], None] = lambda _moc: None) -> float:
        with Cluster.open(path / "restart", cache_directory=path / "restart-modules") as moc:
            before(moc)
            begin = time.perf_counter()
            act(moc)
            return time.perf_counter() - begin

    def call(moc: Cluster) -> None:
        if moc.call_sync(CallRequest("large", ("3",), entry="f0", mode=Mode.DIRECT)).result is None:
            raise RuntimeError("the large module gave nothing")

    def register(moc: Cluster) -> None:
        moc.functions.put("large", module)

    restarted(register)
    # As a server does while it starts.
    taken_ms = statistics.median(restarted(call, before=Cluster.make_ready) for _ in range(2 * _ROUNDS)) * 1e3
    alone_ms = statistics.median(restarted(call) for _ in range(2 * _ROUNDS)) * 1e3
    code_bytes = sum(each.stat().st_size for each in (path / "restart-modules").rglob("*") if each.is_file())
    return Measurement(
        f"first call after a restart of a known module of {len(module) / 1e6:.1f} MB (generated; "
        f"{code_bytes / 1e6:.1f} MB of machine code)",
        f"{taken_ms:.1f} ms ({alone_ms:.1f} ms embedded, where nothing was made ready before)",
        "≤ 30 ms",
        taken_ms <= 30,
    )


def _large_module() -> bytes:
    """Make a module as large as a Go program: many functions, no two alike, that call each other."""
    chance = random.Random(1)
    functions: list[str] = []
    for index in range(_LARGE_BYTES // 150):
        steps = "".join(
            f"(local.set $x (i32.{chance.choice(['add', 'mul', 'xor', 'rotl', 'sub'])} (local.get $x) "
            f"(i32.load offset={4 * chance.randrange(8000)} (i32.and (local.get $y) (i32.const 32764)))))"
            f"(local.set $y (i32.add (local.get $y) (i32.const {chance.randrange(1 << 30)})))"
            for _ in range(4)
        )
        callee = f"(call $f{chance.randrange(index)} (local.get $x))" if index > 1 else "(local.get $x)"
        functions.append(
            f"(func $f{index} (param $x i32) (result i32) (local $y i32) {steps}"
            f"(if (result i32) (i32.eqz (local.get $y)) (then {callee}) (else (local.get $x))))"
        )
    return bytes(wasmtime.wat2wasm(f'(module (memory 1) (export "f0" (func $f0)) {"".join(functions)})'))
