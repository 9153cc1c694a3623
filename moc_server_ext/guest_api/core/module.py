"""The import module itself, to which the files beside it add their functions."""

from __future__ import annotations

from typing import Final

from ..registry import GuestModule

CORE: Final = GuestModule("core", aliases=("my-own-cluster",), since="0.1.0")
