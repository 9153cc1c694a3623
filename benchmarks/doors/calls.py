"""Calls over HTTPS, on connections that stay open, against a bare Tornado echo over the same TLS."""

from __future__ import annotations

import statistics

from ..harness import Measurement
from .guests import ADD, module, sample
from .load import Generator, Target
from .server import moc_server, peer

CONNECTIONS = 16
BODY = b"The quick brown fox jumps over the lazy dog. " * 13 + b"Six hundred...."
_WARM_SECONDS = 0.5


def _rate(target: Target, request: bytes, seconds: float) -> float:
    with Generator(target, CONNECTIONS) as generator:
        generator.closed(request, _WARM_SECONDS).check()
        return generator.closed(request, seconds).check().rate


def run(quick: bool) -> list[Measurement]:
    """Measure a posix and a direct function, the echo in between each time."""
    rounds, seconds = (3, 1.0) if quick else (7, 2.0)
    assert len(BODY) == 600
    rates: dict[str, list[float]] = {"posix": [], "direct": [], "echo": []}
    with moc_server() as server, peer("echo", server) as (_, echo), peer("ceiling", server) as (_, ceiling):
        with server.client() as client:
            client.functions.put("uppercase", sample("uppercase"))
            client.functions.put("add", module(ADD))
        sides = {
            "posix": (server.target, server.call_request("uppercase", BODY)),
            "direct": (server.target, server.call_request("add", BODY, arguments=("40", "2"))),
            "echo": (echo, echo.request("POST", "/echo", BODY)),
        }
        most = _rate(ceiling, ceiling.request("POST", "/", BODY), seconds)
        for _ in range(rounds):
            for name, side in sides.items():
                rates[name].append(_rate(*side, seconds))
    echo_rate = statistics.median(rates["echo"])
    found = []
    for name, least in (("posix", 0.45), ("direct", 0.55)):
        share = statistics.median(ours / theirs for ours, theirs in zip(rates[name], rates["echo"], strict=True))
        found.append(
            Measurement(
                f"HTTPS call, {name}, {CONNECTIONS} connections, as a share of a bare Tornado echo",
                f"{share:.2f} ({statistics.median(rates[name]):,.0f}/s of {echo_rate:,.0f}/s)",
                f"≥ {least}",
                share >= least,
            )
        )
    found.append(Measurement("the load generator's own ceiling", f"{most:,.0f}/s"))
    return found
