"""Which file systems are refused, by their type and by trying."""

from __future__ import annotations

import errno
import fcntl
import os
from pathlib import Path

import pytest

from moc_server_ext.errors import UnsuitableFileSystemError
from moc_server_ext.storage import Storage, filesystems

MOUNTS = """\
22 27 0:21 / /proc rw,relatime - proc proc rw
27 1 254:0 / / rw,relatime shared:1 - ext4 /dev/vda rw
40 27 0:50 / /home rw - nfs4 server:/home rw
41 40 0:51 / /home/me/local\\040disk rw - xfs /dev/sdb rw
42 27 0:52 / /share rw - ext4 /dev/sdc rw
43 27 0:53 / /share rw - cifs //server/share rw
44 27 0:54 / /run rw - tmpfs tmpfs rw
not a line
"""


@pytest.fixture
def mountinfo(tmp_path: Path) -> Path:
    file = tmp_path / "mountinfo"
    file.write_text(MOUNTS)
    return file


@pytest.mark.parametrize(
    ("path", "kind"),
    [
        ("/", "ext4"),
        ("/var/lib/moc", "ext4"),
        ("/home", "nfs4"),
        ("/home/me/storage", "nfs4"),
        ("/homes", "ext4"),
        ("/home/me/local disk/storage", "xfs"),
        ("/share/moc", "cifs"),
        ("/run/moc", "tmpfs"),
    ],
)
def test_the_innermost_and_latest_mount_is_the_one_that_counts(mountinfo: Path, path: str, kind: str) -> None:
    assert filesystems.file_system_of(Path(path), mountinfo) == kind


def test_a_system_that_tells_no_mounts_refuses_nothing_by_type(tmp_path: Path) -> None:
    assert filesystems.file_system_of(tmp_path, tmp_path / "none") == ""
    filesystems.check_type(tmp_path, tmp_path / "none")


@pytest.mark.parametrize(("path", "is_refused"), [("/home/me", True), ("/share/x", True), ("/run/x", False)])
def test_file_systems_that_machines_share_are_refused_with_a_reason(
    mountinfo: Path, path: str, is_refused: bool
) -> None:
    if is_refused:
        with pytest.raises(UnsuitableFileSystemError, match="several machines share it") as caught:
            filesystems.check_type(Path(path), mountinfo)
        assert caught.value.details["file_system"] in ("nfs4", "cifs")
    else:
        filesystems.check_type(Path(path), mountinfo)
        assert filesystems.is_volatile(Path(path), mountinfo)


def test_a_refused_place_is_not_touched(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(filesystems, "file_system_of", lambda path, mountinfo=None: "nfs4")
    monkeypatch.setattr(filesystems.check_type, "__defaults__", (tmp_path / "any",))
    with pytest.raises(UnsuitableFileSystemError, match="nfs4"):
        Storage.open(tmp_path / "storage")
    assert not (tmp_path / "storage").exists()


def test_locks_that_keep_nobody_out_are_noticed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(fcntl, "flock", lambda descriptor, operation: None)
    with pytest.raises(UnsuitableFileSystemError, match="keeps nobody out"):
        Storage.open(tmp_path / "storage")


@pytest.mark.parametrize("number", [errno.ENOLCK, errno.ENOTSUP])
def test_a_file_system_without_locks_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, number: int) -> None:
    def refuse(descriptor: int, operation: int) -> None:
        raise OSError(number, os.strerror(number))

    monkeypatch.setattr(fcntl, "flock", refuse)
    with pytest.raises(UnsuitableFileSystemError, match="has no locks"):
        Storage.open(tmp_path / "storage")


def test_a_directory_that_cannot_be_synchronised_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "storage"
    Storage.open(path).close()
    fsync = os.fsync

    def refuse(descriptor: int) -> None:
        if os.path.isdir(f"/proc/self/fd/{descriptor}"):
            raise OSError(errno.EINVAL, os.strerror(errno.EINVAL))
        fsync(descriptor)

    monkeypatch.setattr(os, "fsync", refuse)
    with pytest.raises(UnsuitableFileSystemError, match="synchronise"):
        Storage.open(path)
    monkeypatch.undo()
    Storage.open(path).close()
