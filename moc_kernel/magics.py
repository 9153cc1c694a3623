"""``%moc`` and ``%%moc``: the verbs of the command line, typed into a cell.

The verbs are those of :mod:`moc_server_ext.verbs`, defined once for both faces. Here a line is split, handed to them
with the notebook as their host, and what comes back is shown or raised. IPython has expanded ``{name}`` and ``$name``
on the line before; the cell's text comes as it was typed.
"""

from __future__ import annotations

import shlex
import sys
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from IPython.core.magic import needs_local_scope

from .session import Session, session_of

if TYPE_CHECKING:
    from moc_server_ext.verbs import Outcome

_FORMATTED = (
    ("moc_server_ext.client.handles", "BufferHandle", "buffer_bundle"),
    ("moc_server_ext.model.calls", "CallResult", "call_bundle"),
    ("moc_server_ext.verbs.outcome", "BytesOutcome", "bytes_bundle"),
    ("moc_server_ext.verbs.outcome", "TableOutcome", "table_bundle"),
)
_SHOWN_AT_ONCE = (
    ("moc_server_ext.model.calls", "CallResult"),
    ("moc_server_ext.verbs.outcome", "TableOutcome"),
    ("moc_server_ext.verbs.outcome", "BytesOutcome"),
)
_BUFFER = ("moc_server_ext.client.handles", "BufferHandle")
_HANDLE = ("moc_server_ext.client.started", "CallHandle")


class MocMagics:
    """The magics of one shell."""

    def __init__(self, shell: Any, session: Session) -> None:
        self._shell = shell
        self._session = session
        self._display: Any = None
        self._group: Any = None
        self.matcher: Any = None

    def moc(self, line: str, cell: str | None = None, local_ns: Mapping[str, object] | None = None) -> object:
        """Do one thing with the platform: the verbs of the command line ``moc``, in a cell.

        ::

            %moc -h                              the verbs; `%moc VERB -h` explains one
            %moc call NAME 1 2                   call a function
            %moc call -i TEXT -o RESULT NAME     input from one variable, output into another
            %moc call --noblock -o H NAME        start it and go on; `await H` gives its result
            %moc functions                       what is registered
            %moc status                          what this notebook is connected to

            %%moc c NAME                         compile the C program below and register it
            %%moc wat NAME                       the same for WebAssembly text
            %%moc call NAME                      call it with the text below as its input

        A line shows what it gives, and its value is that: `r = %moc call add 1 2`, then `r.result`. On the line
        `{name}` and `$name` stand for variables; the text below a `%%moc` line is taken as it is.
        """
        from moc_server_ext.errors import MocError
        from moc_server_ext.verbs import error_text

        from .failure import without_traceback

        try:
            outcome = self._run(line, cell, local_ns)
        except MocError as error:
            without_traceback(error, f"moc: {error_text(error)}")
            raise error.with_traceback(None) from None
        except KeyboardInterrupt as interrupt:
            without_traceback(interrupt, "moc: interrupted")
            raise
        return self.display.show(outcome)

    @property
    def display(self) -> Any:
        """What shows the outcomes; made when first needed."""
        if self._display is None:
            from .display import Display

            self._display = Display(self._shell)
            self._shell.events.register("pre_run_cell", self._display.begin_cell)
        return self._display

    def close(self) -> None:
        """Take back what :attr:`display` registered."""
        if self._display is not None:
            self._shell.events.unregister("pre_run_cell", self._display.begin_cell)

    def skip_if_shown(self, value: object) -> None:
        """Show nothing for what a line has just shown; otherwise let IPython go on."""
        if self._display is None:
            raise NotImplementedError
        self._display.skip_if_shown(value)

    def show_handle(self, handle: Any) -> None:
        """Show a started call and its end, unless a line has just shown it."""
        from .handles import show_handle

        try:
            self.skip_if_shown(handle)
        except NotImplementedError:
            show_handle(self._shell, handle)

    def show_buffer(self, handle: Any) -> None:
        """Show a buffer to look around in, unless a line has just shown it, or nobody is there to look around."""
        from .inspecting import is_interactive

        try:
            self.skip_if_shown(handle)
        except NotImplementedError:
            if not is_interactive(self._shell):
                raise
            self.display.show_buffer(handle)

    def _run(self, line: str, cell: str | None, local_ns: Mapping[str, object] | None) -> Outcome:
        from moc_server_ext.errors import UsageError
        from moc_server_ext.verbs import build_group, invoke

        from .host import CellHost

        name = "%moc" if cell is None else "%%moc"
        try:
            words = shlex.split(line)
        except ValueError as error:
            raise UsageError(f"The line cannot be split into words: {error}", command=name) from None
        host = CellHost(
            self._shell,
            self._session,
            self.display,
            cell=cell,
            cell_first_line=1 if cell is None else self._cell_first_line(),
            local_names=local_ns,
        )
        if self._group is None:
            self._group = build_group("magic")
        outcome = invoke(self._group, words, host, name=name)
        if cell is not None and not host.cell_was_read:
            print("moc: the text below the line was not used", file=sys.stderr)
        return outcome

    def _cell_first_line(self) -> int:
        """Give the number that the line below ``%%moc`` has in the cell: blank lines may stand above it."""
        get_parent = getattr(self._shell, "get_parent", None)
        code = get_parent().get("content", {}).get("code", "") if get_parent is not None else ""
        blank = 0
        for text in str(code).splitlines():
            if text.strip():
                break
            blank += 1
        return blank + 2


def register(shell: Any) -> None:
    """Bring the magics and the formatters into `shell`; once is enough, and twice does no harm."""
    if getattr(shell, "moc_magics", None) is not None:
        return
    magics = MocMagics(shell, session_of(shell))
    shell.moc_magics = magics

    @needs_local_scope
    def moc(line: str, cell: str | None = None, local_ns: Mapping[str, object] | None = None) -> object:
        return magics.moc(line, cell, local_ns)

    moc.__doc__ = MocMagics.moc.__doc__
    shell.register_magic_function(moc, magic_kind="line_cell", magic_name="moc")
    from .completion import make_matcher

    magics.matcher = make_matcher(shell, session_of(shell))
    shell.Completer.custom_matchers.append(magics.matcher)
    formatter = shell.display_formatter
    for module, name, function in _FORMATTED:
        formatter.mimebundle_formatter.for_type_by_name(module, name, _lazily(function))
    for module, name in _SHOWN_AT_ONCE:
        formatter.ipython_display_formatter.for_type_by_name(module, name, magics.skip_if_shown)
    formatter.ipython_display_formatter.for_type_by_name(*_BUFFER, magics.show_buffer)
    formatter.ipython_display_formatter.for_type_by_name(*_HANDLE, magics.show_handle)


def unregister(shell: Any) -> None:
    """Take out what :func:`register` brought, and let go of the platform."""
    magics = getattr(shell, "moc_magics", None)
    if magics is None:
        return
    for kind in ("line", "cell"):
        shell.magics_manager.magics[kind].pop("moc", None)
    from .failure import stop_showing_errors

    formatter = shell.display_formatter
    for module, name, _ in _FORMATTED:
        formatter.mimebundle_formatter.pop(f"{module}.{name}", None)
    for module, name in (*_SHOWN_AT_ONCE, _BUFFER, _HANDLE):
        formatter.ipython_display_formatter.pop(f"{module}.{name}", None)
    shell.Completer.custom_matchers.remove(magics.matcher)
    magics.close()
    stop_showing_errors(shell)
    shell.moc_magics = None
    session_of(shell).close()


def _lazily(function: str) -> Any:
    """Make a formatter that imports the display when it is first used, not when the kernel starts."""

    def bundle(value: object) -> dict[str, str]:
        from . import display

        made: dict[str, str] = getattr(display, function)(value)
        return made

    return bundle
