"""WASI functions on paths (``path_*``): parsed here, and answered by the directory they are relative to.

A path of a virtual file (``api://input``, ``https://…``) is its scheme's business wherever it is said to be, and can be
opened, described and removed; everything else is refused with EPERM.
"""

from __future__ import annotations

from struct import Struct

from ...guest_api.context import CallContext
from ...guest_api.errno import Errno, GuestErrno
from ...guest_api.registry import I64, Waiting
from . import layout
from .descriptors import Descriptor, Stat
from .files import pack_filestat, read_times
from .layout import U32, U64
from .modules import PREVIEW1, UNSTABLE, both
from .paths import MAX_PATH_BYTES, VirtualPath, virtual
from .schemes import SCHEMES, Asked, Scheme
from .state import WasiState
from .waiting import Later, then


def _read_path(call: CallContext, pointer: int, length: int) -> bytes:
    if length & U32 > MAX_PATH_BYTES:
        raise GuestErrno(Errno.ENAMETOOLONG)
    path = call.memory.read(pointer, length)
    if not path.isascii():
        try:
            path.decode()
        except UnicodeDecodeError:
            raise GuestErrno(Errno.EILSEQ) from None
    return path


def _read_tree_path(call: CallContext, pointer: int, length: int) -> bytes:
    path = _read_path(call, pointer, length)
    if virtual(path) is not None:
        raise GuestErrno(Errno.EPERM)
    return path


def _directory(state: WasiState, fd: int, *, no_directory: Errno = Errno.EBADF) -> Descriptor:
    """Give what paths can be relative to; also those of virtual files, which do not look at it."""
    descriptor = state.descriptor(fd)
    if descriptor.filetype != layout.DIRECTORY_TYPE:
        raise GuestErrno(no_directory if descriptor.filetype == layout.REGULAR_TYPE else Errno.EBADF)
    return descriptor


def _follow(lookup_flags: int) -> bool:
    """Tell whether a symbolic link in the last place is to be followed; EINVAL for flags that are not known."""
    if lookup_flags & ~layout.FOLLOW:
        raise GuestErrno(Errno.EINVAL)
    return bool(lookup_flags)


def _scheme(found: VirtualPath) -> Scheme:
    scheme = SCHEMES.get(found.scheme)
    if scheme is None:
        raise GuestErrno(Errno.ENOENT)
    return scheme


@both("path_open", waits="live")
def path_open(
    call: CallContext,
    fd: int,
    lookup_flags: int,
    path_pointer: int,
    path_length: int,
    open_flags: int,
    rights: I64,
    inheriting: I64,
    flags: int,
    result: int,
) -> int | Waiting:
    """Open or create a file, or open a directory or a virtual file."""
    state: WasiState = call.wasi
    directory = _directory(state, fd, no_directory=Errno.ENOTDIR)
    call.memory.check(result, 4)
    follow = _follow(lookup_flags)
    path = _read_path(call, path_pointer, path_length)
    if flags & ~layout.ALL_FLAGS or open_flags & ~0xF:
        raise GuestErrno(Errno.EINVAL)
    state.require_room()
    found = virtual(path)
    if found is None:
        opened = directory.open_at(
            state,
            path,
            follow=follow,
            open_flags=open_flags,
            rights=rights & U64,
            inheriting=inheriting & U64,
            flags=flags,
        )
    else:
        if open_flags & layout.OPEN_DIRECTORY:
            raise GuestErrno(Errno.ENOTDIR)
        given = _scheme(found).open(call, found.name, Asked(open_flags, rights & U64, flags))
        if isinstance(given, Later):
            give = given.give
            return then(given.waiting, lambda: _hand_out(call, give(), result))
        opened = given
    return _hand_out(call, opened, result)


def _hand_out(call: CallContext, opened: Descriptor, result: int) -> int:
    call.memory.write_u32(result, call.wasi.open(opened))
    return 0


def _filestat(
    call: CallContext, fd: int, flags: int, path_pointer: int, path_length: int, result: int, layout_: Struct
) -> int | Waiting:
    state: WasiState = call.wasi
    directory = _directory(state, fd)
    follow = _follow(flags)
    path = _read_path(call, path_pointer, path_length)
    call.memory.check(result, layout_.size)
    found = virtual(path)

    def tell(stat: Stat) -> int:
        call.memory.write(result, pack_filestat(layout_, stat))
        return 0

    if found is None:
        return tell(directory.stat_at(state, path, follow=follow))
    given = _scheme(found).stat(call, found.name)
    if isinstance(given, Later):
        give = given.give
        return then(given.waiting, lambda: tell(give()))
    return tell(given)


@PREVIEW1.function("path_filestat_get", waits="live")
def path_filestat_get(
    call: CallContext, fd: int, flags: int, path: int, path_length: int, result: int
) -> int | Waiting:
    """Describe what a path names."""
    return _filestat(call, fd, flags, path, path_length, result, layout.FILESTAT_PREVIEW1)


@UNSTABLE.function("path_filestat_get", waits="live")
def path_filestat_get_unstable(
    call: CallContext, fd: int, flags: int, path: int, path_length: int, result: int
) -> int | Waiting:
    """Describe what a path names, in the layout of snapshot 0."""
    return _filestat(call, fd, flags, path, path_length, result, layout.FILESTAT_UNSTABLE)


@both("path_filestat_set_times")
def path_filestat_set_times(
    call: CallContext, fd: int, lookup_flags: int, path: int, path_length: int, atim: I64, mtim: I64, flags: int
) -> int:
    """Set the timestamps of a file or directory."""
    state: WasiState = call.wasi
    directory = _directory(state, fd)
    text = _read_tree_path(call, path, path_length)
    times = read_times(state, atim, mtim, flags)
    directory.set_times_at(state, text, *times, follow=_follow(lookup_flags))
    return 0


@both("path_create_directory")
def path_create_directory(call: CallContext, fd: int, path: int, path_length: int) -> int:
    """Make a directory."""
    state: WasiState = call.wasi
    _directory(state, fd).make_directory(state, _read_tree_path(call, path, path_length))
    return 0


@both("path_remove_directory")
def path_remove_directory(call: CallContext, fd: int, path: int, path_length: int) -> int:
    """Remove an empty directory."""
    state: WasiState = call.wasi
    _directory(state, fd).remove_directory(state, _read_tree_path(call, path, path_length))
    return 0


@both("path_unlink_file", waits="live")
def path_unlink_file(call: CallContext, fd: int, path: int, path_length: int) -> int | Waiting:
    """Remove a file, a link or a virtual file."""
    state: WasiState = call.wasi
    directory = _directory(state, fd)
    text = _read_path(call, path, path_length)
    found = virtual(text)
    if found is None:
        directory.unlink(state, text)
        return 0
    given = _scheme(found).unlink(call, found.name)
    if given is None:
        return 0
    give = given.give

    def finish() -> int:
        give()
        return 0

    return then(given.waiting, finish)


@both("path_rename")
def path_rename(
    call: CallContext, fd: int, old_path: int, old_length: int, new_fd: int, new_path: int, new_length: int
) -> int:
    """Move a file, directory or link, replacing what is there."""
    state: WasiState = call.wasi
    source, target = _directory(state, fd), _directory(state, new_fd)
    old, new = _read_tree_path(call, old_path, old_length), _read_tree_path(call, new_path, new_length)
    source.rename(state, old, target, new)
    return 0


@both("path_link")
def path_link(
    call: CallContext,
    fd: int,
    lookup_flags: int,
    old_path: int,
    old_length: int,
    new_fd: int,
    new_path: int,
    new_length: int,
) -> int:
    """Give a file another name."""
    state: WasiState = call.wasi
    source, target = _directory(state, fd), _directory(state, new_fd)
    old, new = _read_tree_path(call, old_path, old_length), _read_tree_path(call, new_path, new_length)
    source.link(state, old, target, new, follow=_follow(lookup_flags))
    return 0


@both("path_symlink")
def path_symlink(call: CallContext, old_path: int, old_length: int, fd: int, new_path: int, new_length: int) -> int:
    """Make a symbolic link; what it leads to is looked at when it is followed."""
    state: WasiState = call.wasi
    directory = _directory(state, fd)
    content = _read_path(call, old_path, old_length)
    directory.symlink(state, content, _read_tree_path(call, new_path, new_length))
    return 0


@both("path_readlink")
def path_readlink(
    call: CallContext, fd: int, path: int, path_length: int, buffer: int, buffer_length: int, result: int
) -> int:
    """Give the content of a symbolic link, as much as there is room for."""
    state: WasiState = call.wasi
    directory = _directory(state, fd)
    call.memory.check(result, 4)
    content = directory.read_link(state, _read_tree_path(call, path, path_length))[: buffer_length & U32]
    call.memory.write(buffer, content)
    call.memory.write_u32(result, len(content))
    return 0
