"""Durable writes and reads of key-values: against SQLite itself with the same promise, alone and from eight threads."""

from __future__ import annotations

import itertools
import os
import tempfile
import threading
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import apsw

from .harness import Comparison, Measurement, compare
from .runtime import cluster

_THREADS = 8
_SETS = 25
_PUT = "insert or replace into kv values(?, ?)"


def _open(path: Path) -> apsw.Connection:
    connection = apsw.Connection(str(path))
    connection.set_busy_timeout(60_000)
    connection.pragma("journal_mode", "wal")
    connection.pragma("synchronous", "full")
    return connection


def _from_threads(pool: ThreadPoolExecutor, write: Callable[[int], object]) -> Callable[[], None]:
    """Give what has each of the threads write some times."""

    def several(thread: int) -> None:
        for _ in range(_SETS):
            write(thread)

    return lambda: list(pool.map(several, range(_THREADS))).clear()


def run() -> list[Comparison | Measurement]:
    """Measure with values that change (SQLite skips the write of an unchanged one)."""
    with cluster() as moc, tempfile.TemporaryDirectory() as directory:
        raw = _open(Path(directory) / "raw.sqlite3")
        raw.execute("create table kv(k blob primary key, v blob)")
        numbers = itertools.count()

        def ours() -> None:
            moc.kv.set(b"key", b"%d" % next(numbers))

        def theirs() -> None:
            raw.execute(_PUT, (b"key", b"%d" % next(numbers)))

        content = os.urandom(1 << 20)
        target = Path(directory) / "copy"

        def put() -> None:
            moc.buffers.put("bench", next(numbers).to_bytes(8) + content)

        def plain_write() -> None:
            with target.open("wb") as file:
                file.write(next(numbers).to_bytes(8) + content)
                file.flush()
                os.fsync(file.fileno())

        lock = threading.Lock()
        connections = [_open(Path(directory) / "raw.sqlite3") for _ in range(_THREADS)]

        def ours_of(thread: int) -> None:
            moc.kv.set(b"key %d" % thread, b"%d" % next(numbers))

        def theirs_with_a_lock(thread: int) -> None:
            with lock:
                raw.execute(_PUT, (b"key %d" % thread, b"%d" % next(numbers)))

        def theirs_by_connections(thread: int) -> None:
            connections[thread].execute(_PUT, (b"key %d" % thread, b"%d" % next(numbers)))

        results: list[Comparison | Measurement] = [
            compare("durable key-value set", ours, "SQLite, synchronous=FULL", theirs, goal=1.25, count=50),
            compare("buffer put, 1 MB, durable", put, "file write with fsync", plain_write, count=5),
        ]
        with ThreadPoolExecutor(_THREADS) as pool:
            for peer, write in (
                ("SQLite FULL, one connection with a lock", theirs_with_a_lock),
                ("SQLite FULL, 8 connections", theirs_by_connections),
            ):
                results.append(
                    compare(
                        f"{_THREADS * _SETS} durable key-value sets from 8 threads",
                        _from_threads(pool, ours_of),
                        peer,
                        _from_threads(pool, write),
                        # 1.3 times the throughput of the better one of the two.
                        goal=1 / 1.3,
                        rounds=7,
                        count=1,
                    )
                )
        moc.kv.set(b"read", b"r" * 100)
        begin = time.perf_counter_ns()
        for _ in range(5000):
            moc.kv.get(b"read")
        taken_us = (time.perf_counter_ns() - begin) / 5000 / 1000
        results.append(Measurement("key-value get, in process", f"{taken_us:.1f} µs", "at most 20 µs", taken_us <= 20))
        for connection in (raw, *connections):
            connection.close()
        return results
