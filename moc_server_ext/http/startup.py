"""How a server that cannot start as it was asked to says so."""

from __future__ import annotations

from ..errors import MocError


class StartupError(SystemExit):
    """Ends the process, since Jupyter goes on after any other exception of an extension.

    Attributes
    ----------
    error
        Why the server cannot start.
    """

    def __init__(self, error: MocError) -> None:
        super().__init__(f"moc: error[{error.code}]: {error.message}")
        self.error = error
