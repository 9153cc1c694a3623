"""``%moc call`` in a kernel that talks to a server over TLS: what a line takes, from Enter to the value."""

from __future__ import annotations

from ..harness import Measurement
from .guests import ADD, module
from .kernels import kernel_values
from .load import Generator
from .server import moc_server

_CELL = """
import time
def seconds(run):
    begin = time.perf_counter()
    run()
    return time.perf_counter() - begin
line = get_ipython().run_line_magic
client = __import__("moc_kernel").connect()
{rounds} and [line("moc", "call add 40 2") for _ in range(20)]
times = [(seconds(lambda: line("moc", "call add 40 2")), seconds(lambda: client.call("add", 40, 2)))
         for _ in range({rounds})]
"""


def run(quick: bool) -> list[Measurement]:
    """Measure the line, the client's call alone, and the bare request."""
    rounds = 200 if quick else 1000
    with moc_server() as server:
        with server.client() as client:
            client.functions.put("add", module(ADD))
        times: list[tuple[float, float]] = kernel_values(server, _CELL.format(rounds=rounds), "times")
        request = server.call_request("add", arguments=("40", "2"), Accept="application/json")
        with Generator(server.target, 1) as generator:
            bare = generator.closed(request, 1.0).check().quantile_ms(0.5)
    magic, call = (1000 * sorted(each[side] for each in times)[len(times) // 2] for side in (0, 1))
    return [
        Measurement(
            "`%moc call` in a kernel, through a server, p50",
            f"{magic:.2f} ms (`moc.call` {call:.2f} ms, the bare request {bare:.2f} ms)",
            "≤ 3 ms",
            magic <= 3,
        )
    ]
