"""WebAssembly modules as functions: compiled, linked with the guest API, run as coroutines under limits.

What is public here is imported when it is first asked for: the child process that compiles a module
(:mod:`.compile_child`) needs nothing of it, and its start is most of what compiling a module costs.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from .engine import WasmEngine
    from .warm import WarmInstance
    from .warm_pool import WarmPool

__all__ = ["WarmInstance", "WarmPool", "WasmEngine"]


def __getattr__(name: str) -> Any:
    if name == "WasmEngine":
        from .engine import WasmEngine

        return WasmEngine
    if name == "WarmInstance":
        from .warm import WarmInstance

        return WarmInstance
    if name == "WarmPool":
        from .warm_pool import WarmPool

        return WarmPool
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
