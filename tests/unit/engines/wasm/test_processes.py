"""What can only be seen in a process of its own: faulthandler in both orders, address space, the clock's sleep."""

from __future__ import annotations

import subprocess
import sys

import pytest

PROGRAM = """
import faulthandler, hashlib, sys, tempfile, pathlib
import wasmtime
from moc_server_ext.buffers.exchange import ExchangeBuffer
from moc_server_ext.engines.wasm import WasmEngine
from moc_server_ext.errors import TrapError
from moc_server_ext.guest_api.context import CallContext
from moc_server_ext.model import Invocation, Mode
BEFORE
content = bytes(wasmtime.wat2wasm('(module (memory 1) (func (export "run") (drop (i32.load (i32.const 65536)))))'))
blob_id = hashlib.sha256(content).hexdigest()
engine = WasmEngine([], cache_directory=pathlib.Path(tempfile.mkdtemp()) / "cache")
def run():
    try:
        engine.run(CallContext(Invocation("f", blob_id, Mode.DIRECT, "run"), ExchangeBuffer(b"")), lambda: content)
    except TrapError as error:
        print(error.details["reason"])
run()
AFTER
run()
"""


@pytest.mark.parametrize(
    ("before", "after"),
    [
        ("faulthandler.enable()", ""),
        ("faulthandler.disable()", ""),
        ("faulthandler.disable()", "faulthandler.enable()"),
    ],
)
def test_an_out_of_bounds_access_is_a_trap_whenever_faulthandler_is_enabled(before, after):
    program = PROGRAM.replace("BEFORE", before).replace("AFTER", after)
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout.splitlines()) == (0, ["out of bounds memory access"] * 2), done.stderr


def test_a_process_without_address_space_gets_an_error_and_goes_on():
    limit = "import resource; resource.setrlimit(resource.RLIMIT_AS, (8 << 30, 8 << 30))"
    program = PROGRAM.replace("BEFORE", limit).replace("AFTER", "")
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=False)
    assert done.returncode == 1
    assert "UnavailableError" in done.stderr
    assert "ulimit -v" in done.stderr


def test_ctrl_c_ends_a_compilation_and_its_process(tmp_path):
    started = tmp_path / "started"
    program = f"""
import os, pathlib, signal, sys, threading, time
from moc_server_ext.engines.wasm import WasmEngine, compilation
compilation._CHILD = ("/bin/sh", "-c", "echo $$ > {started}; exec sleep 1000")
engine = WasmEngine([], cache_directory=pathlib.Path({str(tmp_path / "cache")!r}))
def interrupt():
    while not (os.path.exists({str(started)!r}) and open({str(started)!r}).read().endswith("\\n")):
        time.sleep(0.01)
    os.kill(os.getpid(), signal.SIGINT)
threading.Thread(target=interrupt).start()
try:
    engine.inspect("large", b"\\0asm\\1\\0\\0\\0" + b"\\0\\x80\\x80\\x08" + bytes(1 << 17))
except KeyboardInterrupt:
    child = int(open({str(started)!r}).read())
    try:
        os.kill(child, 0)
    except ProcessLookupError:
        print("gone")
"""
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=False)
    assert done.stdout == "gone\n", done.stderr
