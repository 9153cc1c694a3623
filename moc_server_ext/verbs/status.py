"""The verbs about what this face talks to: ``status`` and, in notebooks, ``connect``."""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import click

from .commands import Verb
from .host import Host
from .outcome import MessageOutcome, format_size, visible


@click.command(cls=Verb, example=["moc status"])
@click.pass_obj
def status(host: Host) -> MessageOutcome:
    """Show what this command talks to: the server or the storage, and what is in it."""
    client = host.client
    facts = {**client.platform.status()}
    facts.update(_token_files(facts))
    rows = [("talking to", client.origin), *_flat(facts)]
    width = max(len(label) for label, _ in rows) + 2
    lines = [f"{label + ':':<{width}}{visible(value)}" for label, value in rows]
    return MessageOutcome("\n".join(lines), {"origin": client.origin, **facts})


@click.command(cls=Verb, face="magic", example=["%moc connect https://localhost:8443"])
@click.option(
    "--token",
    metavar="TOKEN",
    help="The server's token. It stays in the notebook: better set MOC_TOKEN before the kernel starts.",
)
@click.argument("url")
@click.pass_obj
def connect(host: Host, url: str, token: str | None) -> MessageOutcome:
    """Talk to the server at URL from now on."""
    client = host.connect(url, token)
    return MessageOutcome(f"connected: {client.origin}", {"origin": client.origin})


def _token_files(facts: Mapping[str, Any]) -> dict[str, str]:
    """Tell where the token is kept, if the storage is on this machine and this user may look."""
    from ..storage.credentials import AUTHORIZATION_FILE, TOKEN_FILE

    storage = facts.get("storage")
    directory = storage.get("path") if isinstance(storage, Mapping) else None
    if not isinstance(directory, str):
        return {}
    files = {"token_file": TOKEN_FILE, "authorization_file": AUTHORIZATION_FILE}
    return {
        label: str(Path(directory, name)) for label, name in files.items() if os.access(Path(directory, name), os.R_OK)
    }


def _flat(facts: Mapping[str, Any], prefix: str = "") -> Iterator[tuple[str, str]]:
    for name, value in facts.items():
        label = f"{prefix}{name.replace('_', ' ')}"
        if isinstance(value, Mapping):
            yield from _flat(value, f"{label} ")
        elif name.endswith("_bytes") and isinstance(value, int):
            yield label.removesuffix(" bytes"), format_size(value)
        elif value is None or value == "":
            yield label, "-"
        elif name == "bytes_per_day" and isinstance(value, int):
            yield label.replace(" bytes per day", ""), f"{'-' if value < 0 else ''}{format_size(abs(value))} a day"
        elif name in ("at", "since") and isinstance(value, int | float):
            yield label, datetime.fromtimestamp(value, UTC).strftime("%Y-%m-%d %H:%M:%S UTC")
        else:
            yield label, str(value)
