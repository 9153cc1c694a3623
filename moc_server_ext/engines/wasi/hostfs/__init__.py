"""Directories of the host, as a person mounts them for one call."""

from __future__ import annotations

from ....model import Mount
from ..descriptors import Descriptor


def open_mount(mount: Mount) -> Descriptor:
    """Open a mounted directory; its descriptor's ``preopened`` is the name in the guest."""
    raise RuntimeError("directories of the host cannot be mounted")
