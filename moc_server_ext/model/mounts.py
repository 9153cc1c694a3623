"""Mounts: directories of the host that a person opens to one call, from the command line or from Python."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Mount:
    """One directory of the host, as a guest sees it.

    Parameters
    ----------
    host
        Path on the host.
    guest
        The name under which the guest finds it: a normalised path, absolute or relative as it was given (``.`` too).
        ``/`` takes the place of the private tree.
    read_only
        Whether nothing in it can be changed.
    """

    host: str
    guest: str
    read_only: bool = False
