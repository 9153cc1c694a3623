"""Short requests while guests compute: how much later they are answered, and how long the event loop is away."""

from __future__ import annotations

import os
import threading

from ..harness import Measurement
from .calls import BODY
from .guests import SPIN, module, sample
from .load import Generator, Sample, quantile
from .server import Server, moc_server

RATE = 200.0
CONNECTIONS = 64
_BEGIN_SECONDS = 0.5


def _spin(server: Server, seconds: float) -> None:
    """Hold one guest at work; its time limit ends it."""
    with Generator(server.target, 1) as generator:
        generator.burst(
            server.target.request("POST", f"/moc/api/v1/functions/spin/call?limit=timeout_seconds={seconds}"),
            patience_seconds=seconds + 30,
        )


def run(quick: bool) -> list[Measurement]:
    """Measure an open loop of short calls on an idle server, then with one computing guest per processor."""
    seconds = 10.0 if quick else 30.0
    processors = os.cpu_count() or 1
    with moc_server() as server:
        with server.client() as client:
            client.functions.put("uppercase", sample("uppercase"))
            client.functions.put("spin", module(SPIN))
        request = server.call_request("uppercase", BODY)
        with Generator(server.target, CONNECTIONS) as generator:
            generator.closed(request, _BEGIN_SECONDS).check()
            idle = generator.open(request, RATE, seconds).check()
            lifetime = 2 * _BEGIN_SECONDS + seconds
            guests = [threading.Thread(target=_spin, args=(server, lifetime)) for _ in range(processors)]
            for each in guests:
                each.start()
            generator.open(request, RATE, _BEGIN_SECONDS)
            server.stalls()
            busy = generator.open(request, RATE, seconds).check()
            stalls = server.stalls()
            for each in guests:
                each.join()
    factor = busy.quantile_ms(0.99) / idle.quantile_ms(0.99)
    return [
        Measurement(
            f"p99 of {RATE:.0f} short calls a second beside one computing guest per processor, over p99 alone",
            f"{factor:.1f} ({_quantiles(busy)}; alone {_quantiles(idle)})",
            "≤ 4",
            factor <= 4,
        ),
        Measurement(
            "stall of the event loop meanwhile, p99",
            f"{stalls['p99']:.1f} ms (p50 {stalls['p50']:.1f} ms, worst {stalls['max']:.1f} ms)",
            "≤ 10 ms",
            stalls["p99"] <= 10,
        ),
    ]


def _quantiles(sample: Sample) -> str:
    own = 1000 * quantile(sample.late, 0.99)
    return f"p50 {sample.quantile_ms(0.5):.1f}, p99 {sample.quantile_ms(0.99):.1f} ms, sent late by {own:.1f} ms at p99"
