"""WASI functions on paths (``path_*``): the tree's, the doors ``api://input/N`` and ``api://output``, and URLs.

There are no links, symbolic or hard: making one answers ENOSYS, and reading one EINVAL, as for any file that is none.
"""

from __future__ import annotations

from struct import Struct

from ...buffers.exchange import ExchangeBuffer
from ...guest_api.context import CallContext
from ...guest_api.errno import Errno, GuestErrno
from ...guest_api.outbound import check_url
from ...guest_api.registry import I64
from . import layout
from .descriptors import STDIN, STDOUT, Descriptor, FurtherInput, OpenDirectory, OpenFile, further_input_inode
from .files import pack_filestat, set_times
from .layout import U32, U64
from .modules import PREVIEW1, UNSTABLE, both
from .paths import MAX_PATH_BYTES, Door, InputDoor, WebPath, door
from .state import WasiState
from .tree import Directory, File
from .web import WebFile


def _read_path(call: CallContext, pointer: int, length: int) -> bytes:
    if length & U32 > MAX_PATH_BYTES:
        raise GuestErrno(Errno.ENAMETOOLONG)
    return call.memory.read(pointer, length)


def _read_tree_path(call: CallContext, pointer: int, length: int) -> bytes:
    path = _read_path(call, pointer, length)
    if door(path) is not None:
        raise GuestErrno(Errno.EPERM)
    return path


@both("path_open")
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
) -> int:
    """Open or create a file, or open a directory, an exchange buffer of the call, or a URL."""
    state: WasiState = call.wasi
    directory = state.descriptor(fd).directory(state)
    call.memory.check(result, 4)
    path = _read_path(call, path_pointer, path_length)
    if flags & ~layout.ALL_FLAGS or open_flags & ~0xF:
        raise GuestErrno(Errno.EINVAL)
    state.require_room()
    found = door(path)
    if found is not None:
        opened = _open_door(call, found, open_flags, rights)
    else:
        opened = _open_in_tree(state, directory, path, open_flags, rights & U64, flags)
    call.memory.write_u32(result, state.open(opened))
    return 0


def _open_door(call: CallContext, found: Door | InputDoor | WebPath, open_flags: int, rights: int) -> Descriptor:
    if open_flags & layout.OPEN_DIRECTORY:
        raise GuestErrno(Errno.ENOTDIR)
    if open_flags & layout.OPEN_CREATE and open_flags & layout.OPEN_EXCLUSIVE:
        raise GuestErrno(Errno.EEXIST)
    writing = bool(rights & layout.RIGHT_WRITE)
    if isinstance(found, WebPath):
        return _open_url(call, found.url, bool(rights & layout.RIGHT_READ), writing)
    if isinstance(found, InputDoor):
        buffer = _input_of(call, found)
        if writing or open_flags & layout.OPEN_TRUNCATE:
            raise GuestErrno(Errno.EACCES)
        return FurtherInput(buffer, found.place) if found.place else STDIN
    if rights & layout.RIGHT_READ and not writing:
        raise GuestErrno(Errno.EACCES)
    return STDOUT


def _input_of(call: CallContext, found: InputDoor) -> ExchangeBuffer:
    buffer = call.input_at(found.place)
    if buffer is None:
        raise GuestErrno(Errno.ENOENT)
    return buffer


def _open_url(call: CallContext, text: str, reading: bool, writing: bool) -> Descriptor:
    url = check_url(call, text)
    if not reading:
        call.complain(
            f"{url} was opened for writing only: open it for reading as well, the first read sends the request."
        )
        raise GuestErrno(Errno.EACCES)
    return WebFile(url, call.wasi.tree.quota, writable=writing)


def _open_in_tree(
    state: WasiState, directory: Directory, path: bytes, open_flags: int, rights: int, flags: int
) -> Descriptor:
    place = state.tree.locate(directory, path)
    node = place.node
    if node is None:
        if not open_flags & layout.OPEN_CREATE:
            raise GuestErrno(Errno.ENOENT)
        if open_flags & layout.OPEN_DIRECTORY:
            raise GuestErrno(Errno.EINVAL)
        return OpenFile(state.tree.create_file(place), rights, flags, state.clock)
    if open_flags & layout.OPEN_CREATE and open_flags & layout.OPEN_EXCLUSIVE:
        raise GuestErrno(Errno.EEXIST)
    if isinstance(node, File):
        if open_flags & layout.OPEN_DIRECTORY:
            raise GuestErrno(Errno.ENOTDIR)
        if open_flags & layout.OPEN_TRUNCATE:
            node.resize(0, state.clock.now())
        return OpenFile(node, rights, flags, state.clock)
    # Some runtimes ask for all rights with O_DIRECTORY; without it, writing is meant.
    writing = rights & layout.RIGHT_WRITE and not open_flags & layout.OPEN_DIRECTORY
    if writing or open_flags & (layout.OPEN_CREATE | layout.OPEN_TRUNCATE) or not isinstance(node, Directory):
        raise GuestErrno(Errno.EISDIR)
    return OpenDirectory(node, flags)


def _filestat(call: CallContext, fd: int, path_pointer: int, path_length: int, result: int, layout_: Struct) -> int:
    state: WasiState = call.wasi
    directory = state.descriptor(fd).directory(state)
    path = _read_path(call, path_pointer, path_length)
    found = door(path)
    node = None if found is not None else state.tree.find(directory, path)
    if isinstance(found, WebPath):
        check_url(call, found.url)
        inode = WebFile.inode
    elif isinstance(found, InputDoor):
        _input_of(call, found)
        inode = further_input_inode(found.place) if found.place else STDIN.inode
    else:
        inode = STDOUT.inode
    call.memory.write(result, pack_filestat(layout_, node, inode))
    return 0


@PREVIEW1.function("path_filestat_get")
def path_filestat_get(call: CallContext, fd: int, flags: int, path: int, path_length: int, result: int) -> int:
    """Describe what a path names."""
    return _filestat(call, fd, path, path_length, result, layout.FILESTAT_PREVIEW1)


@UNSTABLE.function("path_filestat_get")
def path_filestat_get_unstable(call: CallContext, fd: int, flags: int, path: int, path_length: int, result: int) -> int:
    """Describe what a path names, in the layout of snapshot 0."""
    return _filestat(call, fd, path, path_length, result, layout.FILESTAT_UNSTABLE)


@both("path_filestat_set_times")
def path_filestat_set_times(
    call: CallContext, fd: int, lookup_flags: int, path: int, path_length: int, atim: I64, mtim: I64, flags: int
) -> int:
    """Set the timestamps of a file or directory."""
    state: WasiState = call.wasi
    directory = state.descriptor(fd).directory(state)
    node = state.tree.find(directory, _read_tree_path(call, path, path_length))
    set_times(state, node, atim, mtim, flags)
    return 0


@both("path_create_directory")
def path_create_directory(call: CallContext, fd: int, path: int, path_length: int) -> int:
    """Make a directory."""
    state: WasiState = call.wasi
    state.tree.make_directory(state.descriptor(fd).directory(state), _read_tree_path(call, path, path_length))
    return 0


@both("path_remove_directory")
def path_remove_directory(call: CallContext, fd: int, path: int, path_length: int) -> int:
    """Remove an empty directory."""
    state: WasiState = call.wasi
    state.tree.remove_directory(state.descriptor(fd).directory(state), _read_tree_path(call, path, path_length))
    return 0


@both("path_unlink_file")
def path_unlink_file(call: CallContext, fd: int, path: int, path_length: int) -> int:
    """Remove a file."""
    state: WasiState = call.wasi
    state.tree.unlink(state.descriptor(fd).directory(state), _read_tree_path(call, path, path_length))
    return 0


@both("path_rename")
def path_rename(
    call: CallContext, fd: int, old_path: int, old_length: int, new_fd: int, new_path: int, new_length: int
) -> int:
    """Move a file or directory, replacing what is there."""
    state: WasiState = call.wasi
    old_base, new_base = state.descriptor(fd).directory(state), state.descriptor(new_fd).directory(state)
    state.tree.rename(
        old_base,
        _read_tree_path(call, old_path, old_length),
        new_base,
        _read_tree_path(call, new_path, new_length),
    )
    return 0


@both("path_readlink")
def path_readlink(
    call: CallContext, fd: int, path: int, path_length: int, buffer: int, buffer_length: int, result: int
) -> int:
    """Refuse: nothing is a symbolic link, which EINVAL says; ENOENT if there is nothing at all."""
    state: WasiState = call.wasi
    directory = state.descriptor(fd).directory(state)
    text = _read_path(call, path, path_length)
    if door(text) is None:
        state.tree.find(directory, text)
    raise GuestErrno(Errno.EINVAL)


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
    """Refuse: a file has one name."""
    return Errno.ENOSYS


@both("path_symlink")
def path_symlink(call: CallContext, old_path: int, old_length: int, fd: int, new_path: int, new_length: int) -> int:
    """Refuse: a file has one name."""
    return Errno.ENOSYS
