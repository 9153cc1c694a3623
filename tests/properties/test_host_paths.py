"""Any path in any tree of directories and links leads where Linux's own ``openat2(RESOLVE_BENEATH)`` says it does."""

from __future__ import annotations

import ctypes
import errno
import os
import shutil
from pathlib import Path
from struct import pack

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from moc_server_ext.engines.wasi.hostfs.beneath import Place
from moc_server_ext.engines.wasi.hostfs.metadata import answers_guest
from moc_server_ext.guest_api.errno import Errno, GuestErrno

OPENAT2, BENEATH, NO_MAGIC_LINKS = 437, 0x08, 0x02
ERRNOS = {errno.EXDEV: Errno.EPERM, errno.ENOENT: Errno.ENOENT, errno.ENOTDIR: Errno.ENOTDIR, errno.ELOOP: Errno.ELOOP}

names = st.sampled_from(["a", "b", "c"])
words = st.one_of(names, names, st.sampled_from(["..", ".", ""]))
relative = st.lists(words, min_size=1, max_size=6).map("/".join).map(lambda path: path.lstrip("/") or ".")
targets = st.one_of(relative, relative, st.sampled_from(["/", "/a", "..", "../a", "../outside/a"]))
places = st.lists(names, min_size=1, max_size=3).map("/".join)
trees = st.lists(st.tuples(places, st.one_of(st.none(), st.just(b""), targets)), max_size=12)


def openat2(fd: int, path: bytes, flags: int) -> int:
    how = pack("=QQQ", flags | os.O_CLOEXEC, 0, BENEATH | NO_MAGIC_LINKS)
    libc = ctypes.CDLL(None, use_errno=True)
    found = libc.syscall(ctypes.c_long(OPENAT2), fd, path, how, ctypes.c_size_t(len(how)))
    if found < 0:
        raise OSError(ctypes.get_errno(), os.strerror(ctypes.get_errno()))
    return int(found)


def build(root: Path, tree: list[tuple[str, bytes | str | None]]) -> None:
    """Make directories (None), files (bytes) and links (text), as far as they fit together."""
    for place, content in tree:
        at = root / place
        if os.path.lexists(at) or not at.parent.is_dir() or at.parent.is_symlink():
            continue
        if content is None:
            at.mkdir()
        elif isinstance(content, bytes):
            at.write_bytes(content)
        else:
            at.symlink_to(content)


def by_kernel(fd: int, path: bytes, flags: int) -> tuple[int, int] | Errno:
    try:
        found = openat2(fd, path, os.O_PATH | flags)
    except OSError as error:
        return ERRNOS[error.errno]
    try:
        stat = os.fstat(found)
        return stat.st_dev, stat.st_ino
    finally:
        os.close(found)


@answers_guest
def by_us(fd: int, path: bytes, follow: bool) -> tuple[int, int]:
    # What a slash follows is a directory: see directory.py.
    with Place(fd, path + b"." if path.endswith(b"/") else path, follow=follow) as place:
        stat = os.stat(place.name, dir_fd=place.fd, follow_symlinks=False)
        return stat.st_dev, stat.st_ino


@pytest.fixture(scope="module")
def _kernel_can(tmp_path_factory) -> None:
    fd = os.open(tmp_path_factory.mktemp("probe"), os.O_RDONLY)
    try:
        os.close(openat2(fd, b".", os.O_PATH))
    except OSError as error:
        pytest.skip(f"this kernel has no openat2: {error.strerror}")
    finally:
        os.close(fd)


@pytest.mark.usefixtures("_kernel_can")
def test_every_path_leads_where_the_kernel_says(tmp_path):
    @settings(max_examples=250, deadline=None)
    @given(tree=trees, paths=st.lists(st.one_of(relative, relative, targets), min_size=1, max_size=8))
    def same(tree, paths) -> None:
        base = tmp_path / "base"
        shutil.rmtree(base, ignore_errors=True)
        (base / "outside" / "a").mkdir(parents=True)
        (base / "root").mkdir()
        build(base / "root", tree)
        before = len(os.listdir("/proc/self/fd"))
        fd = os.open(base / "root", os.O_RDONLY)
        try:
            for path in paths:
                for follow, flags in ((True, 0), (False, os.O_NOFOLLOW)):
                    theirs = by_kernel(fd, path.encode(), flags)
                    try:
                        mine: tuple[int, int] | Errno = by_us(fd, path.encode(), follow)
                    except GuestErrno as refusal:
                        mine = refusal.number
                    assert (path, follow, mine) == (path, follow, theirs)
        finally:
            os.close(fd)
        assert len(os.listdir("/proc/self/fd")) == before

    same()
