"""A gateway in a thread over a platform of real storage with scripted calls, and whole servers as processes."""

from __future__ import annotations

import asyncio
import dataclasses
import json
import os
import re
import signal
import socket
import ssl
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import httpx
import pytest

from moc_server_ext.buffers.channel import Channel
from moc_server_ext.client.http import HttpPlatform
from moc_server_ext.cluster import Cluster
from moc_server_ext.errors import CallNotFoundError, FunctionNotFoundError, RunNotFoundError
from moc_server_ext.http.gateway import Gateway
from moc_server_ext.http.handler import Api
from moc_server_ext.http.tls import ensure_certificate
from moc_server_ext.http.workers import Workers
from moc_server_ext.model import (
    CallRecord,
    CallRequest,
    CallResult,
    CallState,
    Declaration,
    FunctionRecord,
    MapReduce,
    RunRecord,
    RunState,
    Signature,
)
from moc_server_ext.storage import Storage

TOKEN = "a-token-for-tests"
MAX_BODY_BYTES = 1 << 20


class ScriptedFunctions:
    """Functions in a dictionary: what the API hands on can be looked at."""

    def __init__(self) -> None:
        self.records: dict[str, FunctionRecord] = {}

    def put(
        self,
        name: str,
        content: bytes,
        declaration: Declaration = Declaration(),
        content_type: str = "application/wasm",
    ) -> FunctionRecord:
        exports = {"_start": Signature()}
        record = FunctionRecord(name, "0" * 64, len(content), content_type, declaration, exports, 1.0)
        self.records[name] = record
        return record

    def get(self, name: str) -> FunctionRecord:
        if name not in self.records:
            raise FunctionNotFoundError(name, nearest=[])
        return self.records[name]

    def list(self) -> Any:
        return [self.records[name] for name in sorted(self.records)]

    def delete(self, name: str) -> None:
        self.get(name)
        del self.records[name]


class ScriptedRuns:
    """Runs that are over at once."""

    def __init__(self) -> None:
        self.records: dict[str, RunRecord] = {}

    def start(self, plan: MapReduce) -> RunRecord:
        record = RunRecord(f"run-{len(self.records)}", plan, RunState.DONE, "reduce", 2, 2, output_bytes=3)
        self.records[record.run_id] = record
        return record

    def get(self, run_id: str) -> RunRecord:
        if run_id not in self.records:
            raise RunNotFoundError(run_id)
        return self.records[run_id]

    def output(self, run_id: str) -> bytes:
        self.get(run_id)
        return b"a\t1"

    def list(self) -> Any:
        return list(reversed(self.records.values()))

    def cancel(self, run_id: str) -> RunRecord:
        return self.get(run_id)


class ScriptedCalls:
    """Calls in a dictionary, which end when they are cancelled."""

    def __init__(self) -> None:
        self.records: dict[str, CallRecord] = {}

    def get(self, call_id: str) -> CallRecord:
        if call_id not in self.records:
            raise CallNotFoundError(call_id)
        return self.records[call_id]

    def cancel(self, call_id: str) -> CallRecord:
        self.records[call_id] = replace(self.get(call_id), state=CallState.CANCELLED)
        return self.records[call_id]


class ScriptedPlatform:
    """Real blobs, buffers and key-values; calls answered by :attr:`on_call`."""

    def __init__(self, storage: Storage) -> None:
        self.storage = storage
        self.functions = ScriptedFunctions()
        self.blobs = storage.blobs
        self.buffers = storage.buffers
        self.kv = storage.kv
        self.zarr = storage.zarr
        self.calls = ScriptedCalls()
        self.runs = ScriptedRuns()
        self.on_call: Callable[[CallRequest], CallResult] = self.uppercase

    @staticmethod
    def uppercase(request: CallRequest) -> CallResult:
        return CallResult("call-1", None, 0, request.input.upper(), b"a warning", 42)

    async def call(
        self,
        request: CallRequest,
        *,
        input: Channel | bytes | None = None,
        output: Channel,
        stderr: Callable[[bytes], None] | None = None,
    ) -> CallResult:
        body = bytearray(input if isinstance(input, bytes) else request.input)
        while isinstance(input, Channel) and not input.ended:
            await input.readable()
            body += input.take()
        result = await asyncio.to_thread(self.on_call, dataclasses.replace(request, input=bytes(body), call_id=""))
        output.headers.update(result.output_headers)
        output.write(result.output)
        output.close()
        if stderr is not None:
            stderr(result.stderr)
        return dataclasses.replace(result, output=b"")

    def gc(self, *, dry_run: bool = False) -> dict[str, Any]:
        return self.storage.gc(dry_run=dry_run)

    def status(self) -> dict[str, Any]:
        return {"version": "test", "instance_id": self.storage.instance_id}

    def close(self) -> None:
        self.storage.close()


@dataclass
class RunningGateway:
    """A gateway that answers, and how to talk to it."""

    url: str
    ca_file: Path
    platform: Any
    http: httpx.Client
    workers: Workers
    token: str = TOKEN
    api: str = field(init=False)

    def __post_init__(self) -> None:
        self.api = f"{self.url}/moc/api/v1/"

    @contextmanager
    def connection(self) -> Iterator[ssl.SSLSocket]:
        """Open a connection for bytes that no client would send."""
        context = ssl.create_default_context(cafile=self.ca_file)
        port = int(self.url.rpartition(":")[2])
        with (
            socket.create_connection(("127.0.0.1", port), timeout=60) as plain,
            context.wrap_socket(plain, server_hostname="localhost") as stream,
        ):
            yield stream

    def request(self, method: str, path: str, **options: Any) -> httpx.Response:
        headers = {"Authorization": f"Bearer {self.token}", **options.pop("headers", {})}
        return self.http.request(method, self.api + path, headers=headers, **options)


@pytest.fixture
def storage(tmp_path: Path) -> Iterator[Storage]:
    with Storage.open(tmp_path / "storage") as opened:
        yield opened


@contextmanager
def serving(
    platform: Any, tmp_path: Path, *, waiting: int = 2, gateway: Mapping[str, Any] | None = None, **settings: Any
) -> Iterator[RunningGateway]:
    """Serve `platform` from a thread, with options of the `gateway` and settings of its API."""
    workers = Workers(2, waiting=waiting)
    started: list[Gateway] = []
    ready = threading.Event()
    loop = asyncio.new_event_loop()

    async def start() -> None:
        started.append(
            Gateway(
                Api(platform, workers, **{"max_body_bytes": MAX_BODY_BYTES, **settings}),
                token=TOKEN,
                certificate=ensure_certificate(tmp_path / "tls"),
                host="127.0.0.1",
                port=0,
                **(gateway or {}),
            )
        )
        started[0].start()

    def serve() -> None:
        asyncio.set_event_loop(loop)
        loop.run_until_complete(start())
        # Said from inside of the loop that is stopped at the end, so that the stop cannot be lost on the first one.
        loop.call_soon(ready.set)
        loop.run_forever()
        loop.run_until_complete(started[0].stop())
        loop.close()

    thread = threading.Thread(target=serve)
    thread.start()
    assert ready.wait(60)
    try:
        context = ssl.create_default_context(cafile=started[0].ca_file)
        with httpx.Client(verify=context, trust_env=False, timeout=60) as http:
            yield RunningGateway(started[0].url, started[0].ca_file, platform, http, workers)
    finally:
        loop.call_soon_threadsafe(loop.stop)
        thread.join(60)
        workers.close()


@pytest.fixture(scope="session")
def serving_anything() -> Callable[..., Any]:
    """Give what serves any platform, in a ``with``."""
    return serving


@pytest.fixture
def gateway(storage: Storage, tmp_path: Path) -> Iterator[RunningGateway]:
    with serving(ScriptedPlatform(storage), tmp_path) as running:
        yield running


@pytest.fixture
def served(storage: Storage, tmp_path: Path) -> Callable[..., Any]:
    """Give what serves the storage of the test with settings of its own, in a ``with``."""
    return lambda **settings: serving(ScriptedPlatform(storage), tmp_path, **settings)


@pytest.fixture
def cluster_gateway(tmp_path: Path) -> Iterator[RunningGateway]:
    """A gateway in front of a whole cluster; `platform` is the cluster."""
    cluster = Cluster.open(tmp_path / "cluster", cache_directory=tmp_path / "modules")
    with cluster, serving(cluster, tmp_path) as running:
        yield running
        # The threads that serve calls end with their guests.
        cluster.close()


@pytest.fixture
def crowded_gateway(storage: Storage, tmp_path: Path) -> Iterator[RunningGateway]:
    """A gateway that has room for few connections and little patience with their handshakes."""
    bounds = {"max_connections": 100, "handshake_seconds": 0.5}
    with serving(ScriptedPlatform(storage), tmp_path, gateway=bounds) as running:
        yield running


@pytest.fixture
def client(gateway: RunningGateway) -> Iterator[HttpPlatform]:
    platform = HttpPlatform(gateway.url, TOKEN, str(gateway.ca_file))
    yield platform
    platform.close()


# -- servers as processes ---------------------------------------------------------------------------------------------


@dataclass
class Server:
    """A ``moc serve`` in a process of its own."""

    process: subprocess.Popen[str]
    storage: Path
    output: list[str] = field(default_factory=list)

    @property
    def endpoint(self) -> dict[str, Any]:
        return json.loads((self.storage / "endpoint.json").read_text())

    def line(self, title: str) -> str:
        """Give what the printed block says behind a title."""
        for line in self.output:
            match = re.fullmatch(rf"\s*{title}\s+(.*)", line)
            if match:
                return match[1]
        raise AssertionError(f"no {title!r} in {self.output}")

    def stop(self, signum: int = signal.SIGINT) -> tuple[int, str]:
        """End it and give the exit code and what it printed from now on."""
        self.process.send_signal(signum)
        rest, _ = self.process.communicate(timeout=60)
        return self.process.returncode, rest


def server_environment(tmp_path: Path, **extra: str) -> dict[str, str]:
    """An environment in which no file of the person who runs the tests is read or written."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith(("MOC_", "JUPYTER", "XDG_"))}
    home = tmp_path / "home"
    home.mkdir(exist_ok=True)
    return {**kept, "HOME": str(home), **extra}


Serve = Callable[..., Any]


@contextmanager
def servers(directory: Path) -> Iterator[Serve]:
    """Give what starts servers below a directory; all that still run are killed at the end."""
    processes: list[subprocess.Popen[str]] = []

    def start(
        *options: str,
        storage: Path = directory / "served",
        environment: Mapping[str, str] | None = None,
        ready: str = "Try",
    ) -> Server:
        command = [sys.executable, "-m", "moc_server_ext.cli", "serve", "--storage", str(storage)]
        ports = [] if "--port" in options else ["--port", "0"]
        ports += [] if "--jupyter-port" in options else ["--jupyter-port", "0"]
        process = subprocess.Popen(
            [*command, *ports, *options],
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            env=server_environment(directory, **(environment or {})),
            cwd=directory,
        )
        processes.append(process)
        server = Server(process, storage)
        assert process.stdout is not None
        for line in process.stdout:
            server.output.append(line.rstrip("\n"))
            if line.strip().startswith(ready):
                return server
        process.wait(60)
        return server

    yield start
    for process in processes:
        if process.poll() is None:
            process.kill()
        if process.stdout is not None:
            process.stdout.close()
        process.wait(60)


@pytest.fixture
def serve(tmp_path: Path) -> Iterator[Serve]:
    with servers(tmp_path) as start:
        yield start


@pytest.fixture(scope="module")
def serve_for_all(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Serve]:
    """Give what starts a server for all tests of a module, which leave it as it is."""
    with servers(tmp_path_factory.mktemp("module")) as start:
        yield start


@contextmanager
def taken_port() -> Iterator[int]:
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        listener.listen()
        yield listener.getsockname()[1]


@pytest.fixture
def a_taken_port() -> Iterator[int]:
    with taken_port() as port:
        yield port
