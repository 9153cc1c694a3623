"""Twice as many requests as the server can answer: each is answered or refused, and soon after all is as before."""

from __future__ import annotations

import time

from ..harness import Measurement
from .capacity import SERVICE_SECONDS, capacity, put_work
from .load import Generator
from .server import moc_server

CONNECTIONS = 768
_CALM_SHARE = 0.3
_RECOVERY_SECONDS = 5.0


def run(quick: bool) -> list[Measurement]:
    """Measure calm, overload, and calm again."""
    overload_seconds, calm_seconds = (20.0, 10.0) if quick else (60.0, 20.0)
    with moc_server() as server:
        request = server.call_request("work", arguments=put_work(server))
        most = capacity(server, request, 3.0)
        with Generator(server.target, CONNECTIONS) as generator:
            before = generator.open(request, _CALM_SHARE * most, calm_seconds).check()
            over = generator.open(request, 2 * most, overload_seconds)
            # The clock runs from the last request on: what is queued must be done by then, too.
            time.sleep(max(0.0, _RECOVERY_SECONDS - (over.seconds - overload_seconds)))
            after = generator.open(request, _CALM_SHARE * most, calm_seconds)
    factor = after.quantile_ms(0.99) / before.quantile_ms(0.99)
    unfit = over.wrong + over.lost + after.refused + after.wrong + after.lost
    example = over.example or after.example
    note = f" ({example.splitlines()[0].decode(errors='replace')})" if example else ""
    return [
        Measurement(
            f"twice the capacity ({most:.0f}/s of {1000 * SERVICE_SECONDS:.0f} ms) for {overload_seconds:.0f} s: "
            "neither answered nor refused with Retry-After",
            f"{unfit} of {int(2 * most * overload_seconds):,} ({over.answered:,} answered, {over.refused:,} refused, "
            f"{over.wrong} wrong, {over.lost} lost){note}",
            "0",
            unfit == 0,
        ),
        Measurement(
            f"p99 {_RECOVERY_SECONDS:.0f} s after, over p99 before",
            f"{factor:.2f} ({after.quantile_ms(0.99):.0f} ms of {before.quantile_ms(0.99):.0f} ms)",
            "≤ 1.2",
            factor <= 1.2,
        ),
    ]
