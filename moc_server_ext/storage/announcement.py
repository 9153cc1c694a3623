"""``moc-<pid>.json`` in Jupyter's runtime directory: which endpoint file the Jupyter server of that process uses.

For kernels that know of their server nothing but its process id (``JPY_PARENT_PID``). It holds no token, only the way
to the file that does; that one is checked on its own (:mod:`.endpoint`).
"""

from __future__ import annotations

import json
import re
from pathlib import Path

from ..errors import UntrustedEndpointError
from .endpoint import is_alive, read_private_json
from .files import failures, make_directory, remove, replace_file

_NAME = re.compile(r"moc-([0-9]{1,10})\.json")


def announce_endpoint_file(endpoint_file: Path, pid: int) -> None:
    """Say that the Jupyter server `pid` uses `endpoint_file`; what killed servers left there is removed.

    Raises
    ------
    StorageFullError, ReadOnlyStorageError, StorageError
        The runtime directory cannot be written. An earlier announcement is unchanged.
    """
    directory = _runtime_directory()
    with failures("the announcement", directory):
        make_directory(directory)
        for each in directory.iterdir():
            found = _NAME.fullmatch(each.name)
            if found and not is_alive(int(found[1])):
                remove(each)
        body = {"pid": pid, "endpoint_file": str(endpoint_file)}
        replace_file(directory / _name(pid), json.dumps(body).encode() + b"\n")


def withdraw_announcement(pid: int) -> None:
    """Take the announcement back; idempotent."""
    remove(_runtime_directory() / _name(pid))


def announced_endpoint_file(pid: int) -> Path | None:
    """Give the endpoint file that the Jupyter server `pid` uses; None if it lives no more or announced none.

    An announcement that cannot be trusted is none: nobody has named it.
    """
    file = _runtime_directory() / _name(pid)
    try:
        body = read_private_json(file)
    except UntrustedEndpointError:
        return None
    if body is None or body.get("pid") != pid or not is_alive(pid):
        return None
    named = body.get("endpoint_file")
    return Path(named) if isinstance(named, str) and Path(named).is_absolute() else None


def _name(pid: int) -> str:
    return f"moc-{pid}.json"


def _runtime_directory() -> Path:
    from jupyter_core.paths import jupyter_runtime_dir

    return Path(jupyter_runtime_dir())
