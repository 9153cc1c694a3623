# ruff: noqa: D102 - methods are documented by the class `Descriptor` that they override
"""A regular file of the host, open for one guest."""

from __future__ import annotations

import fcntl
import os
from typing import TYPE_CHECKING, Final

from ....guest_api.context import CallContext
from ....guest_api.errno import Errno, GuestErrno
from .. import layout
from ..descriptors import Stat
from ..rights import RestrictedDescriptor
from ..vectors import Vectors
from . import linux
from .metadata import answers_guest, both_times, describe

if TYPE_CHECKING:
    from ..state import WasiState

MAX_OFFSET: Final = (1 << 63) - 1
_SYNCHRONOUS: Final = layout.FLAG_DSYNC | layout.FLAG_RSYNC | layout.FLAG_SYNC
_ADVICE: Final = (
    os.POSIX_FADV_NORMAL,
    os.POSIX_FADV_SEQUENTIAL,
    os.POSIX_FADV_RANDOM,
    os.POSIX_FADV_WILLNEED,
    os.POSIX_FADV_DONTNEED,
    os.POSIX_FADV_NOREUSE,
)


def host_flags(flags: int) -> int:
    """Give what to open a file with for ``fdflags``; never one that could wait for somebody at the other end."""
    return (
        os.O_NONBLOCK
        | os.O_NOCTTY
        | (os.O_APPEND if flags & layout.FLAG_APPEND else 0)
        | (os.O_DSYNC if flags & layout.FLAG_DSYNC else 0)
        | (os.O_SYNC if flags & (layout.FLAG_SYNC | layout.FLAG_RSYNC) else 0)
    )


class HostFile(RestrictedDescriptor):
    """An open file, with a position of its own.

    Parameters
    ----------
    fd
        Open as `rights` and `flags` say; closed with this.
    rights
        Of them, RIGHT_READ and RIGHT_WRITE decide.
    read_only
        Whether it lies in a mount where nothing can be changed: its timestamps are not the guest's to set either.
    """

    __slots__ = ("_fd", "_read_only", "position")

    filetype = layout.REGULAR_TYPE

    def __init__(self, fd: int, rights: int, flags: int, *, read_only: bool) -> None:
        super().__init__(rights, 0, flags)
        self._fd = fd
        self._read_only = read_only
        self.position = 0

    def read(self, call: CallContext, vectors: Vectors) -> int:
        count = self.read_at(call, vectors, self.position)
        self.position += count
        return count

    @answers_guest
    def read_at(self, call: CallContext, vectors: Vectors, offset: int) -> int:
        if not self.rights & layout.RIGHT_READ:
            raise GuestErrno(Errno.EBADF)
        if offset < 0:
            raise GuestErrno(Errno.EINVAL)
        if not vectors:
            return 0
        memory = call.memory
        return os.preadv(self._fd, [memory.view(pointer, length) for pointer, length in vectors], offset)

    @answers_guest
    def write(self, call: CallContext, part: bytes) -> int:
        if self.flags & layout.FLAG_APPEND:
            return self._append(part)
        count = self._write_at(part, self.position)
        self.position += count
        return count

    @answers_guest
    def write_at(self, call: CallContext, part: bytes, offset: int) -> int:
        return self._write_at(part, offset)

    def _write_at(self, part: bytes, offset: int) -> int:
        self._require_writable()
        if offset < 0:
            raise GuestErrno(Errno.EINVAL)
        return os.pwrite(self._fd, part, offset)

    def _append(self, part: bytes) -> int:
        self._require_writable()
        count = os.write(self._fd, part)
        # The end of what this guest wrote, also when others append to the file.
        self.position = os.lseek(self._fd, 0, os.SEEK_CUR)
        return count

    @answers_guest
    def seek(self, offset: int, origin: int) -> int:
        # Asking for the position is all that the right to tell it allows.
        self.require(layout.RIGHT_TELL if (offset, origin) == (0, os.SEEK_CUR) else layout.RIGHT_SEEK)
        start = (0, self.position)[origin] if origin != os.SEEK_END else os.fstat(self._fd).st_size
        position = start + offset
        if not 0 <= position <= MAX_OFFSET:
            raise GuestErrno(Errno.EINVAL)
        self.position = position
        return position

    @answers_guest
    def resize(self, state: WasiState, size: int) -> None:
        self.require(layout.RIGHT_SET_SIZE)
        if size < 0 or not self.rights & layout.RIGHT_WRITE:
            raise GuestErrno(Errno.EINVAL)
        os.ftruncate(self._fd, size)

    @answers_guest
    def allocate(self, state: WasiState, offset: int, length: int) -> None:
        self.require(layout.RIGHT_ALLOCATE)
        self._require_writable()
        linux.allocate(self._fd, offset, length)

    @answers_guest
    def advise(self, offset: int, length: int, advice: int) -> None:
        self.require(layout.RIGHT_ADVISE)
        os.posix_fadvise(self._fd, offset, length, _ADVICE[advice])

    @answers_guest
    def sync(self, *, data_only: bool) -> None:
        self.require(layout.RIGHT_DATASYNC if data_only else layout.RIGHT_SYNC)
        (os.fdatasync if data_only else os.fsync)(self._fd)

    @answers_guest
    def set_flags(self, flags: int) -> None:
        self.require(layout.RIGHT_SET_FLAGS)
        if (flags ^ self.flags) & _SYNCHRONOUS:
            # The host cannot change these of what is open.
            raise GuestErrno(Errno.EINVAL)
        fcntl.fcntl(self._fd, fcntl.F_SETFL, host_flags(flags))
        self.flags = flags

    @answers_guest
    def stat(self, state: WasiState) -> Stat:
        self.require(layout.RIGHT_STAT)
        return describe(os.fstat(self._fd))

    @answers_guest
    def set_times(self, state: WasiState, atim: int | None, mtim: int | None) -> None:
        self.require(layout.RIGHT_SET_TIMES)
        if self._read_only:
            raise GuestErrno(Errno.EROFS)
        os.utime(self._fd, ns=both_times(os.fstat(self._fd), atim, mtim))

    @answers_guest
    def readable_bytes(self, call: CallContext) -> int:
        return max(0, os.fstat(self._fd).st_size - self.position)

    @answers_guest
    def close(self) -> None:
        os.close(self._fd)

    def _require_writable(self) -> None:
        if not self.rights & layout.RIGHT_WRITE:
            raise GuestErrno(Errno.EBADF)
