"""The ``moc`` kernel: the ordinary Python kernel with the magics already loaded.

It connects to nothing by itself; the first ``%moc`` line or ``connect()`` does.
"""

from __future__ import annotations

from typing import Any

from ipykernel.ipkernel import IPythonKernel

from .magics import register


class MocKernel(IPythonKernel):
    """Python, with ``%moc`` and ``%%moc``."""

    implementation = "moc"

    def __init__(self, **kwargs: Any) -> None:
        super().__init__(**kwargs)  # type: ignore[no-untyped-call]
        shell: Any = self.shell
        shell.banner2 = "My Own Cluster: %moc -h lists the verbs.\n"
        register(shell)
