"""Run one compiler: bounded in time, killed with all its children, and without what the environment could change."""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
from collections.abc import Mapping, Sequence
from typing import Final

from ..interrupts import DeferredInterrupt

# Each of these adds to the command line of a C compiler behind its back.
_UNWANTED: Final = frozenset(
    ("CPATH", "C_INCLUDE_PATH", "CPLUS_INCLUDE_PATH", "OBJC_INCLUDE_PATH", "LIBRARY_PATH", "CCC_OVERRIDE_OPTIONS",
     "SOURCE_DATE_EPOCH", "CLANG_NO_DEFAULT_CONFIG")
)  # fmt: skip


def run_compiler(command: Sequence[str], *, environment: Mapping[str, str], timeout_seconds: float) -> tuple[int, str]:
    """Run `command` to its end and give its exit status and what it said on stdout and stderr.

    The command gets a process group of its own, so that whatever ends the wait (the time limit, Ctrl-C) ends its
    children too: none of them is left when this returns or raises.

    Raises
    ------
    TimeoutError
        It took longer than `timeout_seconds`.
    OSError
        It could not be started.
    """
    inherited = {name: value for name, value in os.environ.items() if name not in _UNWANTED}
    # An exception while the process starts would leave it running, known to nobody.
    interrupt = DeferredInterrupt()
    interrupt.hold()
    try:
        process = subprocess.Popen(
            command,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            env={**inherited, "LC_ALL": "C", "NO_COLOR": "1", **environment},
            process_group=0,
        )
    except BaseException:
        interrupt.release()
        raise
    try:
        interrupt.release()
        said, _ = process.communicate(timeout=timeout_seconds)
    except subprocess.TimeoutExpired:
        _end(process)
        raise TimeoutError(f"{command[0]} took longer than {timeout_seconds:g} s") from None
    except BaseException:
        _end(process)
        raise
    return process.returncode, said.decode(errors="replace")


def _end(process: subprocess.Popen[bytes]) -> None:
    # By the group even when its leader is gone already: a child of it may still run.
    with contextlib.suppress(ProcessLookupError):
        os.killpg(process.pid, signal.SIGKILL)
    process.communicate()
