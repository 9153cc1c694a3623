"""The ``moc`` kernel's process: ``python -m moc_kernel -f CONNECTION_FILE``, as ``kernel.json`` says."""

from __future__ import annotations

import os
import sys
from pathlib import Path


def main() -> None:
    """Run the kernel until its front end ends it."""
    # `!moc` in a cell means the command that belongs to this kernel, whether or not its environment is activated.
    commands = str(Path(sys.executable).parent)
    os.environ["PATH"] = os.pathsep.join([commands, os.environ.get("PATH", os.defpath)])
    # ipykernel's command line is the kernel's: front ends and debuggers rely on its options.
    from ipykernel.kernelapp import IPKernelApp

    from .kernel import MocKernel

    IPKernelApp.launch_instance(kernel_class=MocKernel)


if __name__ == "__main__":
    main()
