"""WebAssembly modules as functions: compiled, linked with the guest API, run as coroutines under limits."""

from __future__ import annotations

from .engine import WasmEngine
from .warm import WarmInstance
from .warm_pool import WarmPool

__all__ = ["WarmInstance", "WarmPool", "WasmEngine"]
