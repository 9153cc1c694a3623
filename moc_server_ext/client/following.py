"""Following the owner of a storage from process to process: by its endpoint file, and by who is about to write one."""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path

from ..errors import UntrustedEndpointError
from ..storage.endpoint import Endpoint, is_alive, load_endpoint
from ..storage.ownership import owner_pid
from .transport import Address

# A server takes about a second from taking the lock to answering.
STARTING_SECONDS = 5.0
POLL_SECONDS = 0.05


def address_of(endpoint: Endpoint, token: str | None = None) -> Address:
    """Give where an owner is reached, with its own token unless another was given."""
    return Address(endpoint.url or endpoint.jupyter_url or "", token or endpoint.token, endpoint.ca_file)


def follow(
    file: Path, instance_id: str, token: str | None = None, seconds: float = STARTING_SECONDS
) -> Callable[[], Address | None]:
    """Make what finds the owner of a storage again, whichever process that is by then.

    While a process that lives has the storage, or was promised it, and has not announced itself yet, it is waited for.

    Parameters
    ----------
    file
        The endpoint file that led to the owner before.
    instance_id
        The storage's: the owner of another one is not followed.
    token
        What was given in place of the owner's own.
    """

    def find_again() -> Address | None:
        endpoint = awaited(file, seconds)
        if endpoint is None or endpoint.instance_id != instance_id:
            return None
        return address_of(endpoint, token)

    return find_again


def awaited(file: Path, seconds: float) -> Endpoint | None:
    """Read the endpoint of an owner that lives, or may be starting; None if there is none, or none to be trusted."""
    deadline = time.monotonic() + seconds
    while True:
        endpoint = trusted(file)
        if endpoint is not None and is_alive(endpoint.pid):
            return endpoint
        starting = owner_pid(file.parent)
        if starting is None or not is_alive(starting) or time.monotonic() > deadline:
            return None
        time.sleep(POLL_SECONDS)


def trusted(file: Path) -> Endpoint | None:
    """Read an endpoint file; one that cannot be trusted is none."""
    try:
        return load_endpoint(file)
    except UntrustedEndpointError:
        return None
