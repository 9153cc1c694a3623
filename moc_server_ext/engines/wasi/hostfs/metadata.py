"""What the host says, in WASI's words: error numbers and descriptions of files."""

from __future__ import annotations

import errno
import functools
import os
import stat
from collections.abc import Callable
from typing import Final, ParamSpec, TypeVar

from ....guest_api.errno import Errno, GuestErrno
from .. import layout
from ..descriptors import Stat

Parameters = ParamSpec("Parameters")
Result = TypeVar("Result")

HOST_DEVICE: Final = 3
_SPREAD: Final = 0x9E37_79B9_7F4A_7C15
_NUMBERS: Final = {getattr(errno, each.name): each for each in Errno if hasattr(errno, each.name)}
_FILETYPES: Final = {
    stat.S_IFBLK: 1,
    stat.S_IFCHR: 2,
    stat.S_IFDIR: layout.DIRECTORY_TYPE,
    stat.S_IFREG: layout.REGULAR_TYPE,
    stat.S_IFSOCK: 6,
    stat.S_IFLNK: layout.SYMBOLIC_LINK_TYPE,
}


def answers_guest(
    operation: Callable[Parameters, Result],
) -> Callable[Parameters, Result]:
    """Let the guest have the number of an OSError that an operation raises; EIO for one that WASI does not know.

    A ValueError is Python's word for a name that holds NUL: EINVAL.
    """

    @functools.wraps(operation)
    def answering(*args: Parameters.args, **kwargs: Parameters.kwargs) -> Result:
        try:
            return operation(*args, **kwargs)
        except OSError as error:
            raise GuestErrno(_NUMBERS.get(error.errno or errno.EIO, Errno.EIO)) from None
        except ValueError:
            raise GuestErrno(Errno.EINVAL) from None

    return answering


def inode_of(device: int, inode: int) -> int:
    """Give one number that tells files apart, also those of several devices.

    Guests compare numbers of inodes, and of devices too; what they are on the host is not theirs to know.
    """
    return (inode + device * _SPREAD) & layout.U64


def filetype_of(mode: int) -> int:
    """Give the filetype that a mode says."""
    return _FILETYPES.get(stat.S_IFMT(mode), layout.UNKNOWN_TYPE)


def describe(found: os.stat_result) -> Stat:
    """Describe what the host found."""
    return Stat(
        HOST_DEVICE,
        inode_of(found.st_dev, found.st_ino),
        filetype_of(found.st_mode),
        found.st_nlink,
        found.st_size,
        found.st_atime_ns,
        found.st_mtime_ns,
        found.st_ctime_ns,
    )


def both_times(found: os.stat_result, atim: int | None, mtim: int | None) -> tuple[int, int]:
    """Give the access time and the modification time to set: those given, else what they are."""
    return (found.st_atime_ns if atim is None else atim, found.st_mtime_ns if mtim is None else mtim)
