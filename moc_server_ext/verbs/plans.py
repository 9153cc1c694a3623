"""The verbs about plans: ``mapreduce`` and ``runs``."""

from __future__ import annotations

import click

from ..model import MapReduce, RunRecord, RunState, parse_size
from .commands import Verb, parsed_by
from .completion import buffer_names, function_names
from .host import Host
from .outcome import BytesOutcome, MessageOutcome, Outcome, TableOutcome, format_size


def parse_split(text: str) -> int:
    """Read ``lines:SIZE``, a split at line ends of about SIZE bytes."""
    kind, _, size = text.partition(":")
    try:
        split_bytes = parse_size(size)
    except ValueError:
        split_bytes = 0
    if kind != "lines" or split_bytes < 1:
        raise ValueError(f"{text!r} is no split: expected lines:SIZE, such as lines:4MiB.")
    return split_bytes


@click.command(
    cls=Verb,
    example=["moc mapreduce books --map wordcount-map --reduce wordcount-reduce --partitions 4 -o counts"],
)
@click.option(
    "--map",
    "mapper",
    metavar="FUNCTION",
    required=True,
    shell_complete=function_names,
    help="Gets lines, writes KEY<TAB>VALUE lines.",
)
@click.option(
    "--combine",
    "combiner",
    metavar="FUNCTION",
    shell_complete=function_names,
    help="Reduces each split's sorted lines before the shuffle.",
)
@click.option(
    "--reduce",
    "reducer",
    metavar="FUNCTION",
    shell_complete=function_names,
    help="Gets the lines sorted by key. Without it: they are the output.",
)
@click.option(
    "--split",
    "split_bytes",
    metavar="lines:SIZE",
    default="lines:4MiB",
    show_default=True,
    callback=parsed_by(parse_split),
    help="How the source is cut into tasks.",
)
@click.option(
    "--partitions",
    metavar="N",
    type=click.IntRange(1, 100_000),
    default=1,
    show_default=True,
    help="Into how many parts the keys are cut for the reducers.",
)
@click.option(
    "--threads",
    metavar="N",
    type=click.IntRange(0, 256),
    default=0,
    help="How many tasks run at once. Without it: one per processor.",
)
@click.option(
    "--executor", type=click.Choice(["threads"]), default="threads", show_default=True, help="Where the tasks run."
)
@click.option(
    "-o",
    "--output",
    "sink",
    metavar="NAME",
    shell_complete=buffer_names,
    help="Store the output as this buffer instead of showing it.",
)
@click.argument("source", shell_complete=buffer_names)
@click.pass_obj
def mapreduce(
    host: Host,
    source: str,
    mapper: str,
    combiner: str | None,
    reducer: str | None,
    split_bytes: int,
    partitions: int,
    threads: int,
    executor: str,
    sink: str | None,
) -> Outcome:
    """Map and reduce the lines of a stored buffer.

    SOURCE is a buffer's name. Functions are called in posix mode, in the Hadoop Streaming convention: lines in,
    KEY<TAB>VALUE lines out. The output is in bytewise key order and the same for every number of partitions and
    threads. Ctrl-C cancels the run; nothing is stored then.
    """
    client = host.client
    plan = MapReduce(
        source=source,
        map=mapper,
        combine=combiner,
        reduce=reducer,
        split_bytes=split_bytes,
        partitions=partitions,
        sink=sink,
        threads=threads,
    )
    with host.progress("map") as progress:

        def show(run: RunRecord) -> None:
            progress.update(run.tasks_done, run.tasks_total, run.stage)

        run = client.wait(client.platform.runs.start(plan), progress=show)
    if sink is None or run.state is not RunState.DONE:
        # A run that did not end well raises its error here.
        return BytesOutcome(client.output(run), "text/plain", source)
    return MessageOutcome(f"stored buffer {sink!r}: {format_size(run.output_bytes)}", run.to_json())


@click.command(cls=Verb, example=["moc runs"])
@click.pass_obj
def runs(host: Host) -> TableOutcome:
    """List the recent runs of plans, newest first."""
    records = host.client.platform.runs.list()
    return TableOutcome(
        ("RUN", "STATE", "STAGE", "TASKS", "SOURCE", "MAP", "OUTPUT", "SECONDS"),
        [
            (
                each.run_id,
                each.state.value,
                each.stage,
                f"{each.tasks_done}/{each.tasks_total}",
                each.plan.source,
                each.plan.map,
                format_size(each.output_bytes),
                round(each.duration_us / 1e6, 2),
            )
            for each in records
        ],
        {"runs": [each.to_json() for each in records]},
        empty="No run is known. A server remembers its recent ones; `moc mapreduce` starts one.",
    )
