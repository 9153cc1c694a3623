"""What may stand where the cursor is: the completers that verbs declare for their options and arguments.

They are click's ``shell_complete`` functions, so that the shells' completion and the magics' ask the same ones. Where a
name is the platform's, they ask the face's :class:`Onlooker`, which never opens a storage: what cannot be known quickly
and without side effects is simply not offered.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass, fields, replace
from types import ModuleType
from typing import TYPE_CHECKING, Final, Protocol

import click
from click.shell_completion import CompletionItem

from ..compilers.bindings import LANGUAGES, MODULES
from ..errors import MocError
from ..model import Limits, Mode
from ..model.arrays import ITEM_BYTES
from ..model.exports import describe_export, entry_name
from ..model.limits import GRANT_KINDS
from .describe import entry_points, how_to_call

if TYPE_CHECKING:
    from ..abc import Platform

Item = CompletionItem
Completer = Callable[[click.Context, click.Parameter, str], list[Item]]

WORDS_BEFORE = "moc.words_before"
"""Where a verb keeps, in its context's ``meta``, the words that it was given to parse."""

MOST = 500
"""How many names are offered at most."""

_GLOB: Final = frozenset("*?[]")


class Onlooker(Protocol):
    """What completion may ask of the face that somebody types into; it is the ``obj`` of click's context."""

    @property
    def words_after(self) -> Sequence[str]:
        """The words behind the one that is completed, as far as the face knows them."""
        ...

    def glance(self) -> AbstractContextManager[Platform | None]:
        """Give the platform, impatiently; None when it cannot be asked without opening a storage."""
        ...

    def variables(self) -> Mapping[str, object]:
        """Give the person's variables."""
        ...

    def can_write(self, word: str) -> bool:
        """Tell whether `word`, once the face has put it onto the line, is read back as itself."""
        ...


@dataclass(frozen=True, slots=True)
class _Place:
    """What is completed: the value of `param`, which begins with `incomplete`."""

    ctx: click.Context
    param: click.Parameter
    incomplete: str


def _names(kind: str, ask: Callable[[Platform, _Place], Iterable[tuple[str, str]]]) -> Completer:
    """Make a completer of names that the platform knows; `ask` gives them with what is said about each."""

    def complete(ctx: click.Context, param: click.Parameter, incomplete: str) -> list[Item]:
        onlooker: Onlooker = ctx.obj
        if belongs_to_guest(ctx):
            return []
        try:
            with onlooker.glance() as platform:
                found = [] if platform is None else list(ask(platform, _Place(ctx, param, incomplete)))
        except MocError:
            return []  # Whoever runs the line is told; who only looks for a name is not.
        offered = (each for each in found if each[0].startswith(incomplete) and _is_word(each[0], onlooker))
        return [Item(name, help=said or None, kind=kind) for name, said in offered][:MOST]

    return complete


def _is_word(name: str, onlooker: Onlooker) -> bool:
    # One that begins with a dash would be read as an option.
    return name.isprintable() and not name.startswith("-") and onlooker.can_write(name)


def belongs_to_guest(ctx: click.Context) -> bool:
    """Tell whether everything from here on is taken as it is, because the verb's first argument has been given."""
    if ctx.command.allow_interspersed_args:
        return False
    first = next((each for each in ctx.command.params if isinstance(each, click.Argument)), None)
    return first is not None and ctx.params.get(str(first.name)) is not None


def _functions(platform: Platform, place: _Place) -> Iterable[tuple[str, str]]:
    return ((each.name, how_to_call(each)) for each in platform.functions.list())


def _buffers(platform: Platform, place: _Place) -> Iterable[tuple[str, str]]:
    return ((each.name, each.content_type) for each in platform.buffers.list())


def _keys(platform: Platform, place: _Place) -> Iterable[tuple[str, str]]:
    prefix = place.incomplete.encode(errors="surrogateescape")
    return ((key.decode(errors="surrogateescape"), "") for key in platform.kv.list(prefix, limit=MOST))


def _entry_points(platform: Platform, place: _Place) -> Iterable[tuple[str, str]]:
    """Give the exports of the function that the line names, on either side of the cursor; of all when it names none."""
    name = _whole_line(place).params.get("name")
    named = [each for each in platform.functions.list() if name is None or each.name == name]
    found = {
        entry_name(export): describe_export(export, each.exports[export])
        for each in named
        for export in entry_points(each)
    }
    return sorted(found.items())


def _whole_line(place: _Place) -> click.Context:
    """Parse the verb's line with the value that is completed and with what stands behind it.

    An option without its value ends the parser, so that click's own context knows nothing of the rest.
    """
    ctx, onlooker = place.ctx, place.ctx.obj
    before: tuple[str, ...] = ctx.meta.get(WORDS_BEFORE, ())
    value = [place.incomplete] if before and before[-1] in place.param.opts else []
    words = [*before, *value, *onlooker.words_after]
    return ctx.command.make_context(ctx.info_name, words, parent=ctx.parent, resilient_parsing=True)


def _grants(platform: Platform, place: _Place) -> Iterable[tuple[str, str]]:
    """Give the grants for what is there; names that a glob would read otherwise are left out."""
    kind, _, begun = place.incomplete.partition(":")
    if kind == "kv":
        found = _keys(platform, replace(place, incomplete=begun))
    elif kind == "buffer":
        found = _buffers(platform, place)
    else:
        found = _functions(platform, place) if kind in ("blob", "call", "register") else ()
    return ((f"{kind}:{name}", said) for name, said in found if kind == "kv" or _GLOB.isdisjoint(name))


function_names = _names("function", _functions)
buffer_names = _names("buffer", _buffers)
key_names = _names("key", _keys)
entry_names = _names("export", _entry_points)
_granted_names = _names("grant", _grants)


def _words(kind: str, words: Sequence[str]) -> Completer:
    def complete(ctx: click.Context, param: click.Parameter, incomplete: str) -> list[Item]:
        if belongs_to_guest(ctx):
            return []
        return [Item(each, kind=kind) for each in words if each.startswith(incomplete)]

    return complete


mode_words = _words("choice", [each.value for each in Mode])
_grant_kinds = _words("choice", GRANT_KINDS)
dtype_words = _words("choice", list(ITEM_BYTES))
module_names = _words("module", MODULES)
language_names = _words("language", LANGUAGES)
limit_words = _words("limit", [f"{each.name}=" for each in fields(Limits)])


def grant_words(ctx: click.Context, param: click.Parameter, incomplete: str) -> list[Item]:
    """Offer the kinds of grants, and behind a colon what is there to be granted."""
    return (_granted_names if ":" in incomplete else _grant_kinds)(ctx, param, incomplete)


def _path(kind: str) -> Completer:
    """Make a completer that leaves the file system to the face: a shell knows better how its paths are written."""

    def complete(ctx: click.Context, param: click.Parameter, incomplete: str) -> list[Item]:
        return [] if belongs_to_guest(ctx) else [Item(incomplete, type=kind)]

    return complete


file_names = _path("file")
directory_names = _path("dir")


def _variables(fits: Callable[[object], bool]) -> Completer:
    def complete(ctx: click.Context, param: click.Parameter, incomplete: str) -> list[Item]:
        if belongs_to_guest(ctx):
            return []
        onlooker: Onlooker = ctx.obj
        return [
            Item(name, help=type(value).__name__, kind="variable")
            for name, value in sorted(onlooker.variables().items())
            if name.startswith(incomplete) and (incomplete or not name.startswith("_")) and fits(value)
        ]

    return complete


def _has_bytes(value: object) -> bool:
    if isinstance(value, type):
        return False
    if isinstance(value, str | bytes) or hasattr(type(value), "__bytes__") or hasattr(type(value), "__array__"):
        return True
    try:
        memoryview(value).release()  # type: ignore[arg-type]
    except (TypeError, ValueError, BufferError):
        return False
    return True


def _is_data(value: object) -> bool:
    return not isinstance(value, ModuleType) and not callable(value)


variables_with_bytes = _variables(_has_bytes)
variables = _variables(_is_data)
