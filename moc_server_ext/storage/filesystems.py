"""Which file systems a storage may lie on: those whose locks and whose fsync keep their word.

File systems that several machines share are refused by their type, since a lock of one machine means nothing to another
and SQLite's log is shared memory. All others are tried: two who open the lock file must see each other's lock, and a
file and its directory must let themselves be synchronised.
"""

from __future__ import annotations

import errno
import fcntl
import os
from pathlib import Path
from typing import Final

from ..errors import UnsuitableFileSystemError

MOUNTINFO: Final = Path("/proc/self/mountinfo")

_SHARED: Final = frozenset(
    {
        *("nfs", "nfs4", "cifs", "smb3", "smbfs", "9p", "vboxsf", "prl_fs", "afs", "coda", "ncpfs", "ceph", "lustre"),
        *("gfs2", "ocfs2", "beegfs", "fuse.sshfs", "fuse.s3fs", "fuse.rclone", "fuse.gcsfuse", "fuse.glusterfs"),
        *("fuse.vmhgfs-fuse", "fuse.goofys", "fuse.mount-s3", "fuse.ceph", "fuse.davfs", "davfs"),
    }
)
_VOLATILE: Final = frozenset({"tmpfs", "ramfs"})
# What file systems answer that have no locks, or no fsync.
_CANNOT: Final = frozenset({errno.ENOLCK, errno.ENOTSUP, errno.EINVAL, errno.ENOSYS, errno.EOPNOTSUPP})


def file_system_of(path: Path, mountinfo: Path = MOUNTINFO) -> str:
    """Name the type of the file system that `path`, which is absolute, lies on; empty where the system does not tell.

    References
    ----------
    proc(5): ``/proc/pid/mountinfo``.
    """
    try:
        lines = mountinfo.read_text(errors="surrogateescape").splitlines()
    except OSError:
        return ""
    found, depth = "", -1
    for line in lines:
        fields, _, rest = line.partition(" - ")
        words, kinds = fields.split(" "), rest.split(" ")
        if len(words) < 5 or not kinds[0]:
            continue
        mounted = Path(_unescaped(words[4]))
        # Of two that are mounted on one place the later one is seen.
        if len(mounted.parts) >= depth and path.is_relative_to(mounted):
            found, depth = kinds[0], len(mounted.parts)
    return found


def check_type(path: Path, mountinfo: Path = MOUNTINFO) -> None:
    """Refuse a directory, or a place for one, on a file system that machines share; nothing is touched.

    Raises
    ------
    UnsuitableFileSystemError
        It lies on such a one.
    """
    kind = file_system_of(path, mountinfo)
    if kind in _SHARED:
        raise UnsuitableFileSystemError(
            str(path), kind, "several machines share it, and a lock of one may mean nothing to the others"
        )


def is_volatile(path: Path, mountinfo: Path = MOUNTINFO) -> bool:
    """Tell whether what lies there is gone when the machine restarts."""
    return file_system_of(path, mountinfo) in _VOLATILE


def check_works(lock_file: Path) -> None:
    """Try locks and fsync where `lock_file`, which this process holds the lock of, lies.

    Raises
    ------
    UnsuitableFileSystemError
        A second one who locks the file is not refused, or something cannot be synchronised.
    """
    directory = lock_file.parent
    try:
        if not _excludes(lock_file):
            raise _unsuitable(directory, "a lock on it keeps nobody out")
        for path, flags in ((lock_file, os.O_RDWR), (directory, os.O_RDONLY | os.O_DIRECTORY)):
            descriptor = os.open(path, flags | os.O_CLOEXEC)
            try:
                os.fsync(descriptor)
            finally:
                os.close(descriptor)
    except OSError as error:
        if error.errno not in _CANNOT:
            raise
        raise _unsuitable(directory, f"it cannot lock or synchronise files ({os.strerror(error.errno)})") from error


def lock_failure(error: OSError, directory: Path) -> UnsuitableFileSystemError | None:
    """Make the error for a lock that the file system cannot give; None for another failure."""
    if error.errno not in _CANNOT:
        return None
    return _unsuitable(directory, f"it has no locks ({os.strerror(error.errno)})")


def _excludes(lock_file: Path) -> bool:
    descriptor = os.open(lock_file, os.O_RDWR | os.O_CLOEXEC)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return True
    finally:
        os.close(descriptor)
    return False


def _unsuitable(directory: Path, reason: str) -> UnsuitableFileSystemError:
    return UnsuitableFileSystemError(str(directory), file_system_of(directory) or "unknown", reason)


def _unescaped(text: str) -> str:
    """Undo the octal escapes of mountinfo."""
    for escape, character in (("\\040", " "), ("\\011", "\t"), ("\\012", "\n"), ("\\134", "\\")):
        text = text.replace(escape, character)
    return text
