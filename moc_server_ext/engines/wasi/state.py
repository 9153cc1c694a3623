"""The WASI side of one call: arguments, environment, descriptors, clock, random bytes and the file tree.

Built for every posix call, so it is cheap: what a short program does not use (the tree, encoded arguments) is made when
it is first asked for. It holds no reference to the call context, which holds it: what a call leaves behind is freed at
its end, not when the collector comes round.
"""

from __future__ import annotations

import contextlib
import heapq
from collections.abc import Sequence

from ...errors import InvalidInputError
from ...guest_api.context import CallContext
from ...guest_api.errno import Errno, GuestErrno
from ...guest_api.registry import Waiting
from ...model import Invocation
from .clock import SYSTEM_CLOCK, SYSTEM_RANDOM, Clock, CountingClock, RandomSource, SeededRandom
from .descriptors import STDERR, STDIN, STDOUT, Descriptor
from .hostfs import open_mount
from .memory_tree import MemoryDirectory
from .tree import FileTree

PREOPENED_FD = 3
ROOT = b"/"
MAX_STRINGS_BYTES = 1 << 20


class GuestExit(BaseException):
    """The guest called ``proc_exit``.

    Not an ``Exception``, so that no host function on the way mistakes it for a failure.

    Parameters
    ----------
    exit_code
        0 to 255, as POSIX passes it on.
    """

    def __init__(self, exit_code: int) -> None:
        super().__init__(exit_code)
        self.exit_code = exit_code


class WasiState:
    """What WASI functions of one call work on, at ``context.wasi``.

    Parameters
    ----------
    context
        The call; its invocation says arguments, environment, limits and whether it is deterministic.

    Attributes
    ----------
    descriptors
        What is open, by number; 0, 1 and 2 are the call's streams, 3 is ``/``: the private tree, or the mount of that
        name. Other mounts follow in their order.
    """

    __slots__ = ("_arguments", "_environment", "_freed", "_invocation", "_max_open", "_next_fd", "_random", "_tree",
                 "clock", "descriptors")  # fmt: skip

    clock: Clock
    descriptors: dict[int, Descriptor]

    def __init__(self, context: CallContext) -> None:
        self._invocation: Invocation = context.invocation
        self.descriptors = {0: STDIN, 1: STDOUT, 2: STDERR, PREOPENED_FD: MemoryDirectory(preopened=ROOT)}
        if self._invocation.mounts:
            self._open_mounts()
        self._freed: list[int] = []
        self._next_fd = len(self.descriptors)
        self._max_open = self._next_fd + self._invocation.limits.open_files
        self._tree: FileTree | None = None
        self._arguments: list[bytes] | None = None
        self._environment: list[bytes] | None = None
        self._random: RandomSource | None = None
        self.clock = CountingClock() if context.invocation.deterministic else SYSTEM_CLOCK

    @property
    def tree(self) -> FileTree:
        """The private file tree, made when first asked for."""
        if self._tree is None:
            self._tree = FileTree(self._invocation.limits.scratch_bytes, self.clock)
        return self._tree

    @property
    def file_bytes(self) -> int:
        """Bytes that the file tree takes."""
        return 0 if self._tree is None else self._tree.quota.used_bytes

    @property
    def random(self) -> RandomSource:
        """Where random bytes come from."""
        if self._random is None:
            deterministic = self._invocation.deterministic
            self._random = SeededRandom(self._invocation.blob_id.encode()) if deterministic else SYSTEM_RANDOM
        return self._random

    # -- arguments and environment ------------------------------------------------------------------------------------

    @property
    def arguments(self) -> Sequence[bytes]:
        """``argv``, with the NUL that ends each.

        Raises
        ------
        InvalidInputError
            One of them holds NUL, or all together exceed 1 MiB: no program could be told. The call ends.
        """
        if self._arguments is None:
            invocation = self._invocation
            self._arguments = _encode("argument", [invocation.program or invocation.function, *invocation.arguments])
        return self._arguments

    @property
    def environment(self) -> Sequence[bytes]:
        """``NAME=VALUE`` strings, with the NUL that ends each; raises as :attr:`arguments` does."""
        if self._environment is None:
            env = self._invocation.env
            for name in env:
                if not name or "=" in name:
                    raise InvalidInputError(f"{name!r} cannot name an environment variable: it is empty or has a '='.")
            self._environment = _encode("environment variable", [f"{name}={value}" for name, value in env.items()])
        return self._environment

    # -- descriptors --------------------------------------------------------------------------------------------------

    def _open_mounts(self) -> None:
        descriptors, next_fd = self.descriptors, PREOPENED_FD + 1
        try:
            for mount in self._invocation.mounts:
                opened = open_mount(mount)
                if opened.preopened == ROOT:
                    descriptors[PREOPENED_FD] = opened
                else:
                    descriptors[next_fd] = opened
                    next_fd += 1
        except BaseException:
            self.close_all()
            raise

    def descriptor(self, fd: int) -> Descriptor:
        """Look a descriptor up; GuestErrno(EBADF) when it is not open."""
        try:
            return self.descriptors[fd]
        except KeyError:
            raise GuestErrno(Errno.EBADF) from None

    def require_room(self) -> None:
        """Refuse with GuestErrno(EMFILE) at the call's limit of open files, without those open from the start."""
        if len(self.descriptors) >= self._max_open:
            raise GuestErrno(Errno.EMFILE)

    def open(self, descriptor: Descriptor) -> int:
        """Give `descriptor` the lowest free number; call :meth:`require_room` before it is made."""
        if self._freed:
            fd = heapq.heappop(self._freed)
        else:
            fd = self._next_fd
            self._next_fd += 1
        self.descriptors[fd] = descriptor
        return fd

    def close(self, fd: int) -> None:
        """Close a descriptor and free its number, also if closing it is refused; EBADF when it is not open."""
        closed = self.descriptor(fd)
        del self.descriptors[fd]
        heapq.heappush(self._freed, fd)
        closed.close()

    def before_end(self, call: CallContext) -> Waiting | None:
        """Give what must happen next before a program that ended by itself has its result; None when nothing is left.

        One descriptor after the other, lowest number first; what that raises is the call's end.
        """
        for _, descriptor in sorted(self.descriptors.items()):
            waiting = descriptor.before_end(call)
            if waiting is not None:
                return waiting
        return None

    def close_all(self) -> None:
        """Let go of all that is open, at the end of the call; idempotent."""
        while self.descriptors:
            with contextlib.suppress(GuestErrno):
                self.descriptors.popitem()[1].close()

    def renumber(self, fd: int, to: int) -> None:
        """Move a descriptor to the number of another open one, which is closed, also if closing it is refused."""
        if fd != to:
            closed = self.descriptors[to]
            self.descriptors[to] = self.descriptors.pop(fd)
            heapq.heappush(self._freed, fd)
            closed.close()


def _encode(what: str, texts: list[str]) -> list[bytes]:
    # Surrogates stand for bytes of a command line that were not UTF-8: they go on as they came.
    try:
        strings = [text.encode("utf-8", "surrogateescape") + b"\0" for text in texts]
    except UnicodeEncodeError as error:
        raise InvalidInputError(f"The {what} {error.object[:80]!r} is not text: {error.reason}.") from None
    block = b"".join(strings)
    if block.count(b"\0") != len(strings):
        text = next(text for text in texts if "\0" in text)
        raise InvalidInputError(f"The {what} {text[:80]!r} holds a NUL, which no C string can. Leave it out.")
    size = len(block)
    if size > MAX_STRINGS_BYTES:
        raise InvalidInputError(
            f"All {what}s together are {size:,} bytes; at most {MAX_STRINGS_BYTES:,} can be given. "
            "Pass large values as input."
        )
    return strings
