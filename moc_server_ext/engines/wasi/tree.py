"""The private file tree of one call: directories and files in memory, under a quota.

Owns lookup, creation, removal, renaming and the accounting of bytes; positions, rights and flags of open files are
:mod:`.descriptors`'. There are no links of any kind, so that a name has one place and ``..`` is never ambiguous.
"""

from __future__ import annotations

import weakref
from typing import NamedTuple

from ...guest_api.errno import Errno, GuestErrno
from .clock import Clock
from .paths import parse_path

NODE_BYTES = 1024
"""What a file or directory costs of the quota beside its content: object, name and directory entry, rounded up."""


class Quota:
    """Bytes that a tree may use.

    Parameters
    ----------
    limit_bytes
        How many, in all.
    """

    __slots__ = ("limit_bytes", "used_bytes")

    def __init__(self, limit_bytes: int) -> None:
        self.limit_bytes = limit_bytes
        self.used_bytes = 0

    @property
    def room_bytes(self) -> int:
        """Bytes that are left."""
        return self.limit_bytes - self.used_bytes

    def charge(self, count: int) -> None:
        """Take `count` bytes; GuestErrno(ENOSPC), with nothing taken, when they are not there."""
        if self.used_bytes + count > self.limit_bytes:
            raise GuestErrno(Errno.ENOSPC)
        self.used_bytes += count

    def release(self, count: int) -> None:
        """Give `count` bytes back."""
        self.used_bytes -= count


class Node:
    """What a name in the tree stands for. Times are nanoseconds since the epoch."""

    __slots__ = ("atim", "ctim", "inode", "linked", "mtim")

    def __init__(self, inode: int, now: int) -> None:
        self.inode = inode
        self.atim = self.mtim = self.ctim = now
        self.linked = True

    @property
    def size(self) -> int:
        """Bytes of content."""
        return 0


class File(Node):
    """A regular file. Its content lives until it has neither a name nor an open descriptor."""

    __slots__ = ("_quota", "content", "opened")

    def __init__(self, inode: int, now: int, quota: Quota) -> None:
        super().__init__(inode, now)
        self._quota = quota
        self.content = bytearray()
        self.opened = 0

    @property
    def size(self) -> int:
        """Bytes of content."""
        return len(self.content)

    def write(self, offset: int, part: bytes, now: int) -> None:
        """Put `part` at `offset`; a gap before it reads as zeros. All or nothing: ENOSPC leaves the file as it was."""
        if not part:
            return
        content = self.content
        size, end = len(content), offset + len(part)
        if end > size:
            self._quota.charge(end - size)
            if offset > size:
                content.extend(bytes(offset - size))
        content[offset:end] = part
        self.mtim = self.ctim = now

    def resize(self, size: int, now: int) -> None:
        """Cut the file, or extend it with zeros; ENOSPC leaves it as it was."""
        growth = size - len(self.content)
        if growth > 0:
            self._quota.charge(growth)
            self.content.extend(bytes(growth))
        elif growth < 0:
            del self.content[size:]
            self._quota.release(-growth)
        self.mtim = self.ctim = now

    def discard_if_unused(self) -> None:
        """Give the file's bytes back when nothing can reach it any more."""
        if not self.linked and not self.opened:
            self._quota.release(NODE_BYTES + len(self.content))
            self.content = bytearray()


class Directory(Node):
    """Names and what they stand for, in the order in which they came."""

    __slots__ = ("__weakref__", "_parent", "entries")

    def __init__(self, inode: int, now: int, parent: Directory | None) -> None:
        super().__init__(inode, now)
        self.entries: dict[bytes, Node] = {}
        # Weak, so that a tree is freed with its call and not when the collector next comes round.
        self._parent = None if parent is None else weakref.ref(parent)

    @property
    def parent(self) -> Directory:
        """The directory that this one is in; itself at the root, or when it outlived its parent."""
        return (self._parent and self._parent()) or self

    @parent.setter
    def parent(self, parent: Directory) -> None:
        self._parent = weakref.ref(parent)


class Place(NamedTuple):
    """Where a path leads.

    Parameters
    ----------
    parent, name
        The directory and the name in it. For a path that ends in ``.`` or ``..`` the name is empty.
    node
        What is there; None when nothing is.
    directory
        Whether the path can only mean a directory.
    """

    parent: Directory
    name: bytes
    node: Node | None
    directory: bool


class FileTree:
    """The tree, with an empty ``/tmp``.

    Paths are relative to a `base` directory and cannot leave it.

    Parameters
    ----------
    limit_bytes
        Quota for all files and directories that the guest makes.
    clock
        Gives the timestamps.
    """

    __slots__ = ("_clock", "_next_inode", "quota", "root")

    def __init__(self, limit_bytes: int, clock: Clock) -> None:
        self.quota = Quota(limit_bytes)
        self._clock = clock
        time = clock.now()
        self.root = Directory(1, time, None)
        self.root.entries[b"tmp"] = Directory(2, time, self.root)
        self.quota.used_bytes = NODE_BYTES  # `/tmp` can be removed like any other, which gives its share back.
        self._next_inode = 3

    def locate(self, base: Directory, path: bytes) -> Place:
        """Follow `path` to where its last component is or would be.

        Raises
        ------
        GuestErrno
            ENOENT or ENOTDIR on the way, ENOTCAPABLE where ``..`` would leave `base`, and what
            :func:`~.paths.parse_path` says of malformed ones.
        """
        names, directory, dotted = parse_path(path)
        if dotted or not names:
            here = self._descend(base, base, names)
            return Place(here.parent, b"", here, True)
        parent = self._descend(base, base, names[:-1])
        node = parent.entries.get(names[-1])
        if directory and isinstance(node, File):
            raise GuestErrno(Errno.ENOTDIR)
        return Place(parent, names[-1], node, directory)

    @staticmethod
    def _descend(base: Directory, here: Directory, names: list[bytes]) -> Directory:
        for name in names:
            if name == b"..":
                if here is base:
                    raise GuestErrno(Errno.ENOTCAPABLE)
                here = here.parent
                continue
            node = here.entries.get(name)
            if node is None:
                raise GuestErrno(Errno.ENOENT)
            if not isinstance(node, Directory):
                raise GuestErrno(Errno.ENOTDIR)
            here = node
        return here

    def find(self, base: Directory, path: bytes) -> Node:
        """Look up what `path` names; GuestErrno(ENOENT) when there is nothing."""
        node = self.locate(base, path).node
        if node is None:
            raise GuestErrno(Errno.ENOENT)
        return node

    def create_file(self, place: Place) -> File:
        """Make an empty file at a free `place`; ENOSPC, EISDIR (the path can only mean a directory)."""
        if place.directory:
            raise GuestErrno(Errno.EISDIR)
        self._require_linked(place.parent)
        self.quota.charge(NODE_BYTES)
        file = File(self._inode(), self._clock.now(), self.quota)
        self._enter(place, file)
        return file

    def make_directory(self, base: Directory, path: bytes) -> None:
        """Make a directory; EEXIST, ENOSPC."""
        place = self.locate(base, path)
        if place.node is not None:
            raise GuestErrno(Errno.EEXIST)
        self._require_linked(place.parent)
        self.quota.charge(NODE_BYTES)
        self._enter(place, Directory(self._inode(), self._clock.now(), place.parent))

    def unlink(self, base: Directory, path: bytes) -> None:
        """Remove a file's name; one that is open stays readable until it is closed. EISDIR for a directory."""
        place = self.locate(base, path)
        if place.node is None:
            raise GuestErrno(Errno.ENOENT)
        if not isinstance(place.node, File):
            raise GuestErrno(Errno.EISDIR)
        self._remove(place, place.node)

    def remove_directory(self, base: Directory, path: bytes) -> None:
        """Remove an empty directory; ENOTDIR, ENOTEMPTY, EINVAL for a path that ends in ``.`` or ``..``."""
        place = self.locate(base, path)
        if place.node is None:
            raise GuestErrno(Errno.ENOENT)
        if not isinstance(place.node, Directory):
            raise GuestErrno(Errno.ENOTDIR)
        if not place.name:
            raise GuestErrno(Errno.EINVAL)
        if place.node.entries:
            raise GuestErrno(Errno.ENOTEMPTY)
        self._remove(place, place.node)

    def rename(self, old_base: Directory, old_path: bytes, new_base: Directory, new_path: bytes) -> None:
        """Move a file or directory, replacing a file or an empty directory that is there.

        Raises
        ------
        GuestErrno
            ENOENT, ENOTDIR or EISDIR (kinds do not fit), ENOTEMPTY, EINVAL (into itself, or a path that ends in ``.``
            or ``..``). Nothing was changed.
        """
        old, new = self.locate(old_base, old_path), self.locate(new_base, new_path)
        moved, replaced = old.node, new.node
        if moved is None:
            raise GuestErrno(Errno.ENOENT)
        if not old.name or not new.name:
            raise GuestErrno(Errno.EINVAL)
        self._require_linked(new.parent)
        if moved is replaced:
            return
        if isinstance(moved, Directory):
            if _is_within(new.parent, moved):
                raise GuestErrno(Errno.EINVAL)
            if isinstance(replaced, File):
                raise GuestErrno(Errno.ENOTDIR)
            if isinstance(replaced, Directory) and replaced.entries:
                raise GuestErrno(Errno.ENOTEMPTY)
            moved.parent = new.parent
        else:
            if new.directory and replaced is None:
                raise GuestErrno(Errno.ENOTDIR)
            if isinstance(replaced, Directory):
                raise GuestErrno(Errno.EISDIR)
        if replaced is not None:
            self._remove(new, replaced)
        del old.parent.entries[old.name]
        old.parent.mtim = old.parent.ctim = moved.ctim = self._clock.now()
        self._enter(new, moved)

    def _inode(self) -> int:
        inode = self._next_inode
        self._next_inode += 1
        return inode

    def _require_linked(self, directory: Directory) -> None:
        # A removed directory can still be open; nothing may be put where no path would ever find it again.
        if not directory.linked:
            raise GuestErrno(Errno.ENOENT)

    def _enter(self, place: Place, node: Node) -> None:
        place.parent.entries[place.name] = node
        place.parent.mtim = place.parent.ctim = self._clock.now()

    def _remove(self, place: Place, node: Node) -> None:
        del place.parent.entries[place.name]
        place.parent.mtim = place.parent.ctim = node.ctim = self._clock.now()
        node.linked = False
        if isinstance(node, File):
            node.discard_if_unused()
        else:
            self.quota.release(NODE_BYTES)


def _is_within(directory: Directory, ancestor: Directory) -> bool:
    while directory is not ancestor:
        if directory.parent is directory:
            return False
        directory = directory.parent
    return True
