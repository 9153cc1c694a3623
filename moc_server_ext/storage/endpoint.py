"""``endpoint.json``: where the owner of a storage directory can be reached, for those on the same machine.

Holds a token, so it is readable by its user only, and one that others could have written or read is not believed. It
tells nothing about whether the owner still lives: the lock does.
"""

from __future__ import annotations

import errno
import json
import os
import stat
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from ..errors import UntrustedEndpointError
from .files import failures, remove, replace_file

ENDPOINT_FILE = "endpoint.json"
_SIZE_MAX = 65536


@dataclass(frozen=True, slots=True)
class Endpoint:
    """How to reach an owner.

    Parameters
    ----------
    pid
        The owner's process id.
    url
        Base of the gateway; None when it has none.
    jupyter_url
        Base of the Jupyter server that hosts the owner; None when there is none.
    token
        What the owner asks for in ``Authorization``.
    ca_file
        Certificate that signs the gateway's; None when the system's are enough.
    instance_id
        The storage's, so that a client notices that another instance answers.
    embedded
        Whether the owner is a kernel or a program that has opened the storage for itself, and hands it over to a
        server that starts.
    """

    pid: int
    url: str | None
    jupyter_url: str | None
    token: str
    ca_file: str | None
    instance_id: str
    embedded: bool = False

    def __repr__(self) -> str:
        return f"Endpoint({self.url or self.jupyter_url!r}, pid={self.pid})"  # The token stays out of logs.


def load_endpoint(file: Path) -> Endpoint | None:
    """Read an endpoint file; None when there is none.

    Raises
    ------
    UntrustedEndpointError
        It is another user's, others may read or write it, it is no regular file, or not of the expected form. Nothing
        of it was used.
    """
    body = read_private_json(file)
    if body is None:
        return None
    pid, token, instance_id = body.get("pid"), body.get("token"), body.get("instance_id")
    url, jupyter_url, ca_file = body.get("url"), body.get("jupyter_url"), body.get("ca_file")
    embedded = body.get("embedded", False)
    if (
        not isinstance(pid, int)
        or not is_pid(pid)
        or not isinstance(token, str)
        or not token
        or not isinstance(instance_id, str)
        or not isinstance(url, str | None)
        or not isinstance(jupyter_url, str | None)
        or not isinstance(ca_file, str | None)
        or not isinstance(embedded, bool)
        or not (url or jupyter_url)
    ):
        raise UntrustedEndpointError(str(file), "it is not of the form that a moc server writes")
    return Endpoint(pid, url, jupyter_url, token, ca_file, instance_id, embedded)


def read_endpoint(path: Path) -> Endpoint | None:
    """Read the endpoint of the storage directory `path`; None when there is none, or none that can be trusted."""
    try:
        return load_endpoint(path / ENDPOINT_FILE)
    except UntrustedEndpointError:
        return None


def read_private_json(file: Path) -> dict[str, Any] | None:
    """Read a JSON object from a file that only this user can have written and read; None when there is no file.

    Raises
    ------
    UntrustedEndpointError
        See :func:`load_endpoint`.
    """
    try:
        # Without waiting, which opening a pipe would do.
        descriptor = os.open(file, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
    except (FileNotFoundError, NotADirectoryError):
        return None
    except (OSError, ValueError) as error:
        linked = isinstance(error, OSError) and error.errno == errno.ELOOP
        reason = "it is a symbolic link" if linked else getattr(error, "strerror", "") or "its name is no path"
        raise UntrustedEndpointError(str(file), reason) from None
    try:
        facts = os.fstat(descriptor)
        if not stat.S_ISREG(facts.st_mode):
            raise UntrustedEndpointError(str(file), "it is no regular file")
        if facts.st_uid != os.geteuid():
            raise UntrustedEndpointError(str(file), f"it belongs to user {facts.st_uid}, not to {os.geteuid()}")
        mode = stat.S_IMODE(facts.st_mode)
        if mode & 0o077:
            raise UntrustedEndpointError(str(file), f"others can use it: its mode is {mode:04o}, expected 0600")
        text = os.read(descriptor, _SIZE_MAX + 1)
    except OSError as error:
        raise UntrustedEndpointError(str(file), error.strerror or str(error)) from None
    finally:
        os.close(descriptor)
    if len(text) > _SIZE_MAX:
        raise UntrustedEndpointError(str(file), f"it is larger than {_SIZE_MAX:,} bytes")
    try:
        body = json.loads(text)
    except (ValueError, RecursionError):
        body = None
    if not isinstance(body, dict):
        raise UntrustedEndpointError(str(file), "it is no JSON object")
    return body


def is_pid(value: object) -> bool:
    """Tell whether `value` can be a process id."""
    return isinstance(value, int) and not isinstance(value, bool) and 0 < value < 1 << 31


def is_alive(pid: int) -> bool:
    """Tell whether a process has this id, whoever it is. A number that can be no process id is nobody's."""
    if not is_pid(pid):
        return False
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        return True  # Alive, and another user's.
    return True


def write_endpoint(path: Path, endpoint: Endpoint) -> None:
    """Announce the owner of the storage directory `path`, atomically; only the owner may do so.

    Raises
    ------
    StorageFullError, ReadOnlyStorageError, StorageError
        The earlier announcement, if any, is unchanged.
    """
    with failures(ENDPOINT_FILE, path):
        replace_file(path / ENDPOINT_FILE, json.dumps(asdict(endpoint), indent=2).encode() + b"\n")


def remove_endpoint(path: Path) -> None:
    """Take the announcement back; idempotent."""
    remove(path / ENDPOINT_FILE)
