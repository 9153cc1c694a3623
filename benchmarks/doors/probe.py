"""A Jupyter server extension that looks at the event loop from inside: how long it did not come round.

A heartbeat asks to be woken every few milliseconds; what it comes later is the loop's stall. ``GET moc-bench/stalls``
on Jupyter's port gives the stalls since it was asked before, and forgets them. For benchmarks only.
"""

from __future__ import annotations

import asyncio
import json
import time
from typing import Any

from jupyter_server.base.handlers import JupyterHandler
from tornado import web

from .load import quantile

_INTERVAL_SECONDS = 0.005


class Heartbeat:
    """Notes by how much the loop was late, in seconds."""

    def __init__(self) -> None:
        self.stalls: list[float] = []

    def start(self) -> None:
        """Begin; called on the running loop."""
        self._loop = asyncio.get_running_loop()
        self._expect()

    def _expect(self) -> None:
        due = time.perf_counter() + _INTERVAL_SECONDS
        self._loop.call_later(_INTERVAL_SECONDS, self._beat, due)

    def _beat(self, due: float) -> None:
        self.stalls.append(max(0.0, time.perf_counter() - due))
        self._expect()

    def take(self) -> dict[str, float]:
        """Give the median, the 99th percentile and the worst in milliseconds, and forget them."""
        stalls, self.stalls = self.stalls, []
        return {
            "count": len(stalls),
            **{name: 1000 * quantile(stalls, share) for name, share in (("p50", 0.5), ("p99", 0.99), ("max", 1.0))},
        }


class StallsHandler(JupyterHandler):
    """Tells the stalls."""

    def initialize(self, heartbeat: Heartbeat) -> None:
        """Take the heartbeat."""
        self._heartbeat = heartbeat

    @web.authenticated
    def get(self) -> None:
        """Answer."""
        self.finish(json.dumps(self._heartbeat.take()))


def _jupyter_server_extension_points() -> list[dict[str, str]]:
    return [{"module": __name__}]


def _load_jupyter_server_extension(serverapp: Any) -> None:
    heartbeat = Heartbeat()
    route = (serverapp.base_url + "moc-bench/stalls", StallsHandler, {"heartbeat": heartbeat})
    serverapp.web_app.add_handlers(".*$", [route])
    serverapp.io_loop.add_callback(heartbeat.start)
