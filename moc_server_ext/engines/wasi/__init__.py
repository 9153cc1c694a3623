"""The WASI host: ``wasi_snapshot_preview1`` and ``wasi_unstable`` over the virtual files of one call.

A guest sees its own arguments, environment, streams, clocks and a private file tree in memory; nothing of the host.
The engine links :data:`PREVIEW1` and :data:`UNSTABLE`, puts a :class:`WasiState` on the call context, and turns
:class:`GuestExit` into an exit code.
"""

from __future__ import annotations

from . import files, names, poll, process  # noqa: F401 - these declare the functions of the two modules
from .modules import PREVIEW1, UNSTABLE
from .state import GuestExit, WasiState

__all__ = ["PREVIEW1", "UNSTABLE", "GuestExit", "WasiState"]
