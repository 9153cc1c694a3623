"""A bare engine: modules from inline WAT, no storage and no orchestrator."""

from __future__ import annotations

import asyncio
import hashlib
import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
import wasmtime

from moc_server_ext.abc import CallServices
from moc_server_ext.buffers.exchange import ExchangeBuffer
from moc_server_ext.engines.wasi import PREVIEW1
from moc_server_ext.engines.wasm import WarmInstance, WarmPool, WasmEngine
from moc_server_ext.guest_api.context import CallContext
from moc_server_ext.guest_api.errno import Errno, GuestErrno
from moc_server_ext.guest_api.registry import GuestModule, NestedCall, Work
from moc_server_ext.model import CallRequest, CallResult, Grants, Invocation, Limits, Mode, Number


@dataclass
class Bench:
    """An engine, the modules it knows, and what calls them."""

    engine: WasmEngine
    on_loop: bool = False
    sources: dict[str, bytes] = field(default_factory=dict)

    def module(self, wat: str) -> str:
        content = bytes(wasmtime.wat2wasm(wat))
        blob_id = hashlib.sha256(content).hexdigest()
        self.sources[blob_id] = content
        return blob_id

    def invocation(self, wat: str, entry: str = "run", *numbers: Number, **more: Any) -> Invocation:
        more.setdefault("mode", Mode.DIRECT)
        return Invocation(function="guest", blob_id=self.module(wat), entry=entry, numbers=numbers, **more)

    def context(self, invocation: Invocation, input: bytes = b"", **more: Any) -> CallContext:
        return CallContext(invocation, ExchangeBuffer(input), **more)

    def run_context(self, context: CallContext) -> CallResult:
        if self.on_loop:
            return asyncio.run(self.drive(context))
        return self.engine.run(context, lambda: self.sources[context.invocation.blob_id])

    async def drive(self, context: CallContext) -> CallResult:
        return await self.engine.drive(context, lambda: self.sources[context.invocation.blob_id])

    def run(self, wat: str, entry: str = "run", *numbers: Number, input: bytes = b"", **more: Any) -> CallResult:
        return self.run_context(self.context(self.invocation(wat, entry, *numbers, **more), input))

    def warm(self, wat: str, entry: str = "run", **more: Any) -> WarmInstance:
        invocation = self.invocation(wat, entry, **more)
        return self.engine.warm(invocation, lambda: self.sources[invocation.blob_id])


class Services:
    """What the tests' guests reach outside: other modules by name."""

    def __init__(self, bench: Bench, functions: Mapping[str, str], limits: Limits) -> None:
        self.bench = bench
        self.targets = {name: bench.module(wat) for name, wat in functions.items()}
        self.limits = limits
        self.blobs = self

    def read(self, blob_id: str, start: int = 0, stop: int | None = None) -> bytes:
        return self.bench.sources[blob_id]

    def nested(self, parent: CallContext, request: CallRequest, numbers: tuple[int, ...] = ()) -> CallContext:
        if parent.depth >= parent.invocation.limits.call_depth:
            raise parent.limit_exceeded("call_depth", parent.depth + 1)
        invocation = Invocation(
            function=request.function,
            blob_id=self.targets[request.function],
            mode=Mode.DIRECT,
            entry=request.entry or "run",
            numbers=numbers,
            limits=self.limits,
        )
        return CallContext(invocation, ExchangeBuffer(b""), services=self, parent=parent)  # type: ignore[arg-type]


def make_host() -> GuestModule:
    """Make an import module with one function for each way in which a host function can behave."""
    host = GuestModule("host")

    @host.function("add")
    def add(_call: CallContext, a: int, b: int) -> int:
        """Add."""
        return a + b

    @host.function("refuse")
    def refuse(_call: CallContext) -> int:
        raise GuestErrno(Errno.EACCES)

    @host.function("fail")
    def fail(_call: CallContext, number: int) -> int:
        raise ValueError(f"number {number}")

    @host.function("limit")
    def limit(call: CallContext) -> int:
        raise call.limit_exceeded("open_files", 999)

    @host.function("cancel")
    def cancel(call: CallContext) -> int:
        call.cancel()
        return 0

    @host.function("interrupt")
    def interrupt(_call: CallContext) -> int:
        import signal

        signal.raise_signal(signal.SIGINT)
        return 0

    @host.function("interrupt_soon")
    def interrupt_soon(_call: CallContext) -> int:
        import signal

        # To the main thread, as the system does: it may be waiting in a call that only its own signals end.
        threading.Timer(0.05, signal.pthread_kill, [threading.main_thread().ident, signal.SIGINT]).start()
        return 0

    @host.function("log")
    def log(call: CallContext, pointer: int, length: int) -> int:
        call.write_stderr(call.memory.read(pointer, length))
        return length

    @host.function("wait_add", waits=True)
    def wait_add(_call: CallContext, a: int, b: int) -> Work:
        return Work(lambda: a + b)

    @host.function("wait_refuse", waits=True)
    def wait_refuse(_call: CallContext) -> Work:
        def run() -> int:
            raise GuestErrno(Errno.ENOENT)

        return Work(run)

    @host.function("wait_fail", waits=True)
    def wait_fail(_call: CallContext) -> Work:
        def run() -> int:
            raise ValueError("the disk is upside down")

        return Work(run)

    @host.function("wait_write", waits=True)
    def wait_write(call: CallContext, pointer: int) -> Work:
        def finish(content: bytes) -> int:
            call.memory.write(pointer, content)
            return len(content)

        return Work(lambda: b"late", finish)

    @host.function("call", waits=True)
    def nested(call: CallContext, pointer: int, length: int, number: int) -> NestedCall:
        name = call.memory.read(pointer, length).decode()
        services = call.services
        assert services is not None

        def finish(outcome: Any) -> int:
            if isinstance(outcome, Exception):
                call.write_stderr(f"{type(outcome).__name__}: {outcome}".encode())
                return -1
            return int(outcome.result or 0)

        return NestedCall(lambda: services.nested(call, CallRequest(name), (number,)), finish)

    return host


@pytest.fixture
def make_bench(tmp_path: Path) -> Iterator[Callable[..., Bench]]:
    engines: list[WasmEngine] = []

    def make(modules: Sequence[GuestModule] = (), directory: Path | None = None, pool: WarmPool | None = None) -> Bench:
        engine = WasmEngine(
            [make_host(), PREVIEW1, *modules], cache_directory=directory or tmp_path / "cache", pool=pool
        )
        engines.append(engine)
        return Bench(engine)

    yield make
    for engine in engines:
        engine.close()


@pytest.fixture(params=["blocking", "loop"])
def bench(make_bench: Callable[..., Bench], request: pytest.FixtureRequest) -> Bench:
    """Run the same under both drivers."""
    made = make_bench()
    made.on_loop = request.param == "loop"
    return made


@pytest.fixture
def call_tree(bench: Bench) -> Callable[..., CallContext]:
    """Make a context whose guest can call the functions given by name."""

    def make(
        wat: str, *numbers: Number, functions: Mapping[str, str], limits: Limits, input: bytes = b""
    ) -> CallContext:
        services: CallServices = Services(bench, functions, limits)  # type: ignore[assignment]
        invocation = bench.invocation(wat, "run", *numbers, limits=limits, grants=Grants())
        return bench.context(invocation, input, services=services)

    return make
