"""The verbs about registered functions: ``push``, ``functions``, ``function show``, ``function delete``."""

from __future__ import annotations

import click

from ..model import WASM_CONTENT_TYPE, Declaration
from ..model.exports import describe_export
from .commands import Verb, VerbGroup
from .compiling import module_of
from .completion import file_names, function_names
from .describe import entry_points_text, mode_of
from .host import Host
from .options import declaration_options
from .outcome import MessageOutcome, TableOutcome, format_size, visible


@click.command(
    cls=Verb,
    example=[
        "moc push uppercase uppercase.wasm",
        "moc push --grant kv:visits/ --limit timeout_seconds=2 visits visits.c",
    ],
)
@click.option("--content-type", metavar="TYPE", help=f"What the file is. Without it: {WASM_CONTENT_TYPE}.")
@declaration_options
@click.argument("name", shell_complete=function_names)
@click.argument("file", shell_complete=file_names)
@click.pass_obj
def push(
    host: Host,
    name: str,
    file: str,
    content_type: str | None,
    declaration: Declaration,
) -> MessageOutcome:
    """Register a module under a name and print its blob id.

    FILE is a WebAssembly module, or a source file (.c, .wat), which is compiled first. A function that had this name is
    replaced; its blob stays. A function may compute, read its inputs and write its output; all else needs a --grant.
    """
    module = module_of(host, file, content_type=content_type)
    with host.progress(f"registering {name!r}"):
        record = host.client.platform.functions.put(
            name, module.content, declaration, content_type or module.content_type
        )
    return MessageOutcome(record.blob_id, record.to_json(), diagnostics=module.diagnostics)


@click.command(cls=Verb, example=["moc functions"])
@click.pass_obj
def functions(host: Host) -> TableOutcome:
    """List the registered functions."""
    records = host.client.platform.functions.list()
    return TableOutcome(
        ("NAME", "MODE", "SIZE", "ENTRY POINTS", "BLOB"),
        [
            (each.name, mode_of(each).value, format_size(each.size), entry_points_text(each), each.blob_id[:12])
            for each in records
        ],
        {"functions": [each.to_json() for each in records]},
        empty="No function is registered. `moc push NAME FILE` registers one.",
    )


function = VerbGroup("function", help="Show or delete one registered function.")


@function.command("show", cls=Verb, example=["moc function show uppercase"])
@click.argument("name", shell_complete=function_names)
@click.pass_obj
def show(host: Host, name: str) -> MessageOutcome:
    """Show what a function imports from others and exports, may reach and may use."""
    record = host.client.platform.functions.get(name)
    declared = record.declaration
    facts = [
        ("name", record.name),
        ("blob id", record.blob_id),
        ("size", format_size(record.size)),
        ("content type", record.content_type),
        ("mode", mode_of(record).value + ("" if declared.mode else " (from its exports)")),
        ("entry point", declared.entry or "chosen at the call"),
        ("grants", ", ".join(sorted(declared.grants.permissions)) or "none"),
        ("allowed hosts", ", ".join(sorted(declared.grants.allowed_hosts)) or "none"),
        ("limits", ", ".join(f"{key}={value:,}" for key, value in declared.limits.items()) or "the server's"),
        ("reusable", "yes" if declared.reusable else "no"),
        ("deterministic", "yes" if declared.deterministic else "no"),
    ]
    lines = [f"{label + ':':<15}{visible(value)}" for label, value in facts]
    if record.imports:
        lines += ["imports:", *(f"  {visible(str(each))}" for each in record.imports)]
    lines += ["exports:", *(f"  {visible(describe_export(*each))}" for each in record.exports.items())]
    return MessageOutcome("\n".join(lines), record.to_json())


@function.command("delete", cls=Verb, example=["moc function delete uppercase"])
@click.argument("name", shell_complete=function_names)
@click.pass_obj
def delete(host: Host, name: str) -> MessageOutcome:
    """Remove a function's name; its blob stays reachable by id."""
    host.client.platform.functions.delete(name)
    return MessageOutcome(f"deleted function {name!r}", {"deleted": name})
