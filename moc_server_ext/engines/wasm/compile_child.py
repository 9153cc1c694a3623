"""The child process that compiles one module: bytes on stdin, machine code on stdout, a refusal on stderr.

It limits itself before it reads anything, opens no file afterwards, and ends by its limits rather than by asking.
"""

from __future__ import annotations

import resource
import sys
from typing import Final

from ...resources import memory_bytes

EXIT_REFUSED: Final = 3
_MOST_BYTES: Final = 4 << 30
_LEAST_BYTES: Final = 1 << 30
_LIMITS: Final = {
    resource.RLIMIT_CPU: 240,
    resource.RLIMIT_FSIZE: 0,
    resource.RLIMIT_CORE: 0,
}


def limit_this_process() -> None:
    """Lower the limits of this process, as far as they are not lower already."""
    # Several may run at a time, beside what they are compiled for.
    most = max(_LEAST_BYTES, min(_MOST_BYTES, memory_bytes() // 8))
    for kind, wanted in {**_LIMITS, resource.RLIMIT_AS: most}.items():
        _, hard = resource.getrlimit(kind)
        least = wanted if hard == resource.RLIM_INFINITY else min(wanted, hard)
        resource.setrlimit(kind, (least, least))


def main() -> int:
    """Compile stdin to stdout."""
    import wasmtime

    from .custom_sections import without_bombs
    from .machine import Machine

    machine = Machine("large", ())
    limit_this_process()
    content = sys.stdin.buffer.read()
    try:
        machine_code = machine.compile(without_bombs(content))
    except wasmtime.WasmtimeError as error:
        sys.stderr.write(str(error))
        return EXIT_REFUSED
    sys.stdout.buffer.write(machine_code)
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
