"""A guest in a mounted directory never gets outside of it, whatever another process does to that directory meanwhile.

The other process renames and replaces in a tight loop; the guest's side asks for paths that lead outside at the wrong
moment. Each test goes on until both states were met often, so that one that never raced would fail.
"""

from __future__ import annotations

import subprocess
import sys
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from moc_server_ext.engines.wasi import layout
from moc_server_ext.engines.wasi.hostfs import HostDirectory, open_mount
from moc_server_ext.guest_api.errno import Errno, GuestErrno
from moc_server_ext.model import Mount

WRITE = layout.RIGHT_READ | layout.RIGHT_WRITE
ENOUGH, DEADLINE_SECONDS = 50, 90
FOREVER = """
import os, sys
os.chdir(sys.argv[1])
print("ready", flush=True)
while True:
    {turn}
"""


@pytest.fixture
def base(tmp_path: Path) -> Path:
    """``base/root`` is mounted; every ``secret`` beside and above it is out of bounds."""
    for place in (tmp_path, tmp_path / "base", tmp_path / "base" / "outside"):
        place.mkdir(exist_ok=True)
        (place / "secret").write_text("secret")
    inside = tmp_path / "base" / "root" / "a" / "b" / "c"
    inside.mkdir(parents=True)
    for place in (inside, *list(inside.parents)[:3]):
        (place / "file").write_text("inside")
    return tmp_path / "base"


@pytest.fixture
def root(base: Path) -> Iterator[HostDirectory]:
    opened = open_mount(Mount(str(base / "root"), "/"))
    yield opened
    opened.close()


@contextmanager
def meanwhile(directory: Path, *turn: str) -> Iterator[None]:
    """Do `turn` again and again in another process."""
    program = FOREVER.format(turn="\n    ".join(turn))
    with subprocess.Popen(
        [sys.executable, "-c", program, str(directory)], stdout=subprocess.PIPE, stderr=subprocess.PIPE
    ) as other:
        try:
            assert other.stdout is not None
            assert other.stdout.readline() == b"ready\n"
            yield
            assert other.poll() is None, other.communicate()
        finally:
            other.kill()


def again_and_again(*acts: Callable[[], object], until: set[object]) -> Counter[object]:
    """Act until all of `until` came out often; what comes out is a value, or the number of a refusal."""
    outcomes: Counter[object] = Counter()
    deadline = time.monotonic() + DEADLINE_SECONDS
    while any(outcomes[each] < ENOUGH for each in until):
        assert time.monotonic() < deadline, outcomes
        for act in acts:
            try:
                outcomes[act()] += 1
            except GuestErrno as refusal:
                outcomes[refusal.number] += 1
    return outcomes


def read(root: HostDirectory, path: bytes) -> bytes:
    opened = open_at(root, path, 0, layout.RIGHT_READ)
    try:
        return host_content(opened)
    finally:
        opened.close()


def host_content(opened) -> bytes:
    """What lies in an open file, past the guest's memory."""
    with open(f"/proc/self/fd/{opened._fd}", "rb") as content:
        return content.read()


def open_at(root: HostDirectory, path: bytes, open_flags: int, rights: int):
    return root.open_at(None, path, follow=True, open_flags=open_flags, rights=rights, inheriting=0, flags=0)


SWAPPED = (
    'os.rename("root/a", "root/real"); os.symlink({target!r}, "root/a")',
    'os.unlink("root/a"); os.rename("root/real", "root/a")',
)


@pytest.mark.parametrize("target", ["../outside", "/"])
def test_a_directory_that_becomes_a_link_leads_nowhere(base, root, target):
    outward = str(base / "outside") if target == "/" else target
    with meanwhile(base, *(each.format(target=outward) for each in SWAPPED)):
        outcomes = again_and_again(
            lambda: read(root, b"a/file"),
            lambda: read(root, b"a/secret"),
            lambda: root.stat_at(None, b"a/secret", follow=True),
            lambda: root.stat_at(None, b"a/../a/secret", follow=False),
            until={b"inside", Errno.EPERM},
        )
    assert set(outcomes) <= {b"inside", Errno.EPERM, Errno.ENOENT, Errno.ENOTDIR, Errno.ELOOP}


def test_nothing_is_made_or_removed_through_a_link_that_was_a_directory(base, root):
    def make(path: bytes) -> str:
        open_at(root, path, layout.OPEN_CREATE, WRITE).close()
        return "made"

    with meanwhile(base, *(each.format(target="../outside") for each in SWAPPED)):
        outcomes = again_and_again(
            lambda: make(b"a/new"),
            lambda: root.unlink(None, b"a/new"),
            lambda: root.make_directory(None, b"a/directory"),
            lambda: root.remove_directory(None, b"a/directory"),
            lambda: root.symlink(None, b"x", b"a/link"),
            lambda: root.rename(None, b"a/link", root, b"a/moved"),
            lambda: root.unlink(None, b"a/moved"),
            lambda: root.unlink(None, b"a/secret"),
            lambda: root.link(None, b"a/file", root, b"a/again", follow=False),
            lambda: root.set_times_at(None, b"a/secret", 1, 1, follow=True),
            until={"made", None, Errno.EPERM},
        )
    assert outcomes["made"]
    assert [each.name for each in (base / "outside").iterdir()] == ["secret"]
    assert (base / "outside" / "secret").stat().st_mtime_ns != 1


def test_a_last_name_that_becomes_a_link_is_not_followed_out(base, root):
    turn = (
        'os.symlink("../secret", "root/next"); os.rename("root/next", "root/file")',
        'open("root/next", "w").write("inside"); os.rename("root/next", "root/file")',
    )

    def write() -> str:
        open_at(root, b"file", layout.OPEN_TRUNCATE, WRITE).close()
        return "written"

    with meanwhile(base, *turn):
        outcomes = again_and_again(lambda: read(root, b"file"), write, until={b"inside", "written", Errno.EPERM})
    assert b"secret" not in outcomes
    assert (base / "secret").read_text() == "secret"


def test_going_up_from_a_directory_that_was_moved_out_stays_inside(base, root):
    # Whoever asks the host for `..` of a directory that has just been moved is above the root at once.
    with meanwhile(base, 'os.rename("root/a/b", "outside/b")', 'os.rename("outside/b", "root/a/b")'):
        outcomes = again_and_again(
            lambda: read(root, b"a/b/c/../../file"),
            lambda: read(root, b"a/b/c/../../secret"),
            lambda: read(root, b"a/b/c/../../../secret"),
            lambda: read(root, b"a/b/c/../../../../secret"),
            until={b"inside", Errno.ENOENT, Errno.EPERM},
        )
    assert set(outcomes) == {b"inside", Errno.ENOENT, Errno.EPERM}


def test_names_that_are_walked_again_stay_inside(base, root):
    # Deeper than what is kept open: the way back up is opened anew, through the names that are being replaced.
    here = base / "root" / "a" / "b"
    for _ in range(60):
        here = here / "d"
    here.mkdir(parents=True)
    up = b"../" * 61
    with meanwhile(base, *(each.format(target="../outside") for each in SWAPPED)):
        outcomes = again_and_again(
            lambda: read(root, b"a/b/" + b"d/" * 60 + up + b"file"),
            lambda: read(root, b"a/b/" + b"d/" * 60 + up + b"secret"),
            until={b"inside", Errno.EPERM},
        )
    assert set(outcomes) <= {b"inside", Errno.EPERM, Errno.ENOENT, Errno.ENOTDIR}


def test_a_pipe_in_the_place_of_a_file_is_never_waited_for(base, root):
    turn = (
        'os.mkfifo("root/next"); os.rename("root/next", "root/file")',
        'open("root/next", "w").write("inside"); os.rename("root/next", "root/file")',
    )
    with meanwhile(base, *turn):
        outcomes = again_and_again(lambda: read(root, b"file"), until={b"inside", Errno.ENXIO})
    assert set(outcomes) <= {b"inside", b"", Errno.ENXIO}
