# ruff: noqa: D102 - methods are documented by the class `Descriptor` that they override
"""What is open of the private tree: files with a position, and directories with the listing of their reader."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

from ...guest_api.context import CallContext
from ...guest_api.errno import Errno, GuestErrno
from . import layout
from .clock import Clock
from .descriptors import TREE_DEVICE, Descriptor, Entry, Stat
from .tree import Directory, File, Node
from .vectors import Vectors

if TYPE_CHECKING:
    from .state import WasiState

_MAX_OFFSET = (1 << 63) - 1


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

    def allocate(self, state: WasiState, offset: int, length: int) -> None:
        self._require_writable()
        if offset + length > self._file.size:
            self._file.resize(offset + length, self._clock.now())

    def advise(self, offset: int, length: int, advice: int) -> None:
        pass

    def stat(self, state: WasiState) -> Stat:
        return describe(self._file)

    def set_times(self, state: WasiState, atim: int | None, mtim: int | None) -> None:
        set_node_times(state, self._file, atim, mtim)

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


class MemoryDirectory(Descriptor):
    """A directory of the tree, with the listing that its reader is in the middle of.

    Parameters
    ----------
    directory
        None for the root, which is found when asked for: few calls need the tree.
    preopened
        As in :class:`Descriptor`.
    """

    __slots__ = ("_directory", "_listing", "flags", "preopened")

    filetype = layout.DIRECTORY_TYPE
    rights = layout.DIRECTORY_RIGHTS
    inheriting = layout.DIRECTORY_RIGHTS | layout.FILE_RIGHTS

    def __init__(self, directory: Directory | None = None, flags: int = 0, preopened: bytes | None = None) -> None:
        self._directory = directory
        self._listing: list[bytes] | None = None
        self.flags = flags
        self.preopened = preopened

    def read(self, call: CallContext, vectors: Vectors) -> int:
        raise GuestErrno(Errno.EISDIR)

    def seek(self, offset: int, origin: int) -> int:
        raise GuestErrno(Errno.EISDIR)

    def set_flags(self, flags: int) -> None:
        self.flags = flags

    def directory(self, state: WasiState) -> Directory:
        """Give the directory of the tree that is open."""
        if self._directory is None:
            self._directory = state.tree.root
        return self._directory

    def stat(self, state: WasiState) -> Stat:
        return describe(self.directory(state))

    def set_times(self, state: WasiState, atim: int | None, mtim: int | None) -> None:
        set_node_times(state, self.directory(state), atim, mtim)

    # -- paths --------------------------------------------------------------------------------------------------------

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
        place = state.tree.locate(self.directory(state), path)
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
        return MemoryDirectory(node, flags)

    def stat_at(self, state: WasiState, path: bytes, *, follow: bool) -> Stat:
        return describe(state.tree.find(self.directory(state), path))

    def set_times_at(self, state: WasiState, path: bytes, atim: int | None, mtim: int | None, *, follow: bool) -> None:
        set_node_times(state, state.tree.find(self.directory(state), path), atim, mtim)

    def make_directory(self, state: WasiState, path: bytes) -> None:
        state.tree.make_directory(self.directory(state), path)

    def remove_directory(self, state: WasiState, path: bytes) -> None:
        state.tree.remove_directory(self.directory(state), path)

    def unlink(self, state: WasiState, path: bytes) -> None:
        state.tree.unlink(self.directory(state), path)

    def rename(self, state: WasiState, old: bytes, target: Descriptor, new: bytes) -> None:
        state.tree.rename(self.directory(state), old, _target(state, target), new)

    def link(self, state: WasiState, old: bytes, target: Descriptor, new: bytes, *, follow: bool) -> None:
        raise GuestErrno(Errno.ENOSYS)

    def symlink(self, state: WasiState, content: bytes, path: bytes) -> None:
        raise GuestErrno(Errno.ENOSYS)

    def read_link(self, state: WasiState, path: bytes) -> bytes:
        state.tree.find(self.directory(state), path)
        raise GuestErrno(Errno.EINVAL)

    def listing(self, state: WasiState, start: int) -> Iterator[Entry]:
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
                filetype = layout.DIRECTORY_TYPE if isinstance(node, Directory) else layout.REGULAR_TYPE
                yield index + 1, node.inode, filetype, names[index]


def describe(node: Node) -> Stat:
    """Describe a node of the tree."""
    filetype = layout.DIRECTORY_TYPE if isinstance(node, Directory) else layout.REGULAR_TYPE
    return Stat(TREE_DEVICE, node.inode, filetype, int(node.linked), node.size, node.atim, node.mtim, node.ctim)


def set_node_times(state: WasiState, node: Node, atim: int | None, mtim: int | None) -> None:
    """Set timestamps of a node; None leaves one."""
    if atim is not None:
        node.atim = atim
    if mtim is not None:
        node.mtim = mtim
    node.ctim = state.clock.now()


def _target(state: WasiState, descriptor: Descriptor) -> Directory:
    if isinstance(descriptor, MemoryDirectory):
        return descriptor.directory(state)
    raise GuestErrno(Errno.EXDEV if descriptor.filetype == layout.DIRECTORY_TYPE else Errno.ENOTDIR)


def _entry(directory: Directory, name: bytes) -> Node | None:
    if name == b".":
        return directory
    return directory.parent if name == b".." else directory.entries.get(name)
