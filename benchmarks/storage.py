"""Durable writes: a key-value set against SQLite itself with the same promise."""

from __future__ import annotations

import itertools
import os
import tempfile
from pathlib import Path

import apsw

from moc_server_ext.cluster import Cluster

from .harness import Comparison, compare
from .runtime import cluster


def run() -> list[Comparison]:
    """Measure with values that change (SQLite skips the write of an unchanged one)."""
    with cluster() as moc, tempfile.TemporaryDirectory() as directory:
        raw = apsw.Connection(str(Path(directory) / "raw.sqlite3"))
        raw.pragma("journal_mode", "wal")
        raw.pragma("synchronous", "full")
        raw.execute("create table kv(k blob primary key, v blob)")
        numbers = itertools.count()

        def ours() -> None:
            moc.kv.set(b"key", b"%d" % next(numbers))

        def theirs() -> None:
            raw.execute("insert or replace into kv values(?, ?)", (b"key", b"%d" % next(numbers)))

        content = os.urandom(1 << 20)
        target = Path(directory) / "copy"

        def put() -> None:
            moc.buffers.put("bench", next(numbers).to_bytes(8) + content)

        def plain_write() -> None:
            with target.open("wb") as file:
                file.write(next(numbers).to_bytes(8) + content)
                file.flush()
                os.fsync(file.fileno())

        results = [
            compare("durable key-value set", ours, "SQLite, synchronous=FULL", theirs, count=50),
            compare("buffer put, 1 MB, durable", put, "file write with fsync", plain_write, count=5),
        ]
        raw.close()
        return [*results, *_logs(moc, Path(directory))]


def _logs(moc: Cluster, directory: Path) -> list[Comparison]:
    """Measure how fast a log is sealed, against a durable write of as many bytes."""
    part, parts = os.urandom(8 << 20), 8
    target = directory / "whole"
    logs = [moc.buffers.open_log(f"log {number}") for number in range(7)]
    for log in logs:
        for _ in range(parts):
            log.append(part)

    def seal() -> None:
        logs.pop().seal()

    def plain_write() -> None:
        with target.open("wb") as file:
            for _ in range(parts):
                file.write(part)
            file.flush()
            os.fsync(file.fileno())
        # Sealing makes a new file, too.
        target.unlink()

    name = f"sealing a log, {parts} parts of 8 MiB"
    # Its goal in the issue: at least 0.7 of the disk's own speed.
    return [compare(name, seal, "file write with fsync", plain_write, goal=1 / 0.7, rounds=len(logs) - 1, count=1)]
