"""The terminal as the :class:`~..verbs.host.Host` of verbs: files, stdin, progress, and a client connected lazily."""

from __future__ import annotations

import shlex
import sys
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, BinaryIO

from ..errors import InvalidInputError, UsageError
from .calling import terminal_call
from .progress import terminal_progress
from .settings import Settings

if TYPE_CHECKING:
    from ..abc import Platform
    from ..client.client import Client
    from ..verbs.host import CallView, Progress

_GLANCE_SECONDS = 0.25


class TerminalHost:
    """One run of the ``moc`` command.

    Attributes
    ----------
    settings
        What the global options said.
    """

    def __init__(self) -> None:
        self.settings = Settings()
        self._client: Client | None = None
        self._reads_terminal = False

    @property
    def client(self) -> Client:
        """The server, or the storage opened by this process for as long as it runs."""
        if self._client is None:
            from ..client.discovery import discover

            settings = self.settings
            # Served to nobody: the storage is open for this one command.
            self._client = discover(
                settings.url, settings.token, ca_file=settings.ca_file, storage=settings.storage, serve=False
            )
        return self._client

    @property
    def storage(self) -> str | None:
        """The directory given with ``--storage``."""
        return self.settings.storage

    @property
    def cell(self) -> str | None:
        """None: a terminal has no cells."""
        return None

    @property
    def cell_first_line(self) -> int:
        """1, for want of a cell."""
        return 1

    def connect(self, url: str, token: str | None) -> Client:
        """Turn to another server."""
        from .. import client

        connected = client.connect(url, token)
        self.close()
        self._client = connected
        return connected

    def read_file(self, path: str) -> bytes:
        """Read a file."""
        try:
            return Path(path).read_bytes()
        except (OSError, ValueError) as error:
            raise InvalidInputError(f"{path!r} cannot be read: {_reason(error)}.", path=path) from None

    def write_file(self, path: str, content: bytes) -> None:
        """Write a file, in place of what it held."""
        try:
            Path(path).write_bytes(content)
        except (OSError, ValueError) as error:
            raise InvalidInputError(f"{path!r} cannot be written: {_reason(error)}.", path=path) from None

    @contextmanager
    def open_source(self, path: str) -> Iterator[BinaryIO]:
        """Open a file, or standard input for ``-``."""
        if path == "-":
            if sys.stdin is None:
                raise InvalidInputError("Standard input is closed.")
            yield sys.stdin.buffer
            return
        try:
            file = open(path, "rb")  # noqa: SIM115 - what fails inside of the caller's block is not about opening
        except (OSError, ValueError) as error:
            raise InvalidInputError(f"{path!r} cannot be read: {_reason(error)}.", path=path) from None
        with file:
            yield file

    def write_parts(self, path: str, parts: Iterable[bytes]) -> None:
        """Write a file as its parts come, in place of what it held."""
        try:
            with open(path, "wb") as file:
                for part in parts:
                    file.write(part)
        except (OSError, ValueError) as error:
            raise InvalidInputError(f"{path!r} cannot be written: {_reason(error)}.", path=path) from None

    @property
    def is_stream(self) -> bool:
        """Yes: stdout."""
        return True

    def stdin(self) -> bytes:
        """Read standard input to its end."""
        if sys.stdin is None:
            raise InvalidInputError("Standard input is closed.")
        return sys.stdin.buffer.read()

    def progress(self, label: str, total: float | None = None) -> AbstractContextManager[Progress]:
        """Show progress on stderr when it is a terminal."""
        return terminal_progress(label, total)

    def call_view(
        self, function: str, *, output_file: str | None = None, is_kept: bool = False
    ) -> AbstractContextManager[CallView]:
        """Write output to stdout, or into the file, and stderr to stderr, as they come; ``--json`` collects both."""
        return terminal_call(
            function, output_file=output_file, as_json=self.settings.json, is_typed=self._reads_terminal
        )

    def variable(self, name: str) -> object:
        """Refuse: a terminal has no variables."""
        raise UsageError(f"There is no variable {name!r} outside of a notebook", command="moc")

    def assign(self, name: str, value: object) -> None:
        """Refuse: a terminal has no variables."""
        raise UsageError(f"There is no variable {name!r} outside of a notebook", command="moc")

    @property
    def words_after(self) -> Sequence[str]:
        """None: shells tell only what stands before the cursor."""
        return ()

    @contextmanager
    def glance(self) -> Iterator[Platform | None]:
        """Give the server's platform for a moment; None without a server, for a Tab must not open the storage."""
        from ..client.discovery import find_server
        from ..client.http import hurried

        settings = self.settings
        client = find_server(
            settings.url, settings.token, ca_file=settings.ca_file, storage=settings.storage, seconds=_GLANCE_SECONDS
        )
        if client is None:
            yield None
            return
        with client:
            yield hurried(client.platform, _GLANCE_SECONDS)

    def variables(self) -> Mapping[str, object]:
        """None: a terminal has no variables."""
        return {}

    def can_write(self, word: str) -> bool:
        """Tell whether a shell reads `word` as itself: it inserts names as they are, whoever may have chosen them."""
        return shlex.quote(word) == word

    def close(self) -> None:
        """Let go of the client; idempotent."""
        client, self._client = self._client, None
        if client is not None:
            client.close()


def _reason(error: OSError | ValueError) -> str:
    return error.strerror or str(error) if isinstance(error, OSError) else str(error)
