"""Guests with a directory of the host: what is read-only stays as it is, and nothing outside is reached or changed."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from hostile_guests import again_and_again, program
from moc_server_ext.cluster import Cluster
from moc_server_ext.engines.wasm.text import wat_to_wasm
from moc_server_ext.guest_api.errno import Errno
from moc_server_ext.model import CallRequest, CallResult, Mount

AT = 4000
INSIDE = ["file", "empty", "full", "full/file", "link", "out", "up", "new", "full/new", "empty/../file", "."]
ESCAPES = ["..", "../secret", "full/../../secret", "/secret", "up/secret", "out", "./../secret",
           "up/root/../secret", "full/../../root/../secret"]  # fmt: skip

Run = Callable[..., CallResult]
Tree = dict[str, tuple[int, int, bytes]]


@pytest.fixture
def base(tmp_path: Path) -> Path:
    """``base/root`` is mounted, ``base/secret`` beside it is not; links lead from one to the other."""
    base = tmp_path / "base"
    root = base / "root"
    (root / "full").mkdir(parents=True)
    (root / "empty").mkdir()
    (base / "secret").write_text("secret")
    (root / "file").write_text("file")
    (root / "full" / "file").write_text("file")
    (root / "link").symlink_to("file")
    (root / "out").symlink_to("../secret")
    (root / "up").symlink_to("..")
    return base


def tree_of(base: Path) -> Tree:
    """Give everything that a guest could change: kinds and modes, times, contents."""
    found: Tree = {}
    for path in [base, *base.rglob("*")]:
        told = path.lstat()
        content = os.readlink(path).encode() if path.is_symlink() else path.read_bytes() if path.is_file() else b""
        found[str(path.relative_to(base))] = (told.st_mode, told.st_mtime_ns, content)
    return found


@pytest.fixture
def run(base: Path, tmp_path: Path) -> Iterator[Run]:
    """Run the body of a program, with ``base/root`` as its ``/``."""
    with Cluster.open(tmp_path / "storage", cache_directory=tmp_path / "modules") as cluster:

        def go(body: str, *, read_only: bool) -> CallResult:
            cluster.functions.put("hostile", wat_to_wasm(program(body, pages=2)))
            mount = Mount(str(base / "root"), "/", read_only)
            return cluster.call_sync(CallRequest("hostile", mounts=(mount,)))

        yield go


def text(content: str, at: int) -> str:
    return "".join(f"(i32.store8 (i32.const {at + n}) (i32.const {byte}))" for n, byte in enumerate(content.encode()))


def attempts(path: str, other: str) -> Iterator[str]:
    """Give every call that changes something, on two paths."""
    one = f"(i32.const {AT}) (i32.const {len(path)})"
    two = f"(i32.const {AT + 500}) (i32.const {len(other)})"
    for follow in (0, 1):
        for flags in (1, 5, 8, 9):
            yield (
                f"(call $path_open (i32.const 3) (i32.const {follow}) {one} (i32.const {flags}) (i64.const 66)"
                " (i64.const 0) (i32.const 0) (i32.const 64))"
            )
        yield (
            f"(call $path_filestat_set_times (i32.const 3) (i32.const {follow}) {one} (i64.const 1) (i64.const 1)"
            " (i32.const 5))"
        )
        yield f"(call $path_link (i32.const 3) (i32.const {follow}) {one} (i32.const 3) {two})"
    yield f"(call $path_create_directory (i32.const 3) {one})"
    yield f"(call $path_remove_directory (i32.const 3) {one})"
    yield f"(call $path_unlink_file (i32.const 3) {one})"
    yield f"(call $path_rename (i32.const 3) {one} (i32.const 3) {two})"
    yield f"(call $path_rename (i32.const 3) {two} (i32.const 3) {one})"
    yield f"(call $path_symlink {two} (i32.const 3) {one})"


def test_nothing_changes_in_a_directory_that_is_read_only(run: Run, base: Path) -> None:
    before = tree_of(base)
    body = ""
    for path in [*INSIDE, *ESCAPES]:
        for other in ("new", "file", "empty"):
            body += text(path, AT) + text(other, AT + 500)
            # A call that is not refused is told by its number, counted in the exit code.
            body += "".join(
                f"(local.set $n (i32.add (local.get $n) (i32.eqz {each})))" for each in attempts(path, other)
            )
    assert run(body + "(call $proc_exit (local.get $n))", read_only=True).exit_code == 0
    assert tree_of(base) == before


def test_a_file_opened_for_reading_cannot_be_changed_through_its_descriptor(run: Run, base: Path) -> None:
    before = tree_of(base)
    body = text("file", AT) + f"""
      (if (call $path_open (i32.const 3) (i32.const 0) (i32.const {AT}) (i32.const 4) (i32.const 0)
        (i64.const -1) (i64.const -1) (i32.const 0) (i32.const 64)) (then
          (drop (call $path_open (i32.const 3) (i32.const 0) (i32.const {AT}) (i32.const 4) (i32.const 0)
            (i64.const 2) (i64.const 0) (i32.const 0) (i32.const 64)))))
      (i32.store (i32.const 4) (i32.const 4))
      (local.set $i (i32.load (i32.const 64)))
      {"".join(f"(local.set $n (i32.add (local.get $n) (i32.eqz {each})))" for each in (
        "(call $fd_write (local.get $i) (i32.const 0) (i32.const 1) (i32.const 8))",
        "(call $fd_pwrite (local.get $i) (i32.const 0) (i32.const 1) (i64.const 0) (i32.const 8))",
        "(call $fd_filestat_set_size (local.get $i) (i64.const 0))",
        "(call $fd_filestat_set_times (local.get $i) (i64.const 1) (i64.const 1) (i32.const 5))",
        "(call $fd_allocate (local.get $i) (i64.const 0) (i64.const 100))",
      ))}
      (call $proc_exit (local.get $n))"""  # fmt: skip
    assert run(body, read_only=True).exit_code == 0
    assert tree_of(base) == before


@pytest.mark.parametrize("path", ESCAPES)
def test_nothing_outside_is_reached_or_changed_from_a_directory_that_is_writable(
    run: Run, base: Path, path: str
) -> None:
    outside = base / "secret"
    before = (outside.lstat().st_mtime_ns, outside.lstat().st_nlink)
    body = text(path, AT) + text("new", AT + 500)
    # Links may be unlinked and moved themselves: they are inside. What is asked here follows them.
    for each in attempts(path, "new"):
        if "path_open" in each or "set_times" in each or "path_link" in each:
            body += f"(drop {each})"
    body += f"""(call $proc_exit (call $path_open (i32.const 3) (i32.const 1) (i32.const {AT}) (i32.const {len(path)})
      (i32.const 0) (i64.const 2) (i64.const 0) (i32.const 0) (i32.const 64)))"""
    assert run(body, read_only=False).exit_code in {Errno.EPERM, Errno.ENOTCAPABLE}
    assert outside.read_text() == "secret"
    assert (outside.lstat().st_mtime_ns, outside.lstat().st_nlink) == before
    assert sorted(each.name for each in base.iterdir()) == ["root", "secret"]


def test_links_of_its_own_making_lead_a_guest_nowhere_else(run: Run, base: Path) -> None:
    """A link that a guest makes may say anything; following it does not leave the directory."""
    body = ""
    for number, content in enumerate(["../secret", "up/secret", "full/../../secret", "mine0", "mine4"]):
        body += text(content, AT) + text(f"mine{number}", AT + 500)
        body += f"""(drop (call $path_symlink (i32.const {AT}) (i32.const {len(content)}) (i32.const 3)
          (i32.const {AT + 500}) (i32.const 5)))
          (local.set $n (i32.add (local.get $n) (i32.eqz (call $path_open (i32.const 3) (i32.const 1)
            (i32.const {AT + 500}) (i32.const 5) (i32.const 0) (i64.const 2) (i64.const 0) (i32.const 0)
            (i32.const 64)))))"""
    assert run(body + "(call $proc_exit (local.get $n))", read_only=False).exit_code == 0


def test_descriptors_left_open_are_closed_with_the_call(run: Run, base: Path) -> None:
    one = f"""(drop (call $path_open (i32.const 3) (i32.const 0) (i32.const {AT}) (i32.const 4) (i32.const 0)
      (i64.const 2) (i64.const 0) (i32.const 0) (i32.const 64)))"""
    for _ in range(3):
        assert run(text("file", AT) + again_and_again(one, 1000), read_only=True).exit_code == 0
    links = [os.path.realpath(f"/proc/self/fd/{name}") for name in os.listdir("/proc/self/fd")]
    assert not [each for each in links if each.startswith(str(base))]
