"""WASI functions on open descriptors (``fd_*``).

Pointers that receive a result are checked before the effect, so that a bad one loses no bytes. Reading and writing by
descriptor is what short programs spend their host calls on: those bodies stay flat.
"""

from __future__ import annotations

from struct import Struct

from ...guest_api.context import CallContext
from ...guest_api.errno import Errno, GuestErrno
from ...guest_api.registry import I64, Waiting
from . import layout
from .descriptors import Descriptor, Stat
from .layout import U32, U64
from .modules import PREVIEW1, UNSTABLE, both
from .state import WasiState
from .vectors import destinations, gather
from .waiting import lastly, then

# -- reading and writing ----------------------------------------------------------------------------------------------


@both("fd_read", waits="live")
def fd_read(call: CallContext, fd: int, vectors: int, vectors_len: int, result: int) -> int | Waiting:
    """Read at the position of a descriptor, waiting for what can be waited for."""
    memory = call.memory
    descriptor = call.wasi.descriptor(fd)
    places = destinations(memory, vectors, vectors_len)
    memory.check(result, 4)
    if call.live and (waiting := descriptor.before_read(call)) is not None:

        def finish() -> int:
            memory.write_u32(result, descriptor.read(call, places))
            return 0

        return then(waiting, finish)
    memory.write_u32(result, descriptor.read(call, places))
    return 0


@both("fd_write", waits="live")
def fd_write(call: CallContext, fd: int, vectors: int, vectors_len: int, result: int) -> int | Waiting:
    """Write at the position of a descriptor, whole or not at all, waiting until there is room."""
    descriptor = call.wasi.descriptor(fd)
    memory = call.memory
    memory.check(result, 4)
    if call.live and (waiting := descriptor.before_write(call)) is not None:

        def finish() -> int:
            memory.write_u32(result, descriptor.write(call, gather(call, descriptor, vectors, vectors_len)))
            return 0

        return then(waiting, finish)
    memory.write_u32(result, descriptor.write(call, gather(call, descriptor, vectors, vectors_len)))
    return 0


@both("fd_pread", waits="live")
def fd_pread(call: CallContext, fd: int, vectors: int, vectors_len: int, offset: I64, result: int) -> int | Waiting:
    """Read at an offset, leaving the position."""
    memory = call.memory
    descriptor = call.wasi.descriptor(fd)
    places = destinations(memory, vectors, vectors_len)
    memory.check(result, 4)

    def finish() -> int:
        memory.write_u32(result, descriptor.read_at(call, places, offset))
        return 0

    if call.live and (waiting := descriptor.before_read_at(call, offset)) is not None:
        return then(waiting, finish)
    return finish()


@both("fd_pwrite")
def fd_pwrite(call: CallContext, fd: int, vectors: int, vectors_len: int, offset: I64, result: int) -> int:
    """Write at an offset, leaving the position."""
    descriptor = call.wasi.descriptor(fd)
    call.memory.check(result, 4)
    part = gather(call, descriptor, vectors, vectors_len)
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


@both("fd_close", waits="live")
def fd_close(call: CallContext, fd: int) -> int | Waiting:
    """Close a descriptor; what its last bytes make of it is waited for, and the descriptor is closed in any case."""
    state: WasiState = call.wasi

    def finish() -> int:
        state.close(fd)
        return 0

    if call.live and (waiting := state.descriptor(fd).before_close(call)) is not None:
        return lastly(waiting, finish)
    return finish()


@both("fd_renumber", waits="live")
def fd_renumber(call: CallContext, fd: int, to: int) -> int | Waiting:
    """Move a descriptor to the number of another open one, which is closed as :func:`fd_close` does."""
    state: WasiState = call.wasi
    state.descriptor(fd)
    replaced = state.descriptor(to)

    def finish() -> int:
        state.renumber(fd, to)
        return 0

    if call.live and fd != to and (waiting := replaced.before_close(call)) is not None:
        return lastly(waiting, finish)
    return finish()


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
    """Give rights of a descriptor up."""
    descriptor = call.wasi.descriptor(fd)
    if (rights | inheriting) & ~layout.ALL_RIGHTS:
        raise GuestErrno(Errno.EINVAL)
    descriptor.set_rights(rights, inheriting)
    return 0


@both("fd_prestat_get")
def fd_prestat_get(call: CallContext, fd: int, result: int) -> int:
    """Describe a preopened directory; EBADF, for any other descriptor, is how programs find the last one."""
    name = _preopened_name(call, fd)
    if name is None:
        raise GuestErrno(Errno.EBADF)
    call.memory.write(result, layout.PRESTAT.pack(0, len(name)))
    return 0


@both("fd_prestat_dir_name")
def fd_prestat_dir_name(call: CallContext, fd: int, name: int, length: int) -> int:
    """Write the name of a preopened directory."""
    found = _preopened_name(call, fd)
    if found is None:
        raise GuestErrno(Errno.ENOTDIR)
    if length & U32 < len(found):
        raise GuestErrno(Errno.ENAMETOOLONG)
    call.memory.write(name, found)
    return 0


def _preopened_name(call: CallContext, fd: int) -> bytes | None:
    descriptor: Descriptor = call.wasi.descriptor(fd)
    return descriptor.preopened


# -- metadata ---------------------------------------------------------------------------------------------------------


def pack_filestat(layout_: Struct, stat: Stat) -> bytes:
    """Put a description into the structure that guests know."""
    device, inode, filetype, links, size, atim, mtim, ctim = stat
    if layout_ is layout.FILESTAT_UNSTABLE:
        links = min(links, U32)
    return layout_.pack(device & U64, inode & U64, filetype, links, size, atim & U64, mtim & U64, ctim & U64)


def read_times(state: WasiState, atim: int, mtim: int, flags: int) -> tuple[int | None, int | None]:
    """Give the timestamps that ``fstflags`` set, None where they leave one; EINVAL for contradictions."""
    if flags & ~0xF or flags & 3 == 3 or flags & 12 == 12:
        raise GuestErrno(Errno.EINVAL)
    now = state.clock.now()
    return (
        atim & U64 if flags & layout.SET_ATIM else now if flags & layout.SET_ATIM_NOW else None,
        mtim & U64 if flags & layout.SET_MTIM else now if flags & layout.SET_MTIM_NOW else None,
    )


def _filestat(call: CallContext, fd: int, result: int, layout_: Struct) -> int:
    call.memory.write(result, pack_filestat(layout_, call.wasi.descriptor(fd).stat(call.wasi)))
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
    state: WasiState = call.wasi
    state.descriptor(fd).set_times(state, *read_times(state, atim, mtim, flags))
    return 0


@both("fd_advise")
def fd_advise(call: CallContext, fd: int, offset: I64, length: I64, advice: int) -> int:
    """Take advice about how a file will be used."""
    descriptor = call.wasi.descriptor(fd)
    if not 0 <= advice <= layout.LAST_ADVICE or offset < 0 or length < 0:
        raise GuestErrno(Errno.EINVAL)
    descriptor.advise(offset, length, advice)
    return 0


@both("fd_allocate")
def fd_allocate(call: CallContext, fd: int, offset: I64, length: I64) -> int:
    """Make a file at least `offset` + `length` bytes long, with zeros."""
    descriptor = call.wasi.descriptor(fd)
    if offset < 0 or length <= 0:
        raise GuestErrno(Errno.EINVAL)
    descriptor.allocate(call.wasi, offset, length)
    return 0


@both("fd_sync")
def fd_sync(call: CallContext, fd: int) -> int:
    """Make a file durable; those of the private tree live in memory and end with the call."""
    call.wasi.descriptor(fd).sync(data_only=False)
    return 0


@both("fd_datasync")
def fd_datasync(call: CallContext, fd: int) -> int:
    """Make the content of a file durable; those of the private tree live in memory and end with the call."""
    call.wasi.descriptor(fd).sync(data_only=True)
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
    for after, inode, filetype, name in call.wasi.descriptor(fd).listing(call.wasi, cookie & U64):
        if len(page) >= length:
            break
        page += layout.DIRENT.pack(after, inode & U64, len(name), filetype)
        page += name
    del page[length:]
    call.memory.write(buffer, page)
    call.memory.write_u32(result, len(page))
    return 0
