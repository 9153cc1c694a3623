"""The verbs ``call``, to run a registered function, and ``calls``, to list what ran."""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import ExitStack
from dataclasses import replace

import click

from ..model import CallInput, CallRecord, CallRequest, CallResult, Mode, Mount, Number
from .commands import Verb, in_order
from .completion import function_names
from .host import Host
from .options import (
    check_sources,
    dir_option,
    dtypes_option,
    entry_option,
    env_option,
    input_files_option,
    limit_option,
    mode_option,
    noblock_option,
    only_one,
    output_file_option,
    parts_of,
    read_source,
    shapes_option,
    variable_out_option,
    variables_in_option,
    with_arrays,
)
from .outcome import CallOutcome, StartedOutcome, TableOutcome, format_result, format_size
from .variables import variable_input


@click.command(
    cls=Verb,
    verbatim_tail=True,
    ordered=("input_files", "variables_in"),
    example=["moc call --input hello uppercase", "moc call --mode direct add 20 22"],
)
@mode_option
@entry_option
@env_option
@dir_option
@click.option("--input", "text", metavar="TEXT", help="The guest's stdin, as text. Without any input it is empty.")
@input_files_option
@dtypes_option
@shapes_option
@variables_in_option
@output_file_option
@variable_out_option
@noblock_option
@limit_option("Lower a limit for this call.")
@click.argument("name", shell_complete=function_names)
@click.argument("arguments", metavar="[ARGS]…", nargs=-1, type=click.UNPROCESSED)
@click.pass_obj
def call(
    host: Host,
    name: str,
    arguments: tuple[str, ...],
    mode: Mode | None,
    entry: str | None,
    env: Mapping[str, str],
    mounts: tuple[Mount, ...],
    limits: Mapping[str, Number],
    text: str | None,
    input_files: tuple[str, ...],
    dtypes: tuple[str, ...],
    shapes: tuple[tuple[int, ...], ...],
    variables_in: tuple[str, ...] = (),
    output_file: str | None = None,
    variable_out: str | None = None,
    noblock: bool = False,
) -> CallOutcome | StartedOutcome:
    """Call a registered function.

    NAME is a function's name or a blob id. Options come before it; everything after it belongs to the guest. The output
    goes to stdout as it is, the numbers of a direct call on a line of their own, the guest's stderr to stderr, and the
    guest's exit code becomes this command's. Standard input is read only with --input-file -. Each file (in a notebook
    also each -i) is one input, in the order given; below %%moc call the cell is the first. A server opens no
    directories: --dir is for calls that run in this process.
    """
    given = with_arrays(_inputs(host, text, input_files, variables_in), dtypes, shapes)
    first, *more = given
    request = CallRequest(
        name,
        tuple(arguments),
        mode=mode,
        entry=entry,
        env=env,
        input=first.content,
        input_headers=first.headers,
        more_inputs=tuple(more),
        limits=limits,
        mounts=mounts,
    )
    # One file alone passes through while the guest reads it, of any size.
    input_file = input_files[0] if input_files and not more else None
    if noblock:
        # The variables may change while the call goes on.
        own = [CallInput(bytes(each.content), each.headers) for each in more]
        content = bytes(first.content) if input_file is None else read_source(host, input_file)
        request = replace(request, input=content, more_inputs=tuple(own))
        handle = host.client.begin(request)
        if variable_out is not None:
            host.assign(variable_out, handle)
        return StartedOutcome(handle, kept_in=variable_out)
    platform = host.client.platform
    with ExitStack() as opened:
        source = (
            None if input_file is None else parts_of(opened.enter_context(host.open_source(input_file)), input_file)
        )
        view = opened.enter_context(host.call_view(name, output_file=output_file, is_kept=variable_out is not None))
        outcome = view.ended(platform.call_sync(request, replace(view.streams, source=source)))
    if variable_out is not None:
        host.assign(variable_out, _value(outcome.result))
    return replace(outcome, kept_in=output_file or variable_out)


@click.command(cls=Verb, example=["moc calls", "moc calls --limit 5"])
@click.option(
    "--limit",
    metavar="N",
    type=click.IntRange(1, 10_000),
    default=20,
    show_default=True,
    help="How many are listed at most.",
)
@click.pass_obj
def calls(host: Host, limit: int) -> TableOutcome:
    """List the recent calls, those that began last first."""
    records = host.client.platform.calls.list(limit=limit)
    return TableOutcome(
        ("CALL", "FUNCTION", "STATE", "RESULT", "INPUT", "OUTPUT", "SECONDS"),
        [
            (
                each.call_id,
                each.function,
                each.state.value,
                _end(each),
                format_size(each.input_bytes),
                format_size(each.output_bytes),
                round(each.duration_us / 1e6, 3),
            )
            for each in records
        ],
        {"calls": [each.to_json() for each in records]},
        empty="No call is known. A server remembers its recent ones; `moc call NAME` makes one.",
    )


def _end(record: CallRecord) -> str:
    if record.error is not None:
        return str(record.error.get("code", ""))
    if record.result is not None:
        return format_result(record.result)
    return "" if record.exit_code is None else f"exit code {record.exit_code}"


def _inputs(
    host: Host, text: str | None, input_files: tuple[str, ...], variables_in: tuple[str, ...]
) -> list[CallInput]:
    """Give the inputs in order; one file alone without its bytes."""
    cell = host.cell
    for name, value in {"--input-file": input_files or None, "-i": variables_in or None, "the cell": cell}.items():
        only_one({"--input": text, name: value})
    check_sources(input_files)
    first = text if cell is None else cell
    inputs = [] if first is None else [CallInput(first.encode(errors="surrogateescape"))]
    # The verb hands it to the guest while it reads.
    is_alone = not (inputs or variables_in) and len(input_files) == 1
    for source, value in in_order(input_files=input_files, variables_in=variables_in):
        if source == "variables_in":
            inputs.append(CallInput(*variable_input(host, value)))
        else:
            inputs.append(CallInput(b"" if is_alone else read_source(host, value)))
    return inputs or [CallInput(b"")]


def _value(result: CallResult) -> object:
    if result.result is not None:
        return result.result
    # A direct call that gives no number may still have written to its output buffer.
    return result.output if result.array is None else result.to_numpy()
