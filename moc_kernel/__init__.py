"""Jupyter's face of the platform: the ``moc`` kernel, the magics and the display of what they give.

``%load_ext moc_kernel`` brings ``%moc`` and ``%%moc`` into any IPython shell; in the ``moc`` kernel they are there from
the start. :func:`connect` is the same platform from Python. Importing this package imports nothing else: what a cell
does not use costs no time.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from moc_server_ext.client.client import Client

__all__ = ["connect", "load_ipython_extension", "unload_ipython_extension"]


def connect(
    url: str | None = None,
    token: str | None = None,
    *,
    ca_file: str | Path | None = None,
    storage: str | Path | None = None,
) -> Client:
    """Connect to the platform: a running server, or else the storage directory itself.

    Without arguments, in a notebook, this is the client that ``%moc`` uses, so that both see the same platform; if its
    server is gone, the platform is looked for anew. With arguments it is a new one, and ``%moc`` stays where it is.

    Parameters
    ----------
    url, token, ca_file
        A server, and what it is reached with; by default the one that the environment or the storage directory names.
    storage
        A storage directory other than that of ``MOC_STORAGE``.

    Raises
    ------
    ServerUnreachableError, UnauthorizedError
        No server answers at `url`, or it does not know `token`.
    LockedStorageError
        Another process owns the storage directory and serves no API.
    """
    from .session import running_shell, session_of

    shell = running_shell()
    if shell is not None:
        from .failure import show_errors_cleanly

        show_errors_cleanly(shell)
        if url is None and token is None and ca_file is None and storage is None:
            return session_of(shell).look_again()
    from moc_server_ext.client import connect as connect_client

    return connect_client(url, token, ca_file=ca_file, storage=storage)


def load_ipython_extension(shell: Any) -> None:
    """Bring ``%moc``, ``%%moc`` and the display of buffers and calls into `shell`; ``%load_ext`` calls this."""
    from .magics import register

    register(shell)


def unload_ipython_extension(shell: Any) -> None:
    """Take the magics out of `shell` again and let go of the platform; ``%unload_ext`` calls this."""
    from .magics import unregister

    unregister(shell)
