"""WASI functions on open descriptors (``fd_*``).

Pointers that receive a result are checked before the effect, so that a bad one loses no bytes. Reading and writing by
descriptor is what short programs spend their host calls on: those bodies stay flat.
"""

from __future__ import annotations

from struct import Struct

from ...guest_api.context import CallContext
from ...guest_api.errno import Errno, GuestErrno
from ...guest_api.registry import I64, Wait
from . import layout
from .descriptors import STREAM_DEVICE, TREE_DEVICE, Descriptor, PreopenedRoot
from .layout import U32, U64
from .modules import PREVIEW1, UNSTABLE, both
from .state import PREOPENED_NAME, WasiState
from .tree import Directory, Node
from .vectors import destinations, gather

_EBADF = int(Errno.EBADF)
_PRESTAT = layout.PRESTAT.pack(0, len(PREOPENED_NAME))
_NO_TIMES = (0, 0, 0)


# -- reading and writing ----------------------------------------------------------------------------------------------


@both("fd_read", waits="live")
def fd_read(call: CallContext, fd: int, vectors: int, vectors_len: int, result: int) -> int | Wait:
    """Read at the position of a descriptor; a live stream is waited for."""
    memory = call.memory
    descriptor = call.wasi.descriptor(fd)
    places = destinations(memory, vectors, vectors_len)
    memory.check(result, 4)
    if call.live and (start := descriptor.wait_to_read(call)) is not None:

        def finish(_: object) -> int:
            memory.write_u32(result, descriptor.read(call, places))
            return 0

        return Wait(start, finish)
    memory.write_u32(result, descriptor.read(call, places))
    return 0


@both("fd_write", waits="live")
def fd_write(call: CallContext, fd: int, vectors: int, vectors_len: int, result: int) -> int | Wait:
    """Write at the position of a descriptor, whole or not at all; a live stream is waited for until it has room."""
    descriptor = call.wasi.descriptor(fd)
    memory = call.memory
    memory.check(result, 4)
    if call.live and (start := descriptor.wait_to_write(call)) is not None:

        def finish(_: object) -> int:
            memory.write_u32(result, descriptor.write(call, gather(call, vectors, vectors_len)))
            return 0

        return Wait(start, finish)
    memory.write_u32(result, descriptor.write(call, gather(call, vectors, vectors_len)))
    return 0


@both("fd_pread")
def fd_pread(call: CallContext, fd: int, vectors: int, vectors_len: int, offset: I64, result: int) -> int:
    """Read at an offset, leaving the position."""
    memory = call.memory
    descriptor = call.wasi.descriptor(fd)
    places = destinations(memory, vectors, vectors_len)
    memory.check(result, 4)
    memory.write_u32(result, descriptor.read_at(call, places, offset))
    return 0


@both("fd_pwrite")
def fd_pwrite(call: CallContext, fd: int, vectors: int, vectors_len: int, offset: I64, result: int) -> int:
    """Write at an offset, leaving the position."""
    descriptor = call.wasi.descriptor(fd)
    call.memory.check(result, 4)
    part = gather(call, vectors, vectors_len)
    call.memory.write_u32(result, descriptor.write_at(call, part, offset))
    return 0


def _seek(call: CallContext, fd: int, offset: int, origin: int, result: int) -> int:
    descriptor = call.wasi.descriptor(fd)
    call.memory.check(result, 8)
    call.memory.write_u64(result, descriptor.seek(offset, origin))
    return 0


def _origin(whence: int, order: tuple[int, int, int]) -> int:
    if not 0 <= whence <= 2:
        raise GuestErrno(Errno.EINVAL)
    return order[whence]


@PREVIEW1.function("fd_seek")
def fd_seek(call: CallContext, fd: int, offset: I64, whence: int, result: int) -> int:
    """Move the position of a file and tell where it is."""
    return _seek(call, fd, offset, _origin(whence, layout.WHENCE_PREVIEW1), result)


@UNSTABLE.function("fd_seek")
def fd_seek_unstable(call: CallContext, fd: int, offset: I64, whence: int, result: int) -> int:
    """Move the position of a file and tell where it is; `whence` counts from the current position as 0."""
    return _seek(call, fd, offset, _origin(whence, layout.WHENCE_UNSTABLE), result)


@both("fd_tell")
def fd_tell(call: CallContext, fd: int, result: int) -> int:
    """Tell the position of a file."""
    return _seek(call, fd, 0, 1, result)


# -- descriptors ------------------------------------------------------------------------------------------------------


@both("fd_close")
def fd_close(call: CallContext, fd: int) -> int:
    """Close a descriptor."""
    call.wasi.close(fd)
    return 0


@both("fd_renumber")
def fd_renumber(call: CallContext, fd: int, to: int) -> int:
    """Move a descriptor to the number of another open one."""
    call.wasi.renumber(fd, to)
    return 0


@both("fd_fdstat_get")
def fd_fdstat_get(call: CallContext, fd: int, result: int) -> int:
    """Describe a descriptor. Streams are of unknown type without seeking, so that the C library buffers them fully."""
    found = call.wasi.descriptor(fd)
    call.memory.write(result, layout.FDSTAT.pack(found.filetype, found.flags, found.rights, found.inheriting))
    return 0


@both("fd_fdstat_set_flags")
def fd_fdstat_set_flags(call: CallContext, fd: int, flags: int) -> int:
    """Change the flags of a descriptor."""
    descriptor = call.wasi.descriptor(fd)
    if flags & ~layout.ALL_FLAGS:
        raise GuestErrno(Errno.EINVAL)
    descriptor.set_flags(flags)
    return 0


@both("fd_fdstat_set_rights")
def fd_fdstat_set_rights(call: CallContext, fd: int, rights: I64, inheriting: I64) -> int:
    """Refuse: rights are what a descriptor was opened with."""
    return Errno.ENOSYS


@both("fd_prestat_get")
def fd_prestat_get(call: CallContext, fd: int, result: int) -> int:
    """Describe a preopened directory; EBADF, for any other descriptor, is how programs find the last one."""
    if not isinstance(call.wasi.descriptors.get(fd), PreopenedRoot):
        return _EBADF
    call.memory.write(result, _PRESTAT)
    return 0


@both("fd_prestat_dir_name")
def fd_prestat_dir_name(call: CallContext, fd: int, name: int, length: int) -> int:
    """Write the name of a preopened directory."""
    if not isinstance(call.wasi.descriptors.get(fd), PreopenedRoot):
        return _EBADF
    if length & U32 < len(PREOPENED_NAME):
        raise GuestErrno(Errno.ENAMETOOLONG)
    call.memory.write(name, PREOPENED_NAME)
    return 0


# -- metadata ---------------------------------------------------------------------------------------------------------


def pack_filestat(layout_: Struct, node: Node | None, stream_inode: int = 0) -> bytes:
    """Describe a node of the tree; None is a stream."""
    if node is None:
        return layout_.pack(STREAM_DEVICE, stream_inode, layout.UNKNOWN_TYPE, 1, 0, *_NO_TIMES)
    filetype = layout.DIRECTORY_TYPE if isinstance(node, Directory) else layout.REGULAR_TYPE
    return layout_.pack(
        TREE_DEVICE,
        node.inode,
        filetype,
        int(node.linked),
        node.size,
        node.atim & U64,
        node.mtim & U64,
        node.ctim & U64,
    )


def set_times(state: WasiState, node: Node | None, atim: int, mtim: int, flags: int) -> None:
    """Set timestamps as ``fstflags`` say; EINVAL for contradictions, nothing for a stream."""
    if flags & ~0xF or flags & 3 == 3 or flags & 12 == 12:
        raise GuestErrno(Errno.EINVAL)
    if node is None:
        return
    now = state.clock.now()
    if flags & (layout.SET_ATIM | layout.SET_ATIM_NOW):
        node.atim = atim & U64 if flags & layout.SET_ATIM else now
    if flags & (layout.SET_MTIM | layout.SET_MTIM_NOW):
        node.mtim = mtim & U64 if flags & layout.SET_MTIM else now
    node.ctim = now


def _filestat(call: CallContext, fd: int, result: int, layout_: Struct) -> int:
    descriptor = call.wasi.descriptor(fd)
    call.memory.write(result, pack_filestat(layout_, descriptor.node(call.wasi), descriptor.inode))
    return 0


@PREVIEW1.function("fd_filestat_get")
def fd_filestat_get(call: CallContext, fd: int, result: int) -> int:
    """Describe what a descriptor has open."""
    return _filestat(call, fd, result, layout.FILESTAT_PREVIEW1)


@UNSTABLE.function("fd_filestat_get")
def fd_filestat_get_unstable(call: CallContext, fd: int, result: int) -> int:
    """Describe what a descriptor has open, in the layout of snapshot 0."""
    return _filestat(call, fd, result, layout.FILESTAT_UNSTABLE)


@both("fd_filestat_set_size")
def fd_filestat_set_size(call: CallContext, fd: int, size: I64) -> int:
    """Cut a file, or extend it with zeros."""
    call.wasi.descriptor(fd).resize(call.wasi, size)
    return 0


@both("fd_filestat_set_times")
def fd_filestat_set_times(call: CallContext, fd: int, atim: I64, mtim: I64, flags: int) -> int:
    """Set the timestamps of an open file or directory."""
    set_times(call.wasi, call.wasi.descriptor(fd).node(call.wasi), atim, mtim, flags)
    return 0


@both("fd_advise")
def fd_advise(call: CallContext, fd: int, offset: I64, length: I64, advice: int) -> int:
    """Accept advice, which changes nothing in memory; ESPIPE for what has no positions."""
    descriptor: Descriptor = call.wasi.descriptor(fd)
    if not 0 <= advice <= 5 or offset < 0 or length < 0:
        raise GuestErrno(Errno.EINVAL)
    return Errno.SUCCESS if descriptor.filetype == layout.REGULAR_TYPE else Errno.ESPIPE


@both("fd_allocate")
def fd_allocate(call: CallContext, fd: int, offset: I64, length: I64) -> int:
    """Make a file at least `offset` + `length` bytes long, with zeros."""
    descriptor = call.wasi.descriptor(fd)
    if offset < 0 or length <= 0:
        raise GuestErrno(Errno.EINVAL)
    descriptor.allocate(call.wasi, offset + length)
    return 0


@both("fd_sync")
def fd_sync(call: CallContext, fd: int) -> int:
    """Do nothing: files of a call live in memory and end with it."""
    call.wasi.descriptor(fd)
    return 0


@both("fd_datasync")
def fd_datasync(call: CallContext, fd: int) -> int:
    """Do nothing: files of a call live in memory and end with it."""
    call.wasi.descriptor(fd)
    return 0


# -- directories ------------------------------------------------------------------------------------------------------


@both("fd_readdir")
def fd_readdir(call: CallContext, fd: int, buffer: int, length: int, cookie: I64, result: int) -> int:
    """List a directory from a cookie on, into as much of `buffer` as there are entries for.

    The last entry is cut off where the buffer ends, which tells the reader to come again with its cookie.
    """
    length &= U32
    call.memory.check(buffer, length)
    call.memory.check(result, 4)
    page = bytearray()
    for after, name, node in call.wasi.descriptor(fd).listing(call.wasi, cookie & U64):
        if len(page) >= length:
            break
        filetype = layout.DIRECTORY_TYPE if isinstance(node, Directory) else layout.REGULAR_TYPE
        page += layout.DIRENT.pack(after, node.inode, len(name), filetype)
        page += name
    del page[length:]
    call.memory.write(buffer, page)
    call.memory.write_u32(result, len(page))
    return 0
