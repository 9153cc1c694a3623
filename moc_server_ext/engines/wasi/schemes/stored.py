# ruff: noqa: D102 - methods are documented by the class `Descriptor` that they override
"""Stored bytes as a file that is read: a regular file, of one version for as long as it is open.

Bytes come in windows, so that small reads do not each wait for the storage.
"""

from __future__ import annotations

import hashlib
from typing import TYPE_CHECKING, Final

from ....abc import Content
from ....guest_api.context import CallContext
from ....guest_api.core.support import work
from ....guest_api.errno import Errno, GuestErrno
from ....guest_api.registry import Waiting
from .. import layout
from ..descriptors import Descriptor, Stat
from ..nodes import Quota
from ..vectors import Vectors, scatter
from .access import allowed, refuse_synchronous

if TYPE_CHECKING:
    from ..state import WasiState

STORED_DEVICE: Final = 3
AHEAD_BYTES: Final = 256 << 10
SCATTERED_BYTES: Final = 80 << 10
WHOLE_READ_BYTES: Final = 64 << 10
"""A read of up to so many bytes gets all of them, as reads of files do; a longer one, what is at hand."""

LEAST_BYTES: Final = 16 << 10
"""What a window has even where the scratch space is spent; reads are shorter then."""

READ_RIGHTS: Final = layout.READING | layout.RIGHT_SEEK | layout.RIGHT_TELL
_MAX_OFFSET: Final = (1 << 63) - 1


def stored_stat(scheme: str, name: bytes, size: int, created_at: float = 0.0) -> Stat:
    """Describe something stored; its inode follows from its name."""
    digest = hashlib.blake2b(name, digest_size=8, key=scheme.encode()).digest()
    time_ns = int(created_at * 1e9)
    return Stat(STORED_DEVICE, int.from_bytes(digest), layout.REGULAR_TYPE, 1, size, time_ns, time_ns, time_ns)


def head_of(content: Content) -> bytes:
    """Read what is small along with opening it; blocks."""
    return content.read() if content.size <= WHOLE_READ_BYTES else b""


class StoredFile(Descriptor):
    """One version of stored bytes, with a position.

    Parameters
    ----------
    content
        Held open as long as the file is.
    head
        Its first bytes, as far as they are known.
    quota
        What the window takes, as far as there is room.
    """

    __slots__ = ("_charged", "_content", "_quota", "_stat", "_window", "_window_start", "flags", "position", "rights")

    filetype = layout.REGULAR_TYPE

    def __init__(self, content: Content, head: bytes, stat: Stat, quota: Quota, rights: int, flags: int) -> None:
        self._content: Content | None = content
        self._stat = stat
        self._quota = quota
        self._charged = 0
        self._keep(0, head)
        self.rights = allowed(READ_RIGHTS, rights)
        self.flags = flags
        self.position = 0

    def before_read(self, call: CallContext) -> Waiting | None:
        return self._fetch(call, self.position)

    def before_read_at(self, call: CallContext, offset: int) -> Waiting | None:
        return self._fetch(call, offset)

    def read(self, call: CallContext, vectors: Vectors) -> int:
        count = self.read_at(call, vectors, self.position)
        self.position += count
        return count

    def read_at(self, call: CallContext, vectors: Vectors, offset: int) -> int:
        if not self.rights & layout.RIGHT_READ:
            raise GuestErrno(Errno.EBADF)
        if offset < 0:
            raise GuestErrno(Errno.EINVAL)
        at = offset - self._window_start
        if at < 0:
            # The end, which nothing was fetched for: all else lies in the window.
            return 0
        return scatter(call.memory, vectors, self._window, at)

    def write(self, call: CallContext, part: bytes) -> int:
        raise GuestErrno(Errno.EBADF)

    def write_at(self, call: CallContext, part: bytes, offset: int) -> int:
        raise GuestErrno(Errno.EBADF)

    def seek(self, offset: int, origin: int) -> int:
        position = offset + (0, self.position, self._stat.size)[origin]
        if not 0 <= position <= _MAX_OFFSET:
            raise GuestErrno(Errno.EINVAL)
        self.position = position
        return position

    def advise(self, offset: int, length: int, advice: int) -> None:
        pass

    def stat(self, state: WasiState) -> Stat:
        return self._stat

    def set_times(self, state: WasiState, atim: int | None, mtim: int | None) -> None:
        raise GuestErrno(Errno.EPERM)

    def set_flags(self, flags: int) -> None:
        refuse_synchronous(flags)
        self.flags = flags

    def sync(self, *, data_only: bool) -> None:
        """Do nothing: what is read here was durable before it could be."""

    def readable_bytes(self, call: CallContext) -> int:
        return max(0, self._stat.size - self.position)

    def close(self) -> None:
        # Dropped, not closed: a read that was given up may still be at it.
        self._content = None
        self._keep(0, b"")

    def _fetch(self, call: CallContext, offset: int) -> Waiting | None:
        """Give what brings the bytes at `offset`; None when they are at hand, or there are none."""
        content, size = self._content, self._stat.size
        if content is None or not self.rights & layout.RIGHT_READ or not 0 <= offset < size:
            return None
        window_end = self._window_start + len(self._window)
        # Who goes on where the last bytes were reads on; who jumps may want little of it.
        is_next = self._window_start <= offset <= window_end
        room = max(LEAST_BYTES, self._quota.room_bytes + self._charged)
        length = min(room, AHEAD_BYTES if is_next else SCATTERED_BYTES)
        needed = WHOLE_READ_BYTES if length > WHOLE_READ_BYTES else 1
        if self._window_start <= offset and min(size, offset + needed) <= window_end:
            return None

        def keep(part: bytes) -> int:
            self._keep(offset, part)
            return 0

        return work(call, lambda: content.read(offset, offset + length), keep)

    def _keep(self, start: int, window: bytes) -> None:
        self._quota.release(self._charged)
        self._charged = min(len(window), self._quota.room_bytes)
        self._quota.charge(self._charged)
        self._window_start, self._window = start, window
