"""``%moc call`` in a kernel that talks to a server over TLS: what a line takes, from Enter to the value."""

from __future__ import annotations

import json
from typing import Any

from jupyter_client.blocking.client import BlockingKernelClient
from jupyter_client.manager import KernelManager

from ..harness import Measurement
from .guests import ADD, module
from .load import Generator
from .server import Server, clean_environment, moc_server

_CELL = """
import json, statistics, time
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


def _run_cell(client: BlockingKernelClient, code: str, **expressions: str) -> dict[str, Any]:
    reply = client.execute_interactive(
        code, user_expressions=expressions, allow_stdin=False, timeout=120, output_hook=lambda message: None
    )["content"]
    if reply["status"] != "ok":
        raise RuntimeError("\n".join(reply["traceback"]))
    values: dict[str, Any] = reply["user_expressions"]
    return values


def _kernel_times(server: Server, rounds: int) -> list[tuple[float, float]]:
    """Give the seconds of a magic line and of the client's call alone, in turn, in a real kernel."""
    manager = KernelManager(kernel_name="moc")
    manager.start_kernel(env={**clean_environment(), "MOC_ENDPOINT_FILE": str(server.storage / "endpoint.json")})
    client = manager.client()
    try:
        client.start_channels()
        client.wait_for_ready(timeout=60)
        values = _run_cell(client, _CELL.format(rounds=rounds), times="json.dumps(times)")
        text = values["times"]["data"]["text/plain"]
        return [(magic, call) for magic, call in json.loads(text[1:-1])]
    finally:
        client.stop_channels()
        manager.shutdown_kernel(now=True)


def run(quick: bool) -> list[Measurement]:
    """Measure the line, the client's call alone, and the bare request."""
    rounds = 200 if quick else 1000
    with moc_server() as server:
        with server.client() as client:
            client.functions.put("add", module(ADD))
        times = _kernel_times(server, rounds)
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
