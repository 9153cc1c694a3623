"""The peer of posix calls: a module as users of wasmtime-py run it, with its own WASI and files as stdin and stdout."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import wasmtime


def native_wasi(module_bytes: bytes, content: bytes, directory: Path) -> Callable[[], bytes]:
    """Give a function that calls the module once, in a store of its own, and gives its output.

    Parameters
    ----------
    content
        Its stdin.
    directory
        Where the two files lie.
    """
    engine = wasmtime.Engine()
    module = wasmtime.Module(engine, module_bytes)
    linker = wasmtime.Linker(engine)
    linker.define_wasi()
    source, target = directory / "in", directory / "out"
    source.write_bytes(content)

    def call() -> bytes:
        store = wasmtime.Store(engine)
        wasi = wasmtime.WasiConfig()
        wasi.argv = ("guest",)
        wasi.stdin_file = str(source)
        wasi.stdout_file = str(target)
        store.set_wasi(wasi)
        start = linker.instantiate(store, module).exports(store)["_start"]
        try:
            start(store)
        except wasmtime.ExitTrap as exit_trap:
            if exit_trap.code:
                raise
        return target.read_bytes()

    return call
