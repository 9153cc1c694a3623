"""What names in the private tree stand for: files, directories and symbolic links, and the bytes that they may use.

Owns content and accounting; who may do what to which name is :mod:`.tree`'s.
"""

from __future__ import annotations

import weakref
from bisect import bisect_left
from collections.abc import Iterator
from typing import ClassVar

from ...guest_api.errno import Errno, GuestErrno
from . import layout
from .content import FileContent

NODE_BYTES = 1024
"""What a name costs of the quota beside what it stands for: object, name and directory entry, rounded up."""
_SPARE_ENTRIES = 64


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
    """What a name stands for. Times are nanoseconds since the epoch.

    Whoever makes one charges NODE_BYTES and its content to the quota.

    Attributes
    ----------
    links
        How many names it has.
    """

    __slots__ = ("_quota", "atim", "ctim", "inode", "links", "mtim")

    filetype: ClassVar[int]

    def __init__(self, inode: int, now: int, quota: Quota) -> None:
        self.inode = inode
        self.atim = self.mtim = self.ctim = now
        self.links = 1
        self._quota = quota

    @property
    def size(self) -> int:
        """Bytes of content."""
        return 0

    def add_name(self) -> None:
        """Count another name; ENOSPC."""
        self._quota.charge(NODE_BYTES)
        self.links += 1

    def remove_name(self, now: int) -> None:
        """Count one name less, and give back what it took."""
        self.links -= 1
        self.ctim = now
        if self.links:
            self._quota.release(NODE_BYTES)
        else:
            self.discard_if_unused()

    def discard_if_unused(self) -> None:
        """Give the bytes back when nothing can reach it any more."""
        if not self.links:
            self._quota.release(NODE_BYTES + self.size)


class File(Node):
    """A regular file. Its content lives until it has neither a name nor an open descriptor."""

    __slots__ = ("content", "opened")

    filetype = layout.REGULAR_TYPE

    def __init__(self, inode: int, now: int, quota: Quota) -> None:
        super().__init__(inode, now, quota)
        self.content = FileContent()
        self.opened = 0

    @property
    def size(self) -> int:
        """Bytes of content."""
        return len(self.content)

    def write(self, offset: int, part: bytes, now: int) -> None:
        """Put `part` at `offset`; a gap before it reads as zeros. All or nothing: ENOSPC leaves the file as it was."""
        if not part:
            return
        growth = offset + len(part) - len(self.content)
        if growth > 0:
            self._quota.charge(growth)
        self.content.write(offset, part)
        self.mtim = self.ctim = now

    def resize(self, size: int, now: int) -> None:
        """Cut the file, or extend it with zeros; ENOSPC leaves it as it was."""
        growth = size - len(self.content)
        if growth > 0:
            self._quota.charge(growth)
        else:
            self._quota.release(-growth)
        self.content.resize(size)
        self.mtim = self.ctim = now

    def discard_if_unused(self) -> None:
        """Give the file's bytes back when nothing can reach it any more."""
        if not self.links and not self.opened:
            super().discard_if_unused()
            self.content.resize(0)


class SymbolicLink(Node):
    """A path that is put in the place of a name. What it leads to need not be there."""

    __slots__ = ("content",)

    filetype = layout.SYMBOLIC_LINK_TYPE

    def __init__(self, inode: int, now: int, quota: Quota, content: bytes) -> None:
        super().__init__(inode, now, quota)
        self.content = content

    @property
    def size(self) -> int:
        """Bytes of content."""
        return len(self.content)


class Directory(Node):
    """Names and what they stand for, in the order in which they came. It has one name itself.

    Attributes
    ----------
    entries
        By name: a number that no other entry of this directory ever has, and the node. Numbers grow.
    """

    __slots__ = ("__weakref__", "_next_number", "_order", "_parent", "entries")

    filetype = layout.DIRECTORY_TYPE

    def __init__(self, inode: int, now: int, quota: Quota, parent: Directory | None) -> None:
        super().__init__(inode, now, quota)
        self.entries: dict[bytes, tuple[int, Node]] = {}
        self._next_number = 0
        # What `entries_from` searches: made by the first one who lists the directory, dropped when most of it is gone.
        self._order: list[tuple[int, bytes]] | None = None
        # Weak, so that a tree is freed with its call and not when the collector next comes round.
        self._parent = None if parent is None else weakref.ref(parent)

    @property
    def parent(self) -> Directory:
        """The directory that this one is in; itself at the root, or when it outlived its parent."""
        return (self._parent and self._parent()) or self

    @parent.setter
    def parent(self, parent: Directory) -> None:
        self._parent = weakref.ref(parent)

    def find(self, name: bytes) -> Node | None:
        """Give what a name stands for."""
        found = self.entries.get(name)
        return None if found is None else found[1]

    def enter(self, name: bytes, node: Node, now: int) -> None:
        """Put a node under a free name, at the end."""
        number = self._next_number
        self._next_number += 1
        self.entries[name] = (number, node)
        self.mtim = self.ctim = now
        if self._order is not None:
            if len(self._order) > 2 * len(self.entries) + _SPARE_ENTRIES:
                self._order = None
            else:
                self._order.append((number, name))

    def remove(self, name: bytes, now: int) -> None:
        """Take a name away; what it stood for is not told."""
        del self.entries[name]
        self.mtim = self.ctim = now

    def entries_from(self, number: int) -> Iterator[tuple[int, bytes, Node]]:
        """Give the entries with that number and higher ones: number, name and node.

        Whatever was removed or entered since another entry was given, no entry that stayed is left out or given twice.
        """
        if self._order is None:
            self._order = [(found, name) for name, (found, _) in self.entries.items()]
        order = self._order
        for index in range(bisect_left(order, (number, b"")), len(order)):
            given, name = order[index]
            entry = self.entries.get(name)
            if entry is not None and entry[0] == given:
                yield given, name, entry[1]
