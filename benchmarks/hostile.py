"""Hostile guests on a real server: how far they get beyond their limit, and how others are served meanwhile.

One kind after the other, again and again, each time as a module that the server has never seen: what it has learned
about those that run long does not help. Beside them an open loop of short calls, as on the idle server before.
"""

from __future__ import annotations

import math
import threading
import time
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import cycle
from typing import Self

from moc_server_ext.engines.wasm.compilation import WALL_SECONDS
from moc_server_ext.model import Declaration, Grants

from .attacks import ATTACKS, LIMIT_SECONDS, Attack, bomb
from .doors.calls import BODY
from .doors.guests import sample
from .doors.load import Generator, Sample
from .doors.processes import resident_bytes
from .doors.server import Server, moc_server
from .harness import Measurement

RATE = 100.0
CONNECTIONS = 32
_WARM_UP_SECONDS = 1.0
_SETTLE_SECONDS = 10.0
_MIB = 1 << 20
_BEYOND_MS = 100.0
_TIMES_IDLE = 4.0
_LEFT_MIB = 16.0


@dataclass(frozen=True, slots=True)
class _Result:
    """What one kind of attack did: its worst time beyond its limit, and the calls beside it."""

    what: str
    beyond_ms: float
    beside: Sample
    stall_ms: float
    wrong: str


class _Attacker:
    """Sends the same kind of attack again and again, from a thread and a connection of its own.

    Parameters
    ----------
    requests
        Sent in turn.
    ends
        What every answer must hold.
    """

    def __init__(self, server: Server, requests: Sequence[bytes], ends: bytes) -> None:
        self._generator = Generator(server.target, 1)
        self._requests = cycle(requests)
        self._ends = ends
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._attack)
        self.longest_seconds = 0.0
        self.wrong = ""

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._over.set()
        self._thread.join()
        self._generator.__exit__(None, None, None)

    def _attack(self) -> None:
        while not self._over.is_set():
            answer = self._generator.burst(next(self._requests), patience_seconds=WALL_SECONDS)
            self.longest_seconds = max(self.longest_seconds, answer.seconds)
            if self._ends not in answer.example:
                self.wrong = (
                    answer.example.decode(errors="replace") or f"{answer.answered} answered, {answer.lost} lost"
                )


def _beside(server: Server, generator: Generator, request: bytes, attacker: _Attacker, seconds: float) -> Sample:
    with attacker:
        return generator.open(request, RATE, seconds)


def _variants(server: Server, attack: Attack, number: int, count: int) -> list[bytes]:
    """Register an attack under so many names, and write the requests that call them."""
    requests = []
    grants = Declaration(grants=Grants(frozenset({"call"})))
    with server.client() as client:
        for each in range(count):
            name = f"hostile-{number}-{each}"
            client.functions.put(name, attack.module(name), grants)
            path = f"/moc/api/v1/functions/{name}/call?limit=timeout_seconds={LIMIT_SECONDS:g}"
            requests.append(server.target.request("POST", path, Accept="application/json"))
    return requests


def _attack(server: Server, generator: Generator, request: bytes, number: int, seconds: float) -> _Result:
    attack = ATTACKS[number]
    attacker = _Attacker(server, _variants(server, attack, number, math.ceil(seconds / LIMIT_SECONDS)), attack.ends)
    server.stalls()
    beside = _beside(server, generator, request, attacker, seconds)
    beyond = attacker.longest_seconds - LIMIT_SECONDS
    return _Result(attack.what, 1000 * beyond, beside, server.stalls()["max"], attacker.wrong)


def _bombard(server: Server, generator: Generator, request: bytes, seconds: float) -> _Result:
    """Register what no compiler is done with; its limit is the compiler's own."""
    put = server.target.request("PUT", "/moc/api/v1/functions/bomb", bomb(), Content_Type="application/wasm")
    attacker = _Attacker(server, [put], b"invalid_module")
    server.stalls()
    beside = _beside(server, generator, request, attacker, seconds)
    beyond = attacker.longest_seconds - WALL_SECONDS
    return _Result("compilation bomb", 1000 * beyond, beside, server.stalls()["max"], attacker.wrong)


def _settled_bytes(server: Server, before: int) -> int:
    """Give the resident memory once it is where it was, or after some time."""
    deadline = time.monotonic() + _SETTLE_SECONDS
    while (now := resident_bytes(server.pid)) > before and time.monotonic() < deadline:
        time.sleep(0.1)  # Nothing tells when memory is given back.
    return now


def run(quick: bool) -> list[Measurement]:
    """Measure the short calls on an idle server, then beside each attack, then the server's memory."""
    seconds = 2.0 if quick else 6.0
    with moc_server() as server:
        with server.client() as client:
            client.functions.put("uppercase", sample("uppercase"))
        request = server.call_request("uppercase", BODY)
        with Generator(server.target, CONNECTIONS) as generator:
            generator.closed(request, _WARM_UP_SECONDS).check()
            idle = generator.open(request, RATE, 2 * seconds).check()
            before = resident_bytes(server.pid)
            results = [_attack(server, generator, request, each, seconds) for each in range(len(ATTACKS))]
            results.append(_bombard(server, generator, request, seconds))
            left = _settled_bytes(server, before) - before
    return [*_contained(results), _served(results, idle), _given_back(left)]


def _contained(results: Sequence[_Result]) -> list[Measurement]:
    worst = max(results, key=lambda each: each.beyond_ms)
    wrong = [f"{each.what}: {each.wrong[:200]}" for each in results if each.wrong]
    return [
        Measurement(
            f"{len(results)} kinds of hostile guests with a limit of {LIMIT_SECONDS:g} s: the worst beyond its limit",
            f"{worst.beyond_ms:.0f} ms ({worst.what})",
            f"≤ {_BEYOND_MS:.0f} ms",
            worst.beyond_ms <= _BEYOND_MS,
        ),
        Measurement(
            "kinds of them that did not end with the error of that limit",
            f"{len(wrong)}" + (f" ({'; '.join(wrong)})" if wrong else ""),
            "0",
            not wrong,
        ),
    ]


def _served(results: Sequence[_Result], idle: Sample) -> Measurement:
    alone_ms = idle.quantile_ms(0.99)
    worst = max(results, key=lambda each: _p99_ms(each.beside))
    factor = _p99_ms(worst.beside) / alone_ms
    others = sorted(_p99_ms(each.beside) / alone_ms for each in results)
    unanswered = sum(each.beside.refused + each.beside.wrong + each.beside.lost for each in results)
    notes = [
        f"{worst.what}: p50 {worst.beside.quantile_ms(0.5):.1f}, p99 {_p99_ms(worst.beside):.1f} ms",
        f"loop away for {worst.stall_ms:.0f} ms at most",
        f"alone p50 {idle.quantile_ms(0.5):.1f}, p99 {alone_ms:.1f} ms",
        f"median of all kinds {others[len(others) // 2]:.1f}",
    ]
    if unanswered:
        notes.append(f"{unanswered} not answered")
    return Measurement(
        f"p99 of {RATE:.0f} short calls a second beside the worst of them, over p99 alone",
        f"{factor:.1f} ({'; '.join(notes)})",
        f"≤ {_TIMES_IDLE:g}",
        factor <= _TIMES_IDLE and not unanswered,
    )


def _p99_ms(beside: Sample) -> float:
    return beside.quantile_ms(0.99) if beside.latencies else math.inf


def _given_back(left_bytes: int) -> Measurement:
    return Measurement(
        "memory of the server after all of them, more than before",
        f"{left_bytes / _MIB:.0f} MB",
        f"≤ {_LEFT_MIB:.0f} MB",
        left_bytes <= _LEFT_MIB * _MIB,
    )
