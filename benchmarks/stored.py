"""Large stored bodies: what a server needs to take one and to give it back, in seconds and in memory."""

from __future__ import annotations

import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from moc_server_ext.abc import Platform

_PART = bytes(range(256)) * 1024


@dataclass(frozen=True, slots=True)
class StoredTransfer:
    """What came of one buffer's way there and back.

    Attributes
    ----------
    peak_growth_bytes
        How far the server's resident memory was, at its highest, above what it was before.
    """

    size: int
    upload_seconds: float
    download_seconds: float
    peak_growth_bytes: int


def store_and_read(platform: Platform, server_pid: int, size: int, *, name: str = "large") -> StoredTransfer:
    """Upload a buffer of `size` bytes, download it, and delete it; nothing of it is kept on this side.

    The server must take bodies of this size (``MocExtension.max_body_bytes``), and run on this machine, on Linux.
    """
    platform.buffers.put("warm-up", iter([_PART * 8]))
    for _ in platform.buffers.parts("warm-up"):
        pass
    before = resident_bytes(server_pid, "VmRSS")
    begin = time.perf_counter()
    platform.buffers.put(name, _parts(size))
    stored = time.perf_counter()
    received = sum(map(len, platform.buffers.parts(name)))
    end = time.perf_counter()
    peak = resident_bytes(server_pid, "VmHWM")
    for each in (name, "warm-up"):
        platform.buffers.delete(each)
    if received != size:
        raise RuntimeError(f"{received:,} bytes came back of {size:,}")
    return StoredTransfer(size, stored - begin, end - stored, peak - before)


def resident_bytes(pid: int, field: str) -> int:
    """Read a process's resident memory: ``VmRSS`` now, ``VmHWM`` at its highest."""
    for line in Path(f"/proc/{pid}/status").read_text().splitlines():
        name, _, value = line.partition(":")
        if name == field:
            return int(value.split()[0]) << 10
    raise RuntimeError(f"process {pid} has no {field}")


def _parts(size: int) -> Iterator[bytes]:
    for begin in range(0, size, len(_PART)):
        yield _PART[: size - begin]
