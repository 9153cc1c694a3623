"""What a verb gives back. The faces show it: the terminal as text or JSON, the notebook as text or HTML.

Outcomes hold whole values (but for bytes that a stream takes in parts) and never print. ``to_text`` is for people;
``to_json`` is the same fact for programs, in the shapes of the web API.
"""

from __future__ import annotations

import base64
import html
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from ..model import CallResult, Number
from ..model import format_size as format_size

if TYPE_CHECKING:
    from ..client.client import Client
    from ..client.handles import BufferHandle
    from ..client.started import CallHandle


class Outcome:
    """The base of all outcomes."""

    __slots__ = ()

    @property
    def exit_code(self) -> int:
        """What a terminal's process ends with."""
        return 0

    @property
    def warnings(self) -> str:
        """What goes to stderr beside the outcome: the guest's stderr, a compiler's warnings."""
        return ""

    def to_text(self) -> str:
        """Give the outcome as text, without a newline at its end; empty when there is nothing to show."""
        raise NotImplementedError

    def to_json(self) -> Any:
        """Give the outcome as JSON-compatible data."""
        raise NotImplementedError

    def _repr_pretty_(self, printer: Any, cycle: bool) -> None:
        printer.text(self.to_text())


@dataclass(frozen=True, slots=True)
class CallOutcome(Outcome):
    """A call that ended, with whatever exit code.

    Parameters
    ----------
    kept_in
        The variable or file that took the output, which is then not shown; None shows it.
    is_shown
        Whether output and stderr were shown while they came.
    """

    result: CallResult
    function: str
    kept_in: str | None = None
    is_shown: bool = False

    @property
    def exit_code(self) -> int:
        """The guest's own; 0 for direct calls."""
        return self.result.exit_code or 0

    @property
    def warnings(self) -> str:
        """The guest's stderr."""
        return self.result.stderr.decode(errors="replace")

    def to_text(self) -> str:
        """Give the output, then the numbers of a direct call on a line of their own."""
        if self.kept_in is not None:
            return ""
        parts = []
        if self.result.output:
            parts.append(self.result.output.decode(errors="replace").removesuffix("\n"))
        if self.result.result is not None:
            parts.append(format_result(self.result.result))
        return "\n".join(parts)

    def to_json(self) -> Any:
        """Give the call as the web API does."""
        return self.result.to_json()


@dataclass(frozen=True, slots=True)
class StartedOutcome(Outcome):
    """A call that was started and goes on.

    Parameters
    ----------
    kept_in
        The variable that took the handle, which is then not shown; None shows it.
    """

    handle: CallHandle
    kept_in: str | None = None

    def to_text(self) -> str:
        """Name the function, and say how far the call is."""
        return repr(self.handle)

    def to_json(self) -> Any:
        """Give the function, and how far the call is."""
        return {"function": self.handle.function, "call_id": self.handle.call_id, "state": self.handle.state.value}


@dataclass(frozen=True, slots=True)
class BufferOutcome(Outcome):
    """A stored buffer to look inside."""

    handle: BufferHandle

    def to_text(self) -> str:
        """Name the buffer, with what it is."""
        return repr(self.handle)

    def to_json(self) -> Any:
        """Give what is known of the buffer."""
        return self.handle.record.to_json()


@dataclass(frozen=True, slots=True)
class BrowseOutcome(Outcome):
    """A platform to look through."""

    client: Client

    def to_text(self) -> str:
        """Say which platform it is."""
        return repr(self.client)

    def to_json(self) -> Any:
        """Give what runs."""
        return self.client.status()


class BytesOutcome(Outcome):
    """Bytes that were asked for: a buffer, a value, a run's output.

    Parameters
    ----------
    content
        The bytes, or what reads them in parts: then they are read when they are shown.
    name
        What they are called where they came from.
    kept_in
        The variable or file that took them; None shows them.
    """

    __slots__ = ("_content", "content_type", "kept_in", "name")

    def __init__(
        self,
        content: bytes | Callable[[], Iterator[bytes]],
        content_type: str,
        name: str,
        kept_in: str | None = None,
    ) -> None:
        self._content = content
        self.content_type = content_type
        self.name = name
        self.kept_in = kept_in

    @property
    def content(self) -> bytes:
        """All of the bytes; raises what reading them raises."""
        return self.load()

    def load(self) -> bytes:
        """Read the bytes, unless they are here, and keep them."""
        if not isinstance(self._content, bytes):
            self._content = b"".join(self._content())
        return self._content

    def parts(self) -> Iterator[bytes]:
        """Give the bytes in parts, which are not kept; raises what reading them raises."""
        return iter((self._content,)) if isinstance(self._content, bytes) else self._content()

    def to_text(self) -> str:
        """Give the bytes as text; what is no UTF-8 becomes U+FFFD."""
        return "" if self.kept_in is not None else self.content.decode(errors="replace").removesuffix("\n")

    def to_json(self) -> Any:
        """Give the bytes in base64, with their name, size and type."""
        return {
            "name": self.name,
            "size": len(self.content),
            "content_type": self.content_type,
            "content": base64.b64encode(self.content).decode(),
        }


@dataclass(frozen=True, slots=True)
class TableOutcome(Outcome):
    """A list of things, one a row.

    Parameters
    ----------
    rows
        Cells are text or numbers; numbers stand at the right.
    json
        The same list for programs.
    empty
        What is said when there are no rows.
    """

    columns: tuple[str, ...]
    rows: Sequence[Sequence[str | Number]]
    json: Any
    empty: str = ""

    def to_text(self) -> str:
        """Give aligned columns under a heading."""
        if not self.rows:
            return self.empty
        cells = [[visible(str(cell)) for cell in row] for row in self.rows]
        widths = [max(map(len, column)) for column in zip(self.columns, *cells, strict=True)]
        right = [isinstance(cell, int | float) for cell in self.rows[0]]
        lines = [
            "  ".join(
                cell.rjust(width) if numeric else cell.ljust(width)
                for cell, width, numeric in zip(row, widths, right, strict=True)
            ).rstrip()
            for row in ([list(self.columns), *cells])
        ]
        return "\n".join(lines)

    def to_json(self) -> Any:
        """Give the list as the web API does."""
        return self.json

    def _repr_html_(self) -> str:
        if not self.rows:
            return f"<p>{html.escape(self.empty)}</p>"
        head = "".join(f'<th scope="col">{html.escape(each)}</th>' for each in self.columns)
        body = "".join(
            "<tr>" + "".join(f"<td>{html.escape(visible(str(cell)))}</td>" for cell in row) + "</tr>"
            for row in self.rows
        )
        return f"<table><thead><tr>{head}</tr></thead><tbody>{body}</tbody></table>"


@dataclass(frozen=True, slots=True)
class MessageOutcome(Outcome):
    """A sentence or a few about what was done or found.

    Parameters
    ----------
    json
        The same for programs.
    diagnostics
        A compiler's warnings; empty when there were none.
    status
        The exit code.
    """

    text: str
    json: Any
    diagnostics: str = ""
    status: int = 0

    @property
    def exit_code(self) -> int:
        """Zero unless the message is bad news (``moc doctor`` that found a fault)."""
        return self.status

    @property
    def warnings(self) -> str:
        """The compiler's warnings."""
        return self.diagnostics

    def to_text(self) -> str:
        """Give the text."""
        return self.text

    def to_json(self) -> Any:
        """Give the JSON."""
        return self.json


def format_result(result: Number | tuple[Number, ...]) -> str:
    """Write the result of a direct call: several numbers are separated by spaces."""
    return " ".join(map(str, result)) if isinstance(result, tuple) else str(result)


def visible(text: str, *, keep: str = "") -> str:
    r"""Write control characters, but those in `keep`, as escapes, so that text from a guest cannot steer a terminal."""
    if text.isprintable():
        return text
    return "".join(
        each if each.isprintable() or each in keep else each.encode("unicode_escape", "backslashreplace").decode()
        for each in text
    )
