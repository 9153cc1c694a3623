"""Arrays through a server: a page of a large buffer against a bare handler; an array's way from a kernel to disk."""

from __future__ import annotations

import statistics

from ..arrays import PAGE_BYTES, megabytes
from ..harness import Measurement
from .kernels import kernel_values
from .load import Generator
from .server import Server, moc_server, peer

_MAX_BODY_BYTES = 4 << 30
_LARGEST_SLOWDOWN = 1.5
_LEAST_SHARE = 0.5

_PUT = """
import json, os, shutil, tempfile, time
import numpy as np
moc = __import__("moc_kernel").connect()
array = np.random.default_rng(1).random(({size} << 20) // 8).reshape(-1, 1024)
directory = {directory!r}
source, target = os.path.join(directory, "source"), os.path.join(directory, "target")
array.tofile(source)

def seconds(run):
    begin = time.perf_counter()
    run()
    return time.perf_counter() - begin

def copy():
    shutil.copyfile(source, target)
    with open(target, "rb+") as file:
        os.fsync(file.fileno())

def put():
    moc.buffers["array"] = array

put(), copy()
times = [(seconds(put), seconds(copy)) for _ in range({rounds})]
os.unlink(source), os.unlink(target)
assert (moc.buffers["array"][-1] == array[-1]).all()
"""


def run(quick: bool) -> list[Measurement]:
    """Measure both on one server."""
    with moc_server(max_body_bytes=_MAX_BODY_BYTES) as server:
        return [_slice(server, quick), _put(server, quick)]


def _slice(server: Server, quick: bool) -> Measurement:
    """Ask for pages one after the other on one connection, of both servers in turn."""
    size, rounds, seconds = (128, 3, 1.0) if quick else (1024, 9, 1.0)
    with server.client() as client:
        client.buffers.put("large", megabytes(size))
    at = (size << 19) + 123
    pages = f"bytes={at}-{at + PAGE_BYTES - 1}"
    with peer("page", server) as (_, bare):
        asked = server.target.request("GET", "/moc/api/v1/buffers/large", range=pages)
        plain = bare.request("GET", "/page")
        with Generator(server.target, 1) as ours, Generator(bare, 1) as theirs:
            pairs = [
                (
                    ours.closed(asked, seconds).check().quantile_ms(0.5),
                    theirs.closed(plain, seconds).check().quantile_ms(0.5),
                )
                for _ in range(rounds)
            ]
    ratio = statistics.median(mine / other for mine, other in pairs)
    return Measurement(
        f"4 KB slice of a buffer of {size} MB over HTTPS, against a bare Tornado handler that has 4 KB in memory, p50",
        f"{ratio:.2f} × ({1000 * statistics.median(mine for mine, _ in pairs):.0f} µs; "
        f"{1000 * statistics.median(other for _, other in pairs):.0f} µs)",
        f"≤ {_LARGEST_SLOWDOWN} ×",
        ratio <= _LARGEST_SLOWDOWN,
    )


def _put(server: Server, quick: bool) -> Measurement:
    size, rounds = (64, 3) if quick else (256, 7)
    code = _PUT.format(size=size, rounds=rounds, directory=str(server.storage.parent))
    times: list[tuple[float, float]] = kernel_values(server, code, "times")
    share = statistics.median(copy / put for put, copy in times)
    put, copy = (statistics.median(each[side] for each in times) for side in (0, 1))
    return Measurement(
        f"array of {size} MB from a kernel to the server, as a share of a file copy with fsync",
        f"{share:.2f} ({size / put:,.0f} MB/s of {size / copy:,.0f} MB/s)",
        f"≥ {_LEAST_SHARE}",
        share >= _LEAST_SHARE,
    )
