"""Paths as guests pass them: parsing, and those of virtual files.

Owns the syntax only: looking a path up in a tree is :mod:`.tree`'s, and what the names mean is said in
:mod:`.schemes`.
"""

from __future__ import annotations

import re
from typing import NamedTuple

from ...guest_api.errno import Errno, GuestErrno

MAX_PATH_BYTES = 4096
MAX_NAME_BYTES = 255

_SCHEME = re.compile(rb"(?:^|/)(api|https?|buffer|blob|kv|call):/")


class VirtualPath(NamedTuple):
    """A path that leads out of the tree.

    Parameters
    ----------
    scheme
        What comes before the colon.
    name
        What follows ``scheme://``, as the guest gave it.
    """

    scheme: bytes
    name: bytes


class Path(NamedTuple):
    """A relative path, taken apart.

    Parameters
    ----------
    names
        Its components without empty ones and ``.``; ``..`` is still among them.
    directory
        Whether its end (a slash, ``.`` or ``..``) says that it names a directory.
    dotted
        Whether it ends in ``.`` or ``..``, so that what it names cannot be created, removed or renamed by it.
    """

    names: list[bytes]
    directory: bool
    dotted: bool


def parse_path(text: bytes) -> Path:
    """Take a guest's path apart.

    Raises
    ------
    GuestErrno
        ENOENT if it is empty, ENAMETOOLONG beyond 4,096 bytes or 255 bytes a component, EINVAL if it holds NUL,
        ENOTCAPABLE if it is absolute: a descriptor's tree is all that can be named.
    """
    if not text:
        raise GuestErrno(Errno.ENOENT)
    if len(text) > MAX_PATH_BYTES:
        raise GuestErrno(Errno.ENAMETOOLONG)
    if b"\0" in text:
        raise GuestErrno(Errno.EINVAL)
    if text[0] == 0x2F:
        raise GuestErrno(Errno.ENOTCAPABLE)
    parts = text.split(b"/")
    if len(text) > MAX_NAME_BYTES and max(map(len, parts)) > MAX_NAME_BYTES:
        raise GuestErrno(Errno.ENAMETOOLONG)
    last = parts[-1]
    dotted = last in (b".", b"..") or (not last and _last_name(parts) in (b".", b".."))
    return Path([each for each in parts if each not in (b"", b".")], dotted or not last, dotted)


def _last_name(parts: list[bytes]) -> bytes:
    return next((each for each in reversed(parts) if each), b"")


def virtual(text: bytes) -> VirtualPath | None:
    """Recognise ``api://``, ``https://``, ``buffer://`` and the like, wherever they are said to be.

    Language runtimes clean paths and put a working directory before them, so one slash may stand for two, and any
    directories may come first; of several schemes the first one counts. The case matters.

    Raises
    ------
    GuestErrno
        What :func:`parse_path` says of paths that are too long or hold NUL.
    """
    if b":/" not in text:
        return None
    scheme = _SCHEME.search(text)
    if scheme is None:
        return None
    if len(text) > MAX_PATH_BYTES:
        raise GuestErrno(Errno.ENAMETOOLONG)
    if b"\0" in text:
        raise GuestErrno(Errno.EINVAL)
    return VirtualPath(scheme[1], text[scheme.end() :].removeprefix(b"/"))
