# ruff: noqa: D102 - methods are documented by the class `Descriptor` that they override
"""A directory of the host, open for one guest, and all that paths beneath it can be asked for.

What :class:`~.beneath.Place` gives is one name in an open directory. Each operation here works on that name by the
directory's descriptor and follows no link, so that nothing above or beside the mounted directory can be reached
whatever others do to the tree meanwhile. Slashes at the end of a path are judged here and never handed to the host,
which might follow a link for them.
"""

from __future__ import annotations

import os
import stat
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any, Final

from ....guest_api.errno import Errno, GuestErrno
from .. import layout
from ..descriptors import Descriptor, Entry, Stat
from ..rights import RestrictedDescriptor
from . import linux
from .beneath import Place
from .file import MAX_OFFSET, HostFile, host_flags
from .metadata import answers_guest, both_times, describe, filetype_of, inode_of

if TYPE_CHECKING:
    from ..state import WasiState

DIRECTORY_FLAGS: Final = os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC | os.O_NONBLOCK
_ATTEMPTS: Final = 16


class HostDirectory(RestrictedDescriptor):
    """An open directory.

    Parameters
    ----------
    fd
        Open for reading; closed with this.
    read_only
        Whether everything that would change something is refused with EROFS, here and in what is opened from here.
    preopened
        As in :class:`Descriptor`.
    """

    __slots__ = ("_read_only", "fd", "preopened")

    filetype = layout.DIRECTORY_TYPE

    def __init__(
        self,
        fd: int,
        *,
        read_only: bool,
        rights: int = layout.DIRECTORY_RIGHTS,
        # Also of one that is read-only: a C library that finds no right to write there opens for reading instead, in
        # silence, and does not tell the program that the file cannot be written.
        inheriting: int = layout.DIRECTORY_RIGHTS | layout.FILE_RIGHTS,
        preopened: bytes | None = None,
    ) -> None:
        super().__init__(rights, inheriting, 0)
        self.fd = fd
        self._read_only = read_only
        self.preopened = preopened

    # -- the directory itself -----------------------------------------------------------------------------------------

    def _no_file(self, *args: Any, **kwargs: Any) -> Any:
        raise GuestErrno(Errno.EBADF)

    read_at = write_at = seek = _no_file

    @answers_guest
    def stat(self, state: WasiState) -> Stat:
        self.require(layout.RIGHT_STAT)
        return describe(os.fstat(self.fd))

    @answers_guest
    def set_times(self, state: WasiState, atim: int | None, mtim: int | None) -> None:
        self.require(layout.RIGHT_SET_TIMES)
        self._require_writable()
        os.utime(self.fd, ns=both_times(os.fstat(self.fd), atim, mtim))

    @answers_guest
    def close(self) -> None:
        os.close(self.fd)

    def listing(self, state: WasiState, start: int) -> Iterator[Entry]:
        """Give the entries from cookie `start` on.

        Cookies are the host's own positions: entries that come and go move none of the others, and a directory of any
        size takes one page of memory.
        """
        self.require(layout.RIGHT_READDIR)
        if start > MAX_OFFSET:
            return
        here = _fstat(self.fd)
        steps = linux.entries(self.fd, start)
        while (entry := _next(steps)) is not None:
            if entry.name in (b".", b".."):
                # What lies above may be beyond what was mounted.
                yield entry.after, inode_of(here.st_dev, here.st_ino), layout.DIRECTORY_TYPE, entry.name
                continue
            mode = entry.kind << 12
            if not mode:
                try:
                    mode = os.stat(entry.name, dir_fd=self.fd, follow_symlinks=False).st_mode
                except OSError:
                    continue  # It was removed after it was listed.
            yield entry.after, inode_of(here.st_dev, entry.inode), filetype_of(mode), entry.name

    # -- opening ------------------------------------------------------------------------------------------------------

    @answers_guest
    def open_at(
        self,
        state: WasiState,
        path: bytes,
        *,
        follow: bool,
        open_flags: int,
        rights: int,
        inheriting: int,
        flags: int,
    ) -> Descriptor:
        self.require(layout.RIGHT_OPEN)
        create = bool(open_flags & layout.OPEN_CREATE)
        exclusive = create and bool(open_flags & layout.OPEN_EXCLUSIVE)
        as_directory = bool(open_flags & layout.OPEN_DIRECTORY)
        if as_directory and open_flags != layout.OPEN_DIRECTORY:
            raise GuestErrno(Errno.EINVAL)
        with Place(self.fd, path if create else _whole(path), follow=follow and not exclusive) as place:
            if create and place.directory and place.name != b".":
                raise GuestErrno(Errno.EISDIR)
            mode = _mode(place)
            if mode is not None and exclusive:
                raise GuestErrno(Errno.EEXIST)
            if mode is not None and stat.S_ISDIR(mode):
                if create or open_flags & layout.OPEN_TRUNCATE or rights & layout.RIGHT_WRITE:
                    raise GuestErrno(Errno.EISDIR)
                fd = os.open(place.name, DIRECTORY_FLAGS | os.O_NOFOLLOW, dir_fd=place.fd)
                handed_on = self.inheriting & layout.DIRECTORY_RIGHTS
                return HostDirectory(fd, read_only=self._read_only, rights=handed_on, inheriting=self.inheriting)
            if mode is not None and as_directory and not stat.S_ISLNK(mode):
                raise GuestErrno(Errno.ENOTDIR)
            granted = self.hand_on(layout.FILE_RIGHTS, rights)
            if mode is None and create:
                self.require(layout.RIGHT_CREATE_FILE)
            elif open_flags & layout.OPEN_TRUNCATE:
                self.require(layout.RIGHT_PATH_SET_SIZE)
            return HostFile(
                self._open_file(place, open_flags, rights, flags), granted, flags, read_only=self._read_only
            )

    def _open_file(self, place: Place, open_flags: int, rights: int, flags: int) -> int:
        writing = bool(rights & layout.RIGHT_WRITE or open_flags & layout.OPEN_TRUNCATE)
        host = os.O_NOFOLLOW | os.O_CLOEXEC | host_flags(flags)
        if writing:
            host |= os.O_RDWR if rights & layout.RIGHT_READ else os.O_WRONLY
        if open_flags & layout.OPEN_TRUNCATE:
            host |= os.O_TRUNC
        create = bool(open_flags & layout.OPEN_CREATE)
        for _ in range(_ATTEMPTS):
            mode = _mode(place)
            if mode is None and create:
                self._require_writable()
            else:
                _require_file(mode, place, exclusive=create and bool(open_flags & layout.OPEN_EXCLUSIVE))
                if writing:
                    self._require_writable()
            try:
                fd = os.open(place.name, host | (os.O_CREAT | os.O_EXCL if mode is None else 0), 0o666, dir_fd=place.fd)
            except (FileExistsError, FileNotFoundError) as error:
                if create and (mode is None) == isinstance(error, FileExistsError):
                    continue  # Somebody made or removed it meanwhile.
                raise
            if stat.S_ISREG(os.fstat(fd).st_mode):
                return fd
            os.close(fd)
            raise GuestErrno(Errno.ENXIO)
        raise GuestErrno(Errno.EAGAIN)

    # -- paths --------------------------------------------------------------------------------------------------------

    @answers_guest
    def stat_at(self, state: WasiState, path: bytes, *, follow: bool) -> Stat:
        self.require(layout.RIGHT_PATH_STAT)
        with Place(self.fd, _whole(path), follow=follow) as place:
            return describe(_found(place))

    @answers_guest
    def set_times_at(self, state: WasiState, path: bytes, atim: int | None, mtim: int | None, *, follow: bool) -> None:
        self.require(layout.RIGHT_PATH_SET_TIMES)
        with Place(self.fd, _whole(path), follow=follow) as place:
            found = _found(place)
            self._require_writable()
            os.utime(place.name, ns=both_times(found, atim, mtim), dir_fd=place.fd, follow_symlinks=False)

    @answers_guest
    def make_directory(self, state: WasiState, path: bytes) -> None:
        self.require(layout.RIGHT_CREATE_DIRECTORY)
        with Place(self.fd, path, follow=False) as place:
            if _mode(place) is not None:
                raise GuestErrno(Errno.EEXIST)
            self._require_writable()
            os.mkdir(place.name, dir_fd=place.fd)

    @answers_guest
    def remove_directory(self, state: WasiState, path: bytes) -> None:
        self.require(layout.RIGHT_REMOVE_DIRECTORY)
        with Place(self.fd, path, follow=False) as place:
            _found(place)
            self._require_writable()
            os.rmdir(place.name, dir_fd=place.fd)

    @answers_guest
    def unlink(self, state: WasiState, path: bytes) -> None:
        self.require(layout.RIGHT_UNLINK)
        with Place(self.fd, _whole(path), follow=False) as place:
            if stat.S_ISDIR(_found(place).st_mode):
                raise GuestErrno(Errno.EISDIR)
            self._require_writable()
            os.unlink(place.name, dir_fd=place.fd)

    @answers_guest
    def rename(self, state: WasiState, old: bytes, target: Descriptor, new: bytes) -> None:
        self.require(layout.RIGHT_RENAME_SOURCE)
        other = _host_directory(target, layout.RIGHT_RENAME_TARGET)
        with Place(self.fd, old, follow=False) as source, Place(other.fd, new, follow=False) as place:
            _require_names(source.name, place.name)
            if b"." in (source.name, place.name):
                raise GuestErrno(Errno.EBUSY)
            is_directory = stat.S_ISDIR(_found(source).st_mode)
            if (source.directory or place.directory) and not is_directory:
                raise GuestErrno(Errno.ENOTDIR)
            self._require_writable()
            other._require_writable()
            os.rename(source.name, place.name, src_dir_fd=source.fd, dst_dir_fd=place.fd)

    @answers_guest
    def link(self, state: WasiState, old: bytes, target: Descriptor, new: bytes, *, follow: bool) -> None:
        if follow:
            raise GuestErrno(Errno.EINVAL)
        self.require(layout.RIGHT_LINK_SOURCE)
        other = _host_directory(target, layout.RIGHT_LINK_TARGET)
        with Place(self.fd, _whole(old), follow=False) as source, Place(other.fd, _whole(new), follow=False) as place:
            _require_names(source.name, place.name)
            found = _found(source)
            _require_free(place)
            if stat.S_ISDIR(found.st_mode):
                raise GuestErrno(Errno.EPERM)
            # Through a name in another directory a file of a read-only one could be written.
            self._require_writable()
            other._require_writable()
            os.link(source.name, place.name, src_dir_fd=source.fd, dst_dir_fd=place.fd, follow_symlinks=False)

    @answers_guest
    def symlink(self, state: WasiState, content: bytes, path: bytes) -> None:
        self.require(layout.RIGHT_SYMLINK)
        if content.startswith(b"/"):
            raise GuestErrno(Errno.EPERM)
        with Place(self.fd, _whole(path), follow=False) as place:
            _require_names(content)
            _require_free(place)
            self._require_writable()
            os.symlink(content, place.name, dir_fd=place.fd)

    @answers_guest
    def read_link(self, state: WasiState, path: bytes) -> bytes:
        self.require(layout.RIGHT_READLINK)
        with Place(self.fd, _whole(path), follow=False) as place:
            content = os.readlink(place.name, dir_fd=place.fd)
        if content.startswith(b"/"):
            # Where the host's own directories lie is not the guest's to know.
            raise GuestErrno(Errno.EPERM)
        return content

    def _require_writable(self) -> None:
        if self._read_only:
            raise GuestErrno(Errno.EROFS)


def _whole(path: bytes) -> bytes:
    """Give a path that leads to the directory itself where a slash at its end says that it is one."""
    return path + b"." if path.endswith(b"/") else path


def _mode(place: Place) -> int | None:
    try:
        return os.stat(place.name, dir_fd=place.fd, follow_symlinks=False).st_mode
    except FileNotFoundError:
        return None


def _found(place: Place) -> os.stat_result:
    return os.stat(place.name, dir_fd=place.fd, follow_symlinks=False)


def _require_names(*names: bytes) -> None:
    """Refuse names that hold NUL before anything is looked up, as a C library that gets them must."""
    if b"\0" in b"".join(names):
        raise GuestErrno(Errno.EINVAL)


def _require_free(place: Place) -> None:
    if _mode(place) is not None:
        raise GuestErrno(Errno.EEXIST)


def _require_file(mode: int | None, place: Place, *, exclusive: bool) -> None:
    if mode is None:
        raise GuestErrno(Errno.ENOENT)
    if exclusive:
        raise GuestErrno(Errno.EEXIST)
    if stat.S_ISLNK(mode):
        raise GuestErrno(Errno.ELOOP)
    if stat.S_ISDIR(mode):
        raise GuestErrno(Errno.EISDIR)
    if place.directory:
        raise GuestErrno(Errno.ENOTDIR)
    if not stat.S_ISREG(mode):
        # Pipes and devices: opening them could wait, or do something.
        raise GuestErrno(Errno.ENXIO)


def _host_directory(target: Descriptor, rights: int) -> HostDirectory:
    """Give the directory that a name is to be put into, if it has the rights that this needs."""
    if not isinstance(target, HostDirectory):
        raise GuestErrno(Errno.EXDEV)
    target.require(rights)
    return target


_fstat = answers_guest(os.fstat)


@answers_guest
def _next(steps: Iterator[linux.HostEntry]) -> linux.HostEntry | None:
    return next(steps, None)
