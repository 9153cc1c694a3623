"""Directories of the host, as a person mounts them for one call.

What a mount is and how it is written down is :mod:`....model.mounts`'; who may ask for one is the doors' business.
"""

from __future__ import annotations

import os
from collections.abc import Iterable

from ....errors import InvalidInputError
from ....model import Mount
from .directory import DIRECTORY_FLAGS, HostDirectory

__all__ = ["HostDirectory", "check_directories", "open_mount"]


def open_mount(mount: Mount) -> HostDirectory:
    """Open a mounted directory; its descriptor's ``preopened`` is the name in the guest.

    Raises
    ------
    InvalidInputError
        There is no such directory, or this process may not read it. Nothing is left open.
    """
    try:
        fd = os.open(mount.host, DIRECTORY_FLAGS)
    except OSError as error:
        raise InvalidInputError(
            f"Directory {mount.host!r} cannot be mounted as {mount.guest!r}: {error.strerror}.",
            host=mount.host,
            guest=mount.guest,
        ) from None
    return HostDirectory(fd, read_only=mount.read_only, preopened=os.fsencode(mount.guest))


def check_directories(mounts: Iterable[Mount]) -> None:
    """Raise what :func:`open_mount` would, before anything else is done."""
    for each in mounts:
        open_mount(each).close()
