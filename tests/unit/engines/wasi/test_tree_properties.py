"""Any sequence of file operations gives what a naive model of the tree gives: a dict from paths to what is there.

Links are only put in last places here: what following them gives is compared with wasmtime's own WASI elsewhere.
"""

from __future__ import annotations

from dataclasses import dataclass

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule

from moc_server_ext.engines.wasi.clock import CountingClock
from moc_server_ext.engines.wasi.nodes import NODE_BYTES, Directory, File, SymbolicLink
from moc_server_ext.engines.wasi.paths import MAX_NAME_BYTES
from moc_server_ext.engines.wasi.tree import FileTree
from moc_server_ext.guest_api.errno import Errno, GuestErrno

LIMIT_BYTES = 8 * NODE_BYTES
names = st.sampled_from(["a", "b", "tmp"])
paths = st.lists(names, min_size=1, max_size=3).map("/".join)
link_paths = st.tuples(st.lists(names, max_size=2), st.sampled_from(["s", "t"])).map(
    lambda each: "/".join([*each[0], each[1]])
)
contents = st.binary(max_size=NODE_BYTES).map(bytes)


@dataclass(eq=False)
class Content:
    """What one or more names of the model stand for."""

    held: bytes
    is_link: bool = False


Model = dict[str, Content | None]
"""Directories are None. The root is the empty path."""


def parent_of(path: str) -> str:
    return path.rpartition("/")[0]


class FileTreeMachine(RuleBasedStateMachine):
    def __init__(self) -> None:
        super().__init__()
        self.tree = FileTree(LIMIT_BYTES, CountingClock())
        self.model: Model = {"": None, "tmp": None}

    # -- the model's own answers --------------------------------------------------------------------------------------

    def way_to(self, path: str) -> Errno:
        """Tell what stops the walk to the directory that `path` is in."""
        here = ""
        for name in path.split("/")[:-1]:
            here = f"{here}/{name}".lstrip("/")
            if here not in self.model:
                return Errno.ENOENT
            if self.model[here] is not None:
                return Errno.ENOTDIR
        return Errno.SUCCESS

    def used(self, model: Model) -> int:
        contents = {content for content in model.values() if content is not None}
        return NODE_BYTES * (len(model) - 1) + sum(len(each.held) for each in contents)

    def room_for(self, count: int) -> bool:
        return self.used(self.model) + count <= LIMIT_BYTES

    def has_entries(self, path: str) -> bool:
        return any(each.startswith(f"{path}/") for each in self.model)

    @staticmethod
    def outcome(act, *arguments) -> Errno:
        try:
            act(*arguments)
        except GuestErrno as refusal:
            return refusal.number
        return Errno.SUCCESS

    # -- operations ---------------------------------------------------------------------------------------------------

    @rule(path=paths)
    def make_directory(self, path: str) -> None:
        expected = self.way_to(path)
        if not expected and path in self.model:
            expected = Errno.EEXIST
        elif not expected and not self.room_for(NODE_BYTES):
            expected = Errno.ENOSPC
        elif not expected:
            self.model[path] = None
        assert self.outcome(self.tree.make_directory, self.tree.root, path.encode()) == expected

    @rule(path=paths, content=contents, offset=st.integers(0, 50))
    def write(self, path: str, content: bytes, offset: int) -> None:
        expected = self.way_to(path)
        found = self.model.get(path, Content(b""))
        if not expected and found is None:
            expected = Errno.EISDIR
        elif not expected and path not in self.model and not self.room_for(NODE_BYTES):
            expected = Errno.ENOSPC
        elif not expected:
            assert found is not None
            self.model[path] = found
            before = found.held
            after = (
                before.ljust(offset, b"\0")[:offset] + content + before[offset + len(content) :] if content else before
            )
            if self.room_for(len(after) - len(before)):
                found.held = after
            else:
                expected = Errno.ENOSPC

        def act() -> None:
            place = self.tree.locate(self.tree.root, path.encode(), follow=True)
            node = place.node or self.tree.create_file(place)
            if not isinstance(node, File):
                raise GuestErrno(Errno.EISDIR)
            node.write(offset, content, 1)

        assert self.outcome(act) == expected

    @rule(path=paths, size=st.integers(0, 2 * NODE_BYTES))
    def resize(self, path: str, size: int) -> None:
        node = self.tree.locate(self.tree.root, path.encode(), follow=True).node if not self.way_to(path) else None
        found = self.model.get(path)
        if isinstance(node, File) and found is not None:
            fits = self.room_for(size - len(found.held))
            assert self.outcome(node.resize, size, 1) == (Errno.SUCCESS if fits else Errno.ENOSPC)
            if fits:
                found.held = found.held[:size].ljust(size, b"\0")

    @rule(path=link_paths, content=st.binary(min_size=1, max_size=300).map(bytes.hex))
    def symlink(self, path: str, content: str) -> None:
        expected = self.way_to(path)
        if len(content) > MAX_NAME_BYTES:
            expected = Errno.ENAMETOOLONG
        elif not expected and path in self.model:
            expected = Errno.EEXIST
        elif not expected and not self.room_for(NODE_BYTES + len(content)):
            expected = Errno.ENOSPC
        elif not expected:
            self.model[path] = Content(content.encode(), is_link=True)
        assert self.outcome(self.tree.symlink, content.encode(), self.tree.root, path.encode()) == expected

    @rule(paths=st.one_of(st.tuples(paths, paths), st.tuples(link_paths, link_paths)))
    def link(self, paths: tuple[str, str]) -> None:
        old, new = paths
        expected = self.way_to(old) or self.way_to(new)
        if not expected and old not in self.model:
            expected = Errno.ENOENT
        elif not expected and new in self.model:
            expected = Errno.EEXIST
        elif not expected and self.model[old] is None:
            expected = Errno.EPERM
        elif not expected and not self.room_for(NODE_BYTES):
            expected = Errno.ENOSPC
        elif not expected:
            self.model[new] = self.model[old]
        root = self.tree.root
        assert self.outcome(self.tree.link, root, old.encode(), root, new.encode()) == expected

    @rule(path=st.one_of(paths, link_paths))
    def unlink(self, path: str) -> None:
        expected = self.way_to(path)
        if not expected and path not in self.model:
            expected = Errno.ENOENT
        elif not expected and self.model[path] is None:
            expected = Errno.EISDIR
        elif not expected:
            del self.model[path]
        assert self.outcome(self.tree.unlink, self.tree.root, path.encode()) == expected

    @rule(path=paths)
    def remove_directory(self, path: str) -> None:
        expected = self.way_to(path)
        if not expected and path not in self.model:
            expected = Errno.ENOENT
        elif not expected and self.model[path] is not None:
            expected = Errno.ENOTDIR
        elif not expected and self.has_entries(path):
            expected = Errno.ENOTEMPTY
        elif not expected:
            del self.model[path]
        assert self.outcome(self.tree.remove_directory, self.tree.root, path.encode()) == expected

    @rule(paths=st.one_of(st.tuples(paths, paths), st.tuples(link_paths, link_paths)))
    def rename(self, paths: tuple[str, str]) -> None:
        self.check_rename(*paths)

    @rule(directory=names, way=st.lists(names, min_size=1, max_size=2))
    def rename_below_itself(self, directory: str, way: list[str]) -> None:
        self.check_rename(directory, "/".join([directory, *way]))

    def check_rename(self, old: str, new: str) -> None:
        expected = self.way_to(old) or self.way_to(new)
        if not expected:
            expected = self.rename_in_model(old, new)
        root = self.tree.root
        assert self.outcome(self.tree.rename, root, old.encode(), root, new.encode()) == expected

    def rename_in_model(self, old: str, new: str) -> Errno:
        if old not in self.model:
            return Errno.ENOENT
        moved_content = self.model[old]
        if old == new or (moved_content is not None and self.model.get(new) is moved_content):
            return Errno.SUCCESS
        if moved_content is None and new.startswith(f"{old}/"):
            return Errno.EINVAL
        if old.startswith(f"{new}/"):
            return Errno.ENOTEMPTY
        if moved_content is None:
            if self.model.get(new) is not None:
                return Errno.ENOTDIR
            if self.has_entries(new):
                return Errno.ENOTEMPTY
        elif new in self.model and self.model[new] is None:
            return Errno.EISDIR
        moved = {path: content for path, content in self.model.items() if path == old or path.startswith(f"{old}/")}
        for path in moved:
            del self.model[path]
        self.model.pop(new, None)
        self.model.update({new + path[len(old) :]: content for path, content in moved.items()})
        return Errno.SUCCESS

    # -- what always holds --------------------------------------------------------------------------------------------

    @invariant()
    def the_tree_is_the_model(self) -> None:
        found: dict[str, bytes | None] = {"": None}
        links: dict[str, tuple[int, bool]] = {}
        waiting = [("", self.tree.root)]
        while waiting:
            path, directory = waiting.pop()
            for _, name, node in directory.entries_from(0):
                below = f"{path}/{name.decode()}".lstrip("/")
                if isinstance(node, Directory):
                    assert node.parent is directory
                    waiting.append((below, node))
                    found[below] = None
                else:
                    assert isinstance(node, (File, SymbolicLink))
                    found[below] = bytes(node.content)
                    links[below] = (node.links, isinstance(node, SymbolicLink))
        assert found == {path: each if each is None else each.held for path, each in self.model.items()}
        names = list(self.model.values())
        assert links == {
            path: (names.count(each), each.is_link) for path, each in self.model.items() if each is not None
        }

    @invariant()
    def the_quota_counts_what_is_there(self) -> None:
        assert self.tree.quota.used_bytes == self.used(self.model) <= LIMIT_BYTES


TestFileTree = FileTreeMachine.TestCase
TestFileTree.settings = settings(max_examples=100, stateful_step_count=40, deadline=None)
