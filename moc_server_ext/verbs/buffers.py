"""The verbs about stored buffers and their logs: ``buffers``, ``buffer put|get|delete|append|seal|copy|…``."""

from __future__ import annotations

import mimetypes
from collections.abc import Iterator

import click

from ..client.inspection import describe_content
from ..client.parts import FileParts
from ..model import DEFAULT_CONTENT_TYPE, parse_compression, parse_content_type
from .commands import Verb, VerbGroup, parsed_by, usage_error
from .completion import buffer_names, file_names
from .host import Host, Progress
from .options import (
    only_one,
    output_file_option,
    variable_in_option,
    variable_out_option,
)
from .outcome import BytesOutcome, MessageOutcome, TableOutcome, format_size


def parse_range(text: str) -> tuple[int, int | None]:
    """Read ``A:B``, the bytes ``[A, B)``; either may be left out."""
    start, colon, stop = text.partition(":")
    if not colon or not all(each.isascii() and each.isdigit() for each in (start, stop) if each):
        raise ValueError(f"{text!r} is no range: expected A:B, the bytes from A up to but not including B.")
    first, end = int(start or 0), int(stop) if stop else None
    if end is not None and end < first:
        raise ValueError(f"The range {text!r} ends before it begins.")
    return first, end


@click.command(cls=Verb, example=["moc buffers"])
@click.pass_obj
def buffers(host: Host) -> TableOutcome:
    """List the stored buffers."""
    records = host.client.platform.buffers.list()
    return TableOutcome(
        ("NAME", "SIZE", "CONTENT"),
        [(each.name, format_size(each.size), describe_content(each)) for each in records],
        {"buffers": [each.to_json() for each in records]},
        empty="No buffer is stored. `moc buffer put NAME FILE` stores one.",
    )


buffer = VerbGroup("buffer", help="Store, append to, read, copy, rename or delete one buffer.")

_overwrite_option = click.option("--overwrite", is_flag=True, help="Replace a buffer that has the new name.")


@buffer.command(
    "put", cls=Verb, example=["moc buffer put books books.txt", "moc buffer put --content-type text/csv t -"]
)
@click.option(
    "--content-type",
    metavar="TYPE",
    callback=parsed_by(parse_content_type),
    help="What the bytes are. Without it: by the file's suffix.",
)
@click.option(
    "--compression",
    metavar="HOW",
    callback=parsed_by(parse_compression),
    help="Store it compressed: zstd. Without it: as it is.",
)
@variable_in_option
@click.argument("name", shell_complete=buffer_names)
@click.argument("file", metavar="FILE|-", required=False, shell_complete=file_names)
@click.pass_obj
def put(
    host: Host,
    name: str,
    file: str | None,
    content_type: str | None,
    compression: str | None,
    variable_in: str | None = None,
) -> MessageOutcome:
    """Store a file, or standard input for -, as a buffer.

    A buffer that had this name is replaced as a whole; readers never see half of it.
    """
    if only_one({"FILE": file, "-i": variable_in, "the cell": host.cell}) is None:
        raise usage_error("Missing argument FILE, or - for standard input")
    stored = host.client.platform.buffers
    if file is not None:
        chosen = content_type or mimetypes.guess_type(file)[0] or DEFAULT_CONTENT_TYPE
        with host.open_source(file) as source, host.progress(f"storing {name!r}") as progress:
            parts = FileParts(source, on_part=lambda done: progress.update(done=done))
            if parts.size is not None:
                progress.update(total=parts.size, label=f"storing {name!r}, {format_size(parts.size)}")
            record = stored.put(name, parts, chosen, compression=compression)
    elif variable_in is not None:
        with host.progress(f"storing {name!r}"):
            record = host.client.buffers.put(name, host.variable(variable_in), content_type, compression=compression)
    else:
        content = (host.cell or "").encode()
        with host.progress(f"storing {name!r}, {format_size(len(content))}"):
            record = stored.put(name, content, content_type or "text/plain", compression=compression)
    return MessageOutcome(
        f"stored buffer {name!r}: {format_size(record.size)}, {describe_content(record)}", record.to_json()
    )


@buffer.command("get", cls=Verb, example=["moc buffer get books", "moc buffer get --range 0:100 books"])
@click.option("--range", "byte_range", metavar="A:B", callback=parsed_by(parse_range), help="Only the bytes [A, B).")
@output_file_option
@variable_out_option
@click.argument("name", shell_complete=buffer_names)
@click.pass_obj
def get(
    host: Host,
    name: str,
    byte_range: tuple[int, int | None] | None,
    output_file: str | None = None,
    variable_out: str | None = None,
) -> BytesOutcome:
    """Give the bytes of a buffer, as they are."""
    stored = host.client.platform.buffers
    record = stored.stat(name)
    start, stop = byte_range or (0, None)
    outcome = BytesOutcome(
        lambda: stored.parts(name, start, stop), record.content_type, name, kept_in=output_file or variable_out
    )
    if output_file is None and host.is_stream:
        return outcome
    with host.progress(f"reading {name!r}, {format_size(record.size)}", total=record.size) as progress:
        if output_file is not None:
            host.write_parts(output_file, _counted(outcome.parts(), progress))
        elif variable_out is not None:
            host.assign(variable_out, outcome.content)
        else:
            outcome.load()
    return outcome


@buffer.command("delete", cls=Verb, example=["moc buffer delete books"])
@click.argument("name", shell_complete=buffer_names)
@click.pass_obj
def delete(host: Host, name: str) -> MessageOutcome:
    """Remove a buffer."""
    host.client.platform.buffers.delete(name)
    return MessageOutcome(f"deleted buffer {name!r}", {"deleted": name})


@buffer.command(
    "append", cls=Verb, example=["moc buffer append measured today.csv", "moc buffer append --seal measured -"]
)
@click.option(
    "--content-type",
    metavar="TYPE",
    callback=parsed_by(parse_content_type),
    help="What the bytes are, said with the first part. Without it: by the file's suffix.",
)
@click.option("--seal", "sealed", is_flag=True, help="Make the buffer of it afterwards.")
@click.argument("name")
@click.argument("file", metavar="FILE|-", shell_complete=file_names)
@click.pass_obj
def append(host: Host, name: str, file: str, content_type: str | None, sealed: bool) -> MessageOutcome:
    """Append a file, or standard input for -, to a buffer's open log.

    All of it is appended, or nothing. The first part begins the log; `moc buffer seal` makes it the buffer.
    """
    stored = host.client.platform.buffers
    chosen = content_type or mimetypes.guess_type(file)[0] or DEFAULT_CONTENT_TYPE
    with host.open_source(file) as source, host.progress(f"appending to {name!r}") as progress:
        parts = FileParts(source, on_part=lambda done: progress.update(done=done))
        if parts.size is not None:
            progress.update(total=parts.size, label=f"appending to {name!r}, {format_size(parts.size)}")
        size = stored.append_log(name, parts, chosen)
    if sealed:
        return _seal(host, name)
    return MessageOutcome(f"appended: the log of buffer {name!r} has {format_size(size)}", {"name": name, "size": size})


@buffer.command("seal", cls=Verb, example=["moc buffer seal measured"])
@click.argument("name")
@click.pass_obj
def seal(host: Host, name: str) -> MessageOutcome:
    """Make the buffer of what was appended to its log."""
    return _seal(host, name)


@buffer.command("logs", cls=Verb, example=["moc buffer logs"])
@click.pass_obj
def logs(host: Host) -> TableOutcome:
    """List the open logs, which are no buffers yet."""
    records = host.client.platform.buffers.logs()
    return TableOutcome(
        ("NAME", "SIZE", "PARTS", "CONTENT"),
        [(each.name, format_size(each.size), f"{each.parts:,}", each.content_type) for each in records],
        {"logs": [each.to_json() for each in records]},
        empty="No log is open. `moc buffer append NAME FILE` begins one.",
    )


@buffer.command("abandon", cls=Verb, example=["moc buffer abandon measured"])
@click.argument("name")
@click.pass_obj
def abandon(host: Host, name: str) -> MessageOutcome:
    """Remove an open log with all that was appended to it."""
    host.client.platform.buffers.abandon_log(name)
    return MessageOutcome(f"abandoned the log of buffer {name!r}", {"abandoned": name})


@buffer.command("copy", cls=Verb, example=["moc buffer copy books books-before"])
@_overwrite_option
@click.argument("old", shell_complete=buffer_names)
@click.argument("new")
@click.pass_obj
def copy(host: Host, old: str, new: str, overwrite: bool) -> MessageOutcome:
    """Store a buffer under another name as well; no bytes are copied."""
    record = host.client.platform.buffers.copy(old, new, overwrite=overwrite)
    return MessageOutcome(f"copied buffer {old!r} to {new!r}", record.to_json())


@buffer.command("rename", cls=Verb, example=["moc buffer rename books library"])
@_overwrite_option
@click.argument("old", shell_complete=buffer_names)
@click.argument("new")
@click.pass_obj
def rename(host: Host, old: str, new: str, overwrite: bool) -> MessageOutcome:
    """Give a buffer another name."""
    record = host.client.platform.buffers.rename(old, new, overwrite=overwrite)
    return MessageOutcome(f"renamed buffer {old!r} to {new!r}", record.to_json())


def _seal(host: Host, name: str) -> MessageOutcome:
    with host.progress(f"sealing {name!r}"):
        record = host.client.platform.buffers.seal_log(name)
    return MessageOutcome(
        f"sealed buffer {name!r}: {format_size(record.size)}, {describe_content(record)}", record.to_json()
    )


def _counted(parts: Iterator[bytes], progress: Progress) -> Iterator[bytes]:
    done = 0
    for part in parts:
        yield part
        done += len(part)
        progress.update(done=done)
