"""A gigabyte through a guest that copies its input to its output: speed and the server's memory meanwhile."""

from __future__ import annotations

import statistics

from ..harness import Measurement
from .guests import CAT, module
from .processes import peak_resident_bytes, reset_peak, resident_bytes
from .server import moc_server, peer
from .transfer import Transfer, transfer

SIZE = 1 << 30
_WARM_BYTES = 1 << 24
_PATH = "/moc/api/v1/functions/cat/call"


def run(quick: bool) -> list[Measurement]:
    """Measure both sides in turn."""
    size, rounds = (SIZE, 1) if quick else (SIZE, 3)
    traits = {"max_body_bytes": 2 * SIZE, "limits": {"output_bytes": 2 * SIZE, "timeout_seconds": 300}}
    ours: list[Transfer] = []
    theirs: list[Transfer] = []
    peaks = []
    with moc_server(**traits) as server, peer("echo", server) as (_, echo):
        with server.client() as client:
            client.functions.put("cat", module(CAT))
        transfer(server.target, _PATH, _WARM_BYTES)
        transfer(echo, "/stream", _WARM_BYTES)
        for _ in range(rounds):
            idle = resident_bytes(server.pid)
            reset_peak(server.pid)
            ours.append(transfer(server.target, _PATH, size))
            peaks.append(peak_resident_bytes(server.pid) - idle)
            theirs.append(transfer(echo, "/stream", size))
    rate = statistics.median(each.rate for each in ours)
    share = statistics.median(each.rate / peer.rate for each, peer in zip(ours, theirs, strict=True))
    begun = max(each.first_byte_share for each in ours)
    peak = max(peaks) / (1 << 20)
    return [
        Measurement(
            f"{size / (1 << 30):.0f} GB through a guest and back, over TLS: memory of the server more than idle",
            f"{peak:,.0f} MB (the answer began after {begun:.1%} of the upload)",
            "≤ 64 MB",
            peak <= 64,
        ),
        Measurement(
            "the same: speed, as a share of a bare Tornado that streams the body back",
            f"{share:.2f} ({rate:.0f} MB/s of {statistics.median(each.rate for each in theirs):.0f} MB/s)",
        ),
    ]
