"""What a verb may ask of a notebook cell: the :class:`moc_server_ext.verbs.host.Host` of the magics.

One host lives for one line. What outlives it (the connection) is in the :class:`~moc_kernel.session.Session`.
"""

from __future__ import annotations

import keyword
import os
from collections.abc import Iterable, Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any, BinaryIO

from moc_server_ext.errors import InvalidInputError, nearest

from .progress import CellProgress
from .session import Session

if TYPE_CHECKING:
    from moc_server_ext.client.client import Client
    from moc_server_ext.verbs.host import CallView

    from .display import Display


class CellHost:
    """One ``%moc`` line or ``%%moc`` cell.

    Parameters
    ----------
    cell
        The text below the line, or None.
    cell_first_line
        The number that its first line has in the notebook's cell.
    local_names
        Variables that the line can see besides those of the notebook: a function's own.
    """

    storage: str | None = None

    def __init__(
        self,
        shell: Any,
        session: Session,
        display: Display,
        *,
        cell: str | None = None,
        cell_first_line: int = 2,
        local_names: Mapping[str, object] | None = None,
    ) -> None:
        self._shell = shell
        self._session = session
        self._display = display
        self._cell = cell
        self._names = local_names or {}
        self.cell_first_line = cell_first_line
        self.cell_was_read = False

    @property
    def client(self) -> Client:
        """The platform that this notebook talks to."""
        return self._session.client

    @property
    def cell(self) -> str | None:
        """The text below the line."""
        self.cell_was_read = True
        return self._cell

    def connect(self, url: str, token: str | None) -> Client:
        """Turn the notebook to the server at `url`."""
        return self._session.connect(url, token)

    def read_file(self, path: str) -> bytes:
        """Read a file; relative paths start at the notebook's working directory."""
        try:
            return Path(os.path.expanduser(path)).read_bytes()
        except (OSError, ValueError) as error:
            raise InvalidInputError(f"File {path!r} cannot be read: {_reason(error)}.", path=path) from None

    def write_file(self, path: str, content: bytes) -> None:
        """Write a file; relative paths start at the notebook's working directory."""
        try:
            Path(os.path.expanduser(path)).write_bytes(content)
        except (OSError, ValueError) as error:
            raise InvalidInputError(f"File {path!r} cannot be written: {_reason(error)}.", path=path) from None

    @contextmanager
    def open_source(self, path: str) -> Iterator[BinaryIO]:
        """Open a file; relative paths start at the notebook's working directory."""
        if path == "-":
            self.stdin()
        try:
            file = open(os.path.expanduser(path), "rb")  # noqa: SIM115 - what fails later is not about opening
        except (OSError, ValueError) as error:
            raise InvalidInputError(f"File {path!r} cannot be read: {_reason(error)}.", path=path) from None
        with file:
            yield file

    def write_parts(self, path: str, parts: Iterable[bytes]) -> None:
        """Write a file as its parts come; relative paths start at the notebook's working directory."""
        try:
            with open(os.path.expanduser(path), "wb") as file:
                for part in parts:
                    file.write(part)
        except (OSError, ValueError) as error:
            raise InvalidInputError(f"File {path!r} cannot be written: {_reason(error)}.", path=path) from None

    @property
    def is_stream(self) -> bool:
        """No: what a verb gives becomes the value of the line."""
        return False

    def stdin(self) -> bytes:
        """Refuse: a cell has no standard input."""
        raise InvalidInputError(
            "A notebook cell has no standard input. Give a variable with -i NAME, or the text below a %%moc line."
        )

    def progress(self, label: str, total: float | None = None) -> AbstractContextManager[CellProgress]:
        """Show progress below the cell, once it takes longer than half a second and while somebody watches."""
        return CellProgress(self._shell, label, total)

    def call_view(
        self, function: str, *, output_file: str | None = None, is_kept: bool = False
    ) -> AbstractContextManager[CallView]:
        """Show output and stderr below the cell as they come."""
        return self._display.call_view(function, is_kept=is_kept)

    def variable(self, name: str) -> object:
        """Give a variable of the notebook, or of the function that the line stands in."""
        for names in (self._names, self._shell.user_ns):
            if name in names:
                return names[name]
        own = (each for each in self._shell.user_ns if not each.startswith("_"))
        like = nearest(name, own, count=1)
        hint = f" Did you mean {like[0]!r}?" if like else ""
        raise InvalidInputError(f"No variable is named {name!r}.{hint}", name=name)

    def assign(self, name: str, value: object) -> None:
        """Set a variable of the notebook."""
        if not name.isidentifier() or keyword.iskeyword(name):
            raise InvalidInputError(f"{name!r} cannot be the name of a Python variable.", name=name)
        self._shell.user_ns[name] = value


def _reason(error: OSError | ValueError) -> str:
    return (error.strerror if isinstance(error, OSError) else None) or str(error)
