"""Paths beneath an open directory of the host: where one leads, without ever leaving.

Each component is opened by itself, from the directory before it and without following a link, and links are read and
expanded here. So no name is looked up by anything but ``openat`` with one component that is neither ``..`` nor a link,
and whoever renames directories or puts links in their places meanwhile cannot lead a path outside: ``..`` goes back to
the directory that the path came through, which stays open for it, and never asks the host what lies above.

Owns resolving only: what is done with the last component is :mod:`.directory`'s, and must not follow links either.
"""

from __future__ import annotations

import errno
import os
import stat
from types import TracebackType
from typing import Final, Self

from ....guest_api.errno import Errno, GuestErrno
from ..paths import MAX_PATH_BYTES

MAX_LINKS: Final = 40
_MAX_STEPS: Final = 10_000
_MAX_KEPT: Final = 32
_STEP_FLAGS: Final = os.O_PATH | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC
_ESCAPE: Final = Errno.EPERM


class Place:
    """Where a path leads: a directory that is held open, and one name in it. Use it in a ``with``.

    Parameters
    ----------
    base
        Descriptor of the directory that the path is relative to; it stays open and whose it is.
    path
        As the guest gave it.
    follow
        Whether a link in the last place is followed.

    Attributes
    ----------
    fd
        The directory; open until the end of the ``with``.
    name
        The name in it, which may be of nothing; ``.`` for the directory itself.
    directory
        Whether the path can only mean a directory.

    Raises
    ------
    GuestErrno
        ENOENT for an empty path, ENAMETOOLONG beyond 4,096 bytes, EPERM where it or a link on it is absolute or leads
        above `base`, ELOOP beyond 40 links.
    OSError, ValueError
        What the host answers on the way: ENOENT, ENOTDIR, EACCES and so on; a name on the way holds NUL. In each case
        nothing is left open.
    """

    __slots__ = ("_base", "_descended", "_kept", "_links", "_pending", "_steps", "directory", "fd", "name")

    def __init__(self, base: int, path: bytes, *, follow: bool) -> None:
        self._base = self.fd = base
        self._pending: list[bytes] = []
        # The directories above the present one: their descriptors, or None for one to be opened again, and the names
        # that lead from the base to the present one.
        self._kept: list[int | None] = []
        self._descended: list[bytes] = []
        self._links = self._steps = 0
        self.directory = False
        self.name = b"."
        self._push(path)
        try:
            self._resolve(follow)
        except BaseException:
            self._close(self.fd)
            raise
        finally:
            for each in self._kept:
                if each is not None:
                    self._close(each)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._close(self.fd)
        self.fd = self._base

    def _push(self, path: bytes) -> None:
        at_end = not self._pending
        if not path:
            raise GuestErrno(Errno.ENOENT)
        if len(path) > MAX_PATH_BYTES:
            raise GuestErrno(Errno.ENAMETOOLONG)
        if path.startswith(b"/"):
            raise GuestErrno(_ESCAPE)
        if at_end:
            last = path.rstrip(b"/").rpartition(b"/")[2]
            self.directory |= path.endswith(b"/") or last in (b".", b"..")
            if last in (b".", b".."):
                # The directory itself is meant, which has no name where it is reached.
                self._pending.append(b".")
        # What is wrong with a name (it holds NUL, it is too long) is the host's to say, when it comes to it.
        self._pending.extend(each for each in reversed(path.split(b"/")) if each not in (b"", b"."))

    def _resolve(self, follow: bool) -> None:
        while True:
            name = self._pending.pop()
            if name == b"..":
                self._ascend()
            elif self._pending:
                self._descend(name)
            elif name == b"." or not follow or not self._is_link(name):
                self.name = name
                return
            else:
                self._expand(name)

    def _is_link(self, name: bytes) -> bool:
        try:
            return stat.S_ISLNK(os.stat(name, dir_fd=self.fd, follow_symlinks=False).st_mode)
        except FileNotFoundError:
            return False

    def _descend(self, name: bytes) -> None:
        self._count()
        try:
            fd = os.open(name, _STEP_FLAGS, dir_fd=self.fd)
        except NotADirectoryError:
            # A link is none either.
            self._expand(name)
            return
        self._kept.append(self.fd)
        self._descended.append(name)
        self.fd = fd
        # A deep path must not take all descriptors of the process; the base is the caller's.
        oldest = len(self._kept) - 1 - _MAX_KEPT
        if oldest > 0 and (surplus := self._kept[oldest]) is not None:
            self._close(surplus)
            self._kept[oldest] = None

    def _ascend(self) -> None:
        if not self._kept:
            raise GuestErrno(_ESCAPE)
        above = self._kept.pop()
        self._descended.pop()
        if above is None:
            above = self._open_again()
        self._close(self.fd)
        self.fd = above

    def _open_again(self) -> int:
        """Open the directory above once more, by the names that led to it; keep those on the way, as before."""
        here = self._base
        for depth, name in enumerate(self._descended):
            is_kept = depth > len(self._descended) - _MAX_KEPT
            if is_kept:
                self._kept[depth] = here
            try:
                self._count()
                fd = os.open(name, _STEP_FLAGS, dir_fd=here)
            finally:
                if not is_kept:
                    self._close(here)
            here = fd
        return here

    def _expand(self, name: bytes) -> None:
        self._links += 1
        if self._links > MAX_LINKS:
            raise GuestErrno(Errno.ELOOP)
        try:
            content = os.readlink(name, dir_fd=self.fd)
        except OSError as error:
            if error.errno == errno.EINVAL:
                raise NotADirectoryError(errno.ENOTDIR, os.strerror(errno.ENOTDIR)) from None
            raise
        self._push(content)

    def _count(self) -> None:
        # Forty links of four thousand bytes each could otherwise keep the host busy for long.
        self._steps += 1
        if self._steps > _MAX_STEPS:
            raise GuestErrno(Errno.ELOOP)

    def _close(self, fd: int) -> None:
        if fd != self._base:
            os.close(fd)
