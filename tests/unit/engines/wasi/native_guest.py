"""Answers calls of WASI functions by wasmtime's own WASI, over an empty directory of the host, as a process of its own.

Each line of stdin is a request, each line of stdout its answer, in JSON: ``["new", input]`` starts with a new guest;
``["call", name, …]`` gives an errno, or the message of a trap; ``["read", at, length]`` and ``["write", at, hex]``
reach the guest's memory.
"""

from __future__ import annotations

import json
import sys
import tempfile
from pathlib import Path
from typing import Any

import wasmtime

PAGES = 16


def wrap(engine: wasmtime.Engine, signatures: dict[str, list[str]]) -> wasmtime.Module:
    """Make a module that exports the functions it imports, since only a guest has the memory that they work on."""
    imports, exports = [], []
    for name, types in signatures.items():
        type_ = f"(param {' '.join(types)})" + ("" if name == "proc_exit" else "(result i32)")
        arguments = " ".join(f"(local.get {index})" for index in range(len(types)))
        imports.append(f'(import "wasi_snapshot_preview1" "{name}" (func ${name} {type_}))')
        exports.append(f'(func (export "{name}") {type_} (call ${name} {arguments}))')
    text = f'(module {"".join(imports)} (memory (export "memory") {PAGES}) {"".join(exports)})'
    return wasmtime.Module(engine, wasmtime.wat2wasm(text))


class Peer:
    """The guest of now."""

    def __init__(self, engine: wasmtime.Engine, module: wasmtime.Module, input: str) -> None:
        self._directory = tempfile.TemporaryDirectory()
        root = Path(self._directory.name)
        (root / "stdin").write_text(input)
        (root / "root" / "tmp").mkdir(parents=True)
        config = wasmtime.WasiConfig()
        config.stdin_file = root / "stdin"
        config.stdout_file = root / "stdout"
        config.preopen_dir(str(root / "root"), "/")
        self.store = wasmtime.Store(engine)
        self.store.set_wasi(config)
        linker = wasmtime.Linker(engine)
        linker.define_wasi()
        self.exports = linker.instantiate(self.store, module).exports(self.store)
        self.memory: Any = self.exports["memory"]

    def call(self, name: str, *numbers: int) -> int | str:
        """Call a function."""
        try:
            return int(self.exports[name](self.store, *numbers))  # type: ignore[operator]
        except wasmtime.WasmtimeError as error:
            return str(error)
        except wasmtime.Trap as trap:
            return trap.message

    def read(self, at: int, length: int) -> str:
        """Read memory."""
        return bytes(self.memory.read(self.store, at, at + length)).hex()

    def write(self, at: int, content: str) -> None:
        """Write memory."""
        self.memory.write(self.store, bytes.fromhex(content), at)

    def close(self) -> None:
        """Remove the directory."""
        self._directory.cleanup()


def main() -> None:
    engine = wasmtime.Engine()
    module = wrap(engine, json.loads(sys.stdin.readline()))
    peer = Peer(engine, module, "")
    for line in sys.stdin:
        what, *rest = json.loads(line)
        if what == "new":
            peer.close()
            peer = Peer(engine, module, *rest)
            answer = None
        else:
            answer = getattr(peer, what)(*rest)
        print(json.dumps(answer), flush=True)
    peer.close()


if __name__ == "__main__":
    main()
