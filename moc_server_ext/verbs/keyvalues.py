"""The verbs about the key-value store: ``kv set|get|list|delete``. Keys and values typed here are UTF-8."""

from __future__ import annotations

import click

from ..model import DEFAULT_CONTENT_TYPE
from .commands import Verb, VerbGroup, usage_error
from .completion import key_names
from .host import Host
from .options import only_one, output_file_option, variable_bytes, variable_in_option, variable_out_option
from .outcome import BytesOutcome, MessageOutcome, visible

_PAGE = 1000

kv = VerbGroup("kv", help="Set, get, list or delete durable values by key.")


def _bytes(text: str) -> bytes:
    # Arguments of a process are bytes; Python keeps those that are no UTF-8 as surrogates.
    return text.encode(errors="surrogateescape")


def _text(key: bytes) -> str:
    return key.decode(errors="surrogateescape")


@kv.command("set", cls=Verb, example=["moc kv set greeting hello", "moc kv set picture -"])
@variable_in_option
@click.argument("key", shell_complete=key_names)
@click.argument("value", metavar="VALUE|-", required=False)
@click.pass_obj
def set_value(host: Host, key: str, value: str | None, variable_in: str | None = None) -> MessageOutcome:
    """Store a value, or standard input for -, under a key.

    A value that begins with a dash follows --, as in: moc kv set -- KEY -5
    """
    if only_one({"VALUE": value, "-i": variable_in, "the cell": host.cell}) is None:
        raise usage_error("Missing argument VALUE, or - for standard input")
    if value is not None:
        content = host.stdin() if value == "-" else _bytes(value)
    elif variable_in is not None:
        content = variable_bytes(host, variable_in)
    else:
        content = (host.cell or "").encode()
    host.client.platform.kv.set(_bytes(key), content)
    return MessageOutcome("", {"key": key, "size": len(content)})


@kv.command("get", cls=Verb, example=["moc kv get greeting"])
@output_file_option
@variable_out_option
@click.argument("key", shell_complete=key_names)
@click.pass_obj
def get(host: Host, key: str, output_file: str | None = None, variable_out: str | None = None) -> BytesOutcome:
    """Give the value of a key, as it is."""
    content = host.client.platform.kv.get(_bytes(key))
    if output_file is not None:
        host.write_file(output_file, content)
    if variable_out is not None:
        host.assign(variable_out, content)
    return BytesOutcome(content, DEFAULT_CONTENT_TYPE, key, kept_in=output_file or variable_out)


@kv.command("list", cls=Verb, example=["moc kv list", "moc kv list --limit 10 visits/"])
@click.option("--limit", "count", metavar="COUNT", type=click.IntRange(min=1), help="At most so many. Without it: all.")
@click.option("--after", metavar="KEY", shell_complete=key_names, help="Only the keys that come after this one.")
@click.argument("prefix", default="", shell_complete=key_names)
@click.pass_obj
def list_keys(host: Host, prefix: str, count: int | None, after: str | None) -> MessageOutcome:
    """List the keys that begin with PREFIX, one a line, in bytewise order."""
    keys: list[bytes] = []
    last = None if after is None else _bytes(after)
    while count is None or len(keys) < count:
        wanted = _PAGE if count is None else min(_PAGE, count - len(keys))
        page = host.client.platform.kv.list(_bytes(prefix), limit=wanted, after=last)
        keys += page
        if len(page) < wanted:
            break
        last = page[-1]
    names = [_text(key) for key in keys]
    return MessageOutcome("\n".join(map(visible, names)), {"keys": names})


@kv.command("delete", cls=Verb, example=["moc kv delete greeting"])
@click.argument("key", shell_complete=key_names)
@click.pass_obj
def delete(host: Host, key: str) -> MessageOutcome:
    """Remove a key and its value."""
    host.client.platform.kv.delete(_bytes(key))
    return MessageOutcome("", {"deleted": key})
