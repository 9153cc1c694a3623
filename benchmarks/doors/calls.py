"""Calls over HTTPS, on connections that stay open, against a bare Tornado echo over the same TLS."""

from __future__ import annotations

import statistics
from collections.abc import Mapping
from dataclasses import dataclass

from ..harness import Measurement
from .guests import ADD, module, sample
from .load import Generator, Target
from .processes import processor_seconds
from .server import moc_server, peer
from .wrk import is_installed, rate

CONNECTIONS = 16
BODY = b"The quick brown fox jumps over the lazy dog. " * 13 + b"Six hundred...."
_WARM_SECONDS = 0.5


@dataclass(frozen=True, slots=True)
class _Side:
    """A server's process, where it listens, and what it is sent."""

    pid: int
    target: Target
    request: bytes

    def measure(self, seconds: float) -> tuple[float, float]:
        """Give answers a second, and the processor time of the server for each in microseconds."""
        with Generator(self.target, CONNECTIONS) as generator:
            generator.closed(self.request, _WARM_SECONDS).check()
            before = processor_seconds(self.pid)
            sample = generator.closed(self.request, seconds).check()
            return sample.rate, 1e6 * (processor_seconds(self.pid) - before) / sample.answered


def run(quick: bool) -> list[Measurement]:
    """Measure a posix and a direct function, the echo in between each time."""
    rounds, seconds = (3, 1.0) if quick else (7, 2.0)
    rates: dict[str, list[float]] = {"posix": [], "direct": [], "echo": []}
    costs: dict[str, list[float]] = {"posix": [], "direct": [], "echo": []}
    with moc_server() as server, peer("echo", server) as (echo_pid, echo), peer("ceiling", server) as (pid, ceiling):
        with server.client() as client:
            client.functions.put("uppercase", sample("uppercase"))
            client.functions.put("add", module(ADD))
        sides = {
            "posix": _Side(server.pid, server.target, server.call_request("uppercase", BODY)),
            "direct": _Side(server.pid, server.target, server.call_request("add", BODY, arguments=("40", "2"))),
            "echo": _Side(echo_pid, echo, echo.request("POST", "/echo", BODY)),
        }
        most, _ = _Side(pid, ceiling, ceiling.request("POST", "/", BODY)).measure(seconds)
        for _ in range(rounds):
            for name, side in sides.items():
                answered, cost = side.measure(seconds)
                rates[name].append(answered)
                costs[name].append(cost)
        by_wrk = _by_wrk(sides, rounds, max(1.0, seconds))
    # The least, not the median: what else the machine does only adds to it.
    own = {name: min(each) for name, each in costs.items()}
    echo_rate = statistics.median(rates["echo"])
    found = []
    for name, least in (("posix", 0.45), ("direct", 0.55)):
        share = statistics.median(ours / theirs for ours, theirs in zip(rates[name], rates["echo"], strict=True))
        found.append(
            Measurement(
                f"HTTPS call, {name}, {CONNECTIONS} connections, as a share of a bare Tornado echo",
                f"{share:.2f} ({statistics.median(rates[name]):,.0f}/s of {echo_rate:,.0f}/s; "
                f"{own[name]:.0f} µs of processor time, of {own['echo']:.0f} µs)",
                f"≥ {least}",
                share >= least,
            )
        )
    found.append(by_wrk)
    found.append(Measurement("the load generator's own ceiling", f"{most:,.0f}/s"))
    return found


def _by_wrk(sides: Mapping[str, _Side], rounds: int, seconds: float) -> Measurement:
    subject = "the same shares by `wrk`, posix and direct"
    if not is_installed():
        return Measurement(subject, "not measured: `wrk` is not installed here")
    shares: dict[str, list[float]] = {"posix": [], "direct": []}
    for _ in range(rounds):
        answered = {
            name: rate(side.target, side.request, connections=CONNECTIONS, seconds=seconds)
            for name, side in sides.items()
        }
        for name, each in shares.items():
            each.append(answered[name] / answered["echo"])
    posix, direct = (statistics.median(each) for each in shares.values())
    return Measurement(subject, f"{posix:.2f} and {direct:.2f}", "≥ 0.45 and ≥ 0.55", posix >= 0.45 and direct >= 0.55)
