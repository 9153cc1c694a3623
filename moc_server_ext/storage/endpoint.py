"""``endpoint.json``: where the owner of a storage directory can be reached, for those on the same machine.

Holds a token, so it is readable by its user only. It tells nothing about whether the owner still lives: the lock does.
"""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass
from pathlib import Path

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
    """

    pid: int
    url: str | None
    jupyter_url: str | None
    token: str
    ca_file: str | None
    instance_id: str


def read_endpoint(path: Path) -> Endpoint | None:
    """Read the endpoint of the storage directory `path`; None when there is none, or none that can be understood."""
    try:
        with open(path / ENDPOINT_FILE, "rb") as file:
            body = json.loads(file.read(_SIZE_MAX))
    except (OSError, ValueError, RecursionError):
        return None
    if not isinstance(body, dict):
        return None
    pid, token, instance_id = body.get("pid"), body.get("token"), body.get("instance_id")
    url, jupyter_url, ca_file = body.get("url"), body.get("jupyter_url"), body.get("ca_file")
    if not isinstance(pid, int) or isinstance(pid, bool) or pid <= 0:
        return None
    if not isinstance(token, str) or not token or not isinstance(instance_id, str):
        return None
    if (
        not isinstance(url, str | None)
        or not isinstance(jupyter_url, str | None)
        or not isinstance(ca_file, str | None)
        or not (url or jupyter_url)
    ):
        return None
    return Endpoint(pid, url, jupyter_url, token, ca_file, instance_id)


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
