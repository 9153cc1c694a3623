"""Finding the platform: which server, or the storage in this process. The order is told at :func:`..client.connect`.

An address is taken from files that only this user can have written, and a token goes nowhere but to the address that
stands in the same file.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from os import PathLike
from pathlib import Path

from ..errors import InvalidInputError, MocError, ServerUnreachableError, UnauthorizedError
from ..storage.announcement import announced_endpoint_file
from ..storage.endpoint import ENDPOINT_FILE, Endpoint, is_alive, load_endpoint, read_endpoint
from .client import Client
from .following import STARTING_SECONDS, address_of, awaited, follow, trusted
from .http import HttpPlatform, hurried
from .opening import open_or_join
from .transport import Address

ENDPOINT_FILE_VARIABLE = "MOC_ENDPOINT_FILE"
SERVER_PID_VARIABLE = "JPY_PARENT_PID"


def discover(
    url: str | None,
    token: str | None,
    *,
    ca_file: str | PathLike[str] | None,
    storage: str | PathLike[str] | None,
    serve: bool = True,
) -> Client:
    """See :func:`..client.connect`.

    Parameters
    ----------
    serve
        Whether a storage that is opened in this process is served to others while it is open.
    """
    server = find_server(url, token, ca_file=ca_file, storage=storage)
    if server is not None:
        return server
    directory = _directory(storage)
    return open_or_join(directory, lambda: _owner_of(directory, token, None), serve=serve)


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
        How long an owner may take to say that it is there; None is as long as for every request.

    Raises
    ------
    ServerUnreachableError, UnauthorizedError, InvalidInputError
        As for :func:`..client.connect`.
    """
    ca = None if ca_file is None else os.fspath(ca_file)
    named_url = url or (os.environ.get("MOC_URL") if storage is None or url is not None else None) or None
    if ca is not None and named_url is None:
        raise InvalidInputError(
            "ca_file (--ca-file) is the certificate of a server that is named by its address: give url (--url), too. "
            "A storage's owner is checked against the storage's own certificate."
        )
    if named_url is not None:
        return _by_url(named_url, token, ca, storage)
    if storage is not None:
        return _owner_of(_directory(storage), token, seconds)
    endpoint_file = os.environ.get(ENDPOINT_FILE_VARIABLE)
    if endpoint_file:
        return _by_endpoint_file(Path(endpoint_file), f"{ENDPOINT_FILE_VARIABLE} names", token, seconds)
    announced = _announced_by_parent()
    if announced is not None:
        return _by_endpoint_file(announced, "this kernel's Jupyter server uses", token, seconds)
    return _owner_of(_directory(None), token, seconds)


def _directory(storage: str | PathLike[str] | None) -> Path:
    from ..cluster import default_storage_path

    return default_storage_path() if storage is None else Path(os.path.expanduser(storage))


def _by_url(url: str, token: str | None, ca_file: str | None, storage: str | PathLike[str] | None) -> Client:
    token = token or os.environ.get("MOC_TOKEN") or None
    known = _known_endpoint(url, storage)
    # Only with the certificate that stands beside the token: another one may be another server's.
    if known is not None and ca_file in (None, known.ca_file):
        token = token or (known.token if known.url is None or _same(url, known.url) else None)
        ca_file = known.ca_file
    return _client(Address(url, token, ca_file), None)


def _known_endpoint(url: str, storage: str | PathLike[str] | None) -> Endpoint | None:
    """Give what this user's own files say about the server at `url`, if it is one of theirs."""
    from ..cluster import default_storage_path

    named = os.environ.get(ENDPOINT_FILE_VARIABLE)
    for file in (
        Path(os.path.expanduser(storage)) / ENDPOINT_FILE if storage is not None else None,
        Path(named) if named else None,
        default_storage_path() / ENDPOINT_FILE,
    ):
        endpoint = trusted(file) if file is not None else None
        # Only to exactly this address: a token must not go to whoever else was named, or has the port by now.
        if (
            endpoint is not None
            and is_alive(endpoint.pid)
            and any(known and _same(url, known) for known in (endpoint.url, endpoint.jupyter_url))
        ):
            return endpoint
    return None


def _announced_by_parent() -> Path | None:
    text = os.environ.get(SERVER_PID_VARIABLE, "")
    return announced_endpoint_file(int(text)) if text.isascii() and text.isdigit() and len(text) <= 10 else None


def _by_endpoint_file(file: Path, whose: str, token: str | None, seconds: float | None) -> Client:
    endpoint = awaited(file, STARTING_SECONDS if seconds is None else seconds)
    if endpoint is None:
        # Never embedded by itself: the person works with a server, and it is not there.
        stopped = load_endpoint(file)
        found = f"process {stopped.pid} is gone" if stopped is not None else "there is no such file"
        raise ServerUnreachableError(str(file), f"{whose} a server that has stopped ({found})")
    client = _client(address_of(endpoint, token), follow(file, endpoint.instance_id, token))
    try:
        _check_instance(client, endpoint, seconds)
    except MocError:
        client.close()
        raise
    return client


def _owner_of(directory: Path, token: str | None, seconds: float | None) -> Client | None:
    endpoint = read_endpoint(directory)
    if endpoint is None or not is_alive(endpoint.pid):
        return None
    client = _client(address_of(endpoint, token), follow(directory / ENDPOINT_FILE, endpoint.instance_id, token))
    try:
        _check_instance(client, endpoint, seconds)
    except ServerUnreachableError:
        client.close()
        return None
    except MocError as error:
        client.close()
        if isinstance(error, UnauthorizedError) and token is None:
            return None  # Somebody else has its port by now: the storage's own token is not known there.
        raise
    return client


def _check_instance(client: Client, endpoint: Endpoint, seconds: float | None) -> None:
    """Make sure that the owner of the storage answers, and nobody else.

    Raises
    ------
    ServerUnreachableError, UnauthorizedError
        Nobody, or somebody else does.
    """
    facts = (client.platform if seconds is None else hurried(client.platform, seconds)).status()
    if facts.get("instance_id") != endpoint.instance_id:
        raise ServerUnreachableError(
            endpoint.url or endpoint.jupyter_url or "", "another cluster answers there than the one that was announced"
        )


def _client(address: Address, rediscover: Callable[[], Address | None] | None) -> Client:
    platform = HttpPlatform(address.url, address.token, address.ca_file, rediscover=rediscover)
    return Client(platform)


def _same(one: str, other: str) -> bool:
    return one.rstrip("/") == other.rstrip("/")
