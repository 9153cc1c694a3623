"""Each limit holds wherever it is set (for the server, a function, a call), and each may only lower what is above."""

from __future__ import annotations

import ssl
import subprocess
import sys
from collections.abc import Callable, Mapping
from pathlib import Path

import httpx
import pytest

from moc_server_ext.cluster import Cluster
from moc_server_ext.engines.wasi import PREVIEW1
from moc_server_ext.engines.wasm.text import wat_to_wasm
from moc_server_ext.errors import LimitExceededError
from moc_server_ext.guest_api.core import CORE
from moc_server_ext.guest_api.errno import Errno
from moc_server_ext.model import CallRequest, Declaration, Grants, Limits, Number
from support import MocServer

NAME = 60_000


def program(body: str, *, memory: str = '(memory (export "memory") 1)') -> bytes:
    imports = "".join(
        f'(import "{module.name}" "{name}" (func ${name} (param {" ".join(function.signature.params)})'
        f" (result {' '.join(function.signature.results)})))"
        for module in (PREVIEW1, CORE)
        for name, function in module.functions.items()
    )
    return wat_to_wasm(f"""(module {imports} {memory} (data (i32.const {NAME}) "guestfile")
      (func (export "_start") (local $n i32) {body}))""")


def until_refused(call: str) -> str:
    """Repeat a host call until it gives an error number, and end with that as exit code."""
    return (
        f"(loop $more (local.set $n {call}) (br_if $more (i32.ge_s (local.get $n) (i32.const 0))))"
        "(call $proc_exit (i32.sub (i32.const 0) (local.get $n)))"
    )


OPEN = f"""(call $path_open (i32.const 3) (i32.const 0) (i32.const {NAME + 5}) (i32.const 4) (i32.const 1)
  (i64.const -1) (i64.const -1) (i32.const 0) (i32.const 64))"""
WRITE = """(i32.store (i32.const 4) (i32.const 1000))
  (drop (call $fd_write (i32.const {}) (i32.const 0) (i32.const 1) (i32.const 8)))"""
DEEPER = f"(call $call_function (i32.const {NAME}) (i32.const 5) {'(i32.const 0) ' * 12})"

# The guest, and what tells that the limit held: the name of the limit in the error, or the guest's exit code.
ATTACKS: dict[str, tuple[bytes, Number, int | None]] = {
    "memory_bytes": (
        program("(call $proc_exit (i32.ne (memory.grow (i32.const 31)) (i32.const -1)))"), 1 << 20, 0,
    ),
    "timeout_seconds": (program("(loop (br 0))"), 0.1, None),
    "output_bytes": (program(f"(loop {WRITE.format(1)} (br 0))"), 50_000, None),
    "stderr_bytes": (program(f"(loop {WRITE.format(2)} (br 0))"), 50_000, None),
    "scratch_bytes": (
        program(until_refused("(call $base64_encode (i32.const 0) (i32.const 3000))")), 50_000, Errno.ENOSPC,
    ),
    "open_files": (
        program(f"(loop $more (local.set $n {OPEN}) (br_if $more (i32.eqz (local.get $n)))) "
                "(call $proc_exit (local.get $n))"), 5, Errno.EMFILE,
    ),
    "call_depth": (program(f"(call $proc_exit (i32.sub (i32.const 0) {DEEPER}))"), 1, Errno.ELOOP),
    "buffers": (program(until_refused("(call $create_exchange_buffer)")), 5, Errno.EMFILE),
}  # fmt: skip
LEVELS = ["server", "function", "call"]


@pytest.fixture
def call(tmp_path: Path) -> Callable[..., object]:
    """Call a guest with limits at each level; gives the exit code, or the limit that ended it."""

    def go(
        content: bytes, server: Mapping[str, Number], function: Mapping[str, Number], call: Mapping[str, Number]
    ) -> tuple[int | None, str | None, str]:
        limits = Limits(timeout_seconds=20).narrowed(server)
        with Cluster.open(tmp_path / "storage", limits=limits, cache_directory=tmp_path / "modules") as moc:
            moc.functions.put("guest", content, Declaration(grants=Grants(frozenset({"call"})), limits=function))
            try:
                return moc.call_sync(CallRequest("guest", limits=call)).exit_code, None, ""
            except LimitExceededError as error:
                return None, str(error.details["limit"]), error.message

    return go


@pytest.mark.parametrize("level", LEVELS)
@pytest.mark.parametrize("limit", ATTACKS)
def test_a_limit_holds_wherever_it_is_set(call: Callable[..., tuple[object, str, str]], limit: str, level: str) -> None:
    content, low, exit_code = ATTACKS[limit]
    high = {limit: 60 if limit == "timeout_seconds" else 1 << 40}
    # The others ask for more, which changes nothing: a limit only goes down.
    found, ended_by, message = call(content, *({limit: low} if each == level else high for each in LEVELS))
    if exit_code is None:
        assert ended_by == limit
        assert limit in message
        assert "moc push --limit" in message
    else:
        assert (found, ended_by) == (exit_code, None)


def test_no_door_of_a_server_raises_a_limit(moc_server: MocServer, tmp_path: Path) -> None:
    """The function's own limit is between what the two callers ask for."""
    content, low, _ = ATTACKS["output_bytes"]
    path = tmp_path / "guest.wasm"
    path.write_bytes(content)

    def moc(*arguments: str) -> subprocess.CompletedProcess[str]:
        command = [sys.executable, "-m", "moc_server_ext.cli", "--storage", str(moc_server.storage), *arguments]
        return subprocess.run(command, capture_output=True, text=True, errors="replace", check=False)

    pushed = moc("push", "--limit", f"output_bytes={low}", "guest", str(path))
    assert pushed.returncode == 0, pushed.stderr
    for asked in (1000, 1 << 30):
        allowed = min(asked, low)

        called = moc("call", "--limit", f"output_bytes={asked}", "guest")
        assert called.returncode == 1
        assert called.stderr.startswith(
            f"moc: error[limit_exceeded]: Function 'guest' reached its limit output_bytes = {allowed:,}"
        )
        assert "Traceback" not in called.stderr

        endpoint = moc_server.endpoint
        answer = httpx.post(
            f"{endpoint['url'].rstrip('/')}/moc/api/v1/functions/guest/call",
            params={"limit": f"output_bytes={asked}"},
            headers={"Authorization": f"Bearer {endpoint['token']}", "Accept": "application/json"},
            verify=ssl.create_default_context(cafile=endpoint["ca_file"]),
            timeout=60,
        )
        error = answer.json()["error"]
        assert (answer.status_code, error["code"]) == (422, "limit_exceeded")
        assert (error["details"]["limit"], error["details"]["allowed"]) == ("output_bytes", allowed)
