"""The places where one program of WASI runs to be compared: our private tree, our host directory, wasmtime's own WASI.

Each run starts with a tree of its own whose root `/` is descriptor 3 and holds an empty directory ``tmp``.
"""

from __future__ import annotations

import hashlib
import json
import subprocess
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from moc_server_ext.buffers.exchange import ExchangeBuffer
from moc_server_ext.compilers import compiler_for
from moc_server_ext.engines.wasm.engine import WasmEngine
from moc_server_ext.guest_api.context import CallContext
from moc_server_ext.model import Invocation, Limits, Mode
from moc_server_ext.model.mounts import Mount

PROGRAMS = Path(__file__).parent / "wasi" / "programs"
FREESTANDING = ("-ffreestanding", "-nostdlib", "-fno-builtin")
LIMITS = Limits(timeout_seconds=120)


def compile_program(name: str, *flags: str) -> bytes:
    """Compile one of the programs, which bring what they need of a C library."""
    source = PROGRAMS / f"{name}.c"
    return compiler_for("c").compile(source.read_text(), filename=str(source), flags=(*FREESTANDING, *flags)).content


@dataclass(frozen=True, slots=True)
class Ended:
    """How a program ended, and the directory that it worked in where there is one to look at."""

    exit_code: int
    output: bytes
    root: Path | None = None


class Place(Protocol):
    """Runs programs, each in a fresh tree."""

    def run(
        self, module: bytes, arguments: Sequence[str] = (), *, env: Mapping[str, str] | None = None, input: bytes = b""
    ) -> Ended: ...


class _Trees:
    """Makes the host directories of runs."""

    def __init__(self, directory: Path) -> None:
        self._directory = directory
        self._made = 0

    def make(self) -> Path:
        self._made += 1
        root = self._directory / str(self._made) / "root"
        (root / "tmp").mkdir(parents=True)
        return root


class OurPlace:
    """A call of our engine, in the private tree or with a host directory in its place."""

    def __init__(self, engine: WasmEngine, trees: Path | None = None) -> None:
        self._engine = engine
        self._trees = _Trees(trees) if trees is not None else None

    def run(
        self, module: bytes, arguments: Sequence[str] = (), *, env: Mapping[str, str] | None = None, input: bytes = b""
    ) -> Ended:
        root = self._trees.make() if self._trees is not None else None
        invocation = Invocation(
            "guest",
            hashlib.sha256(module).hexdigest(),
            Mode.POSIX,
            "_start",
            arguments=tuple(arguments),
            env=dict(env or {}),
            limits=LIMITS,
            mounts=() if root is None else (Mount(str(root), "/", read_only=False),),
        )
        result = self._engine.run(CallContext(invocation, ExchangeBuffer(input)), lambda: module)
        return Ended(result.exit_code, result.output, root)


class NativePlace:
    """Wasmtime's own WASI over a host directory; a context manager that owns the process it runs in."""

    def __init__(self, directory: Path) -> None:
        self._directory = directory
        self._trees = _Trees(directory)
        command = [sys.executable, str(PROGRAMS.parent / "native_wasi.py")]
        self._process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)

    def run(
        self, module: bytes, arguments: Sequence[str] = (), *, env: Mapping[str, str] | None = None, input: bytes = b""
    ) -> Ended:
        root = self._trees.make()
        path = self._directory / f"{hashlib.sha256(module).hexdigest()}.wasm"
        if not path.exists():
            path.write_bytes(module)
        stdin, stdout = root.parent / "stdin", root.parent / "stdout"
        stdin.write_bytes(input)
        request = {
            "module": str(path),
            "arguments": list(arguments),
            "env": dict(env or {}),
            "input": str(stdin),
            "output": str(stdout),
            "root": str(root),
        }
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._process.stdin.write(json.dumps(request) + "\n")
        self._process.stdin.flush()
        answer = self._process.stdout.readline()
        assert answer, "wasmtime's own WASI ended its process; see what it printed"
        return Ended(int(answer), stdout.read_bytes(), root)

    def __enter__(self) -> NativePlace:
        return self

    def __exit__(self, *exc: object) -> None:
        self._process.communicate()
