"""Backups with nothing new, and how soon a restored storage answers."""

from __future__ import annotations

import os
import tempfile
import time
from pathlib import Path

import wasmtime

from moc_server_ext.cluster import Cluster
from moc_server_ext.model import CallRequest
from moc_server_ext.storage.backup.creating import create_backup
from moc_server_ext.storage.backup.restoring import restore_backup
from moc_server_ext.storage.targets.directory import DirectoryTarget

OBJECTS = 10_000
ANSWER = '(module (func (export "answer") (result i32) i32.const 42))'


def main() -> None:
    """Print both figures."""
    with tempfile.TemporaryDirectory() as directory:
        target = DirectoryTarget(Path(directory) / "target")
        with Cluster.open(Path(directory) / "storage") as cluster:
            cluster.functions.put("answer", bytes(wasmtime.wat2wasm(ANSWER)))
            for start in range(0, OBJECTS, 500):
                with cluster.storage.group() as group:
                    for number in range(start, start + 500):
                        cluster.storage.kv.set(b"%d" % number, os.urandom(70_000), group=group)
            begun = time.perf_counter()
            create_backup(cluster.storage, target)
            first = time.perf_counter() - begun
            begun = time.perf_counter()
            create_backup(cluster.storage, target)
            print(
                f"backup of {OBJECTS:,} objects: {first:.2f} s; with nothing new: {time.perf_counter() - begun:.2f} s"
            )
        begun = time.perf_counter()
        restore_backup(target, Path(directory) / "restored")
        print(f"restore: {time.perf_counter() - begun:.2f} s")
        begun = time.perf_counter()
        with Cluster.open(Path(directory) / "restored") as cluster:
            assert cluster.call_sync(CallRequest("answer")).result == 42
            print(f"first answered call of the restored storage: {time.perf_counter() - begun:.2f} s")


if __name__ == "__main__":
    main()
