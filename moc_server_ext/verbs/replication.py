"""The verb ``promote``: a standby takes over."""

from __future__ import annotations

import click

from .commands import Verb
from .host import Host
from .outcome import MessageOutcome


@click.command(cls=Verb, example=["moc promote"])
@click.pass_obj
def promote(host: Host) -> MessageOutcome:
    """Make this standby the primary.

    It repeats what the former primary shipped, to the end, and then accepts writes. A former primary that still runs
    acknowledges nothing any more. Its schedules are held here until take-over.
    """
    with host.progress("taking over") as progress:
        progress.update(label="reading the log to its end")
        promoted = host.client.platform.promote()
    return MessageOutcome(
        f"promoted: this is the primary now, with everything up to commit {promoted['sequence']:,}", promoted
    )
