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


class _Spinning:
    """One guest that computes until its time limit ends it, held by a connection and a thread of its own."""

    def __init__(self, server: Server, seconds: float) -> None:
        self._generator = Generator(server.target, 1)
        request = server.target.request("POST", f"/moc/api/v1/functions/spin/call?limit=timeout_seconds={seconds}")
        self._answers: list[Sample] = []
        self._thread = threading.Thread(target=lambda: self._answers.append(self._generator.burst(request)))
        self._thread.start()

    def end(self, begun_before: float) -> None:
        """Wait for its end; raises if it did not compute all the time."""
        self._thread.join()
        with self._generator:
            answer = self._answers[0]
            if b"limit_exceeded" not in answer.example or answer.seconds < begun_before:
                raise RuntimeError(f"a guest that should compute for ever ended after {answer.seconds} s: {answer}")


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
            guests = [_Spinning(server, lifetime) for _ in range(processors)]
            generator.open(request, RATE, _BEGIN_SECONDS)
            server.stalls()
            busy = generator.open(request, RATE, seconds).check()
            stalls = server.stalls()
            for each in guests:
                each.end(seconds + _BEGIN_SECONDS)
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
