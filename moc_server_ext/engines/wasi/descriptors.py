# ruff: noqa: D102 - methods are documented by the class `Descriptor` that they override
"""What a descriptor number can stand for: the call's streams, open files and open directories.

Every operation that a kind of descriptor does not have is refused by the base class, with the number that POSIX gives.
Streams have no state of their own (it is the exchange buffers'), so one object serves every call. Numbers are handed
out by :mod:`.state`.
"""

from __future__ import annotations

from collections.abc import Callable, Coroutine, Iterator
from typing import TYPE_CHECKING, Any, ClassVar

from ...buffers.exchange import ExchangeBuffer
from ...guest_api.context import CallContext
from ...guest_api.errno import Errno, GuestErrno
from . import layout
from .clock import Clock
from .tree import Directory, File, Node
from .vectors import Vectors

if TYPE_CHECKING:
    from .state import WasiState

Start = Callable[[], Coroutine[Any, Any, Any]]

STREAM_DEVICE, TREE_DEVICE = 1, 2
_SMALL_BYTES = 1 << 14
# Those of input 0, output, stderr and URLs.
_INODES_BEFORE_INPUTS = 3
_MAX_OFFSET = (1 << 63) - 1


class Descriptor:
    """An open thing. The defaults refuse.

    Attributes
    ----------
    filetype, rights, inheriting
        As ``fd_fdstat_get`` tells them.
    inode
        Tells streams apart; what has a node has the node's.
    flags
        ``fdflags``, as they were given; of them, only APPEND has an effect in memory.
    """

    __slots__ = ()

    filetype: ClassVar[int] = layout.UNKNOWN_TYPE
    rights: int = 0
    inheriting: int = 0
    inode: int = 0
    flags: int = 0

    def read(self, call: CallContext, vectors: Vectors) -> int:
        """Move bytes on from the position into guest memory, and tell how many; fewer only at the end."""
        raise GuestErrno(Errno.EBADF)

    def write(self, call: CallContext, part: bytes) -> int:
        """Take `part` at the position, whole or not at all, and tell how many bytes that were."""
        raise GuestErrno(Errno.EBADF)

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
        raise GuestErrno(Errno.EINVAL)

    def allocate(self, state: WasiState, end: int) -> None:
        """Make a file at least `end` bytes long."""
        raise GuestErrno(Errno.ESPIPE)

    def directory(self, state: WasiState) -> Directory:
        """Give the directory that paths are relative to."""
        raise GuestErrno(Errno.ENOTDIR)

    def listing(self, state: WasiState, start: int) -> Iterator[tuple[int, bytes, Node]]:
        """Give the entries from cookie `start` on: the cookie after each, its name, and what it is."""
        raise GuestErrno(Errno.ENOTDIR)

    def node(self, state: WasiState) -> Node | None:
        """Give the file or directory, None for a stream."""
        return None

    def readable_bytes(self, call: CallContext) -> int:
        """Tell how much can be read at once without waiting."""
        return 0

    def wait_to_read(self, call: CallContext) -> Start | None:
        """Give what must be awaited before :meth:`read`; None if that can be now. Asked in live calls only."""
        return None

    def wait_to_write(self, call: CallContext) -> Start | None:
        """Give what must be awaited before :meth:`write`; None if that can be now. Asked in live calls only."""
        return None

    def set_flags(self, flags: int) -> None:
        """Change ``fdflags``; streams have none that would matter."""

    def close(self) -> None:
        """Let go of what is open."""


class InputStream(Descriptor):
    """Input buffer 0. Whoever opens it shares its one position with stdin and with the guest API."""

    __slots__ = ()

    rights = layout.READING

    def read(self, call: CallContext, vectors: Vectors) -> int:
        return _read_input(call, call.input, vectors)

    def readable_bytes(self, call: CallContext) -> int:
        return len(call.input.peek())

    def wait_to_read(self, call: CallContext) -> Start | None:
        return None if call.input.ready else call.input.readable


class FurtherInput(Descriptor):
    """Input buffer 1 or a later one, complete from the start; its one position is the buffer's as well.

    Parameters
    ----------
    index
        Its place among the inputs.
    """

    __slots__ = ("_buffer", "inode")

    rights = layout.READING

    def __init__(self, buffer: ExchangeBuffer, index: int) -> None:
        self._buffer = buffer
        self.inode = further_input_inode(index)

    def read(self, call: CallContext, vectors: Vectors) -> int:
        return _read_input(call, self._buffer, vectors)

    def readable_bytes(self, call: CallContext) -> int:
        return len(self._buffer.peek())


def further_input_inode(index: int) -> int:
    """Tell input buffer `index`, 1 or later, from the other streams and from URLs."""
    return _INODES_BEFORE_INPUTS + index


def _read_input(call: CallContext, buffer: ExchangeBuffer, vectors: Vectors) -> int:
    # One part at a time: whoever types lines at a terminal is answered line by line.
    part, total = buffer.peek(), 0
    left = len(part)
    for pointer, length in vectors:
        if not left:
            break
        count = min(length, left)
        piece = part[total : total + count]
        # A small copy is cheaper than what writing from a view costs.
        call.memory.write(pointer, bytes(piece) if count <= _SMALL_BYTES else piece)
        total += count
        left -= count
    buffer.advance(total)
    return total


class OutputStream(Descriptor):
    """The output buffer. Beyond its limit the call ends."""

    __slots__ = ()

    rights = layout.WRITING
    inode = 1

    def write(self, call: CallContext, part: bytes) -> int:
        call.output.write(part)
        return len(part)

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


class OpenFile(Descriptor):
    """A file of the tree, with a position.

    Parameters
    ----------
    rights
        Of them, RIGHT_READ and RIGHT_WRITE decide.
    """

    __slots__ = ("_clock", "_file", "flags", "position", "rights")

    filetype = layout.REGULAR_TYPE

    def __init__(self, file: File, rights: int, flags: int, clock: Clock) -> None:
        self._file = file
        self._clock = clock
        self.rights = rights & layout.FILE_RIGHTS
        self.flags = flags
        self.position = 0
        file.opened += 1

    def read(self, call: CallContext, vectors: Vectors) -> int:
        count = self.read_at(call, vectors, self.position)
        self.position += count
        return count

    def read_at(self, call: CallContext, vectors: Vectors, offset: int) -> int:
        if not self.rights & layout.RIGHT_READ:
            raise GuestErrno(Errno.EBADF)
        if offset < 0:
            raise GuestErrno(Errno.EINVAL)
        content, memory, start = self._file.content, call.memory, offset
        for pointer, length in vectors:
            # A slice, not a view: a view that outlives an error would forbid the file to grow.
            part = content[offset : offset + length]
            memory.write(pointer, part)
            offset += len(part)
            if len(part) < length:
                break
        self._file.atim = self._clock.now()
        return offset - start

    def write(self, call: CallContext, part: bytes) -> int:
        offset = len(self._file.content) if self.flags & layout.FLAG_APPEND else self.position
        count = self.write_at(call, part, offset)
        self.position = offset + count
        return count

    def write_at(self, call: CallContext, part: bytes, offset: int) -> int:
        self._require_writable()
        if offset < 0:
            raise GuestErrno(Errno.EINVAL)
        self._file.write(offset, part, self._clock.now())
        return len(part)

    def seek(self, offset: int, origin: int) -> int:
        position = offset + (0, self.position, len(self._file.content))[origin]
        if not 0 <= position <= _MAX_OFFSET:
            raise GuestErrno(Errno.EINVAL)
        self.position = position
        return position

    def resize(self, state: WasiState, size: int) -> None:
        self._require_writable()
        if size < 0:
            raise GuestErrno(Errno.EINVAL)
        self._file.resize(size, self._clock.now())

    def allocate(self, state: WasiState, end: int) -> None:
        self._require_writable()
        if end > self._file.size:
            self._file.resize(end, self._clock.now())

    def node(self, state: WasiState) -> Node:
        return self._file

    def readable_bytes(self, call: CallContext) -> int:
        return max(0, self._file.size - self.position)

    def set_flags(self, flags: int) -> None:
        self.flags = flags

    def close(self) -> None:
        self._file.opened -= 1
        self._file.discard_if_unused()

    def _require_writable(self) -> None:
        if not self.rights & layout.RIGHT_WRITE:
            raise GuestErrno(Errno.EBADF)


class OpenDirectory(Descriptor):
    """A directory of the tree, with the listing that its reader is in the middle of."""

    __slots__ = ("_directory", "_listing", "flags")

    filetype = layout.DIRECTORY_TYPE
    rights = layout.DIRECTORY_RIGHTS
    inheriting = layout.DIRECTORY_RIGHTS | layout.FILE_RIGHTS

    def __init__(self, directory: Directory, flags: int = 0) -> None:
        self._directory: Directory | None = directory
        self._listing: list[bytes] | None = None
        self.flags = flags

    def read(self, call: CallContext, vectors: Vectors) -> int:
        raise GuestErrno(Errno.EISDIR)

    def seek(self, offset: int, origin: int) -> int:
        raise GuestErrno(Errno.EISDIR)

    def directory(self, state: WasiState) -> Directory:
        if self._directory is None:
            self._directory = state.tree.root
        return self._directory

    def listing(self, state: WasiState, start: int) -> Iterator[tuple[int, bytes, Node]]:
        """Give the entries from cookie `start` on, as they were when the reader began, without those gone since.

        Names are listed once, at cookie 0, so that removing entries between two pages skips none of the others; a
        cookie is a place in that list.
        """
        directory = self.directory(state)
        if start == 0 or self._listing is None:
            self._listing = [b".", b"..", *directory.entries]
        names = self._listing
        for index in range(start, len(names)):
            node = _entry(directory, names[index])
            if node is not None:
                yield index + 1, names[index], node

    def node(self, state: WasiState) -> Node:
        return self.directory(state)

    def set_flags(self, flags: int) -> None:
        self.flags = flags


class PreopenedRoot(OpenDirectory):
    """The root of the tree, open from the start. It finds its directory when asked: few calls need the tree."""

    __slots__ = ()

    def __init__(self) -> None:
        self._directory = None
        self._listing = None
        self.flags = 0


def _entry(directory: Directory, name: bytes) -> Node | None:
    if name == b".":
        return directory
    return directory.parent if name == b".." else directory.entries.get(name)


STDIN = InputStream()
STDOUT = OutputStream()
STDERR = ErrorStream()
