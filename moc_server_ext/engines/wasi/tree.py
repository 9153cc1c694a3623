"""The private file tree of one call: names in memory, under a quota, and what can be done to them.

Owns lookup with symbolic links, creation, removal, links and renaming; positions, rights and flags of what is open are
:mod:`.memory_tree`'s. The errors are those of a POSIX file system beneath wasmtime's WASI, in its order.
"""

from __future__ import annotations

from typing import NamedTuple

from ...guest_api.errno import Errno, GuestErrno
from .clock import Clock
from .nodes import NODE_BYTES, Directory, File, Node, Quota, SymbolicLink
from .paths import parse_path, require_name, require_text

MAX_EXPANSIONS = 40
"""Symbolic links that one lookup follows."""


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

    Paths are relative to a `base` directory and cannot leave it, nor can a link on their way.

    Parameters
    ----------
    limit_bytes
        Quota for all that the guest makes.
    clock
        Gives the timestamps.
    """

    __slots__ = ("_clock", "_next_inode", "quota", "root")

    def __init__(self, limit_bytes: int, clock: Clock) -> None:
        self.quota = Quota(limit_bytes)
        self._clock = clock
        now = clock.now()
        self.root = Directory(1, now, self.quota, None)
        self.root.enter(b"tmp", Directory(2, now, self.quota, self.root), now)
        self.quota.used_bytes = NODE_BYTES  # `/tmp` can be removed like any other, which gives its share back.
        self._next_inode = 3

    # -- lookup -------------------------------------------------------------------------------------------------------

    def locate(
        self, base: Directory, path: bytes, *, follow: bool, through_slash: bool = True, strict: bool = True
    ) -> Place:
        """Follow `path` to where its last component is or would be.

        Parameters
        ----------
        follow
            Whether a symbolic link in the last place is followed; on the way there, links always are.
        through_slash
            Whether a link in the last place is followed when a slash is after it.
        strict
            Whether the last component is checked; else that is left to whoever has a second path to look up first.

        Raises
        ------
        GuestErrno
            ENOENT or ENOTDIR on the way, ELOOP after 40 links, EPERM where the path or a link would leave `base`, and
            what :func:`~.paths.parse_path` says of malformed ones.
        """
        names, directory = parse_path(path, strict=strict)
        names.reverse()
        expansions = 0
        here = base
        while names:
            name = names.pop()
            if name == b".":
                continue
            if name == b"..":
                if here is base:
                    raise GuestErrno(Errno.EPERM)
                here = here.parent
                continue
            node = here.find(name)
            last = not names
            follows = not last or (through_slash if directory else follow)
            if follows and isinstance(node, SymbolicLink):
                expansions += 1
                if expansions > MAX_EXPANSIONS:
                    raise GuestErrno(Errno.ELOOP)
                way, leads_to_directory = parse_path(node.content)
                names.extend(reversed(way))
                directory = directory or (last and leads_to_directory)
            elif last:
                return Place(here, name, node, directory)
            elif isinstance(node, Directory):
                here = node
            else:
                raise GuestErrno(Errno.ENOENT if node is None else Errno.ENOTDIR)
        return Place(here.parent, b"", here, True)

    def find(self, base: Directory, path: bytes, *, follow: bool) -> Node:
        """Look up what `path` names; ENOENT when there is nothing, ENOTDIR for a slash after what is no directory."""
        place = self.locate(base, path, follow=follow)
        if place.node is None:
            raise GuestErrno(Errno.ENOENT)
        _require_kind(place)
        return place.node

    def _new_name(self, base: Directory, path: bytes) -> Place:
        """Find where a link is to be put: a slash after its name asks for a directory that is there already."""
        place = self.locate(base, path, follow=False)
        _require_kind(place)
        if place.directory and place.node is None:
            raise GuestErrno(Errno.ENOENT)
        return place

    # -- making -------------------------------------------------------------------------------------------------------

    def create_file(self, place: Place) -> File:
        """Make an empty file at a free `place`; ENOSPC."""
        self._require_linked(place.parent)
        self.quota.charge(NODE_BYTES)
        now = self._clock.now()
        file = File(self._inode(), now, self.quota)
        place.parent.enter(place.name, file, now)
        return file

    def make_directory(self, base: Directory, path: bytes) -> None:
        """Make a directory; EEXIST, ENOSPC."""
        place = self.locate(base, path, follow=False, through_slash=False)
        if place.node is not None:
            raise GuestErrno(Errno.EEXIST)
        self._require_linked(place.parent)
        self.quota.charge(NODE_BYTES)
        now = self._clock.now()
        place.parent.enter(place.name, Directory(self._inode(), now, self.quota, place.parent), now)

    def symlink(self, content: bytes, base: Directory, path: bytes) -> None:
        """Make a symbolic link; EEXIST, ENOSPC, EPERM for an absolute `content`, ENOENT for an empty one."""
        if content.startswith(b"/"):
            raise GuestErrno(Errno.EPERM)
        place = self._new_name(base, path)
        require_text(content)
        if place.node is not None:
            raise GuestErrno(Errno.EEXIST)
        self._require_linked(place.parent)
        self.quota.charge(NODE_BYTES + len(content))
        now = self._clock.now()
        place.parent.enter(place.name, SymbolicLink(self._inode(), now, self.quota, content), now)

    def link(self, old_base: Directory, old_path: bytes, new_base: Directory, new_path: bytes) -> None:
        """Give a file or symbolic link another name; EEXIST, ENOSPC, EPERM for a directory."""
        old = self.locate(old_base, old_path, follow=False, strict=False)
        _require_kind(old)
        if old.directory and old.node is None:
            raise GuestErrno(Errno.ENOENT)
        new = self._new_name(new_base, new_path)
        require_name(old.name)
        node = old.node
        if node is None:
            raise GuestErrno(Errno.ENOENT)
        if new.node is not None:
            raise GuestErrno(Errno.EEXIST)
        if isinstance(node, Directory):
            raise GuestErrno(Errno.EPERM)
        self._require_linked(new.parent)
        node.add_name()
        now = self._clock.now()
        node.ctim = now
        new.parent.enter(new.name, node, now)

    # -- removing and renaming ----------------------------------------------------------------------------------------

    def unlink(self, base: Directory, path: bytes) -> None:
        """Remove a name of a file or link; a file that is open stays readable. EISDIR for a directory."""
        place = self.locate(base, path, follow=False)
        if place.node is None:
            raise GuestErrno(Errno.ENOENT)
        _require_kind(place)
        if isinstance(place.node, Directory):
            raise GuestErrno(Errno.EISDIR)
        self._remove(place, place.node)

    def remove_directory(self, base: Directory, path: bytes) -> None:
        """Remove an empty directory; ENOTDIR, ENOTEMPTY, EINVAL for a path that ends in ``.`` or ``..``."""
        place = self.locate(base, path, follow=False, through_slash=False)
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
        """Move a file, directory or link, replacing what is there: no directory, or an empty one by a directory.

        Two names of one file stay as they are.

        Raises
        ------
        GuestErrno
            ENOENT, ENOTDIR or EISDIR (kinds do not fit), ENOTEMPTY, EINVAL (into itself), EBUSY (a path that ends in
            ``.`` or ``..``). Nothing was changed.
        """
        old = self.locate(old_base, old_path, follow=False, through_slash=False, strict=False)
        new = self.locate(new_base, new_path, follow=False, through_slash=False, strict=False)
        moved, replaced = old.node, new.node
        if b"\0" in old.name + new.name:
            raise GuestErrno(Errno.EINVAL)
        if not old.name or not new.name:
            raise GuestErrno(Errno.EBUSY)
        require_name(old.name)
        if moved is None:
            raise GuestErrno(Errno.ENOENT)
        require_name(new.name)
        if (old.directory or new.directory) and not isinstance(moved, Directory):
            raise GuestErrno(Errno.ENOTDIR)
        self._require_linked(new.parent)
        if moved is replaced:
            return
        if isinstance(moved, Directory) and _is_within(new.parent, moved):
            raise GuestErrno(Errno.EINVAL)
        if isinstance(replaced, Directory) and _is_within(old.parent, replaced):
            raise GuestErrno(Errno.ENOTEMPTY)
        if isinstance(moved, Directory):
            if replaced is not None and not isinstance(replaced, Directory):
                raise GuestErrno(Errno.ENOTDIR)
            if replaced is not None and replaced.entries:
                raise GuestErrno(Errno.ENOTEMPTY)
            moved.parent = new.parent
        elif isinstance(replaced, Directory):
            raise GuestErrno(Errno.EISDIR)
        if replaced is not None:
            self._remove(new, replaced)
        now = self._clock.now()
        old.parent.remove(old.name, now)
        moved.ctim = now
        new.parent.enter(new.name, moved, now)

    def _inode(self) -> int:
        inode = self._next_inode
        self._next_inode += 1
        return inode

    def _require_linked(self, directory: Directory) -> None:
        # A removed directory can still be open; nothing may be put where no path would ever find it again.
        if not directory.links:
            raise GuestErrno(Errno.ENOENT)

    def _remove(self, place: Place, node: Node) -> None:
        now = self._clock.now()
        place.parent.remove(place.name, now)
        node.remove_name(now)


def _require_kind(place: Place) -> None:
    """Refuse what is no directory where the path can only mean one."""
    if place.directory and place.node is not None and not isinstance(place.node, Directory):
        raise GuestErrno(Errno.ENOTDIR)


def _is_within(directory: Directory, ancestor: Directory) -> bool:
    while directory is not ancestor:
        if directory.parent is directory:
            return False
        directory = directory.parent
    return True
