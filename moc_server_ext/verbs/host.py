"""The seam between a verb and where it was typed: a terminal or a notebook cell.

A verb asks its :class:`Host` for everything that differs between the two. Terminal: ``cli/host.py``; notebook: the
kernel's magics.
"""

from __future__ import annotations

from collections.abc import Iterable
from contextlib import AbstractContextManager
from typing import TYPE_CHECKING, BinaryIO, Protocol

if TYPE_CHECKING:
    from ..abc import CallStreams
    from ..client.client import Client
    from ..model import CallResult
    from .outcome import CallOutcome


class Progress(Protocol):
    """How far one long piece of work is."""

    def update(self, done: float | None = None, total: float | None = None, label: str | None = None) -> None:
        """Say how much is done, of how much; None leaves a value as it was."""
        ...


class CallView(Protocol):
    """One call as a face shows it, from its start to its end."""

    @property
    def streams(self) -> CallStreams:
        """What takes the call's output and stderr as they come; their parts are called on one thread."""
        ...

    def ended(self, result: CallResult) -> CallOutcome:
        """Say that the call has ended, and give the outcome that is left to be shown."""
        ...


class Host(Protocol):
    """What a verb may ask of the face that it was typed into."""

    @property
    def client(self) -> Client:
        """The platform that this face talks to; connected when first asked for, and kept."""
        ...

    @property
    def storage(self) -> str | None:
        """The storage directory that the person chose for this face; None leaves it to the environment."""
        ...

    @property
    def cell(self) -> str | None:
        """The text below the magic's line; None where there is no cell."""
        ...

    @property
    def cell_first_line(self) -> int:
        """The number, from 1, that the first line of :attr:`cell` has for the person who wrote it."""
        ...

    def connect(self, url: str, token: str | None) -> Client:
        """Turn to the server at `url`; the one before is let go of only when this one answers."""
        ...

    def read_file(self, path: str) -> bytes:
        """Read a file of the person's; InvalidInputError says why it cannot be read."""
        ...

    def write_file(self, path: str, content: bytes) -> None:
        """Write a file of the person's; InvalidInputError says why it cannot be written."""
        ...

    def open_source(self, path: str) -> AbstractContextManager[BinaryIO]:
        """Open a file of the person's, or standard input for ``-``; InvalidInputError says why it cannot be read."""
        ...

    def write_parts(self, path: str, parts: Iterable[bytes]) -> None:
        """Write a file of the person's as its parts come; one that fails leaves what was written until then."""
        ...

    @property
    def is_stream(self) -> bool:
        """Whether what a verb gives goes into a stream, which takes it in parts, rather than becoming a value."""
        ...

    def stdin(self) -> bytes:
        """Read standard input to its end; InvalidInputError where there is none."""
        ...

    def progress(self, label: str, total: float | None = None) -> AbstractContextManager[Progress]:
        """Show the progress of what happens inside the ``with``, once it takes longer than half a second."""
        ...

    def call_view(
        self, function: str, *, output_file: str | None = None, is_kept: bool = False
    ) -> AbstractContextManager[CallView]:
        """Show a call, which runs inside of the ``with``, while it runs; what it has shown stays when it fails.

        Parameters
        ----------
        output_file
            The person's file that takes the output instead; one that cannot be written is an InvalidInputError, and
            a call that fails leaves it as it was.
        is_kept
            The verb keeps the output: it is not shown, and stays in the result.
        """
        ...

    def variable(self, name: str) -> object:
        """Give the person's variable; InvalidInputError when there is none of this name."""
        ...

    def assign(self, name: str, value: object) -> None:
        """Set the person's variable; InvalidInputError when `name` cannot be one."""
        ...
