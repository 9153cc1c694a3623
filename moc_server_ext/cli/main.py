"""Entry point of the ``moc`` command: builds the verbs, runs one, shows its outcome or its error.

Exit codes: the guest's own for ``call`` and ``run``, 1 for errors, 2 for wrong usage, 130 for Ctrl-C, 141 when whoever
read the output went away.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Sequence

import click

from ..errors import MocError, UsageError, from_json
from ..verbs.commands import AnsweredError, VerbGroup
from ..verbs.group import build_group
from ..verbs.invoke import invoke
from ..verbs.outcome import MessageOutcome
from .host import TerminalHost
from .settings import global_options
from .show import show_error, show_line, show_outcome

EXIT_ERROR = 1
EXIT_USAGE = 2
EXIT_INTERRUPTED = 130
EXIT_BROKEN_PIPE = 141

_COMPLETE_VARIABLE = "_MOC_COMPLETE"
_NOTES = (
    "$MOC_STORAGE, $MOC_URL and $MOC_TOKEN stand for --storage, --url and --token.",
    "MOC_DEBUG=1 shows the traceback of an internal error.",
    'Tab completion in bash: eval "$(_MOC_COMPLETE=bash_source moc)", likewise zsh_source and fish_source.',
)


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the ``moc`` command and give its exit code."""
    group = build_cli()
    if _COMPLETE_VARIABLE in os.environ:
        from click.shell_completion import shell_complete

        return shell_complete(group, {"obj": TerminalHost()}, "moc", _COMPLETE_VARIABLE, os.environ[_COMPLETE_VARIABLE])
    host = TerminalHost()
    try:
        try:
            outcome = invoke(group, sys.argv[1:] if arguments is None else arguments, host, name="moc")
            show_outcome(outcome, as_json=host.settings.json)
            return outcome.exit_code
        finally:
            host.close()
    except KeyboardInterrupt:
        show_line("moc: interrupted")
        return EXIT_INTERRUPTED
    except BrokenPipeError:
        # Python would complain once more when it flushes stdout at its end.
        os.dup2(os.open(os.devnull, os.O_WRONLY), 1)
        return EXIT_BROKEN_PIPE
    except MocError as error:
        show_error(error, as_json=host.settings.json)
        return EXIT_USAGE if isinstance(error, UsageError) else EXIT_ERROR
    except Exception as error:  # the last line of defence: people get one line, not a traceback
        return _internal(error, as_json=host.settings.json)


def build_cli() -> VerbGroup:
    """Give all verbs of the command line, with the global options on every level."""
    from .run import run
    from .serve import serve

    group = build_group("cli")
    group.notes = _NOTES
    verbs = {"serve": serve, "run": run, **group.commands}
    group.commands = {}
    for name, verb in verbs.items():
        group.add_command(verb, name)
    _add_global_options(group)
    group.params.append(
        click.Option(
            ["-V", "--version"],
            is_flag=True,
            is_eager=True,
            expose_value=False,
            callback=_version,
            help="Show the version.",
        )
    )
    return group


def _add_global_options(command: click.Command) -> None:
    taken = {name for each in command.params for name in each.opts}
    command.params = [*command.params, *(each for each in global_options() if not taken.intersection(each.opts))]
    if isinstance(command, click.Group):
        for each in command.commands.values():
            _add_global_options(each)


def _version(ctx: click.Context, param: click.Parameter, value: bool) -> None:
    if value and not ctx.resilient_parsing:
        from importlib.metadata import version

        found = version("my-own-cluster")
        raise AnsweredError(MessageOutcome(f"moc {found}", {"version": found}))


def _internal(error: Exception, *, as_json: bool) -> int:
    if os.environ.get("MOC_DEBUG"):
        raise error
    message = f"{type(error).__name__}: {error}. This is a fault in moc: MOC_DEBUG=1 shows its traceback."
    show_error(from_json({"code": "internal", "message": message}), as_json=as_json)
    return EXIT_ERROR
