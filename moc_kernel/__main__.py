"""The ``moc`` kernel's process: ``python -m moc_kernel -f CONNECTION_FILE``, as ``kernel.json`` says."""

from __future__ import annotations


def main() -> None:
    """Run the kernel until its front end ends it."""
    # ipykernel's command line is the kernel's: front ends and debuggers rely on its options.
    from ipykernel.kernelapp import IPKernelApp

    from .kernel import MocKernel

    IPKernelApp.launch_instance(kernel_class=MocKernel)


if __name__ == "__main__":
    main()
