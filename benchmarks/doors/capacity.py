"""A function that computes about 20 ms, and how many of it a server does in a second: the start of both schemes."""

from __future__ import annotations

import time

from .guests import WORK, module
from .load import Generator
from .server import Server

SERVICE_SECONDS = 0.02
_CALIBRATION_ROUNDS = 1_000_000
_CONNECTIONS = 8


def put_work(server: Server) -> tuple[str, ...]:
    """Register ``work``; gives the arguments with which it computes :data:`SERVICE_SECONDS` on this machine."""
    with server.client() as client:
        client.functions.put("work", module(WORK))
        client.call("work", _CALIBRATION_ROUNDS)
        seconds = min(client.call("work", _CALIBRATION_ROUNDS).duration_us / 1e6 for _ in range(5))
    return (str(int(_CALIBRATION_ROUNDS * SERVICE_SECONDS / seconds)),)


def capacity(server: Server, request: bytes, seconds: float) -> float:
    """Measure how many calls a second the server answers when it always has some."""
    with Generator(server.target, _CONNECTIONS) as generator:
        begin = time.perf_counter()
        sample = generator.closed(request, seconds).check()
        return sample.answered / (time.perf_counter() - begin)
