"""The ``moc`` command as a process of its own, with a storage directory that only the test has."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from moc_server_ext.cli.main import main

Moc = Callable[..., subprocess.CompletedProcess[bytes]]

_OWN = ("MOC_STORAGE", "MOC_URL", "MOC_TOKEN", "MOC_ENDPOINT_FILE", "MOC_DEBUG", "_MOC_COMPLETE")


@pytest.fixture
def environment(tmp_path: Path) -> dict[str, str]:
    inherited = {name: value for name, value in os.environ.items() if name not in _OWN}
    return {**inherited, "MOC_STORAGE": str(tmp_path / "storage"), "COLUMNS": "120"}


@pytest.fixture
def command() -> list[str]:
    return [sys.executable, "-m", "moc_server_ext.cli"]


@pytest.fixture
def moc(environment: dict[str, str], command: list[str], tmp_path: Path) -> Moc:
    """Run a command line to its end."""

    def run(*words: str, input: bytes = b"", **env: str) -> subprocess.CompletedProcess[bytes]:
        return subprocess.run(
            [*command, *words],
            input=input,
            capture_output=True,
            cwd=tmp_path,
            env={**environment, **env},
            timeout=60,
            check=False,
        )

    return run


@pytest.fixture
def moc_inside(
    environment: dict[str, str],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capfdbinary: pytest.CaptureFixture[bytes],
) -> Moc:
    """Run a command line in this process, which is quicker: the same function, with the same stdout and stderr."""
    for name in _OWN:
        monkeypatch.delenv(name, raising=False)
    for name, value in environment.items():
        monkeypatch.setenv(name, value)
    monkeypatch.chdir(tmp_path)

    def run(*words: str) -> subprocess.CompletedProcess[bytes]:
        capfdbinary.readouterr()
        exit_code = main(words)
        written = capfdbinary.readouterr()
        return subprocess.CompletedProcess(words, exit_code, written.out, written.err)

    return run


@pytest.fixture
def wat(tmp_path: Path) -> Callable[[str, str], str]:
    """Write a module's text into a file and give its name."""

    def write(name: str, text: str) -> str:
        (tmp_path / f"{name}.wat").write_text(text)
        return f"{name}.wat"

    return write


POSIX = """
(module
  (import "wasi_snapshot_preview1" "fd_read" (func $read (param i32 i32 i32 i32) (result i32)))
  (import "wasi_snapshot_preview1" "fd_write" (func $write (param i32 i32 i32 i32) (result i32)))
  (import "wasi_snapshot_preview1" "proc_exit" (func $exit (param i32)))
  (memory (export "memory") 1)
  (data (i32.const 1024) "careful\\n")
  (func $put (param $fd i32) (param $pointer i32) (param $length i32)
    (i32.store (i32.const 0) (local.get $pointer))
    (i32.store (i32.const 4) (local.get $length))
    (drop (call $write (local.get $fd) (i32.const 0) (i32.const 1) (i32.const 8))))
  (func $get (result i32)
    (i32.store (i32.const 0) (i32.const 2048))
    (i32.store (i32.const 4) (i32.const 32768))
    (drop (call $read (i32.const 0) (i32.const 0) (i32.const 1) (i32.const 8)))
    (i32.load (i32.const 8)))
  (func (export "_start") %s))
"""


@pytest.fixture
def posix(wat: Callable[[str, str], str]) -> Callable[[str, str], str]:
    """Write a program with stdin, stdout, stderr and an exit code around the body of its ``_start``."""
    return lambda name, body: wat(name, POSIX % body)
