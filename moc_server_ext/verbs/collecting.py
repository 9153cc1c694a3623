"""The verb ``gc``: removes stored files that nothing refers to any more, or tells what would be removed."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

import click

from .commands import Verb
from .host import Host
from .outcome import MessageOutcome, format_size

_WHY: Final = {
    "grace": "it went lately",
    "reader": "somebody reads it",
    "look": "somebody looks at all of the storage, as a backup does",
    "failure": "the file cannot be removed",
}


@click.command(cls=Verb, example=["moc gc --dry-run"])
@click.option("--dry-run", is_flag=True, help="Remove nothing; show what would be removed.")
@click.pass_obj
def gc(host: Host, dry_run: bool) -> MessageOutcome:
    """Remove stored files that nothing refers to any more; this is done in the background as well."""
    told = host.client.platform.gc(dry_run=dry_run)
    lines = [f"{'would remove' if dry_run else 'removed'}: {_amount(told)}"]
    lines += [f"held, since {_WHY.get(reason, reason)}: {_amount(held)}" for reason, held in told["held"].items()]
    unknown = told.get("unknown")
    if unknown is not None and unknown["objects"]:
        lines.append(f"unknown to the catalog, of a crash: {_amount(unknown)}")
    return MessageOutcome("\n".join(lines), told)


def _amount(told: Mapping[str, Any]) -> str:
    count = told["objects"]
    return f"{count:,} {'file' if count == 1 else 'files'}, {format_size(told['bytes'])}"
