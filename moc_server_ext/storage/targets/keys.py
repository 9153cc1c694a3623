"""Which keys a target takes: the same ones everywhere, and none that leads out of a directory."""

from __future__ import annotations

import re
from typing import Final

_KEY: Final = re.compile(r"[A-Za-z0-9_-][A-Za-z0-9._-]*(/[A-Za-z0-9_-][A-Za-z0-9._-]*)*")
_BYTES_MAX: Final = 512


def check_key(key: str) -> None:
    """Refuse what is no key: keys are made by moc, or read from what somebody may have changed.

    Raises
    ------
    ValueError
        It is empty, too long, or holds other characters or segments that begin with a dot.
    """
    if len(key) > _BYTES_MAX or not _KEY.fullmatch(key):
        raise ValueError(f"{key!r} is no key of a backup target")
