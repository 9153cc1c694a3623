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
from moc_server_ext.model import CallRequest, Declaration, Grants

from .harness import Comparison, compare
from .native import native_wasi

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
    """Open a cluster on a directory of its own, with ``uppercase`` and ``add`` registered in two ways."""
    with tempfile.TemporaryDirectory() as directory, Cluster.open(Path(directory) / "storage") as opened:
        opened.functions.put("uppercase", sample("uppercase"))
        # What may open URLs is linked with streams that can wait.
        live = Declaration(grants=Grants(allowed_hosts=frozenset({"localhost"})))
        opened.functions.put("uppercase live", sample("uppercase"), live)
        opened.functions.put("add", bytes(wasmtime.wat2wasm(ADD)), Declaration(reusable=True))
        opened.functions.put("fresh add", bytes(wasmtime.wat2wasm(ADD)))
        yield opened


def run() -> list[Comparison]:
    """Measure calls embedded, in this process."""
    import extism

    results = []
    with cluster() as moc, tempfile.TemporaryDirectory() as directory:
        text = os.urandom(512).hex().encode()
        native = native_wasi(sample("uppercase"), text, Path(directory))
        for name, what, goal in (("uppercase", "still", 0.25), ("uppercase live", "live", 0.35)):
            request = CallRequest(name, input=text)
            if moc.call_sync(request).output != native():
                raise RuntimeError("the two sides of the posix benchmark disagree")
            results.append(
                compare(
                    f"posix call, fresh {what} instance, 1 KB in and out",
                    lambda request=request: moc.call_sync(request),  # type: ignore[misc]
                    "wasmtime-py's own WASI",
                    native,
                    goal=goal,
                )
            )

        engine = wasmtime.Engine()
        module = wasmtime.Module(engine, ADD)

        def fresh_peer() -> int:
            store = wasmtime.Store(engine)
            return wasmtime.Instance(store, module, []).exports(store)["add"](store, 40, 2)

        fresh, direct = (CallRequest(name, ("40", "2"), entry="add") for name in ("fresh add", "add"))
        if not moc.call_sync(fresh).result == moc.call_sync(direct).result == fresh_peer():
            raise RuntimeError("the two sides of the direct benchmark disagree")
        results.append(
            compare(
                "direct call, fresh instance",
                lambda: moc.call_sync(fresh),
                "wasmtime-py: Store + Instance + Func",
                fresh_peer,
                goal=1.1,
                count=1000,
            )
        )
        results.append(
            compare(
                "direct call, instance of the warm pool",
                lambda: moc.call_sync(direct),
                "wasmtime-py: Store + Instance + Func",
                fresh_peer,
                count=1000,
            )
        )

        plugin = extism.Plugin(bytes(wasmtime.wat2wasm(EXTISM_ADD)))
        with moc.prepare(direct) as prepared:
            results.append(
                compare(
                    "direct call, warm instance of a prepared call",
                    lambda: prepared.call(40, 2),
                    "Extism: call of a reused plugin",
                    lambda: plugin.call("add", b""),
                    goal=0.2,
                    count=2000,
                )
            )
    return results
