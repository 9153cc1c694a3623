"""Runs modules on wasmtime's own WASI, in a process of its own: its runtime threads can end an interpreter badly.

Reads one JSON object a line, ``{"module": path, "arguments", "env", "input": path, "output": path, "root": path}``, and
answers each with a line that holds the exit code. Standard output goes to the file ``output``.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

import wasmtime

ENGINE = wasmtime.Engine()
MODULES: dict[str, wasmtime.Module] = {}


def run(request: dict[str, Any]) -> int:
    path = request["module"]
    if path not in MODULES:
        MODULES[path] = wasmtime.Module(ENGINE, Path(path).read_bytes())
    config = wasmtime.WasiConfig()
    config.argv = ["guest", *request["arguments"]]
    config.env = list(request["env"].items())
    config.stdin_file = request["input"]
    config.stdout_file = request["output"]
    config.preopen_dir(request["root"], "/")
    store = wasmtime.Store(ENGINE)
    store.set_wasi(config)
    linker = wasmtime.Linker(ENGINE)
    linker.define_wasi()
    try:
        linker.instantiate(store, MODULES[path]).exports(store)["_start"](store)
    except wasmtime.ExitTrap as exit:
        return exit.code
    return 0


if __name__ == "__main__":
    for line in sys.stdin:
        print(run(json.loads(line)), flush=True)
