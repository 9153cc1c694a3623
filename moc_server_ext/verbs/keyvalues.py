"""The verbs about the key-value store: ``kv set|get|list|delete|cas|incr``. Keys and values typed here are UTF-8."""

from __future__ import annotations

import base64
from typing import Final

import click

from ..abc import KeyValues
from ..model import DEFAULT_CONTENT_TYPE
from .commands import Verb, VerbGroup, usage_error
from .completion import key_names
from .host import Host
from .options import only_one, output_file_option, variable_bytes, variable_in_option, variable_out_option
from .outcome import BytesOutcome, MessageOutcome, Outcome, TableOutcome, format_size, visible

_PAGE: Final = 1000
_SHOWN_BYTES: Final = 200

kv = VerbGroup("kv", help="Set, get, list, count or delete durable values by key.")


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


@kv.command("list", cls=Verb, example=["moc kv list", "moc kv list --limit 10 --values visits/"])
@click.option("--limit", "count", metavar="COUNT", type=click.IntRange(min=1), help="At most so many. Without it: all.")
@click.option("--after", metavar="KEY", shell_complete=key_names, help="Only the keys that come after this one.")
@click.option("--values", "with_values", is_flag=True, help="Show the values too, the beginning of long ones.")
@click.argument("prefix", default="", shell_complete=key_names)
@click.pass_obj
def list_keys(host: Host, prefix: str, count: int | None, after: str | None, with_values: bool) -> Outcome:
    """List the keys that begin with PREFIX, one a line, in bytewise order."""
    last = None if after is None else _bytes(after)
    if with_values:
        items = _items(host.client.platform.kv, _bytes(prefix), count, last)
        return TableOutcome(
            ("KEY", "VALUE"),
            [(_text(key), _shown(value)) for key, value in items],
            {"keys": [{"key": _text(key), "value": base64.b64encode(value).decode()} for key, value in items]},
        )
    keys: list[bytes] = []
    while count is None or len(keys) < count:
        wanted = _PAGE if count is None else min(_PAGE, count - len(keys))
        page = host.client.platform.kv.list(_bytes(prefix), limit=wanted, after=last)
        keys += page
        if len(page) < wanted:
            break
        last = page[-1]
    names = [_text(key) for key in keys]
    return MessageOutcome("\n".join(map(visible, names)), {"keys": names})


def _items(kv: KeyValues, prefix: bytes, count: int | None, after: bytes | None) -> list[tuple[bytes, bytes]]:
    items: list[tuple[bytes, bytes]] = []
    while count is None or len(items) < count:
        wanted = _PAGE if count is None else min(_PAGE, count - len(items))
        page = kv.scan(prefix, limit=wanted, after=after)
        items += page.items
        if page.after is None:
            break
        after = page.after
    return items


def _shown(value: bytes) -> str:
    shown = value[:_SHOWN_BYTES].decode(errors="replace")
    return shown if len(value) <= _SHOWN_BYTES else f"{shown}… ({format_size(len(value))})"


@kv.command("delete", cls=Verb, example=["moc kv delete greeting"])
@click.argument("key", shell_complete=key_names)
@click.pass_obj
def delete(host: Host, key: str) -> MessageOutcome:
    """Remove a key and its value."""
    host.client.platform.kv.delete(_bytes(key))
    return MessageOutcome("", {"deleted": key})


@kv.command(
    "cas",
    cls=Verb,
    example=["moc kv cas state idle busy", "moc kv cas --absent lock mine", "moc kv cas --remove lock mine"],
)
@click.option("--absent", is_flag=True, help="The key must not be there; OLD is left out.")
@click.option("--remove", is_flag=True, help="Remove the key; NEW is left out.")
@click.argument("key", shell_complete=key_names)
@click.argument("values", metavar="[OLD] [NEW]", nargs=-1)
@click.pass_obj
def compare_and_set(host: Host, key: str, values: tuple[str, ...], absent: bool, remove: bool) -> MessageOutcome:
    """Compare the value of a key with OLD, and set it to NEW if it is that.

    Both happen in one step: of two who expect the same value, one gets its way, and the other the error key_conflict. A
    value that begins with a dash follows --.
    """
    wanted = [name for name, is_left_out in (("OLD", absent), ("NEW", remove)) if not is_left_out]
    if len(values) != len(wanted):
        expected = " and ".join(wanted) or "no value"
        raise usage_error(f"Expected {expected} behind KEY, found {len(values)} value{'s' * (len(values) != 1)}")
    given = {name: _bytes(value) for name, value in zip(wanted, values, strict=True)}
    host.client.platform.kv.compare_and_set(_bytes(key), given.get("OLD"), given.get("NEW"))
    return MessageOutcome("", {"key": key, "size": None if remove else len(given["NEW"])})


@kv.command("incr", cls=Verb, example=["moc kv incr visits", "moc kv incr visits 10", "moc kv incr -- visits -1"])
@click.argument("key", shell_complete=key_names)
@click.argument("by", type=int, default=1)
@click.pass_obj
def increment(host: Host, key: str, by: int) -> MessageOutcome:
    """Add BY, 1 without it, to the number under a key, and print the sum; a key that is not there counts as 0.

    A number below zero follows --, as in: moc kv incr -- KEY -1
    """
    total = host.client.platform.kv.increment(_bytes(key), by)
    return MessageOutcome(str(total), {"key": key, "value": total})
