"""Arrays in process: a page of a large buffer against ``pread``, a scan of chunks against zarr's own store."""

from __future__ import annotations

import os
import random
import tempfile
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import zarr
from zarr.storage import LocalStore

from moc_server_ext.client import connect
from moc_server_ext.cluster import Cluster

from .harness import Comparison, Measurement, compare

PAGE_BYTES = 4096
_MEBIBYTE = os.urandom(1 << 20)


def megabytes(count: int) -> Iterator[bytes]:
    """Give `count` MiB in parts."""
    return (_MEBIBYTE for _ in range(count))


def run(quick: bool) -> list[Comparison | Measurement]:
    """Measure a 4 KB slice of a 1 GB buffer, and reading an array of 8 MB chunks from end to end."""
    with tempfile.TemporaryDirectory() as directory:
        storage = Path(directory) / "storage"
        with Cluster.open(storage) as cluster:
            found = _slices(cluster, Path(directory), 128 if quick else 1024)
        return [*found, *_scans(storage, Path(directory), 128 if quick else 512)]


def _slices(cluster: Cluster, directory: Path, size: int) -> list[Comparison | Measurement]:
    cluster.buffers.put("large", megabytes(size))
    plain = directory / "plain"
    with plain.open("wb") as file:
        file.writelines(megabytes(size))
    offsets = random.Random(1)
    last = (size << 20) - PAGE_BYTES

    def ours() -> bytes:
        at = offsets.randrange(last)
        return cluster.buffers.read("large", at, at + PAGE_BYTES)

    with plain.open("rb") as file:
        compared = compare(
            f"4 KB slice of a buffer of {size} MB, in process",
            ours,
            "pread of an open file",
            lambda: os.pread(file.fileno(), PAGE_BYTES, offsets.randrange(last)),
        )
    return [
        compared,
        Measurement(compared.subject, f"{compared.ours_us:.0f} µs", "≤ 60 µs", compared.ours_us <= 60),
    ]


def _scans(storage: Path, directory: Path, size: int) -> list[Comparison]:
    """Read the same array by moc's chunks, through moc's Zarr store, and with zarr from its own directory store."""
    elements = np.random.default_rng(1).integers(0, 1 << 60, (size << 20) // 8).reshape(-1, 1024)
    chunks = (1024, 1024)
    local = zarr.create_array(
        LocalStore(directory / "peer"), shape=elements.shape, chunks=chunks, dtype=elements.dtype, compressors=None
    )
    local[:] = elements
    with connect(storage=storage) as moc:
        moc.buffers.put("scan", elements, chunks=chunks)
        stored = zarr.open_array(moc.zarr_store(), path="buffers/scan", mode="r")
        expected = int(elements.sum())
        assert int(stored[:].sum()) == int(moc.buffers["scan"].to_numpy().sum()) == expected

        def blocks() -> None:
            for _ in moc.buffers["scan"].blocks():
                pass

        def chunk_rows(array: zarr.Array) -> None:
            for row in range(0, elements.shape[0], chunks[0]):
                array[row : row + chunks[0]]

        subject = f"scan of {size} MB in chunks of 8 MB"
        peer = "zarr over LocalStore"
        goal = round(1 / 0.9, 2)
        return [
            compare(f"{subject}, `blocks()`", blocks, peer, lambda: chunk_rows(local), goal=goal, rounds=5, count=1),
            compare(
                f"{subject}, zarr over moc's store",
                lambda: chunk_rows(stored),
                peer,
                lambda: chunk_rows(local),
                goal=goal,
                rounds=5,
                count=1,
            ),
        ]
