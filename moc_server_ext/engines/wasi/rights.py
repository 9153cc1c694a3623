# ruff: noqa: D102 - methods are documented by the class `Descriptor` that they override
"""Rights of open files and directories, which can be given up and never come back.

A descriptor has all rights that apply to what it is, but for reading and writing, which have to be asked for, and for
what the directory that it was opened by has given up. Using one that was given up is ENOTCAPABLE, but EBADF for reading
and writing.
"""

from __future__ import annotations

from ...guest_api.errno import Errno, GuestErrno
from . import layout
from .descriptors import Descriptor

_TRANSFERS = layout.RIGHT_READ | layout.RIGHT_WRITE


class RestrictedDescriptor(Descriptor):
    """A file or a directory that is open, with the rights that it has left."""

    __slots__ = ("flags", "inheriting", "rights")

    def __init__(self, rights: int, inheriting: int, flags: int) -> None:
        self.rights = rights
        self.inheriting = inheriting
        self.flags = flags

    def require(self, rights: int) -> None:
        """Refuse with ENOTCAPABLE what needs rights that were given up."""
        if rights & ~self.rights:
            raise GuestErrno(Errno.ENOTCAPABLE)

    def hand_on(self, applicable: int, asked: int) -> int:
        """Give the rights of a file that is opened by this directory."""
        if asked & _TRANSFERS & ~self.inheriting:
            raise GuestErrno(Errno.ENOTCAPABLE)
        return applicable & self.inheriting & (asked | ~_TRANSFERS)

    def set_rights(self, rights: int, inheriting: int) -> None:
        if rights & ~self.rights or inheriting & ~self.inheriting:
            raise GuestErrno(Errno.ENOTCAPABLE)
        self.rights = rights
        self.inheriting = inheriting
