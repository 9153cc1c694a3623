"""Real kernels in processes of their own, each on a storage directory of its own."""

from __future__ import annotations

import contextlib
import dataclasses
import os
import queue
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from jupyter_client.blocking import BlockingKernelClient
from jupyter_client.manager import KernelManager

from guests import guest
from moc_server_ext.client import connect
from moc_server_ext.engines.wasm.text import wat_to_wasm
from support import start_server

START_SECONDS = 60
CELL_SECONDS = 90


@dataclasses.dataclass
class Cell:
    """What one cell gave."""

    stdout: str = ""
    stderr: str = ""
    shown: list[dict[str, Any]] = dataclasses.field(default_factory=list)
    result: dict[str, Any] | None = None
    error: dict[str, Any] | None = None
    status: str = ""
    help: str = ""
    messages: list[str] = dataclasses.field(default_factory=list)
    message_id: str = ""
    has_ended: bool = False

    @property
    def error_text(self) -> str:
        """The error as it stands below the cell, without colours."""
        assert self.error is not None, f"the cell did not fail; it printed {self.stdout!r} and {self.stderr!r}"
        return "\n".join(self.error["traceback"]).replace("\x1b[31m", "").replace("\x1b[0m", "")

    @property
    def displayed_bytes(self) -> int:
        """Size of everything that the cell's output keeps in the notebook."""
        bundles = [*self.shown, *([self.result] if self.result else [])]
        texts = [text for bundle in bundles for text in bundle.values()]
        return sum(len(str(text).encode()) for text in [self.stdout, self.stderr, *texts])


class Kernel:
    """A running kernel and the one who types into it."""

    def __init__(self, manager: KernelManager, client: BlockingKernelClient, storage: Path) -> None:
        self.manager = manager
        self.client = client
        self.storage = storage

    def run(self, code: str, *, watched: bool = False, check: bool = False) -> Cell:
        """Run a cell to its end; `watched` is what a front end says that has a person before it."""
        cell = self.begin(code, watched=watched)
        self.follow(cell, lambda: False)
        reply = self._reply(cell.message_id)
        cell.status = reply["status"]
        cell.help = "".join(each["data"]["text/plain"] for each in reply.get("payload", []) if "data" in each)
        if check:
            assert cell.error is None, cell.error_text
        return cell

    def begin(self, code: str, *, watched: bool = False) -> Cell:
        """Begin a cell."""
        return Cell(message_id=self.client.execute(code, allow_stdin=watched))

    def follow(self, cell: Cell, seen: Callable[[], bool]) -> Cell:
        """Take in what a cell shows until `seen` is true of it, or it has ended."""
        while not seen():
            message = self.client.get_iopub_msg(timeout=CELL_SECONDS)
            if message["parent_header"].get("msg_id") != cell.message_id:
                continue
            kind, content = message["msg_type"], message["content"]
            cell.messages.append(kind)
            if kind == "status" and content["execution_state"] == "idle":
                cell.has_ended = True
                break
            if kind == "stream":
                setattr(cell, content["name"], getattr(cell, content["name"]) + content["text"])
            elif kind in ("display_data", "update_display_data"):
                cell.shown.append(content["data"])
            elif kind == "execute_result":
                cell.result = content["data"]
            elif kind == "error":
                cell.error = content
        return cell

    def do(self, code: str, **options: Any) -> Cell:
        """Run a cell that must not fail."""
        return self.run(code, check=True, **options)

    def _reply(self, message_id: str) -> dict[str, Any]:
        while True:
            message = self.client.get_shell_msg(timeout=CELL_SECONDS)
            if message["parent_header"].get("msg_id") == message_id:
                return message["content"]


def start_kernel(name: str, storage: Path) -> Kernel:
    """Start a kernel that knows of no server."""
    kept = {key: value for key, value in os.environ.items() if not key.startswith(("MOC_", "JPY_"))}
    manager = KernelManager(kernel_name=name)
    manager.start_kernel(env={**kept, "MOC_STORAGE": str(storage)}, cwd=str(storage.parent))
    client = manager.client()
    client.start_channels()
    client.wait_for_ready(timeout=START_SECONDS)
    # Starting up is told as well; from here on every message belongs to a cell.
    try:
        while True:
            client.get_iopub_msg(timeout=0)
    except queue.Empty:
        pass
    return Kernel(manager, client, storage)


@contextlib.contextmanager
def running_kernel(name: str, storage: Path) -> Iterator[Kernel]:
    """Start a kernel and end it whatever happens."""
    kernel = start_kernel(name, storage)
    try:
        yield kernel
    finally:
        kernel.client.stop_channels()
        kernel.manager.shutdown_kernel(now=True)
        kernel.client.context.destroy()


@pytest.fixture(scope="module", params=["moc", "python3"])
def kernel(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Kernel]:
    """Give both kernels that have the magics, with the functions that the tests call."""
    with running_kernel(request.param, tmp_path_factory.mktemp("notebook") / "storage") as kernel:
        if request.param == "python3":
            kernel.do("%load_ext moc_kernel")
        for name, text in FUNCTIONS.items():
            kernel.do(f"%%moc wat {name}\n{text}")
        yield kernel


@pytest.fixture(scope="module", params=["embedded", "server"])
def live_kernel(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Kernel]:
    """Give a `moc` kernel on either door, with the guests that take their time."""
    storage = tmp_path_factory.mktemp("live") / "storage"
    with connect(storage=storage) as moc:
        for name in ("cat", "pause", "pant", "spin", "sleep", "complain"):
            moc.functions.put(name, guest(name))
        moc.functions.put("add", wat_to_wasm(FUNCTIONS["add"]))
    with contextlib.ExitStack() as running:
        if request.param == "server":
            running.callback(start_server(storage).kill)
        yield running.enter_context(running_kernel("moc", storage))


@pytest.fixture
def fresh_kernel(tmp_path: Path) -> Iterator[Kernel]:
    """Give a `moc` kernel in which nothing has happened."""
    with running_kernel("moc", tmp_path / "storage") as kernel:
        yield kernel


@pytest.fixture
def plain_kernel(tmp_path: Path) -> Iterator[Kernel]:
    """Give an ordinary Python kernel in which nothing has happened."""
    with running_kernel("python3", tmp_path / "storage") as kernel:
        yield kernel


_WASI = """(module
  (import "wasi_snapshot_preview1" "fd_read" (func $read (param i32 i32 i32 i32) (result i32)))
  (import "wasi_snapshot_preview1" "fd_write" (func $write (param i32 i32 i32 i32) (result i32)))
  (import "wasi_snapshot_preview1" "proc_exit" (func $exit (param i32)))
  (memory (export "memory") 2)
  %s)"""

FUNCTIONS = {
    "add": '(module (func (export "add") (param i32 i32) (result i32) local.get 0 local.get 1 i32.add))',
    "divide": '(module (func $divide (export "divide") (param i32) (result i32) i32.const 1 local.get 0 i32.div_s))',
    "spin": '(module (func (export "spin") (loop br 0)))',
    # Copies stdin to stdout until nothing comes.
    "cat": _WASI
    % """(func (export "_start")
      (block $done (loop $next
        (i32.store (i32.const 0) (i32.const 64)) (i32.store (i32.const 4) (i32.const 65536))
        (drop (call $read (i32.const 0) (i32.const 0) (i32.const 1) (i32.const 8)))
        (br_if $done (i32.eqz (i32.load (i32.const 8))))
        (i32.store (i32.const 4) (i32.load (i32.const 8)))
        (drop (call $write (i32.const 1) (i32.const 0) (i32.const 1) (i32.const 8)))
        (br $next))))""",
    "complain": _WASI
    % """(data (i32.const 64) "no such luck\\n")
    (func (export "_start")
      (i32.store (i32.const 0) (i32.const 64)) (i32.store (i32.const 4) (i32.const 13))
      (drop (call $write (i32.const 2) (i32.const 0) (i32.const 1) (i32.const 8)))
      (call $exit (i32.const 3)))""",
}
FUNCTIONS["cat-to-stderr"] = FUNCTIONS["cat"].replace("(call $write (i32.const 1)", "(call $write (i32.const 2)")
