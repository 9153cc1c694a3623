"""System calls of Linux that Python does not offer, through the C library."""

from __future__ import annotations

import ctypes
import functools
import os
from collections.abc import Callable, Iterator
from struct import Struct
from typing import Any, Final, NamedTuple

_PAGE_BYTES: Final = 8 << 10
# struct linux_dirent64: d_ino, d_off, d_reclen, d_type; the name follows, ended by NUL.
_HEAD: Final = Struct("=QqHB")


class HostEntry(NamedTuple):
    """An entry of a directory, as the host lists it.

    Parameters
    ----------
    after
        Where the next one is found.
    kind
        ``DT_*``: the type bits of a mode, shifted by 12; 0 where the file system does not say.
    """

    inode: int
    after: int
    kind: int
    name: bytes


def entries(fd: int, start: int) -> Iterator[HostEntry]:
    """List an open directory from `start` on, where an earlier entry's `after` said, or 0.

    The host's own positions stay right while entries come and go, also in a directory that is opened anew.

    Raises
    ------
    OSError
        With the first step: `start` is no position; the directory cannot be read.
    """
    os.lseek(fd, start, os.SEEK_SET)
    page = ctypes.create_string_buffer(_PAGE_BYTES)
    while True:
        count = _checked(_function("getdents64", ctypes.c_ssize_t)(fd, page, ctypes.c_size_t(_PAGE_BYTES)))
        if count == 0:
            return
        content = page.raw[:count]
        at = 0
        while at < count:
            inode, after, length, kind = _HEAD.unpack_from(content, at)
            name = content[at + _HEAD.size : at + length].partition(b"\0")[0]
            at += length
            yield HostEntry(inode, after, kind, name)
            # Whoever stopped in between may have moved the position of the directory.
        start = after
        os.lseek(fd, start, os.SEEK_SET)


def allocate(fd: int, offset: int, length: int) -> None:
    """Make room for bytes of a file, which grows if it ends before them.

    ``os.posix_fallocate`` writes each block itself where the file system cannot do it, which may take hours.

    Raises
    ------
    OSError
        EOPNOTSUPP where the file system cannot; EBADF, ENOSPC, EFBIG.
    """
    _checked(_function("fallocate", ctypes.c_int)(fd, 0, ctypes.c_int64(offset), ctypes.c_int64(length)))


def _checked(result: int) -> int:
    if result < 0:
        number = ctypes.get_errno()
        raise OSError(number, os.strerror(number))
    return result


@functools.cache
def _function(name: str, result: Any) -> Callable[..., int]:
    function: Any = getattr(ctypes.CDLL(None, use_errno=True), name)
    function.restype = result
    return function  # type: ignore[no-any-return]
