# ruff: noqa: D102 - methods are documented by the class `Descriptor` that they override
"""What is open of the private tree: files with a position, and directories."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

from ...guest_api.context import CallContext
from ...guest_api.errno import Errno, GuestErrno
from . import layout
from .clock import Clock
from .descriptors import TREE_DEVICE, Descriptor, Entry, Stat
from .nodes import Directory, File, Node, SymbolicLink
from .rights import RestrictedDescriptor
from .vectors import Vectors, scatter_from

if TYPE_CHECKING:
    from .state import WasiState

_MAX_OFFSET = (1 << 63) - 1
_SYNCHRONOUS = layout.FLAG_DSYNC | layout.FLAG_RSYNC | layout.FLAG_SYNC


class TreeDescriptor(RestrictedDescriptor):
    """A node of the tree that is open."""

    __slots__ = ()

    def node(self, state: WasiState) -> Node:
        """Give what is open."""
        raise NotImplementedError

    def stat(self, state: WasiState) -> Stat:
        self.require(layout.RIGHT_STAT)
        return _describe(self.node(state))

    def set_times(self, state: WasiState, atim: int | None, mtim: int | None) -> None:
        self.require(layout.RIGHT_SET_TIMES)
        _set_times(state, self.node(state), atim, mtim)


class OpenFile(TreeDescriptor):
    """A file of the tree, with a position."""

    __slots__ = ("_clock", "_file", "position")

    filetype = layout.REGULAR_TYPE

    def __init__(self, file: File, rights: int, flags: int, clock: Clock) -> None:
        super().__init__(rights, 0, flags)
        self._file = file
        self._clock = clock
        self.position = 0
        file.opened += 1

    def node(self, state: WasiState) -> Node:
        return self._file

    def read(self, call: CallContext, vectors: Vectors) -> int:
        count = self.read_at(call, vectors, self.position)
        self.position += count
        return count

    def read_at(self, call: CallContext, vectors: Vectors, offset: int) -> int:
        if not self.rights & layout.RIGHT_READ:
            raise GuestErrno(Errno.EBADF)
        if offset < 0:
            raise GuestErrno(Errno.EINVAL)
        count = scatter_from(call.memory, vectors, self._file.content.read, offset)
        self._file.atim = self._clock.now()
        return count

    def write(self, call: CallContext, part: bytes) -> int:
        count = self.write_at(call, part, self.position)
        self.position = self._file.size if self.flags & layout.FLAG_APPEND else self.position + count
        return count

    def write_at(self, call: CallContext, part: bytes, offset: int) -> int:
        """Write at `offset`, or at the end of a file that is appended to, as Linux does."""
        if not self.rights & layout.RIGHT_WRITE:
            raise GuestErrno(Errno.EBADF)
        if offset < 0:
            raise GuestErrno(Errno.EINVAL)
        self._file.write(self._file.size if self.flags & layout.FLAG_APPEND else offset, part, self._clock.now())
        return len(part)

    def seek(self, offset: int, origin: int) -> int:
        # Asking for the position is all that the right to tell it allows.
        self.require(layout.RIGHT_TELL if (offset, origin) == (0, 1) else layout.RIGHT_SEEK)
        position = offset + (0, self.position, len(self._file.content))[origin]
        if not 0 <= position <= _MAX_OFFSET:
            raise GuestErrno(Errno.EINVAL)
        self.position = position
        return position

    def resize(self, state: WasiState, size: int) -> None:
        self.require(layout.RIGHT_SET_SIZE)
        if not self.rights & layout.RIGHT_WRITE or size < 0:
            raise GuestErrno(Errno.EINVAL)
        self._file.resize(size, self._clock.now())

    def allocate(self, state: WasiState, offset: int, length: int) -> None:
        self.require(layout.RIGHT_ALLOCATE)
        if not self.rights & layout.RIGHT_WRITE:
            raise GuestErrno(Errno.EBADF)
        if offset + length > self._file.size:
            self._file.resize(offset + length, self._clock.now())

    def advise(self, offset: int, length: int, advice: int) -> None:
        self.require(layout.RIGHT_ADVISE)

    def sync(self, *, data_only: bool) -> None:
        self.require(layout.RIGHT_DATASYNC if data_only else layout.RIGHT_SYNC)

    def readable_bytes(self, call: CallContext) -> int:
        return max(0, self._file.size - self.position)

    def set_flags(self, flags: int) -> None:
        self.require(layout.RIGHT_SET_FLAGS)
        if flags & _SYNCHRONOUS:
            raise GuestErrno(Errno.EINVAL)
        self.flags = flags

    def close(self) -> None:
        self._file.opened -= 1
        self._file.discard_if_unused()


class MemoryDirectory(TreeDescriptor):
    """A directory of the tree.

    Parameters
    ----------
    directory
        None for the root, which is found when asked for: few calls need the tree.
    rights, inheriting
        What it may do itself, and hand on to what is opened by it.
    preopened
        As in :class:`Descriptor`.
    """

    __slots__ = ("_directory", "preopened")

    filetype = layout.DIRECTORY_TYPE

    def __init__(
        self,
        directory: Directory | None = None,
        *,
        rights: int = layout.DIRECTORY_RIGHTS,
        inheriting: int = layout.DIRECTORY_RIGHTS | layout.FILE_RIGHTS,
        preopened: bytes | None = None,
    ) -> None:
        super().__init__(rights, inheriting, 0)
        self._directory = directory
        self.preopened = preopened

    def directory(self, state: WasiState, rights: int = 0) -> Directory:
        """Give the directory of the tree that is open, if what is to be done to it needs no right that was given up."""
        self.require(rights)
        if self._directory is None:
            self._directory = state.tree.root
        return self._directory

    def node(self, state: WasiState) -> Node:
        return self.directory(state)

    def read_at(self, call: CallContext, vectors: Vectors, offset: int) -> int:
        raise GuestErrno(Errno.EBADF)

    def write_at(self, call: CallContext, part: bytes, offset: int) -> int:
        raise GuestErrno(Errno.EBADF)

    def seek(self, offset: int, origin: int) -> int:
        raise GuestErrno(Errno.EBADF)

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
        here = self.directory(state, layout.RIGHT_OPEN)
        create = bool(open_flags & layout.OPEN_CREATE)
        exclusive = create and bool(open_flags & layout.OPEN_EXCLUSIVE)
        truncate = bool(open_flags & layout.OPEN_TRUNCATE)
        as_directory = bool(open_flags & layout.OPEN_DIRECTORY)
        if as_directory and (create or truncate or open_flags & layout.OPEN_EXCLUSIVE):
            raise GuestErrno(Errno.EINVAL)
        place = state.tree.locate(here, path, follow=follow and not exclusive, through_slash=not create)
        if create and place.directory and place.name:
            raise GuestErrno(Errno.EISDIR)
        node = place.node
        if node is None:
            if not create:
                raise GuestErrno(Errno.ENOENT)
            self.require(layout.RIGHT_CREATE_FILE)
            granted = self.hand_on(layout.FILE_RIGHTS, rights)
            return OpenFile(state.tree.create_file(place), granted, flags, state.clock)
        if exclusive:
            raise GuestErrno(Errno.EEXIST)
        if isinstance(node, SymbolicLink):
            raise GuestErrno(Errno.ELOOP)
        if isinstance(node, Directory):
            if create or truncate or rights & layout.RIGHT_WRITE:
                raise GuestErrno(Errno.EISDIR)
            return MemoryDirectory(node, rights=self.inheriting & layout.DIRECTORY_RIGHTS, inheriting=self.inheriting)
        if place.directory or as_directory or not isinstance(node, File):
            raise GuestErrno(Errno.ENOTDIR)
        granted = self.hand_on(layout.FILE_RIGHTS, rights)
        if truncate:
            self.require(layout.RIGHT_PATH_SET_SIZE)
            node.resize(0, state.clock.now())
        return OpenFile(node, granted, flags, state.clock)

    def stat_at(self, state: WasiState, path: bytes, *, follow: bool) -> Stat:
        return _describe(state.tree.find(self.directory(state, layout.RIGHT_PATH_STAT), path, follow=follow))

    def set_times_at(self, state: WasiState, path: bytes, atim: int | None, mtim: int | None, *, follow: bool) -> None:
        here = self.directory(state, layout.RIGHT_PATH_SET_TIMES)
        _set_times(state, state.tree.find(here, path, follow=follow), atim, mtim)

    def make_directory(self, state: WasiState, path: bytes) -> None:
        state.tree.make_directory(self.directory(state, layout.RIGHT_CREATE_DIRECTORY), path)

    def remove_directory(self, state: WasiState, path: bytes) -> None:
        state.tree.remove_directory(self.directory(state, layout.RIGHT_REMOVE_DIRECTORY), path)

    def unlink(self, state: WasiState, path: bytes) -> None:
        state.tree.unlink(self.directory(state, layout.RIGHT_UNLINK), path)

    def rename(self, state: WasiState, old: bytes, target: Descriptor, new: bytes) -> None:
        here = self.directory(state, layout.RIGHT_RENAME_SOURCE)
        state.tree.rename(here, old, _target(state, target, layout.RIGHT_RENAME_TARGET), new)

    def link(self, state: WasiState, old: bytes, target: Descriptor, new: bytes, *, follow: bool) -> None:
        # No implementation follows links here, and wasmtime refuses to be asked.
        if follow:
            raise GuestErrno(Errno.EINVAL)
        here = self.directory(state, layout.RIGHT_LINK_SOURCE)
        state.tree.link(here, old, _target(state, target, layout.RIGHT_LINK_TARGET), new)

    def symlink(self, state: WasiState, content: bytes, path: bytes) -> None:
        state.tree.symlink(content, self.directory(state, layout.RIGHT_SYMLINK), path)

    def read_link(self, state: WasiState, path: bytes) -> bytes:
        node = state.tree.find(self.directory(state, layout.RIGHT_READLINK), path, follow=False)
        if not isinstance(node, SymbolicLink):
            raise GuestErrno(Errno.EINVAL)
        return node.content

    def listing(self, state: WasiState, start: int) -> Iterator[Entry]:
        here = self.directory(state, layout.RIGHT_READDIR)
        here.atim = state.clock.now()
        # Cookies 1 and 2 are after the two that are always there, so that an entry's is its number and 3.
        if start < 1:
            yield 1, here.inode, here.filetype, b"."
        if start < 2:
            yield 2, here.parent.inode, here.filetype, b".."
        for number, name, node in here.entries_from(start - 2):
            yield number + 3, node.inode, node.filetype, name


def _describe(node: Node) -> Stat:
    return Stat(TREE_DEVICE, node.inode, node.filetype, node.links, node.size, node.atim, node.mtim, node.ctim)


def _set_times(state: WasiState, node: Node, atim: int | None, mtim: int | None) -> None:
    if atim is not None:
        node.atim = atim
    if mtim is not None:
        node.mtim = mtim
    node.ctim = state.clock.now()


def _target(state: WasiState, descriptor: Descriptor, rights: int) -> Directory:
    """Give the directory of this tree that a name is to be put into."""
    if isinstance(descriptor, MemoryDirectory):
        return descriptor.directory(state, rights)
    raise GuestErrno(Errno.EXDEV)
