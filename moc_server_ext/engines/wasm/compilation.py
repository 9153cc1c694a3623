"""Compiling modules to machine code: easy ones here, the others in a child process that can be killed.

Compilation cannot be interrupted, and its time and memory grow with what the module's author wishes. The child limits
itself (:mod:`.compile_child`), has a wall clock limit, and dies with its parent's Ctrl-C. Only a few run at a time: who
sends one bomb after the other gets no more of this machine than that.
"""

from __future__ import annotations

import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Final

import wasmtime

from ...errors import InvalidModuleError, OverloadedError
from ...resources import processors
from .binary import outline
from .compile_child import EXIT_REFUSED
from .disk_cache import Artifact
from .failures import root_cause
from .interface import check_entries
from .machine import Machine
from .weight import is_heavy

IN_PROCESS_BYTES: Final = 64 << 10
WALL_SECONDS: Final = 120.0
WAIT_SECONDS: Final = 30.0
_MOST_CHILDREN: Final = 4
_CHILD: Final = (sys.executable, "-P", "-m", "moc_server_ext.engines.wasm.compile_child")


class Compiler:
    """Compiles modules; safe for several threads.

    Parameters
    ----------
    machine
        Gives the machine that compiles what is easy.
    wall_seconds
        How long a child may take.
    wait_seconds
        How long a module waits while as many children as may be are at work.
    """

    def __init__(
        self, machine: Callable[[], Machine], *, wall_seconds: float = WALL_SECONDS, wait_seconds: float = WAIT_SECONDS
    ) -> None:
        self._machine = machine
        self._wall_seconds = wall_seconds
        self._wait_seconds = wait_seconds
        self._children = threading.BoundedSemaphore(min(processors(), _MOST_CHILDREN))

    def compile(self, name: str, content: bytes) -> Artifact:
        """Compile a module, which messages call `name`. Blocks.

        Raises
        ------
        InvalidModuleError
            It is not valid, or takes too long or too much memory to compile.
        OverloadedError
            Other modules are being compiled, and none of them ended for too long.
        """
        found = outline(name, content)
        check_entries(name, found.entries)
        if len(content) > IN_PROCESS_BYTES or is_heavy(name, content):
            with self._a_child():
                return Artifact(_in_child(name, content, self._wall_seconds), found.memories, found.tables)
        try:
            return Artifact(self._machine().compile(bytes(content)), found.memories, found.tables)
        except wasmtime.WasmtimeError as error:
            raise refusal(name, str(error)) from None

    @contextmanager
    def _a_child(self) -> Iterator[None]:
        if not self._children.acquire(timeout=self._wait_seconds):
            raise OverloadedError(self._wait_seconds)
        try:
            yield
        finally:
            self._children.release()


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
