"""My Own Cluster: a Jupyter server as a small computing platform.

``Cluster`` (the platform in this process) is the one public name here; it is imported when it is first used.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from .cluster import Cluster

__all__ = ["Cluster"]


def __getattr__(name: str) -> Any:
    if name == "Cluster":
        from .cluster import Cluster

        return Cluster
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


def _jupyter_server_extension_points() -> list[dict[str, Any]]:
    from .extension import MocExtension

    return [{"module": "moc_server_ext.extension", "app": MocExtension}]
