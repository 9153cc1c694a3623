"""From the words that were typed to an outcome, for both faces; and from an error to the lines that people see.

Every way in which click ends a command becomes either an :class:`~.outcome.Outcome` or a ``MocError``, so that a face
has only these two to show.
"""

from __future__ import annotations

from collections.abc import Sequence

import click

from ..errors import CompileFailedError, GuestError, MocError, TaskFailedError, UsageError, from_json, oxford
from .commands import AnsweredError
from .host import Host
from .outcome import MessageOutcome, Outcome, visible


def invoke(group: click.Group, arguments: Sequence[str], host: Host, *, name: str) -> Outcome:
    """Parse `arguments` and run the verb that they name.

    Blocks until the verb has ended. ``KeyboardInterrupt`` passes through, after the verb has cancelled its work.

    Parameters
    ----------
    name
        What the group is called on this face: ``moc`` or ``%moc``.

    Raises
    ------
    UsageError
        The words are no verb with its options and arguments. Nothing was done.
    MocError
        What the verb raised.
    """
    try:
        with group.make_context(name, list(arguments), obj=host) as ctx:
            outcome = group.invoke(ctx)
    except AnsweredError as answer:
        return answer.outcome
    except click.exceptions.Exit as end:
        return MessageOutcome("", None, status=end.exit_code)
    except click.UsageError as error:
        command = error.ctx.command_path if error.ctx is not None else name
        raise UsageError(_reason(error, command), command=command) from None
    if not isinstance(outcome, Outcome):
        raise TypeError(f"{list(arguments)!r} gave {outcome!r}, which is no outcome")
    return outcome


def _reason(error: click.UsageError, command: str) -> str:
    if isinstance(error, click.NoSuchOption):
        like = f" Did you mean {oxford(error.possibilities)}?" if error.possibilities else ""
        return f"{command} has no option {error.option_name!r}.{like}"
    return " ".join(error.format_message().split())


def error_text(error: MocError) -> str:
    """Write an error for people: ``error[CODE]: MESSAGE``, then indented lines with what a guest or compiler said."""
    more = (visible(line, keep="\t") for line in _more(error))
    return "\n".join([f"error[{error.code}]: {visible(error.message)}", *(f"  {line}" for line in more)])


def _more(error: MocError) -> list[str]:
    if isinstance(error, GuestError):
        return error.explain().removeprefix(error.message).splitlines()[1:]
    if isinstance(error, CompileFailedError):
        lines = str(error.details.get("diagnostics", "")).splitlines()
        # The message ends with the first error; what the compiler shows of the source comes right below.
        return lines[1:] if lines and error.message.endswith(lines[0].strip()) else lines
    if isinstance(error, TaskFailedError):
        return _more(from_json(error.details.get("cause", {})))
    return []
