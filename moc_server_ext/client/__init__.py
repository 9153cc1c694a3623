"""The client: one Python face for a server's platform and for an embedded one.

:func:`connect` finds the platform; :class:`.client.Client` is what people use.
"""

from __future__ import annotations

from os import PathLike
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from .client import Client

__all__ = ["connect"]


def connect(
    url: str | None = None,
    token: str | None = None,
    *,
    ca_file: str | PathLike[str] | None = None,
    storage: str | PathLike[str] | None = None,
) -> Client:
    """Find the platform and give a client of it.

    The first of these that is there: `url`; `storage`; ``MOC_URL``; ``MOC_ENDPOINT_FILE``, which a server sets for its
    kernels and terminals; the Jupyter server that started this kernel (``JPY_PARENT_PID``); the owner of the default
    storage; the default storage, opened in this process. A storage that is opened in this process is served to others
    while it is open, and handed over to a server that starts. A client of a server never turns into an embedded one
    by itself.

    Parameters
    ----------
    url
        Base address of a gateway (``https://localhost:8443``) or of a Jupyter server with the moc extension.
    token
        What the server asks for; default ``MOC_TOKEN``, else that of a server of this user on this machine that has
        this address.
    ca_file
        Certificate to trust instead of the system's, for a server that is named by its address.
    storage
        Storage directory: its owner is asked if it has one, else it is opened in this process.

    Raises
    ------
    ServerUnreachableError, UnauthorizedError
        A server was named and does not answer, or not to this token.
    UntrustedEndpointError
        The file that names the server cannot be believed. No token was sent.
    InvalidInputError
        `ca_file` was given without an address.
    LockedStorageError
        The storage has an owner that serves nobody, and did not end in a few seconds.
    """
    from .discovery import discover

    return discover(url, token, ca_file=ca_file, storage=storage)
