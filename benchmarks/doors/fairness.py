"""One caller with a thousand queued calls, another with a single one: how much later the single one is answered."""

from __future__ import annotations

import math
import os
import statistics
import threading
import time

from ..harness import Measurement
from .capacity import put_work
from .load import Generator, Sample, quantile
from .server import Server, moc_server

QUEUED = 1000
_SINGLE_CALLS = 15
_BEGIN_SECONDS = 0.5


def _singles(server: Server, request: bytes) -> Sample:
    """Call again and again, one call at a time, as a caller of its own."""
    all_together = Sample()
    with Generator(server.target, 1) as generator:
        for _ in range(_SINGLE_CALLS):
            one = generator.burst(request)
            all_together.latencies += one.latencies
            all_together.refused += one.refused
            all_together.wrong += one.wrong
            all_together.lost += one.lost
    return all_together


def run(quick: bool) -> list[Measurement]:
    """Measure the single calls alone, then behind the other caller's queue."""
    with moc_server(queued_calls=2 * QUEUED) as server:
        arguments = put_work(server)
        many = server.call_request("work", arguments=arguments, moc_client="many")
        single = server.call_request("work", arguments=arguments, moc_client="single")
        alone = statistics.median(_singles(server, single).check().latencies)
        answers: list[Sample] = []
        with Generator(server.target, QUEUED) as generator:
            burst = threading.Thread(target=lambda: answers.append(generator.burst(many)))
            burst.start()
            time.sleep(_BEGIN_SECONDS)  # All are sent within that time, and the queue lasts many times longer.
            behind = _singles(server, single)
            was_queued = burst.is_alive()
            burst.join()
    queue = answers[0]
    # The processor time of one call, also where several share a processor.
    service = queue.seconds * (os.cpu_count() or 1) / max(1, queue.answered)
    delays = [(each - alone) / service for each in behind.latencies]
    typical, most = (quantile(delays, 0.5), quantile(delays, 0.9)) if delays else (math.inf, math.inf)
    notes = [f"median {typical:.1f}, service time {1000 * service:.0f} ms"]
    if queue.answered < QUEUED:
        # They have waited as long as a queued call may.
        notes.append(f"{queue.refused} of the {QUEUED:,} refused in the end")
    if behind.answered < _SINGLE_CALLS:
        notes.append(f"{_SINGLE_CALLS - behind.answered} of {_SINGLE_CALLS} single calls not answered")
    if not was_queued:
        notes.append("the queue ended before the single calls did")
    return [
        Measurement(
            f"delay of a single call behind {QUEUED:,} calls of another caller, in service times, ninth decile",
            f"{most:.1f} ({'; '.join(notes)})",
            "≤ 2",
            most <= 2 and was_queued and behind.answered == _SINGLE_CALLS,
        )
    ]
