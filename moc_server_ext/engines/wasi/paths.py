"""Paths as guests pass them: parsing, and the names that are doors to the call rather than files.

Owns the syntax only; looking a path up in a tree is :mod:`.tree`'s.
"""

from __future__ import annotations

import re
from enum import Enum
from typing import NamedTuple

from ...guest_api.errno import Errno, GuestErrno

MAX_PATH_BYTES = 4096
MAX_NAME_BYTES = 255

_SCHEME = re.compile(rb"(?:^|/)(api|https?):/", re.DOTALL)
_DOOR = re.compile(rb"/?(?:input(?:/(?P<index>0|[1-9][0-9]{0,3}))?|(?P<output>output))")


class Door(Enum):
    """An exchange buffer of the call that can be opened like a file."""

    OUTPUT = "api://output"


class InputDoor(NamedTuple):
    """An input of the call that can be opened like a file, by its place from 0 on. It need not be there."""

    place: int


class WebPath(NamedTuple):
    """A URL that can be opened like a file."""

    url: str


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


def door(text: bytes) -> Door | InputDoor | WebPath | None:
    """Recognise ``api://input``, ``api://input/N``, ``api://output`` and URLs, wherever they are said to be.

    Language runtimes clean paths and put a working directory before them, so one slash may stand for two, and any
    directories may come first; of several schemes the first one counts. The case matters.

    Raises
    ------
    GuestErrno
        ENOENT for another name below ``api:``, which no file can have; EINVAL for a URL that is not UTF-8; what
        :func:`parse_path` says of paths that are too long or hold NUL.
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
    rest = text[scheme.end() :]
    if scheme[1] == b"api":
        match = _DOOR.fullmatch(rest)
        if match is None:
            raise GuestErrno(Errno.ENOENT)
        return Door.OUTPUT if match["output"] else InputDoor(int(match["index"] or 0))
    try:
        return WebPath(f"{scheme[1].decode()}://{rest.removeprefix(b'/').decode()}")
    except UnicodeDecodeError:
        raise GuestErrno(Errno.EINVAL) from None
