"""Calls: a fresh posix call, a fresh direct call, a warm direct call."""

from __future__ import annotations

import json
import os
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import wasmtime

from moc_server_ext.cluster import Cluster
from moc_server_ext.model import CallRequest, Declaration

from .harness import Comparison, compare

SAMPLES = Path(__file__).parent.parent / "samples"
ADD = '(module (func (export "add") (param i32 i32) (result i32) (i32.add (local.get 0) (local.get 1))))'
EXTISM_ADD = """
(module
  (import "extism:host/env" "alloc" (func $alloc (param i64) (result i64)))
  (import "extism:host/env" "output_set" (func $output (param i64 i64)))
  (func (export "add") (result i32)
    (call $output (call $alloc (i64.const 4)) (i64.const 4))
    (i32.const 0)))
"""


def sample(name: str) -> bytes:
    """Read a shipped sample module."""
    entry = next(
        each for each in json.loads((SAMPLES / "manifest.json").read_text())["samples"] if each["name"] == name
    )
    return (SAMPLES / entry["wasm"]).read_bytes()


@contextmanager
def cluster() -> Iterator[Cluster]:
    """Open a cluster on a directory of its own, with ``uppercase`` and ``add`` registered."""
    with tempfile.TemporaryDirectory() as directory, Cluster.open(Path(directory) / "storage") as opened:
        opened.functions.put("uppercase", sample("uppercase"))
        opened.functions.put("add", bytes(wasmtime.wat2wasm(ADD)), Declaration(reusable=True))
        yield opened


def _native_wasi(module_bytes: bytes, directory: Path) -> tuple[bytes, object]:
    """Give a function that calls the module as wasmtime-py users do: its own WASI, files as stdin and stdout."""
    engine = wasmtime.Engine()
    module = wasmtime.Module(engine, module_bytes)
    linker = wasmtime.Linker(engine)
    linker.define_wasi()
    source, target = directory / "in", directory / "out"
    source.write_bytes(os.urandom(768).hex().encode()[:1024])

    def call() -> bytes:
        store = wasmtime.Store(engine)
        wasi = wasmtime.WasiConfig()
        wasi.argv = ("uppercase",)
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

    return source.read_bytes(), call


def run() -> list[Comparison]:
    """Measure calls embedded, in this process."""
    import extism

    results = []
    with cluster() as moc, tempfile.TemporaryDirectory() as directory:
        text, native = _native_wasi(sample("uppercase"), Path(directory))
        request = CallRequest("uppercase", input=text)
        if moc.call_sync(request).output != native():
            raise RuntimeError("the two sides of the posix benchmark disagree")
        results.append(
            compare(
                "posix call, fresh instance, 1 KB in and out",
                lambda: moc.call_sync(request),
                "wasmtime-py's own WASI",
                native,
                goal=0.35,
            )
        )

        engine = wasmtime.Engine()
        module = wasmtime.Module(engine, ADD)

        def fresh_peer() -> int:
            store = wasmtime.Store(engine)
            return wasmtime.Instance(store, module, []).exports(store)["add"](store, 40, 2)

        direct = CallRequest("add", ("40", "2"))
        if moc.call_sync(direct).result != fresh_peer():
            raise RuntimeError("the two sides of the direct benchmark disagree")
        results.append(
            compare(
                "direct call, fresh instance",
                lambda: moc.call_sync(direct),
                "wasmtime-py: Store + Instance + Func",
                fresh_peer,
                goal=1.3,
                count=1000,
            )
        )

        plugin = extism.Plugin(bytes(wasmtime.wat2wasm(EXTISM_ADD)))
        with moc.prepare(direct) as prepared:
            results.append(
                compare(
                    "direct call, warm instance",
                    lambda: prepared.call(40, 2),
                    "Extism: call of a reused plugin",
                    lambda: plugin.call("add", b""),
                    goal=0.3,
                    count=2000,
                )
            )
    return results
