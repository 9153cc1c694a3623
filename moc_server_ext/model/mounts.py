"""Mounts: directories of the host that a person opens to one call, from the command line or from Python."""

from __future__ import annotations

import os
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any, Final

from ..errors import InvalidInputError

_READ_ONLY: Final = ":ro"
_EXPECTED: Final = "expected HOST::GUEST or HOST::GUEST:ro, such as ./data::/data"


@dataclass(frozen=True, slots=True)
class Mount:
    """One directory of the host, as a guest sees it.

    Parameters
    ----------
    host
        Path on the host.
    guest
        The name under which the guest finds it: a normalised path, absolute or relative as it was given (``.`` too).
        ``/`` takes the place of the private tree.
    read_only
        Whether nothing in it can be changed.
    """

    host: str
    guest: str
    read_only: bool = False


def parse_mount(text: str) -> Mount:
    """Read ``HOST::GUEST[:ro]``; the host's path may be relative to where this process is.

    Raises
    ------
    InvalidInputError
        It is not of that form, or GUEST cannot be the name of a directory.
    """
    host, separator, guest = text.partition("::")
    if not separator or not host or not guest:
        raise InvalidInputError(f"{text!r} is no mount: {_EXPECTED}.")
    if guest.endswith(":rw"):
        # What other tools write; here it would silently become a part of the name.
        raise InvalidInputError(f"{text!r} is no mount: {_EXPECTED}. Without ':ro' it can be written.")
    return _mount(host, guest.removesuffix(_READ_ONLY), guest.endswith(_READ_ONLY))


def parse_mounts(dirs: object) -> tuple[Mount, ...]:
    """Read what Python's ``dirs=`` takes: ``{GUEST: HOST}``, or a sequence of ``HOST::GUEST[:ro]`` and :class:`Mount`.

    Raises
    ------
    InvalidInputError
        It is none of these, one of them is malformed, or two have the same GUEST.
    """
    if dirs is None:
        return ()
    if isinstance(dirs, Mapping):
        mounts = [_mount(_path(host), _path(guest), False) for guest, host in dirs.items()]
    elif isinstance(dirs, Iterable) and not isinstance(dirs, str | bytes):
        mounts = [_any_mount(each) for each in dirs]
    else:
        raise InvalidInputError(f"dirs= takes {{GUEST: HOST}} or a sequence of HOST::GUEST[:ro], not {dirs!r:.80}.")
    hosts: dict[str, str] = {}
    for each in mounts:
        if each.guest in hosts:
            raise InvalidInputError(
                f"Two directories are to be mounted as {each.guest!r}: {hosts[each.guest]!r} and {each.host!r}."
            )
        hosts[each.guest] = each.host
    return tuple(mounts)


def _any_mount(given: Any) -> Mount:
    if isinstance(given, Mount):
        return _mount(given.host, given.guest, given.read_only)
    if isinstance(given, str):
        return parse_mount(given)
    raise InvalidInputError(f"{given!r:.80} is no mount: {_EXPECTED}.")


def _mount(host: str, guest: str, read_only: bool) -> Mount:
    names = guest.split("/")
    if not host or not guest or "\0" in host or "\0" in guest or ".." in names:
        raise InvalidInputError(f"{host!r} cannot be mounted as {guest!r}: {_EXPECTED}; GUEST has no '..' in it.")
    # Here and not where it is opened: the working directory may be another one by then.
    host = os.path.abspath(host)
    root = "/" if guest.startswith("/") else ""
    path = root + "/".join(each for each in names if each not in ("", "."))
    return Mount(host, path or ".", read_only)


def _path(given: Any) -> str:
    try:
        return os.fsdecode(given)
    except TypeError:
        raise InvalidInputError(f"{given!r:.80} is no path of a directory to mount: expected text or a Path.") from None
