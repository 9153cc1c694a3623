"""Runs a module on wasmtime's own WASI, in a process of its own: its runtime threads can end an interpreter badly.

``python native_wasi.py MODULE < scenarios.json`` prints ``[[exit code, output], …]``; a scenario is
``{"arguments", "env", "input"}``.
"""

from __future__ import annotations

import json
import sys
import tempfile
from pathlib import Path

import wasmtime


def run(module: wasmtime.Module, engine: wasmtime.Engine, scenario: dict) -> tuple[int, str]:
    with tempfile.TemporaryDirectory() as name:
        directory = Path(name)
        (directory / "stdin").write_text(scenario["input"])
        (directory / "root" / "tmp").mkdir(parents=True)
        config = wasmtime.WasiConfig()
        config.argv = ["guest", *scenario["arguments"]]
        config.env = list(scenario["env"].items())
        config.stdin_file = directory / "stdin"
        config.stdout_file = directory / "stdout"
        config.preopen_dir(str(directory / "root"), "/")
        store = wasmtime.Store(engine)
        store.set_wasi(config)
        linker = wasmtime.Linker(engine)
        linker.define_wasi()
        try:
            linker.instantiate(store, module).exports(store)["_start"](store)
            code = 0
        except wasmtime.ExitTrap as exit:
            code = exit.code
        return code, (directory / "stdout").read_text()


if __name__ == "__main__":
    engine = wasmtime.Engine()
    module = wasmtime.Module(engine, Path(sys.argv[1]).read_bytes())
    print(json.dumps([run(module, engine, scenario) for scenario in json.load(sys.stdin)]))
