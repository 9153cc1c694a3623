"""The verb ``export-zarr``: all that is stored as plain Zarr files."""

from __future__ import annotations

from pathlib import Path

import click

from .commands import Verb
from .completion import file_names
from .host import Host
from .outcome import MessageOutcome, format_size


@click.command("export-zarr", cls=Verb, example=["moc export-zarr backup.zarr"])
@click.argument("directory", metavar="DIR", shell_complete=file_names)
@click.pass_obj
def export_zarr(host: Host, directory: str) -> MessageOutcome:
    """Write blobs, buffers and key-values into DIR, as files that any Zarr library opens.

    DIR is new or empty: nothing is ever overwritten. Each buffer is as it was at one moment.
    """
    # Here, because a client of a server has no other need of the storage's modules.
    from ..storage.exporting import export_hierarchy

    target = Path(directory).expanduser().absolute()
    with host.progress(f"exporting into {directory!r}") as progress:
        written = export_hierarchy(
            host.client.platform.zarr,
            target,
            progress=lambda done: progress.update(label=f"exporting into {directory!r}, {format_size(done)}"),
        )
    return MessageOutcome(
        f"exported {written['nodes']:,} blobs, buffers and keys into {directory!r}: {format_size(written['bytes'])}",
        {"directory": str(target), **written},
    )
