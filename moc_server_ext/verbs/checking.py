"""The verb ``fsck``: whether everything that is stored is whole."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator

import click

from ..model import CheckReport
from .commands import Verb
from .host import Host
from .outcome import MessageOutcome, format_size, visible

_SHOWN = 100


@click.command(cls=Verb, example=["moc fsck", "moc fsck --quick", "moc fsck --repair"])
@click.option("--quick", is_flag=True, help="Read no object files: only their names and sizes are looked at.")
@click.option("--repair", is_flag=True, help="Remove the files that nothing refers to.")
@click.option(
    "--remove-damaged",
    is_flag=True,
    help="Remove them, and what is damaged: whole buffers, blobs, values and names. Only a backup has it then.",
)
@click.pass_obj
def fsck(host: Host, quick: bool, repair: bool, remove_damaged: bool) -> MessageOutcome:
    """Check that all that is stored is there and unchanged, also while a server runs.

    Nothing is changed without --repair or --remove-damaged. The exit code is 1 when something is wrong.
    """
    check = host.client.platform.fsck(quick=quick, repair=repair, remove_damaged=remove_damaged)
    with host.progress("checking the storage") as progress:
        try:
            while True:
                step = next(check)
                label = f"{step.stage}, {format_size(step.done_bytes)} of {format_size(step.total_bytes)}"
                progress.update(step.done_bytes, step.total_bytes or None, label)
        except StopIteration as end:
            report: CheckReport = end.value
        finally:
            check.close()
    return MessageOutcome("\n".join(_lines(report)), report.to_json(), status=int(not report.is_sound))


def _lines(report: CheckReport) -> Iterator[str]:
    for each in report.findings[:_SHOWN]:
        done = f" ({each.repaired})" if each.repaired else ""
        yield visible(f"{each.kind:<18} {each.what}: {each.found}{done}")
    hidden = max(0, len(report.findings) - _SHOWN) + report.more
    if hidden:
        yield f"and {hidden:,} more; --json lists {len(report.findings):,}"
    how = "looked at" if report.quick else "read and compared"
    size = format_size(report.object_bytes)
    yield f"{report.entries:,} entries of the catalog and {report.objects:,} object files ({size}) {how}"
    if report.is_sound:
        yield "what was found is repaired" if report.findings else "everything is as it was stored"
    left = Counter(each.is_damage for each in report.findings if not each.repaired)
    if left[True]:
        yield (
            f"{left[True]:,} damaged: restore the last backup, store it again, or go on without it: "
            "moc fsck --remove-damaged"
        )
    if left[False]:
        yield f"{left[False]:,} that nothing refers to, which only take room: moc fsck --repair"
