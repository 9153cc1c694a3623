"""One definition a verb. The command line and the notebooks' magics are made from it.

A verb is a click command that gets its :class:`~.host.Host` by ``click.pass_obj`` and gives back an
:class:`~.outcome.Outcome`; it never prints. The faces call :func:`build_group` and :func:`invoke` and show what comes
back.
"""

from .group import build_group
from .host import Host, Progress
from .invoke import error_text, invoke
from .outcome import BytesOutcome, CallOutcome, MessageOutcome, Outcome, TableOutcome

__all__ = [
    "BytesOutcome",
    "CallOutcome",
    "Host",
    "MessageOutcome",
    "Outcome",
    "Progress",
    "TableOutcome",
    "build_group",
    "error_text",
    "invoke",
]
