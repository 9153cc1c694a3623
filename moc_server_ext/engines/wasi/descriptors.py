# ruff: noqa: D102 - methods are documented by the class `Descriptor` that they override
"""What a descriptor number can stand for: one interface for everything that can be opened, and the call's streams.

The functions of WASI (:mod:`.files`, :mod:`.names`, :mod:`.poll`) parse, check pointers and delegate to a
:class:`Descriptor`. Every operation that a kind of descriptor does not have is refused by that class, with the number
that POSIX gives. The private tree's are in :mod:`.memory_tree`, those of URLs and other virtual files in
:mod:`.schemes`. Streams have no state of their own (it is the exchange buffers'), so one object serves every call.
Numbers are handed out by :mod:`.state`.
"""

from __future__ import annotations

from collections.abc import Callable, Coroutine, Iterator
from typing import TYPE_CHECKING, Any, NamedTuple

from ...buffers.exchange import ExchangeBuffer
from ...guest_api.context import CallContext
from ...guest_api.errno import Errno, GuestErrno
from ...guest_api.registry import Wait, Waiting
from . import layout
from .vectors import Vectors

if TYPE_CHECKING:
    from .state import WasiState

Start = Callable[[], Coroutine[Any, Any, Any]]
Entry = tuple[int, int, int, bytes]
"""Of a directory: the cookie after it, its inode, its filetype and its name."""

STREAM_DEVICE, TREE_DEVICE = 1, 2


class Stat(NamedTuple):
    """What a file is, in the order of ``filestat``. Times are nanoseconds since the epoch."""

    device: int
    inode: int
    filetype: int
    links: int
    size: int
    atim: int
    mtim: int
    ctim: int


class Descriptor:
    """An open thing. The defaults refuse.

    Paths are raw bytes as the guest gave them, known to be none of a virtual file; they are relative to the directory
    that is open, and cannot leave it. What refuses raises ``GuestErrno``, and has changed nothing.

    Attributes
    ----------
    filetype, rights, inheriting
        As ``fd_fdstat_get`` tells them.
    inode
        Tells streams apart; what has a node has the node's.
    flags
        ``fdflags``, as they were given.
    preopened
        The name of a directory that is open from the start, else None.
    """

    __slots__ = ()

    filetype: int = layout.UNKNOWN_TYPE
    rights: int = 0
    inheriting: int = 0
    inode: int = 0
    flags: int = 0
    preopened: bytes | None = None

    # -- reading and writing ------------------------------------------------------------------------------------------

    def read(self, call: CallContext, vectors: Vectors) -> int:
        """Move bytes on from the position into guest memory, and tell how many; fewer only at the end."""
        raise GuestErrno(Errno.EBADF)

    def write(self, call: CallContext, part: bytes) -> int:
        """Take `part` at the position, whole or not at all, and tell how many bytes that were."""
        raise GuestErrno(Errno.EBADF)

    def expect(self, call: CallContext, size: int) -> None:
        """Refuse what :meth:`write` would refuse for its size alone; asked before many bytes are copied for it."""

    def read_at(self, call: CallContext, vectors: Vectors, offset: int) -> int:
        """Like :meth:`read`, from `offset`; the position stays."""
        raise GuestErrno(Errno.ESPIPE)

    def write_at(self, call: CallContext, part: bytes, offset: int) -> int:
        """Like :meth:`write`, at `offset`; the position stays."""
        raise GuestErrno(Errno.ESPIPE)

    def seek(self, offset: int, origin: int) -> int:
        """Move the position (`origin` as :data:`io.SEEK_SET` and so on) and tell where it is."""
        raise GuestErrno(Errno.ESPIPE)

    def resize(self, state: WasiState, size: int) -> None:
        """Set the size of a file."""
        raise GuestErrno(Errno.EBADF)

    def allocate(self, state: WasiState, offset: int, length: int) -> None:
        """Make a file at least `offset` + `length` bytes long."""
        raise GuestErrno(Errno.EBADF)

    def advise(self, offset: int, length: int, advice: int) -> None:
        """Take advice about bytes of a file, or ignore it."""
        raise GuestErrno(Errno.EBADF)

    def sync(self, *, data_only: bool) -> None:
        """Make what was written durable, as far as it can be; nothing to do for a file that ends with the call."""
        raise GuestErrno(Errno.EBADF)

    def set_flags(self, flags: int) -> None:
        """Change ``fdflags``; those of synchronous writing cannot be, which is EINVAL."""
        raise GuestErrno(Errno.EBADF)

    def set_rights(self, rights: int, inheriting: int) -> None:
        """Give rights up; ENOTCAPABLE for ones that are not there."""
        raise GuestErrno(Errno.ENOTSUP)

    def close(self) -> None:
        """Let go of what is open, from whatever thread; must not wait. Called once, and final even if it refuses."""

    # -- metadata -----------------------------------------------------------------------------------------------------

    def stat(self, state: WasiState) -> Stat:
        """Describe what is open."""
        return Stat(STREAM_DEVICE, self.inode, self.filetype, 1, 0, 0, 0, 0)

    def set_times(self, state: WasiState, atim: int | None, mtim: int | None) -> None:
        """Set timestamps; None leaves one. Nothing to do for a stream."""

    # -- what must be waited for; asked in live calls only ------------------------------------------------------------

    def before_read(self, call: CallContext) -> Waiting | None:
        """Give what must happen before :meth:`read`; None if that can be now."""
        start = self.wait_to_read(call)
        return None if start is None else Wait(start, _nothing)

    def before_read_at(self, call: CallContext, offset: int) -> Waiting | None:
        """Give what must happen before :meth:`read_at`; None if that can be now."""
        return None

    def before_write(self, call: CallContext) -> Waiting | None:
        """Give what must happen before :meth:`write`; None if that can be now."""
        start = self.wait_to_write(call)
        return None if start is None else Wait(start, _nothing)

    def before_close(self, call: CallContext) -> Waiting | None:
        """Give what must happen before :meth:`close`, which follows even if it is refused; None if that can be now."""
        return None

    def before_end(self, call: CallContext) -> Waiting | None:
        """Give what must happen before the result of a call whose program has ended by itself; None for nothing.

        Asked again after it, as long as there is something. What it raises is the call's end.
        """
        return None

    def wait_to_read(self, call: CallContext) -> Start | None:
        """Give a coroutine function that ends when :meth:`read` need not wait, to be raced; None if it need not."""
        return None

    def wait_to_write(self, call: CallContext) -> Start | None:
        """Give a coroutine function that ends when :meth:`write` need not wait, to be raced; None if it need not."""
        return None

    def readable_bytes(self, call: CallContext) -> int:
        """Tell how much can be read at once without waiting."""
        return 0

    # -- directories --------------------------------------------------------------------------------------------------

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
        """Open a file or directory, or create a file."""
        raise GuestErrno(Errno.ENOTDIR)

    def stat_at(self, state: WasiState, path: bytes, *, follow: bool) -> Stat:
        """Describe what a path names."""
        raise GuestErrno(Errno.ENOTDIR)

    def set_times_at(self, state: WasiState, path: bytes, atim: int | None, mtim: int | None, *, follow: bool) -> None:
        """Set timestamps of what a path names; None leaves one."""
        raise GuestErrno(Errno.ENOTDIR)

    def make_directory(self, state: WasiState, path: bytes) -> None:
        """Make a directory."""
        raise GuestErrno(Errno.ENOTDIR)

    def remove_directory(self, state: WasiState, path: bytes) -> None:
        """Remove an empty directory."""
        raise GuestErrno(Errno.ENOTDIR)

    def unlink(self, state: WasiState, path: bytes) -> None:
        """Remove a name of what is no directory."""
        raise GuestErrno(Errno.ENOTDIR)

    def rename(self, state: WasiState, old: bytes, target: Descriptor, new: bytes) -> None:
        """Move `old`, from here, to `new` in `target`, replacing what is there; EXDEV for another file system."""
        raise GuestErrno(Errno.ENOTDIR)

    def link(self, state: WasiState, old: bytes, target: Descriptor, new: bytes, *, follow: bool) -> None:
        """Give what `old` names, from here, another name, `new` in `target`; EXDEV for another file system."""
        raise GuestErrno(Errno.ENOTDIR)

    def symlink(self, state: WasiState, content: bytes, path: bytes) -> None:
        """Make a symbolic link that leads to `content`."""
        raise GuestErrno(Errno.ENOTDIR)

    def read_link(self, state: WasiState, path: bytes) -> bytes:
        """Give the content of a symbolic link."""
        raise GuestErrno(Errno.ENOTDIR)

    def listing(self, state: WasiState, start: int) -> Iterator[Entry]:
        """Give the entries after cookie `start`, ``.`` and ``..`` among them.

        Between two pages entries may come and go; those that stay are told once each.
        """
        raise GuestErrno(Errno.EBADF)


def _nothing(_: object) -> int:
    return 0


def read_input(call: CallContext, buffer: ExchangeBuffer, vectors: Vectors) -> int:
    """Move bytes of an input buffer on into guest memory, and tell how many."""
    # One part at a time: whoever types lines at a terminal is answered line by line.
    part, total, write = buffer.peek(), 0, call.memory.write
    for pointer, length in vectors:
        piece = part[total : total + length]
        write(pointer, piece)
        total += len(piece)
    buffer.advance(total)
    return total


class InputStream(Descriptor):
    """Input buffer 0. Whoever opens it shares its one position with stdin and with the guest API."""

    __slots__ = ()

    rights = layout.READING

    def read(self, call: CallContext, vectors: Vectors) -> int:
        return read_input(call, call.input, vectors)

    def readable_bytes(self, call: CallContext) -> int:
        return len(call.input.peek())

    def wait_to_read(self, call: CallContext) -> Start | None:
        return None if call.input.ready else call.input.readable


class OutputStream(Descriptor):
    """The output buffer. Beyond its limit the call ends."""

    __slots__ = ()

    rights = layout.WRITING
    inode = 1

    def write(self, call: CallContext, part: bytes) -> int:
        call.output.write(part)
        return len(part)

    def expect(self, call: CallContext, size: int) -> None:
        call.output.check(size)

    def wait_to_write(self, call: CallContext) -> Start | None:
        return call.output.writable if call.output.full else None


class ErrorStream(Descriptor):
    """The call's stderr. Beyond its limit the call ends."""

    __slots__ = ()

    rights = layout.WRITING
    inode = 2

    def write(self, call: CallContext, part: bytes) -> int:
        call.write_stderr(part)
        return len(part)

    def expect(self, call: CallContext, size: int) -> None:
        call.check_stderr(size)


STDIN = InputStream()
STDOUT = OutputStream()
STDERR = ErrorStream()
