"""The verbs that look inside, for notebooks alone: ``inspect`` and ``browse``. How it is shown is their affair."""

from __future__ import annotations

import click

from .commands import Verb
from .completion import buffer_names
from .host import Host
from .outcome import BrowseOutcome, BufferOutcome


@click.command("inspect", cls=Verb, face="magic", example=["moc inspect books"])
@click.argument("name", shell_complete=buffer_names)
@click.pass_obj
def inspect_buffer(host: Host, name: str) -> BufferOutcome:
    """Look inside a buffer: as an array, an image, text or bytes.

    Any part of it can be gone to and searched, however large it is. The line's value is the buffer's handle.
    """
    return BufferOutcome(host.client.buffers[name])


@click.command("browse", cls=Verb, face="magic", example=["moc browse"])
@click.pass_obj
def browse(host: Host) -> BrowseOutcome:
    """Look through functions, buffers, keys and recent calls, and inside of each."""
    return BrowseOutcome(host.client)
