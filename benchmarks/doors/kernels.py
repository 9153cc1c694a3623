"""A real kernel beside a server, and what a cell in it measures."""

from __future__ import annotations

import json
from typing import Any

from jupyter_client.manager import KernelManager

from .server import Server, clean_environment

_SECONDS = 300


def kernel_values(server: Server, code: str, name: str) -> Any:
    """Run `code` in a new ``moc`` kernel that talks to `server`, and give its variable `name` by way of JSON."""
    manager = KernelManager(kernel_name="moc")
    manager.start_kernel(env={**clean_environment(), "MOC_ENDPOINT_FILE": str(server.storage / "endpoint.json")})
    client = manager.client()
    try:
        client.start_channels()
        client.wait_for_ready(timeout=60)
        reply = client.execute_interactive(
            f"{code}\nimport json",
            user_expressions={name: f"json.dumps({name})"},
            allow_stdin=False,
            timeout=_SECONDS,
            output_hook=lambda message: None,
        )["content"]
        if reply["status"] != "ok":
            raise RuntimeError("\n".join(reply["traceback"]))
        text: str = reply["user_expressions"][name]["data"]["text/plain"]
        return json.loads(text[1:-1])
    finally:
        client.stop_channels()
        manager.shutdown_kernel(now=True)
