"""Compiling modules to machine code: small ones here, larger ones in a child process that can be killed.

Compilation cannot be interrupted, and its time and memory grow with what the module's author wishes. The child limits
itself (:mod:`.compile_child`), has a wall clock limit, and dies with its parent's Ctrl-C.
"""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable
from typing import Final

import wasmtime

from ...errors import InvalidModuleError
from .binary import outline
from .compile_child import EXIT_REFUSED
from .disk_cache import Artifact
from .failures import root_cause
from .machine import Machine

IN_PROCESS_BYTES: Final = 64 << 10
"""Up to here, without custom sections, a module is compiled in this process."""

_IN_PROCESS_TOTAL: Final = 16 << 20
"""And up to here with them: they are copied, and names in them are read."""

WALL_SECONDS: Final = 120.0
_CHILD: Final = (sys.executable, "-P", "-m", "moc_server_ext.engines.wasm.compile_child")


def compile_module(
    name: str, content: bytes, machine: Callable[[], Machine], *, wall_seconds: float = WALL_SECONDS
) -> Artifact:
    """Compile a module.

    Parameters
    ----------
    name
        What messages call it.
    machine
        Gives the machine that compiles what is small.

    Raises
    ------
    InvalidModuleError
        It is not valid, or takes too long or too much memory to compile.
    """
    found = outline(name, content)
    if found.compiled_bytes > IN_PROCESS_BYTES or len(content) > _IN_PROCESS_TOTAL:
        return Artifact(_in_child(name, content, wall_seconds), found.memories, found.tables)
    try:
        return Artifact(machine().compile(bytes(content)), found.memories, found.tables)
    except wasmtime.WasmtimeError as error:
        raise refusal(name, str(error)) from None


def refusal(name: str, message: str) -> InvalidModuleError:
    """Make the error for what wasmtime says about a module."""
    return InvalidModuleError(name, f"{root_cause(message)}.")


def _in_child(name: str, content: bytes, wall_seconds: float) -> bytes:
    child = subprocess.Popen(_CHILD, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE)
    try:
        machine_code, said = child.communicate(content, timeout=wall_seconds)
    except subprocess.TimeoutExpired:
        raise InvalidModuleError(name, f"compiling it took longer than {wall_seconds:g} s.") from None
    finally:
        # Also after Ctrl-C; one that has ended is not hurt.
        child.kill()
        child.wait()
        for pipe in (child.stdin, child.stdout, child.stderr):
            if pipe is not None:
                pipe.close()
    if child.returncode == 0 and machine_code:
        return machine_code
    message = said.decode(errors="replace").strip()
    if child.returncode == EXIT_REFUSED:
        raise refusal(name, message)
    how = f"signal {-child.returncode}" if child.returncode < 0 else f"exit code {child.returncode}"
    raise InvalidModuleError(
        name,
        f"compiling it took too much memory or time, and its process ended with {how}: {message[-500:] or 'silent'}.",
    )
