"""Finding the platform: which server, or the storage in this process. The order is told at :func:`..client.connect`."""

from __future__ import annotations

import os
from collections.abc import Callable
from os import PathLike
from pathlib import Path

from ..errors import MocError, ServerUnreachableError
from ..storage.endpoint import Endpoint, read_endpoint
from .client import Client
from .http import HttpPlatform, hurried
from .transport import Address

ENDPOINT_FILE_VARIABLE = "MOC_ENDPOINT_FILE"


def discover(
    url: str | None, token: str | None, *, ca_file: str | PathLike[str] | None, storage: str | PathLike[str] | None
) -> Client:
    """See :func:`..client.connect`."""
    server = find_server(url, token, ca_file=ca_file, storage=storage)
    if server is not None:
        return server
    from ..cluster import Cluster

    directory = _directory(storage)
    return Client(Cluster.open(directory), origin=f"embedded on {directory}")


def find_server(
    url: str | None = None,
    token: str | None = None,
    *,
    ca_file: str | PathLike[str] | None = None,
    storage: str | PathLike[str] | None = None,
    seconds: float | None = None,
) -> Client | None:
    """Find the server that :func:`..client.connect` would talk to; None where it would open the storage.

    Parameters
    ----------
    seconds
        How long the storage's owner may take to say that it is there; None is as long as for every request.

    Raises
    ------
    ServerUnreachableError, UnauthorizedError
        As for :func:`..client.connect`.
    """
    ca = None if ca_file is None else os.fspath(ca_file)
    if url is None and storage is not None:
        return _owner_of(_directory(storage), token, seconds)
    url = url or os.environ.get("MOC_URL") or None
    if url is not None:
        return _by_url(url, token, ca, storage)
    endpoint_file = os.environ.get(ENDPOINT_FILE_VARIABLE)
    if endpoint_file:
        return _by_endpoint_file(Path(endpoint_file), token)
    return _owner_of(_directory(None), token, seconds)


def _directory(storage: str | PathLike[str] | None) -> Path:
    from ..cluster import default_storage_path

    return default_storage_path() if storage is None else Path(os.path.expanduser(storage))


def _by_url(url: str, token: str | None, ca_file: str | None, storage: str | PathLike[str] | None) -> Client:
    token = token or os.environ.get("MOC_TOKEN") or None
    known = _known_endpoint(url, storage)
    if known is not None:
        token = token or (known.token if known.url is None or _same(url, known.url) else None)
        ca_file = ca_file or known.ca_file
    return _client(Address(url, token, ca_file), None)


def _known_endpoint(url: str, storage: str | PathLike[str] | None) -> Endpoint | None:
    """Give what this user's own files say about the server at `url`, if it is one of theirs."""
    from ..cluster import default_storage_path

    named = os.environ.get(ENDPOINT_FILE_VARIABLE)
    for directory in (
        Path(os.path.expanduser(storage)) if storage is not None else None,
        Path(named).parent if named else None,
        default_storage_path(),
    ):
        endpoint = read_endpoint(directory) if directory is not None else None
        # Only to exactly this address: a token must not go to whoever else was named.
        if endpoint is not None and any(known and _same(url, known) for known in (endpoint.url, endpoint.jupyter_url)):
            return endpoint
    return None


def _by_endpoint_file(file: Path, token: str | None) -> Client:
    endpoint = read_endpoint(file.parent)
    if endpoint is None:
        # Never embedded by itself: the person works with a server, and it is not there.
        raise ServerUnreachableError(
            str(file), f"{ENDPOINT_FILE_VARIABLE} names a server that has stopped (there is no such file)"
        )
    return _client(_address(endpoint, token), _reader(file.parent, token))


def _owner_of(directory: Path, token: str | None, seconds: float | None) -> Client | None:
    endpoint = read_endpoint(directory)
    if endpoint is None or not _is_alive(endpoint.pid):
        return None
    client = _client(_address(endpoint, token), _reader(directory, token))
    try:
        facts = (client.platform if seconds is None else hurried(client.platform, seconds)).status()
    except ServerUnreachableError:
        facts = {}
    except MocError:
        client.close()
        raise
    if facts.get("instance_id") == endpoint.instance_id:
        return client
    client.close()
    return None


def _client(address: Address, rediscover: Callable[[], Address | None] | None) -> Client:
    platform = HttpPlatform(address.url, address.token, address.ca_file, rediscover=rediscover)
    return Client(platform)


def _reader(directory: Path, token: str | None) -> Callable[[], Address | None]:
    def rediscover() -> Address | None:
        endpoint = read_endpoint(directory)
        return None if endpoint is None else _address(endpoint, token)

    return rediscover


def _address(endpoint: Endpoint, token: str | None) -> Address:
    return Address(endpoint.url or endpoint.jupyter_url or "", token or endpoint.token, endpoint.ca_file)


def _same(one: str, other: str) -> bool:
    return one.rstrip("/") == other.rstrip("/")


def _is_alive(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        return True  # Alive, and another user's.
    return True
