"""Whatever ends the wait for a compiler ends the compiler, with its children."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
from pathlib import Path

import pytest

from moc_server_ext.compilers.c import CCompiler
from moc_server_ext.compilers.process import run_compiler
from moc_server_ext.compilers.toolchains import Toolchain
from moc_server_ext.errors import CompileFailedError

# Says so and waits, in a child of its own that keeps the pipe open for as long as it lives.
SLOW = "(echo started >&3; exec sleep 1000) 3>{fifo} & wait"


@pytest.fixture
def fifo(tmp_path):
    path = tmp_path / "fifo"
    os.mkfifo(path)
    return path


def test_output_and_exit_status_are_given():
    assert run_compiler(["sh", "-c", "echo a; echo b >&2; exit 4"], environment={}, timeout_seconds=60) == (4, "a\nb\n")


def test_the_time_limit_ends_the_children_too(fifo):
    said: list[bytes] = []
    # Reads to the end, which is there when nobody has the pipe open any more.
    reader = threading.Thread(target=lambda: said.append(fifo.read_bytes()))
    reader.start()
    with pytest.raises(TimeoutError, match=r"longer than 5 s"):
        run_compiler(["sh", "-c", SLOW.format(fifo=fifo)], environment={}, timeout_seconds=5)
    reader.join()
    assert said == [b"started\n"]


def test_a_compiler_that_takes_too_long_is_a_failed_compilation():
    slow = Toolchain("slow", ("sh", "-c", "sleep 1000"), (), (), ())
    with pytest.raises(CompileFailedError, match=r"took longer than 0\.2 s and was stopped"):
        CCompiler(slow, timeout_seconds=0.2).compile("", filename="cell")


def test_a_compiler_that_dies_without_a_word_is_a_failed_compilation():
    broken = Toolchain("broken", ("sh", "-c", "kill -9 $$"), (), (), ())
    with pytest.raises(CompileFailedError, match="ended with status -9 and said nothing"):
        CCompiler(broken).compile("", filename="cell")


def test_ctrl_c_leaves_no_process_and_no_file(fifo, tmp_path):
    temporary = tmp_path / "temporary"
    temporary.mkdir()
    program = f"""
from moc_server_ext.compilers.c import CCompiler
from moc_server_ext.compilers.toolchains import Toolchain
CCompiler(Toolchain("slow", ("sh", "-c", {SLOW.format(fifo=fifo)!r}), (), (), ())).compile("", filename="cell")
"""
    process = subprocess.Popen(
        [sys.executable, "-c", program], env={**os.environ, "TMPDIR": str(temporary)}, stderr=subprocess.PIPE
    )
    with fifo.open("rb") as reader:
        assert reader.readline() == b"started\n"
        process.send_signal(signal.SIGINT)
        _, said = process.communicate()
        assert said.rstrip().endswith(b"KeyboardInterrupt")
        assert reader.read() == b""
    assert list(Path(temporary).iterdir()) == []
