"""The click classes that verbs are declared with.

They add to click what both faces need: help that is returned rather than printed, an example in every help, nearest
names for what was mistyped, and options and verbs that exist on one face only.
"""

from __future__ import annotations

import copy
from collections.abc import Callable, Sequence
from typing import Any, Literal, TypeVar

import click
from click.shell_completion import CompletionItem

from ..errors import InvalidInputError, UsageError, nearest
from .completion import WORDS_BEFORE, belongs_to_guest
from .outcome import MessageOutcome, Outcome

Face = Literal["cli", "magic"]

_ORDER = "moc.order"

Parsed = TypeVar("Parsed")


class AnsweredError(Exception):
    """The parser itself has the answer (help, the version): no verb runs."""

    def __init__(self, outcome: Outcome) -> None:
        super().__init__()
        self.outcome = outcome


def usage_error(reason: str) -> UsageError:
    """Make the error for a verb that finds its options at odds while it runs."""
    return UsageError(reason, command=click.get_current_context().command_path)


def answer_with_help(ctx: click.Context) -> AnsweredError:
    """Make the exception that ends parsing with the help of `ctx`'s command."""
    text = ctx.get_help()
    return AnsweredError(MessageOutcome(text, {"help": text}))


def _help_callback(ctx: click.Context, param: click.Parameter, value: bool) -> None:
    if value and not ctx.resilient_parsing:
        raise answer_with_help(ctx)


def _help_option() -> click.Option:
    return click.Option(
        ["-h", "--help"],
        is_flag=True,
        is_eager=True,
        expose_value=False,
        callback=_help_callback,
        help="Show this help.",
    )


def in_order(**values: Sequence[Any]) -> list[tuple[str, Any]]:
    """Put the values of the running verb's ordered parameters into the order in which they stand on the line.

    Parameters
    ----------
    **values
        What the verb got for each of them.

    Returns
    -------
    list
        Name of the parameter and one value.
    """
    left = {name: iter(each) for name, each in values.items()}
    return [(name, next(left[name])) for name in click.get_current_context().meta[_ORDER]]


class FacedOption(click.Option):
    """An option that exists on one face only; its callback parameter needs a default."""

    def __init__(self, *args: Any, face: Face, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.face = face


class GlobalOption(click.Option):
    """An option that every verb of a face takes, before or after its name."""


def _write_options(command: click.Command, ctx: click.Context, formatter: click.HelpFormatter) -> None:
    """Write the command's own options; those of every verb are explained once, by the whole group."""
    options = [each for each in command.get_params(ctx) if isinstance(each, click.Option)]
    own = [each for each in options if ctx.parent is None or not isinstance(each, GlobalOption)]
    records = [record for record in (each.get_help_record(ctx) for each in own) if record is not None]
    with formatter.section("Options"):
        formatter.write_dl(records)
    everywhere = [max(each.opts, key=len) for each in options if each not in own]
    if everywhere:
        formatter.write_paragraph()
        root = ctx.find_root().info_name
        formatter.write_text(f"Options of every verb: {', '.join(everywhere)} (`{root} -h` explains them).")


class Verb(click.Command):
    """One verb.

    Parameters
    ----------
    example
        Complete command lines, shown in the help; tests parse them.
    face
        The only face that has this verb; None for both.
    verbatim_tail
        Everything from the first positional argument on is taken as it is, ``-h`` and ``--`` included.
    compiler_flags
        From the first option on that the verb does not know, everything is taken as it is.
    ordered
        Parameters whose order on the line means something, also among one another; see :func:`in_order`.
    """

    def __init__(
        self,
        *args: Any,
        example: Sequence[str],
        face: Face | None = None,
        verbatim_tail: bool = False,
        compiler_flags: bool = False,
        ordered: Sequence[str] = (),
        **kwargs: Any,
    ) -> None:
        super().__init__(*args, **kwargs)
        self.example = tuple(example)
        self.face = face
        self.compiler_flags = compiler_flags
        self.ordered = frozenset(ordered)
        self.allow_interspersed_args = not verbatim_tail
        self._help = _help_option()

    def for_face(self, face: Face) -> Verb | None:
        """Give the verb with what `face` offers, or None where it has no such verb."""
        if self.face not in (None, face):
            return None
        verb = copy.copy(self)
        verb.params = [each for each in self.params if getattr(each, "face", face) == face]
        if face == "magic":
            verb.example = tuple(f"%{line}" if line.startswith("moc ") else line for line in self.example)
        return verb

    def get_help_option(self, ctx: click.Context) -> click.Option:
        """Give the one help option of this verb."""
        return self._help

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        """Parse as click does, after the compiler's flags were set apart."""
        if ctx.resilient_parsing:
            ctx.meta.setdefault(WORDS_BEFORE, tuple(args))
        if self.compiler_flags:
            known = {name for each in self.get_params(ctx) for name in (*each.opts, *each.secondary_opts)}
            for index, arg in enumerate(args):
                if arg == "--":
                    break
                if arg.startswith("-") and arg != "-" and arg.partition("=")[0] not in known:
                    args = [*args[:index], "--", *args[index:]]
                    break
        try:
            if self.ordered:
                # Of what is repeated, click keeps the order for each parameter alone.
                _, _, order = self.make_parser(ctx).parse_args(args=list(args))
                ctx.meta[_ORDER] = [str(each.name) for each in order if each.name in self.ordered]
            return super().parse_args(ctx, args)
        except click.UsageError as error:
            # The parser leaves out which verb it was, for an option without its value.
            error.ctx = error.ctx or ctx
            raise

    def shell_complete(self, ctx: click.Context, incomplete: str) -> list[CompletionItem]:
        """Offer the verb's options, as long as what is typed is the verb's and not a guest's."""
        return [] if belongs_to_guest(ctx) else super().shell_complete(ctx, incomplete)

    def format_options(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """Write the verb's own options."""
        _write_options(self, ctx, formatter)

    def format_epilog(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """Write the example."""
        with formatter.section("Example"):
            for line in self.example:
                formatter.write(f"{'':{formatter.current_indent}}{line}\n")


@click.pass_context
def _without_verb(ctx: click.Context, /) -> None:
    if ctx.invoked_subcommand is None:
        raise answer_with_help(ctx)


class VerbGroup(click.Group):
    """Verbs under one word, such as ``moc buffer``; without a verb it answers with its help."""

    def __init__(self, name: str, *, help: str, notes: Sequence[str] = ()) -> None:
        super().__init__(
            name, help=help, callback=_without_verb, invoke_without_command=True, subcommand_metavar="VERB …"
        )
        self.notes = tuple(notes)
        self._help = _help_option()

    def for_face(self, face: Face) -> VerbGroup:
        """Give the group with what `face` offers."""
        group = copy.copy(self)
        group.commands = {}
        for name, command in self.commands.items():
            if isinstance(command, Verb | VerbGroup):
                offered = command.for_face(face)
                if offered is not None:
                    group.commands[name] = offered
        return group

    def get_help_option(self, ctx: click.Context) -> click.Option:
        """Give the one help option of this group."""
        return self._help

    def list_commands(self, ctx: click.Context) -> list[str]:
        """List the verbs in the order in which they were declared."""
        return list(self.commands)

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        """Find the verb; a usage error names the nearest ones."""
        name = args[0]
        command = self.get_command(ctx, name)
        if command is None and not ctx.resilient_parsing:
            like = nearest(name, self.commands)
            hint = f"Did you mean {' or '.join(map(repr, like))}?" if like else f"Verbs: {', '.join(self.commands)}."
            raise click.UsageError(f"{ctx.command_path} has no verb {name!r}. {hint}", ctx)
        return name if command else None, command, args[1:]

    def format_options(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """Write the group's options, then its verbs."""
        _write_options(self, ctx, formatter)
        self.format_commands(ctx, formatter)

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """Write each verb with the whole first line of its help."""
        with formatter.section("Verbs"):
            formatter.write_dl([(name, each.get_short_help_str(limit=200)) for name, each in self.commands.items()])

    def format_epilog(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """Write the notes as they are."""
        if self.notes:
            with formatter.section("Notes"):
                for line in self.notes:
                    formatter.write(f"{'':{formatter.current_indent}}{line}\n")


def parsed_by(parse: Callable[[Any], Parsed]) -> Callable[[click.Context, click.Parameter, Any], Parsed | None]:
    """Make a click callback from a ``parse_*`` function, whose InvalidInputError or ValueError is a wrong usage."""

    def callback(ctx: click.Context, param: click.Parameter, value: Any) -> Parsed | None:
        if value is None:
            return None
        try:
            return parse(value)
        except (InvalidInputError, ValueError) as error:
            raise click.BadParameter(str(error), ctx, param) from None

    return callback
