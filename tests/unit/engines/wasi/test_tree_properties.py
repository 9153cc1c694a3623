"""Any sequence of file operations gives what a naive model of the tree gives: a dict from paths to bytes or None."""

from __future__ import annotations

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule

from moc_server_ext.engines.wasi.clock import CountingClock
from moc_server_ext.engines.wasi.nodes import NODE_BYTES, Directory, File
from moc_server_ext.engines.wasi.tree import FileTree
from moc_server_ext.guest_api.errno import Errno, GuestErrno

LIMIT_BYTES = 8 * NODE_BYTES
names = st.sampled_from(["a", "b", "tmp"])
paths = st.lists(names, min_size=1, max_size=3).map("/".join)
contents = st.binary(max_size=NODE_BYTES).map(bytes)
Model = dict[str, bytes | None]
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
        return sum(NODE_BYTES + len(content or b"") for path, content in model.items() if path)

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
        before = self.model.get(path, b"")
        if not expected and path in self.model and before is None:
            expected = Errno.EISDIR
        elif not expected and path not in self.model and not self.room_for(NODE_BYTES):
            expected = Errno.ENOSPC
        elif not expected:
            assert before is not None
            self.model[path] = before
            after = (
                before.ljust(offset, b"\0")[:offset] + content + before[offset + len(content) :] if content else before
            )
            if self.room_for(len(after) - len(before)):
                self.model[path] = after
            else:
                expected = Errno.ENOSPC

        def act() -> None:
            place = self.tree.locate(self.tree.root, path.encode())
            node = place.node or self.tree.create_file(place)
            if not isinstance(node, File):
                raise GuestErrno(Errno.EISDIR)
            node.write(offset, content, 1)

        assert self.outcome(act) == expected

    @rule(path=paths, size=st.integers(0, 2 * NODE_BYTES))
    def resize(self, path: str, size: int) -> None:
        node = self.tree.locate(self.tree.root, path.encode()).node if not self.way_to(path) else None
        before = self.model.get(path)
        if isinstance(node, File) and before is not None:
            fits = self.room_for(size - len(before))
            assert self.outcome(node.resize, size, 1) == (Errno.SUCCESS if fits else Errno.ENOSPC)
            if fits:
                self.model[path] = before[:size].ljust(size, b"\0")

    @rule(path=paths)
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

    @rule(old=paths, new=paths)
    def rename(self, old: str, new: str) -> None:
        self.check_rename(old, new)

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
        if old == new:
            return Errno.SUCCESS
        if self.model[old] is None:
            if new.startswith(f"{old}/"):
                return Errno.EINVAL
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
        found: Model = {"": None}
        waiting = [("", self.tree.root)]
        while waiting:
            path, directory = waiting.pop()
            for name, node in directory.entries.items():
                below = f"{path}/{name.decode()}".lstrip("/")
                if isinstance(node, Directory):
                    assert node.parent is directory
                    waiting.append((below, node))
                found[below] = bytes(node.content) if isinstance(node, File) else None
        assert found == self.model

    @invariant()
    def the_quota_counts_what_is_there(self) -> None:
        assert self.tree.quota.used_bytes == self.used(self.model) <= LIMIT_BYTES


TestFileTree = FileTreeMachine.TestCase
TestFileTree.settings = settings(max_examples=100, stateful_step_count=40, deadline=None)
