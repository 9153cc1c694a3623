"""What a scheme of virtual files is: how a path of it is opened, described and removed. One file a scheme beside this.

Each of the three may have to wait; see :class:`~..waiting.Later`. Only live calls can: a scheme that needs to wait
sees to it that calls which may open it are live.
"""

from __future__ import annotations

from typing import NamedTuple

from ....guest_api.context import CallContext
from ....guest_api.errno import Errno, GuestErrno
from .. import layout
from ..descriptors import Descriptor, Stat
from ..waiting import Later


class Asked(NamedTuple):
    """How a virtual file is to be opened, as ``path_open`` was told."""

    open_flags: int
    rights: int
    flags: int

    @property
    def reading(self) -> bool:
        """Whether it is to be read."""
        return bool(self.rights & layout.RIGHT_READ)

    @property
    def writing(self) -> bool:
        """Whether it is to be written."""
        return bool(self.rights & layout.RIGHT_WRITE)

    @property
    def creating(self) -> bool:
        """Whether it is made if it is not there."""
        return bool(self.open_flags & layout.OPEN_CREATE)

    @property
    def truncating(self) -> bool:
        """Whether what is there is to be forgotten."""
        return bool(self.open_flags & layout.OPEN_TRUNCATE)

    @property
    def appending(self) -> bool:
        """Whether all that is written goes to the end."""
        return bool(self.flags & layout.FLAG_APPEND)

    @property
    def exclusive(self) -> bool:
        """Whether it must be a new file."""
        both = layout.OPEN_CREATE | layout.OPEN_EXCLUSIVE
        return self.open_flags & both == both


class Scheme:
    """A kind of virtual file. `name` is what follows ``scheme://`` in a path, whose spelling has been dealt with."""

    __slots__ = ()

    def open(self, call: CallContext, name: bytes, asked: Asked) -> Descriptor | Later[Descriptor]:
        """Open a file; ``OPEN_DIRECTORY`` was refused already."""
        raise NotImplementedError

    def stat(self, call: CallContext, name: bytes) -> Stat | Later[Stat]:
        """Describe a file without opening it."""
        raise NotImplementedError

    def unlink(self, call: CallContext, name: bytes) -> Later[None] | None:
        """Remove a file; EPERM for what cannot be."""
        raise GuestErrno(Errno.EPERM)
