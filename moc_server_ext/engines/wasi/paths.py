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
        Its components without empty ones, and without ``.`` but at the end; ``..`` is still among them.
    directory
        Whether its end (a slash, ``.`` or ``..``) says that it names a directory.
    """

    names: list[bytes]
    directory: bool


def parse_path(text: bytes, *, strict: bool = True) -> Path:
    """Take a guest's path apart.

    Parameters
    ----------
    strict
        Whether the last component is checked like the others.

    Raises
    ------
    GuestErrno
        ENOENT if it is empty, ENAMETOOLONG beyond 4,096 bytes or 255 bytes a component, EINVAL if it holds NUL, EPERM
        if it is absolute: a descriptor's tree is all that can be named.
    """
    if strict or not text or len(text) > MAX_PATH_BYTES:
        require_text(text)
    if text[0] == 0x2F:
        raise GuestErrno(Errno.EPERM)
    parts = text.split(b"/")
    names = [each for each in parts if each not in (b"", b".")]
    if len(text) > MAX_NAME_BYTES or not strict:
        for each in names if strict else names[:-1]:
            require_name(each)
    last = next(each for each in reversed(parts) if each)
    if last == b".":
        # What is before it must be there, and be a directory.
        names.append(last)
    return Path(names, last in (b".", b"..") or not parts[-1])


def require_text(text: bytes) -> None:
    """Refuse what can be no path at all: ENOENT if it is empty, ENAMETOOLONG if too long, EINVAL if it holds NUL."""
    if not text:
        raise GuestErrno(Errno.ENOENT)
    if len(text) > MAX_PATH_BYTES:
        raise GuestErrno(Errno.ENAMETOOLONG)
    if b"\0" in text:
        raise GuestErrno(Errno.EINVAL)


def require_name(name: bytes) -> None:
    """Refuse what can be no component of a path: EINVAL if it holds NUL, ENAMETOOLONG beyond 255 bytes."""
    if b"\0" in name:
        raise GuestErrno(Errno.EINVAL)
    if len(name) > MAX_NAME_BYTES:
        raise GuestErrno(Errno.ENAMETOOLONG)


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
    require_text(text)
    return VirtualPath(scheme[1], text[scheme.end() :].removeprefix(b"/"))
