"""Shared by the compilers' tests: a compiler, and wasmtime's own WASI as an independent judge of what it made."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import pytest
import wasmtime

from moc_server_ext.compilers.c import CCompiler


@pytest.fixture(scope="session")
def c() -> CCompiler:
    return CCompiler()


@pytest.fixture
def compile_c(c: CCompiler) -> Callable[..., bytes]:
    """Compile a source as a cell and give the module."""

    def compile_c(source: str, *flags: str, **options: Any) -> bytes:
        return c.compile(source, **{"filename": "cell", "flags": flags, **options}).content

    return compile_c


@pytest.fixture(scope="session")
def engine() -> wasmtime.Engine:
    return wasmtime.Engine()


@pytest.fixture
def exports(engine: wasmtime.Engine) -> Callable[[bytes], list[str]]:
    return lambda content: [each.name for each in wasmtime.Module(engine, content).exports]


@pytest.fixture
def imports(engine: wasmtime.Engine) -> Callable[[bytes], set[tuple[str, str]]]:
    return lambda content: {(each.module, each.name) for each in wasmtime.Module(engine, content).imports}


@pytest.fixture
def call(engine: wasmtime.Engine) -> Callable[..., Any]:
    """Call an export of a module that imports nothing."""

    def call(content: bytes, name: str, *numbers: int) -> Any:
        store = wasmtime.Store(engine)
        instance = wasmtime.Instance(store, wasmtime.Module(engine, content), [])
        return instance.exports(store)[name](store, *numbers)

    return call


@pytest.fixture
def run_program(engine: wasmtime.Engine, tmp_path: Path) -> Callable[..., tuple[int, bytes, bytes]]:
    """Run a program; its exit code, stdout and stderr."""

    def run_program(content: bytes, arguments: Sequence[str] = (), stdin: bytes = b"") -> tuple[int, bytes, bytes]:
        names = [tmp_path / name for name in ("stdin", "stdout", "stderr")]
        names[0].write_bytes(stdin)
        wasi = wasmtime.WasiConfig()
        wasi.argv = ["program", *arguments]
        wasi.stdin_file, wasi.stdout_file, wasi.stderr_file = map(str, names)
        store = wasmtime.Store(engine)
        store.set_wasi(wasi)
        linker = wasmtime.Linker(engine)
        linker.define_wasi()
        start = linker.instantiate(store, wasmtime.Module(engine, content)).exports(store)["_start"]
        exit_code = 0
        try:
            start(store)
        except wasmtime.ExitTrap as trap:
            exit_code = trap.code
        return exit_code, names[1].read_bytes(), names[2].read_bytes()

    return run_program
